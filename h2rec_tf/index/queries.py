"""Histories to evaluate and tune an index with."""

from __future__ import annotations

import numpy as np

from h2rec_tf.config import DataConfig
from h2rec_tf.data.events import ordered_events
from h2rec_tf.data.interactions import Columns, read_interactions
from h2rec_tf.data.ordering import hash_ids
from h2rec_tf.data.text_format import interactions_format


def histories_of_users(path: str, count: int, data: DataConfig, *, seed: int = 0) -> list[list[str]]:
    """Item ids, oldest first, of at most `count` users at random; `data` says how the file is to be read.

    Raises:
        InputError: the interactions file cannot be used.
    """
    interactions = read_interactions(path, Columns.of(data), text=interactions_format(data), max_bad_rows=None)
    events, _ = ordered_events(
        interactions.users,
        interactions.items + 1,
        interactions.timestamps,
        interactions.user_ids,
        item_hashes=hash_ids(interactions.item_ids),
        second=interactions.second,
        timed=interactions.timed,
        keep_repeats=True,
    )
    ids = interactions.item_ids[events.items - 1]
    histories = np.split(ids, events.starts[1:])
    return [histories[user].tolist() for user in np.random.default_rng(seed).permutation(len(histories))[:count]]


def histories_of_items(item_ids: np.ndarray, count: int, *, seed: int = 0) -> list[list[str]]:
    """Histories of one item each, of at most `count` items at random: queries without anybody's data."""
    chosen = np.random.default_rng(seed).permutation(len(item_ids))[:count]
    return [[item_id] for item_id in item_ids[chosen].tolist()]
