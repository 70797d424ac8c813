"""The percentile bootstrap over users."""

from __future__ import annotations

import numpy as np

_RESAMPLES = 2000
# Resamples at once, and draws at once where users are many: both bound memory.
_BLOCK = 256
_DRAWS = 1 << 23


def resampled_sums(columns: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sums over users drawn with replacement: float64 `[count, M]`.

    Args:
        columns: float `[U, M]`.
        count: resamples.
        generator: of the draws, which all columns share.
    """
    users = len(columns)
    drawn = generator.integers(0, users, (count, users))
    weights = np.stack([np.bincount(row, minlength=users) for row in drawn]).astype(np.float64)
    return weights @ columns


def mean_interval(
    values: np.ndarray, users: np.ndarray, *, confidence: float, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of all values, users being exchangeable.

    A user is drawn with all values of theirs: those of one user are alike, and taken for independent ones they would
    make the interval too narrow.

    Args:
        values: float `[C]`; at least one.
        users: `[C]`, whose each value is.
        confidence: of the two-sided interval, as 0.95.
        resamples: drawn.
        seed: of the draws.

    Returns:
        Lower and upper bound.
    """
    _, rows = np.unique(users, return_inverse=True)
    columns = np.stack([np.bincount(rows, values), np.bincount(rows)], axis=1)
    generator = np.random.default_rng(seed)
    block = max(1, min(_BLOCK, _DRAWS // len(columns)))
    parts = [resampled_sums(columns, min(block, resamples - first), generator) for first in range(0, resamples, block)]
    sums = np.concatenate(parts)
    outside = 50.0 * (1.0 - confidence)
    low, high = np.percentile(sums[:, 0] / sums[:, 1], [outside, 100.0 - outside])
    return float(low), float(high)
