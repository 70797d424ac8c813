"""The popularity floor: everyone is recommended the items with the most training interactions."""

from __future__ import annotations

import numpy as np


class Popularity:
    """Scores an item by its training interactions, whoever asks.

    Args:
        popularity: int `[N + 1]`, training interactions of each item index.

    Example:
        >>> recommender = Popularity(dataset.popularity)
        >>> evaluate(recommender, dataset.test, popularity=dataset.popularity)
    """

    max_length = 1

    def __init__(self, popularity: np.ndarray):
        self.num_items = len(popularity) - 1
        self._scores = popularity.astype(np.float32)

    def queries(self, histories: np.ndarray) -> int:
        """The number of users; `histories` int32 `[B, 1]` is not looked at."""
        return len(histories)

    def scores(self, queries: int, start: int, stop: int) -> np.ndarray:
        """float32 `[B, stop - start]`."""
        return np.broadcast_to(self._scores[start:stop], (queries, stop - start))
