"""One more digit that tells apart items with equal code tuples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from h2rec_tf.data.sequences import catalogue_order


def tuple_groups(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups equal rows.

    Args:
        codes: int `[n, L]`.

    Returns:
        int64 `[n]` group of each row, and int64 `[groups]` sizes; groups are in lexicographic order of their tuples.
    """
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    starts = np.ones(len(codes), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    groups = np.empty(len(codes), np.int64)
    groups[order] = np.cumsum(starts) - 1
    return groups, np.bincount(groups, minlength=int(starts.sum()))


def disambiguate(
    codes: np.ndarray, item_ids: Sequence[str], *, limit: int | None = None, kept: np.ndarray | None = None
) -> np.ndarray:
    """Appends a digit so that no two items share a tuple.

    Digits run 0, 1, ... inside a group of equal tuples, in the order of the ids' hashes, so a digit says nothing
    about age, popularity or the order of the file.

    Args:
        codes: int32 `[n, L]`.
        item_ids: n distinct strings.
        limit: digits are taken modulo this, so that they fit a codebook; a group with more items than that keeps
            collisions, which the codebook report lists. None sets no limit.
        kept: int `[n]`, digits that items have already and keep, -1 for the others, which take those that are free.

    Returns:
        int32 `[n, L + 1]`.
    """
    groups, sizes = tuple_groups(codes)
    by_hash = catalogue_order([str(item_id) for item_id in item_ids])
    order = by_hash[np.argsort(groups[by_hash], kind="stable")]
    first = np.cumsum(sizes) - sizes
    digits = np.empty(len(codes), np.int64)
    digits[order] = np.arange(len(codes)) - first[groups[order]]
    if kept is not None and (kept >= 0).any():
        digits = _after_kept(groups[order], order, kept)
    if limit is not None:
        digits %= limit
    return np.concatenate([codes, digits[:, None]], axis=1).astype(np.int32)


def _after_kept(groups: np.ndarray, order: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """int64 `[n]` digits: those kept, and the lowest free ones of the group for the rest.

    Args:
        groups: group of each item in `order`, non-decreasing.
        order: items, in the order in which they take digits.
        kept: digit of each item, or -1.
    """
    digits = kept.astype(np.int64)
    for begin, end in itertools.pairwise([*np.flatnonzero(np.diff(groups, prepend=-1)).tolist(), len(order)]):
        members = order[begin:end]
        fresh = members[kept[members] < 0]
        if len(fresh):
            used = set(kept[members].tolist())
            free = (digit for digit in itertools.count() if digit not in used)
            digits[fresh] = list(itertools.islice(free, len(fresh)))
    return digits
