"""Floors: what a trained model must beat, by default and from configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from h2rec_tf.config import FloorConfig
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Recommender
from h2rec_tf.models.blend import Blend
from h2rec_tf.models.item_knn import ItemKnn
from h2rec_tf.models.popularity import Popularity
from h2rec_tf.models.text_neighbours import TextNeighbours

# What tables call the baselines of `gate.baselines`.
LABELS = {"popularity": "popularity", "item_knn": "item-kNN"}


def baselines(train: Sequences, popularity: np.ndarray) -> dict[str, Recommender]:
    """What every report and table has beside a model, and what `gate.baselines` may name.

    Args:
        train: the training split.
        popularity: int `[N + 1]`, its interactions of each item index.
    """
    return {"popularity": Popularity(popularity), "item_knn": ItemKnn.fit(train, len(popularity) - 1)}


def make_floor(floor: FloorConfig, *, train: Sequences, vectors: np.ndarray) -> Recommender:
    """Fits the configured floor.

    Args:
        floor: which one, and its values.
        train: the training split.
        vectors: float `[N, D]` text vectors; row r is item index r + 1.

    Raises:
        InputError: `floor.kind` is none.
    """
    num_items = len(vectors)
    if floor.kind == "popularity":
        return Popularity(np.bincount(train.items, minlength=num_items + 1))
    if floor.kind == "none":
        raise InputError("config: `floor.kind` is none: there is no floor to make")
    parts: list[tuple[Recommender, float]] = []
    if floor.kind in ("item_knn", "blend"):
        parts.append((ItemKnn.fit(train, num_items, **_values(floor.item_knn)), 1.0))
    if floor.kind in ("text_neighbours", "blend"):
        parts.append((TextNeighbours(np.asarray(vectors), **_values(floor.text_neighbours)), floor.text_weight))
    return parts[0][0] if len(parts) == 1 else Blend(parts)


def _values(tree: object) -> dict[str, Any]:
    return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}  # type: ignore[arg-type]
