"""The TFX pipeline: from files of interactions and items to a pushed model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfx_pipeline.artifacts import IndexBlessing, ItemIndex, RunReport, SemanticIds

__all__ = ["IndexBlessing", "ItemIndex", "RunReport", "SemanticIds"]


def __getattr__(name: str) -> Any:
    """Loads artifact classes on first use: TFX imports them as `tfx_pipeline.<Name>`, other imports stay light."""
    if name in __all__:
        from tfx_pipeline import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
