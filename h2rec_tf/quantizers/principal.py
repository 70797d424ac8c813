"""Principal components of vectors that are read in blocks."""

from __future__ import annotations

import numpy as np

from h2rec_tf.quantizers.base import blocks, float_rows


def principal_directions(
    vectors: np.ndarray, rows: np.ndarray, size: int, block_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[D]` and the first `size` principal directions `[size, D]` of the chosen rows, float32, orthonormal."""
    dimensions = vectors.shape[1]
    total, products = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for part in blocks(len(rows), block_rows):
        values = float_rows(vectors, rows[part])
        total += values.sum(axis=0, dtype=np.float64)
        products += values.T @ values
    mean = total / len(rows)
    _, directions = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    return mean.astype(np.float32), np.ascontiguousarray(directions[:, ::-1][:, :size].T, np.float32)


def projected(
    vectors: np.ndarray,
    mean: np.ndarray,
    directions: np.ndarray,
    block_rows: int,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Coordinates of the chosen rows (None: all) along `directions` `[size, D]`: float32 `[n, size]`."""
    count = len(vectors) if rows is None else len(rows)
    result = np.empty((count, len(directions)), np.float32)
    for block in blocks(count, block_rows):
        result[block] = (float_rows(vectors, block if rows is None else rows[block]) - mean) @ directions.T
    return result
