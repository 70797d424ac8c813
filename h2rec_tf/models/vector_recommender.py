"""A trained model as the evaluation and retrieval see it: user vectors against one item table."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.item_vectors import ItemVectors, without_seen


class VectorRecommender:
    """Scores items by the inner product of user and item vectors.

    The item table is read once, when the object is made: make a new one after more training.

    Args:
        model: a built model.
        max_length: items of history it reads.
        popularity: int `[N + 1]` training interactions, by which a user with an empty history is answered, as the
            exported model does it.
    """

    def __init__(self, model: H2Rec, *, max_length: int, popularity: np.ndarray) -> None:
        self.num_items = model.num_items
        self.max_length = max_length
        self.fallback = popularity.astype(np.float32)
        self._vectors = ItemVectors(model.item_table().numpy())
        self._learned_size = self._vectors.table.shape[1] - model.seen_size
        self._encode = model.user_vectors

    @property
    def table(self) -> np.ndarray:
        """float32 `[N + 1, D]`, the item vectors; row 0 pads."""
        return self._vectors.table

    def queries(self, histories: np.ndarray) -> np.ndarray:
        """int32 `[B, T]` left-padded histories -> float32 `[B, D]` user vectors."""
        used = np.flatnonzero(histories.any(axis=0))
        first = int(used[0]) if len(used) else histories.shape[1] - 1
        trimmed = histories[:, max(first, histories.shape[1] - self.max_length) :]
        return self._encode(tf.constant(trimmed, tf.int32)).numpy()

    def unseen_queries(self, queries: np.ndarray) -> np.ndarray:
        """float32 `[B, D]` user vectors -> the same without the seen part, for items that are not in the history."""
        return without_seen(queries, self._learned_size)

    def scores(self, queries: np.ndarray, start: int, stop: int) -> np.ndarray:
        """float32 `[B, D]` user vectors -> float32 `[B, stop - start]` scores of item indices start..stop - 1."""
        return self._vectors.scores(queries, start, stop)
