"""Histories to evaluate and tune an index with."""

from __future__ import annotations

import numpy as np

from h2rec_tf.data.interactions import read_interactions


def histories_of_users(
    path: str, count: int, *, user_column: str, item_column: str, timestamp_column: str, seed: int = 0
) -> list[list[str]]:
    """Item ids, oldest first, of at most `count` users at random.

    Raises:
        InputError: the interactions file cannot be used.
    """
    interactions = read_interactions(
        path, user_column=user_column, item_column=item_column, timestamp_column=timestamp_column, max_bad_rows=None
    )
    users = np.random.default_rng(seed).permutation(len(interactions.user_ids))[:count]
    order = np.lexsort((interactions.timestamps, interactions.users))
    owners = interactions.users[order]
    ids = interactions.item_ids[interactions.items[order]]
    starts, stops = np.searchsorted(owners, users), np.searchsorted(owners, users, side="right")
    return [ids[start:stop].tolist() for start, stop in zip(starts, stops, strict=True)]


def histories_of_items(item_ids: np.ndarray, count: int, *, seed: int = 0) -> list[list[str]]:
    """Histories of one item each, of at most `count` items at random: queries without anybody's data."""
    chosen = np.random.default_rng(seed).permutation(len(item_ids))[:count]
    return [[item_id] for item_id in item_ids[chosen].tolist()]
