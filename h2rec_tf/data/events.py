"""Interactions in catalogue indices, sorted by user and time, each once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.problems import UNKNOWN_ITEM, Problems
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.data.table import RowLocator

# What an int64 holds beside its sign.
_KEY_BITS = 63


@dataclasses.dataclass(frozen=True)
class Events:
    """Distinct interactions by user id, then time, then item index.

    The item index follows a hash of the id, so neither the order of users nor that of events at one time carries
    anything from the file's order.

    Attributes:
        users: int32 `[n]`, places in `user_ids`, non-decreasing.
        items: int32 `[n]`, item indices 1..N.
        timestamps: int64 `[n]`.
        user_ids: `[U]` strings, sorted; some may have no event.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def where(self, kept: np.ndarray) -> Events:
        """The events where bool `kept` `[n]` is True, order unchanged."""
        return Events(self.users[kept], self.items[kept], self.timestamps[kept], self.user_ids)

    @property
    def starts(self) -> np.ndarray:
        """int64 `[u]`, where each user that has events begins."""
        return np.flatnonzero(np.diff(self.users, prepend=-1))


def make_events(interactions: Interactions, catalogue: Catalogue) -> tuple[Events, int, Problems]:
    """Matches interactions with the catalogue and sorts them.

    Returns:
        Events, how many exact repeats (user, item, timestamp) were left out, and the rows with items that the catalogue
        does not have, which are left out too.
    """
    problems = Problems()
    items = match_items(interactions.items, interactions.item_ids, catalogue.index())
    add_unknown_items(
        problems,
        interactions.path,
        np.flatnonzero(items == 0),
        interactions.locate,
        column=interactions.item_column,
        item_of=lambda row: interactions.item_ids[interactions.items[row]],
    )
    known = np.flatnonzero(items)
    events, repeats = distinct_events(
        interactions.users[known], items[known], interactions.timestamps[known], interactions.user_ids
    )
    return events, repeats, problems


def match_items(codes: np.ndarray, item_ids: np.ndarray, index: Mapping[str, int]) -> np.ndarray:
    """int32 `[n]` item indices of codes `[n]` into `item_ids`, 0 where the catalogue's `index` lacks the item."""
    of_item = np.asarray([index.get(item_id, 0) for item_id in item_ids.tolist()], np.int32)
    return of_item[codes] if len(of_item) else np.zeros(0, np.int32)


def add_unknown_items(
    problems: Problems,
    path: str,
    positions: np.ndarray,
    locate: RowLocator,
    *,
    column: str,
    item_of: Callable[[int], str],
) -> None:
    """Rejects the rows at `positions`, whose items the catalogue does not have."""
    problems.add_rows(
        path,
        positions,
        locate,
        column=column,
        kind=UNKNOWN_ITEM,
        describe=lambda row: f"item '{item_of(row)}' is not in the items file",
    )


def distinct_events(
    users: np.ndarray, items: np.ndarray, timestamps: np.ndarray, user_ids: np.ndarray
) -> tuple[Events, int]:
    """Sorts interactions and leaves out exact repeats.

    Args:
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, item indices from 1.
        timestamps: int64 `[n]`.
        user_ids: `[U]` distinct strings in any order.

    Returns:
        Events, and how many repeats (user, item, timestamp) there were.
    """
    by_id = np.argsort(user_ids, kind="stable")
    rank = np.empty(len(by_id), np.int32)
    rank[by_id] = np.arange(len(by_id), dtype=np.int32)
    users, times, items = _sorted(rank[users], timestamps, items)
    new = np.ones(len(users), bool)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1]) | (times[1:] != times[:-1])
    events = Events(users, items, times, user_ids[by_id])
    repeats = int(len(new) - new.sum())
    return (events.where(new) if repeats else events), repeats


def _sorted(users: np.ndarray, times: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, rows ordered by user, then time, then item."""
    if not len(users):
        return users, times, items
    first = int(times.min())
    item_bits, time_bits = int(items.max()).bit_length(), (int(times.max()) - first).bit_length()
    if int(users.max()).bit_length() + time_bits + item_bits > _KEY_BITS:
        order = np.lexsort((items, times, users))
        return users[order], times[order], items[order]
    # All three in one number: sorting it is several times faster than sorting by three keys.
    keys = (users.astype(np.int64) << time_bits | (times - first)) << item_bits | items
    keys.sort()
    items = (keys & ((1 << item_bits) - 1)).astype(np.int32)
    keys >>= item_bits
    return (keys >> time_bits).astype(np.int32), (keys & ((1 << time_bits) - 1)) + first, items


def k_core(events: Events, *, min_user_interactions: int, min_item_interactions: int) -> Events:
    """The largest part in which every user and every item has enough events.

    Dropping a user may leave an item with too few and the other way round, so both are repeated until nothing changes.

    Args:
        events: all of them.
        min_user_interactions: events a user must keep; 0 or 1 keeps all.
        min_item_interactions: events an item must keep; 0 or 1 keeps all.
    """
    while len(events):
        of_user = np.bincount(events.users)[events.users]
        of_item = np.bincount(events.items)[events.items]
        kept = (of_user >= min_user_interactions) & (of_item >= min_item_interactions)
        if kept.all():
            break
        events = events.where(kept)
    return events
