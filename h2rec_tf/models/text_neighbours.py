"""The content floor: items whose text is near the user's latest items."""

from __future__ import annotations

import numpy as np

from h2rec_tf.errors import InputError
from h2rec_tf.models.item_vectors import ItemVectors


class TextNeighbours:
    """Scores an item by the cosine of its vector with the mean vector of the user's last items.

    The items that the user's vector is made of score -1, the lowest cosine: each would be its own nearest neighbour.

    Args:
        vectors: floating `[N, D]`, row r belongs to item index r + 1; an all-zero row scores 0 everywhere.
        last: items of history that are read.
        decay: weight of an item relative to the one after it.

    Raises:
        InputError: `last` below 1.
    """

    def __init__(self, vectors: np.ndarray, *, last: int = 1, decay: float = 1.0):
        if last < 1:
            raise InputError(f"last must be at least 1, got {last}")
        self.num_items = len(vectors)
        self.max_length = last
        self._decay = decay
        # Row 0 pads.
        table = np.zeros((len(vectors) + 1, vectors.shape[1]), np.float32)
        table[1:] = _normalised(vectors.astype(np.float32))
        self._vectors = ItemVectors(table)

    def queries(self, histories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The users' vectors, float32 `[B, D]`, and their items, int32 `[B, T]`.

        Args:
            histories: int32 `[B, T]`, left padded with 0.
        """
        weights = (self._decay ** np.arange(histories.shape[1] - 1, -1, -1)).astype(np.float32)
        return _normalised(np.einsum("btd,t->bd", self._vectors.table[histories], weights)), histories

    def scores(self, queries: tuple[np.ndarray, np.ndarray], start: int, stop: int) -> np.ndarray:
        """float32 `[B, stop - start]`, in -1..1."""
        users, histories = queries
        scores = self._vectors.scores(users, start, stop)
        rows, columns = np.nonzero((histories >= start) & (histories < stop))
        scores[rows, histories[rows, columns] - start] = -1.0
        return scores


def _normalised(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
