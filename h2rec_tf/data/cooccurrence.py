"""Co-occurrence of items inside a window of a user's history: pair counts, and the positives drawn from them.

Source: design, "Dual-level alignment", item level: positives beside the item itself are items that co-occur with it,
weighted by positive pointwise mutual information (PPMI), the top P kept. Build it from the training split only.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy import sparse

from h2rec_tf.data.decimals import BILLION
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError

# Weights of an item's positives run from LOW for the weakest kept one to HIGH for the strongest.
LOW, HIGH = 0.3, 1.0


@dataclasses.dataclass(frozen=True)
class PositiveLists:
    """For each item its strongest co-occurring items.

    Attributes:
        items: int32 `[N + 1, P]`, item indices, strongest first; 0 pads.
        weights: float32 `[N + 1, P]`, 0.3..1.0; 0 at padding.
    """

    items: np.ndarray
    weights: np.ndarray


def cooccurrence(
    train: Sequences,
    num_items: int,
    *,
    window: int = 3,
    time_scale: float = 0.0,
    top: int = 50,
    chunk: int = 4_000_000,
) -> PositiveLists:
    """The `top` items with the highest PPMI for each item.

    `PMI(i, j) = log(c_ij * S / (c_i * c_j))` with the symmetric pair counts `c_ij`, their row sums `c_i` and total
    `S`; pairs with PMI <= 0 are dropped. An item's kept values are scaled linearly to 0.3..1.0 (all 1.0 if equal). Ties
    keep the lower index.

    Args:
        train: training histories.
        num_items: N.
        window: largest distance of two positions in a history that form a pair.
        time_scale: above 0, a pair counts `exp(-|t - t'| / time_scale)` instead of 1, in seconds.
        top: P.
        chunk: pairs handled at once.

    Returns:
        Lists in O(N * P); working memory is O(distinct pairs + chunk).

    Raises:
        InputError: an argument is out of range, or `time_scale` without timestamps.
    """
    if top < 0:
        raise InputError(f"top must be at least 0, got {top}")
    counts = pair_counts(train, num_items, window=window, time_scale=time_scale, chunk=chunk)
    row_sums = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    total = row_sums.sum()
    lists = PositiveLists(np.zeros((num_items + 1, top), np.int32), np.zeros((num_items + 1, top), np.float32))
    if not counts.nnz or not top:
        return lists
    with np.errstate(divide="ignore"):
        log_sums = np.log(row_sums)
    for first, last in _row_chunks(counts.indptr, chunk):
        begin, end = counts.indptr[first], counts.indptr[last]
        rows = np.repeat(np.arange(first, last), np.diff(counts.indptr[first : last + 1]))
        columns = counts.indices[begin:end]
        with np.errstate(divide="ignore"):
            pmi = np.log(counts.data[begin:end].astype(np.float64)) + np.log(total) - log_sums[rows] - log_sums[columns]
        # Rounding noise around zero is not association.
        keep = pmi > 1e-6
        rows, columns, places, pmi = top_of_rows(rows[keep], columns[keep], pmi[keep], top)
        lists.items[rows, places] = columns
        lists.weights[rows, places] = _scaled(rows, places, pmi, num_items)
    return lists


def pair_counts(
    train: Sequences,
    num_items: int,
    *,
    window: int,
    distance_decay: float = 1.0,
    time_scale: float = 0.0,
    chunk: int = 4_000_000,
) -> sparse.csr_matrix:
    """How often two different items stand at most `window` apart in one history.

    Args:
        train: training histories.
        num_items: N.
        window: largest distance of two positions.
        distance_decay: a pair at distance `d` counts `distance_decay ** (d - 1)`.
        time_scale: above 0, a pair also counts `exp(-|t - t'| / time_scale)`, in seconds.
        chunk: pairs handled at once.

    Returns:
        float32 `[N + 1, N + 1]`, symmetric, zero diagonal, column indices sorted.

    Raises:
        InputError: `window` below 1, `time_scale` negative, or `time_scale` without timestamps.
    """
    if window < 1:
        raise InputError(f"window must be at least 1, got {window}")
    if time_scale < 0:
        raise InputError(f"time_scale must be at least 0, got {time_scale}")
    if time_scale and train.timestamps is None:
        raise InputError("time_scale above 0 needs timestamps, and these interactions have none; set it to 0")
    shape = (num_items + 1, num_items + 1)
    # Partial sums of growing size, merged like the digits of a binary counter: each pair is merged O(log) times.
    partial: list[sparse.csr_matrix] = []
    lengths = train.lengths
    for begin in range(0, len(train.items), chunk):
        end = min(begin + chunk, len(train.items))
        first_user = int(np.searchsorted(train.offsets, begin, side="right")) - 1
        last_user = int(np.searchsorted(train.offsets, end, side="left"))
        user_ends = np.repeat(train.offsets[first_user + 1 : last_user + 1], lengths[first_user:last_user])
        user_ends = user_ends[begin - train.offsets[first_user] :][: end - begin]
        for distance in range(1, window + 1):
            left = begin + np.flatnonzero(np.arange(begin, end) + distance < user_ends)
            left = left[train.items[left] != train.items[left + distance]]
            weights = np.full(len(left), distance_decay ** (distance - 1), np.float32)
            if time_scale and train.timestamps is not None:
                gaps = np.abs(train.timestamps[left + distance] - train.timestamps[left])
                weights *= np.exp(-gaps / (BILLION * time_scale)).astype(np.float32)
            pairs = (train.items[left], train.items[left + distance])
            partial.append(sparse.coo_matrix((weights, pairs), shape).tocsr())
            while len(partial) > 1 and partial[-2].nnz < 2 * partial[-1].nnz:
                partial.append(partial.pop() + partial.pop())
    directed = sparse.csr_matrix(shape, dtype=np.float32)
    for matrix in reversed(partial):
        directed = directed + matrix
    partial.clear()
    counts = directed + directed.T.tocsr()
    counts.sort_indices()
    return counts


def top_of_rows(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The `top` largest values of each row of a sparse matrix given as triples.

    Returns:
        rows, columns, places (0 is the largest in its row), values of the kept ones, by row and place; ties put the
        lower column first.
    """
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if len(rows) else np.zeros(0, np.int64)
    places = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    keep = places < top
    return rows[keep], columns[keep], places[keep], values[keep]


def _row_chunks(indptr: np.ndarray, chunk: int) -> list[tuple[int, int]]:
    """Row ranges with about `chunk` entries each."""
    rows = len(indptr) - 1
    cuts = np.searchsorted(indptr, np.arange(chunk, int(indptr[-1]), chunk))
    bounds = np.unique(np.r_[0, cuts, rows])
    return list(itertools.pairwise(bounds.tolist()))


def _scaled(rows: np.ndarray, places: np.ndarray, values: np.ndarray, num_items: int) -> np.ndarray:
    """float32, `values` of each row mapped linearly onto LOW..HIGH; entries are ordered by row and place."""
    strongest = np.zeros(num_items + 1)
    weakest = np.zeros(num_items + 1)
    strongest[rows[places == 0]] = values[places == 0]
    # The last write of a row wins, which is its weakest entry.
    weakest[rows] = values
    spread = (strongest - weakest)[rows]
    equal = spread <= 1e-9
    scaled = LOW + (HIGH - LOW) * (values - weakest[rows]) / np.where(equal, 1.0, spread)
    return np.where(equal, HIGH, scaled).astype(np.float32)
