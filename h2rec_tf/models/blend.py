"""A weighted sum of recommenders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Recommender


class Blend:
    """The weighted sum of recommenders' scores.

    Args:
        parts: (recommender, weight) pairs over the same catalogue.

    Raises:
        InputError: no parts, or catalogues of different size.

    Example:
        >>> Blend([(ItemKnn.fit(dataset.train, num_items, shrink=30), 1.0), (TextNeighbours(vectors), 0.1)])
    """

    def __init__(self, parts: Sequence[tuple[Recommender, float]]):
        sizes = sorted({recommender.num_items for recommender, _ in parts})
        if len(sizes) != 1:
            raise InputError(f"a blend needs recommenders over one catalogue, got catalogue sizes {sizes}")
        self._parts = list(parts)
        self.num_items = sizes[0]
        self.max_length = max(recommender.max_length for recommender, _ in parts)

    def queries(self, histories: np.ndarray) -> list[Any]:
        """The parts' queries, each for as much history as the part reads.

        Args:
            histories: int32 `[B, T]`, left padded with 0.
        """
        return [recommender.queries(histories[:, -recommender.max_length :]) for recommender, _ in self._parts]

    def scores(self, queries: list[Any], start: int, stop: int) -> np.ndarray:
        """float32 `[B, stop - start]`."""
        total = np.zeros((1, stop - start), np.float32)
        for (recommender, weight), query in zip(self._parts, queries, strict=True):
            total = total + np.float32(weight) * np.asarray(recommender.scores(query, start, stop), np.float32)
        return total
