"""Comparisons that need no training."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class ItemKnnConfig:
    """The co-occurrence floor."""

    # Largest distance of two positions that form a pair; a pair at distance d counts `distance_decay ** (d - 1)`.
    window: int = number(3, low=1)
    distance_decay: float = number(0.8, low=0.0, high=1.0)
    # Draws the similarity of rare items towards 0.
    shrink: float = number(10.0, low=0.0)
    # Items of history that are read, and the weight of one relative to the one after it.
    last: int = number(10, low=1)
    decay: float = number(0.6, low=0.0, high=1.0)
    # Most similar items kept for each item; 0 keeps all.
    neighbours: int = number(0, low=0)


@dataclasses.dataclass(frozen=True)
class TextNeighboursConfig:
    """The content floor."""

    # Items of history that are read, and the weight of one relative to the one after it.
    last: int = number(1, low=1)
    decay: float = number(1.0, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class FloorConfig:
    """A comparison that needs no training, in place of the model: for `h2rec bench quality` and `h2rec tune`."""

    # none: the configured model is trained. blend: item-kNN plus `text_weight` times text neighbours.
    kind: str = choice("none", "popularity", "item_knn", "text_neighbours", "blend")
    text_weight: float = number(0.1, low=0.0)
    item_knn: ItemKnnConfig = ItemKnnConfig()
    text_neighbours: TextNeighboursConfig = TextNeighboursConfig()
