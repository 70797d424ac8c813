"""Which models and versions a server is told to serve."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which of a folder's versions are served, as TensorFlow Serving's `model_version_policy` says it.

    Attributes:
        latest: the newest so many that load; None: any number.
        specific: only these; empty: any.
    """

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def candidates(self, available: Collection[int]) -> list[int]:
        """The versions that may be served, newest first."""
        return sorted((v for v in available if not self.specific or v in self.specific), reverse=True)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Attributes:
        name: what requests call it.
        base_path: folder with one integer-named folder a version.
        policy: which versions are served.
        labels: names for versions, for requests that ask by label.
        confined: it came from a caller, so that its versions must lie below the server's roots, links followed.
    """

    name: str
    base_path: str
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    confined: bool = False
