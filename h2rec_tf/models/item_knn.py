"""The co-occurrence floor: items that stand near the user's latest items in other users' histories."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from h2rec_tf.data.cooccurrence import pair_counts, top_of_rows
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError


class ItemKnn:
    """Item-based nearest neighbours over windowed pair counts.

    Similarity `s_ij = c_ij / sqrt((n_i + shrink) * (n_j + shrink))` with the pair counts `c` (see `pair_counts`) and
    the training interactions `n`; score of item j = sum over the user's last items i of
    `decay ** (age of i)` times `s_ij`. Items that co-occur with none of them score 0.

    Args:
        similarity: `[N + 1, N + 1]` sparse, row i holds `s_ij`; row and column 0 are empty.
        last: items of history that are read.
        decay: weight of an item relative to the one after it.
    """

    def __init__(self, similarity: sparse.csr_matrix, *, last: int = 10, decay: float = 0.6):
        if last < 1:
            raise InputError(f"last must be at least 1, got {last}")
        self.num_items = similarity.shape[0] - 1
        self.max_length = last
        self.similarity = similarity
        self._decay = decay

    @classmethod
    def fit(
        cls,
        train: Sequences,
        num_items: int,
        *,
        window: int = 3,
        distance_decay: float = 0.8,
        shrink: float = 10.0,
        last: int = 10,
        decay: float = 0.6,
        neighbours: int = 0,
    ) -> ItemKnn:
        """Counts pairs on the training split.

        Args:
            train: training histories.
            num_items: N.
            window: largest distance of two positions that form a pair.
            distance_decay: a pair at distance `d` counts `distance_decay ** (d - 1)`.
            shrink: draws the similarity of rare items towards 0.
            last: items of history that are read.
            decay: weight of an item relative to the one after it, 0..1.
            neighbours: keeps the most similar items of each item; 0 keeps all.

        Raises:
            InputError: an argument is out of range.
        """
        similarity = pair_counts(train, num_items, window=window, distance_decay=distance_decay)
        counts = np.bincount(train.items, minlength=num_items + 1).astype(np.float64)
        rows = np.repeat(np.arange(num_items + 1), np.diff(similarity.indptr))
        norms = np.sqrt((counts[rows] + shrink) * (counts[similarity.indices] + shrink))
        similarity.data = (similarity.data / norms).astype(np.float32)
        if neighbours:
            rows, columns, _, values = top_of_rows(rows, similarity.indices, similarity.data, neighbours)
            similarity = sparse.csr_matrix((values, (rows, columns)), similarity.shape)
        return cls(similarity, last=last, decay=decay)

    def queries(self, histories: np.ndarray) -> sparse.csr_matrix:
        """Scores of all items as a sparse `[B, N + 1]` matrix.

        Args:
            histories: int32 `[B, T]`, left padded with 0.
        """
        ages = np.arange(histories.shape[1] - 1, -1, -1)
        weights = np.broadcast_to(self._decay**ages, histories.shape)
        rows, columns = np.nonzero(histories)
        # A repeated item's weights add up.
        user_items = sparse.csr_matrix(
            (weights[rows, columns].astype(np.float32), (rows, histories[rows, columns])),
            (len(histories), self.num_items + 1),
        )
        return user_items @ self.similarity

    def scores(self, queries: sparse.csr_matrix, start: int, stop: int) -> np.ndarray:
        """float32 `[B, stop - start]`."""
        return queries[:, start:stop].toarray()
