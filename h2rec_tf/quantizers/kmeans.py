"""k-means over rows that are read in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse

from h2rec_tf.quantizers.base import blocks

# Given a slice or an index array, float32 `[b, d]` rows.
Rows = Callable[[slice | np.ndarray], np.ndarray]
# A squared error below this share of the data's scale counts as zero (float32 products cancel to about here).
_NEGLIGIBLE = 1e-6
# Passes end when one lowers the error by less than this share of it.
_TOLERANCE = 1e-4
# Rows per code that seeding looks at; on 12,101 text vectors, 16 lost 8 % more at the fourth level.
_SEED_ROWS = 64


def nearest(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centre of each row in squared Euclidean distance; ties go to the lowest index.

    Args:
        rows: float32 `[b, d]`.
        centres: float32 `[K, d]`.

    Returns:
        int32 `[b]` labels and float32 `[b]` squared distances. One `[b, K]` matrix is the largest temporary.
    """
    scores = rows @ (-2.0 * centres.T)
    scores += np.einsum("kd,kd->k", centres, centres)
    labels = np.argmin(scores, axis=1)
    least = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    return labels.astype(np.int32), np.maximum(least + np.einsum("bd,bd->b", rows, rows), 0.0)


def cluster_sums(rows: np.ndarray, labels: np.ndarray, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum `[K, d]` (float32) and count `[K]` (int64) of the rows of each label."""
    count = len(rows)
    one_hot = scipy.sparse.csr_matrix((np.ones(count, np.float32), (labels, np.arange(count))), shape=(codes, count))
    return one_hot @ rows, np.bincount(labels, minlength=codes)


def plus_plus(rows: np.ndarray, codes: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ seeding (Arthur and Vassilvitskii 2007): float32 `[K, d]`.

    Each step draws a few candidates in proportion to squared distance and keeps the one that lowers the total most.
    With fewer than K distinct rows the remaining centres repeat the ones found.
    """
    candidates = 2 + int(np.log(codes))
    norms = np.einsum("bd,bd->b", rows, rows)
    chosen = [int(rng.integers(len(rows)))]
    scale = _NEGLIGIBLE * float(norms.max(initial=0.0))
    closest = _squared(rows, norms, rows[chosen])[:, 0]
    while len(chosen) < codes:
        closest[closest <= scale] = 0.0
        cumulative = np.cumsum(closest, dtype=np.float64)
        if cumulative[-1] <= 0.0:
            break
        draws = np.searchsorted(cumulative, rng.random(candidates) * cumulative[-1], side="right")
        draws = np.minimum(draws, len(rows) - 1)
        after = np.minimum(_squared(rows, norms, rows[draws]), closest[:, None])
        best = int(np.argmin(after.sum(axis=0, dtype=np.float64)))
        chosen.append(int(draws[best]))
        closest = after[:, best]
    return rows[np.resize(np.asarray(chosen), codes)]


def kmeans(
    rows: Rows,
    count: int,
    *,
    codes: int,
    iterations: int,
    block_rows: int,
    rng: np.random.Generator,
    mini_batch: bool = False,
    start: np.ndarray | None = None,
    on_pass: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Lloyd's algorithm, or mini-batch k-means (Sculley 2010), over `count` rows.

    A code that no row chose moves, after each pass but the last, to one of the rows with the largest errors.

    Args:
        rows: gives float32 `[b, d]` rows for a slice or an index array.
        count: number of rows.
        codes: K.
        iterations: passes over the data, at most; fewer when the error stops falling.
        block_rows: rows in memory at once, and the size of a mini-batch.
        rng: of the seeding, of the mini-batches and of moved codes.
        mini_batch: centres move after each block of a random order instead of after each pass, which needs a third of
            the passes on large data for nearly the same error.
        start: float32 `[K, d]` centres to start from; None seeds with k-means++ on a sample.
        on_pass: called after each pass with the mean squared error of that pass.

    Returns:
        float32 `[K, d]` centres.
    """
    if start is None:
        sample = rng.choice(count, min(count, max(_SEED_ROWS * codes, 1024)), replace=False)
        start = plus_plus(rows(np.sort(sample)), codes, rng)
    centres, previous = start, np.inf
    for iteration in range(iterations):
        order = rng.permutation(count) if mini_batch else None
        totals = np.zeros(centres.shape, np.float64)
        counts = np.zeros(codes, np.int64)
        worst = _Worst(codes)
        error = scale = 0.0
        for block in blocks(count, block_rows):
            values = rows(block if order is None else np.sort(order[block]))
            labels, distances = nearest(values, centres)
            sums, block_counts = cluster_sums(values, labels, codes)
            totals += sums
            counts += block_counts
            worst.add(values, distances)
            error += float(distances.sum(dtype=np.float64))
            scale += float(np.einsum("bd,bd->", values, values, dtype=np.float64))
            if mini_batch:
                centres = _means(totals, counts, centres)
        moved = _means(totals, counts, centres)
        dead = np.flatnonzero(counts == 0)
        if len(dead) and iteration + 1 < iterations:
            replacements = worst.rows(_NEGLIGIBLE * scale / count, len(dead), rng)
            moved[dead[: len(replacements)]] = replacements
        if on_pass:
            on_pass(error / count)
        centres = moved
        if not len(dead) and previous - error <= _TOLERANCE * error:
            break
        previous = error
    return centres


def _squared(rows: np.ndarray, norms: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = rows @ (-2.0 * centres.T)
    distances += norms[:, None]
    distances += np.einsum("kd,kd->k", centres, centres)
    return np.maximum(distances, 0.0, out=distances)


def _means(totals: np.ndarray, counts: np.ndarray, centres: np.ndarray) -> np.ndarray:
    means = totals / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, centres).astype(np.float32)


class _Worst:
    """Keeps, across blocks, the rows with the largest errors: new places for codes that nothing chose."""

    def __init__(self, keep: int):
        self._keep = keep
        self._rows: np.ndarray | None = None
        self._errors = np.empty(0, np.float32)

    def add(self, rows: np.ndarray, errors: np.ndarray) -> None:
        top = np.argsort(-errors, kind="stable")[: self._keep]
        if self._rows is not None:
            rows = np.concatenate([self._rows, rows[top]])
            errors = np.concatenate([self._errors, errors[top]])
            top = np.argsort(-errors, kind="stable")[: self._keep]
        self._rows, self._errors = rows[top], errors[top]

    def rows(self, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
        """At most `count` distinct rows among the kept ones with an error above `threshold`."""
        assert self._rows is not None
        distinct = np.unique(self._rows[self._errors > threshold], axis=0)
        return distinct[rng.permutation(len(distinct))[:count]]
