"""From configuration and size of the catalogue to ScaNN's settings."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from h2rec_tf.config import IndexConfig
from h2rec_tf.errors import InputError

BRUTE, AH, TREE_AH = "brute", "ah", "tree_ah"
# ScaNN's rule of thumb (its docs/algorithms.md).
_BRUTE_BELOW = 20_000
_AH_BELOW = 100_000
# The hash has 16 centres a block, and a leaf needs items.
_FEWEST_HASHED = 64


@dataclasses.dataclass(frozen=True)
class IndexSettings:
    """What a searcher is built and asked with; every value is decided.

    Attributes:
        kind: `brute`, `ah` or `tree_ah`.
        leaves: of the tree; 0 without one.
        leaves_to_search: leaves that a query looks into; 0 without a tree.
        dimensions_per_block: of the hash.
        anisotropic_threshold: of the hash; 0 is plain quantization.
        reorder: candidates that are scored exactly, at least as many as are asked for.
        training_sample: vectors that tree and hash are learned from.
    """

    kind: str
    leaves: int
    leaves_to_search: int
    dimensions_per_block: int
    anisotropic_threshold: float
    reorder: int
    training_sample: int

    @classmethod
    def derive(cls, config: IndexConfig, *, items: int) -> IndexSettings:
        """Settings for a catalogue of that many items.

        Raises:
            InputError: no items, or too few for the kind that the configuration names.
        """
        if items < 1:
            raise InputError("index: there are no items to index")
        kind = config.kind
        if kind == "auto":
            kind = BRUTE if items < _BRUTE_BELOW else AH if items < _AH_BELOW else TREE_AH
        elif kind != BRUTE and items < _FEWEST_HASHED:
            raise InputError(
                f"index: kind '{kind}' needs at least {_FEWEST_HASHED} items, got {items}; set `index.kind` to auto"
            )
        leaves = leaves_to_search = 0
        if kind == TREE_AH:
            leaves = min(config.leaves or round(math.sqrt(items)), items)
            leaves_to_search = min(config.leaves_to_search or max(1, round(leaves / 10)), leaves)
        return cls(
            kind=kind,
            leaves=leaves,
            leaves_to_search=leaves_to_search,
            dimensions_per_block=config.dimensions_per_block,
            anisotropic_threshold=config.anisotropic_threshold,
            reorder=config.reorder or 4 * config.k,
            training_sample=config.training_sample,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def configured(builder: Any, settings: IndexSettings, *, reorder: bool = True) -> Any:
    """Applies settings to a ScaNN builder (pybind or TensorFlow ops).

    Args:
        builder: as `scann_ops.builder` gives it.
        settings: what to apply.
        reorder: False leaves the exact scores of the best candidates to the caller; the vectors are then not kept.

    Returns:
        The builder, ready for `build`.
    """
    if settings.kind == BRUTE:
        return builder.score_brute_force()
    if settings.kind == TREE_AH:
        builder = builder.tree(
            num_leaves=settings.leaves,
            num_leaves_to_search=settings.leaves_to_search,
            training_sample_size=settings.training_sample,
        )
    builder = builder.score_ah(
        settings.dimensions_per_block,
        anisotropic_quantization_threshold=settings.anisotropic_threshold or float("nan"),
        training_sample_size=settings.training_sample,
    )
    return builder.reorder(settings.reorder) if reorder else builder
