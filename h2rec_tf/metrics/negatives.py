"""Negatives of the sampled protocol: uniform, distinct, unseen, and the same whatever the batch size."""

from __future__ import annotations

import numpy as np

from h2rec_tf.errors import InputError


def unseen_negatives(rows: np.ndarray, forbidden: np.ndarray, *, num_items: int, count: int, seed: int) -> np.ndarray:
    """Draws `count` distinct items a row, uniform over the catalogue without the row's forbidden items.

    A draw depends on the seed, the row's number and the draw's number alone.

    Args:
        rows: int `[B]`, row numbers in the whole held-out set.
        forbidden: int `[B, E]`, the row's history and target; 0 is ignored.
        num_items: N.
        count: items a row.
        seed: of the draw.

    Returns:
        int32 `[B, count]`, item indices 1..N.

    Raises:
        InputError: a row has fewer than `count` unseen items.
    """
    chosen = np.zeros((len(rows), count), np.int32)
    # One and a half times what is wanted: rows that still lack some afterwards are rare unless N is small.
    draws = count + count // 2 + 8
    drawn = (_hash(rows, np.arange(draws), seed) % np.uint64(num_items)).astype(np.int64) + 1
    drawn = np.where(_first_occurrence(drawn, forbidden, num_items), drawn, 0)
    # A stable sort on "refused" moves the accepted draws to the front in the order they were drawn.
    order = np.argsort(drawn == 0, axis=1, kind="stable")[:, :count]
    chosen[:] = np.take_along_axis(drawn, order, axis=1)
    for position in np.flatnonzero((chosen == 0).any(axis=1)):
        chosen[position] = _from_all(int(rows[position]), forbidden[position], num_items, count, seed)
    return chosen


def _hash(rows: np.ndarray, draws: np.ndarray, seed: int) -> np.ndarray:
    """uint64 `[len(rows), len(draws)]`, SplitMix64's finalizer over (seed, row, draw)."""
    state = _mix(_mix(np.asarray([seed], np.uint64)) + rows.astype(np.uint64))
    return _mix(state[:, None] + draws.astype(np.uint64)[None, :] * np.uint64(0xD1342543DE82EF95))


def _mix(value: np.ndarray) -> np.ndarray:
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _first_occurrence(drawn: np.ndarray, forbidden: np.ndarray, num_items: int) -> np.ndarray:
    """bool, shape of `drawn`: not forbidden in its row and not drawn earlier in its row."""
    offsets = np.arange(len(drawn), dtype=np.int64)[:, None] * (num_items + 1)
    # Forbidden items come first, so the first occurrence of a forbidden key is never among the draws.
    keys = np.concatenate([forbidden + offsets, drawn + offsets], axis=1)
    _, first = np.unique(keys, return_index=True)
    is_first = np.zeros(keys.size, bool)
    is_first[first] = True
    return is_first.reshape(keys.shape)[:, forbidden.shape[1] :]


def _from_all(row: int, forbidden: np.ndarray, num_items: int, count: int, seed: int) -> np.ndarray:
    """int32 `[count]`, the unseen items with the smallest hashes: exact where rejection would go on for long."""
    unseen = np.setdiff1d(np.arange(1, num_items + 1), forbidden)
    if len(unseen) < count:
        raise InputError(
            f"sampled_negatives={count}: row {row} has only {len(unseen)} unseen items; lower it or rank all items"
        )
    # Draw numbers beyond the ones used for rejection.
    keys = _hash(np.asarray([row]), unseen + (1 << 32), seed)[0]
    return unseen[np.argsort(keys, kind="stable")[:count]].astype(np.int32)
