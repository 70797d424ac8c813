"""Interactions in catalogue indices, sorted by user and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.ordering import SecondKey, hash_ids, in_order
from h2rec_tf.data.problems import UNKNOWN_ITEM, Problems
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.data.table import RowLocator


@dataclasses.dataclass(frozen=True)
class Events:
    """Interactions by user id, then time, then as `ordering` says.

    Attributes:
        users: int32 `[n]`, places in `user_ids`, non-decreasing.
        items: int32 `[n]`, item indices 1..N.
        timestamps: int64 `[n]`, nanoseconds since 1970 in UTC, or what orders rows where the data has no times.
        user_ids: `[U]` strings, sorted; some may have no event.
        timed: False where the data has no times.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    timed: bool = True

    def __len__(self) -> int:
        return len(self.users)

    def where(self, kept: np.ndarray) -> Events:
        """The events where bool `kept` `[n]` is True, order unchanged."""
        return dataclasses.replace(
            self, users=self.users[kept], items=self.items[kept], timestamps=self.timestamps[kept]
        )

    @property
    def starts(self) -> np.ndarray:
        """int64 `[u]`, where each user that has events begins."""
        return np.flatnonzero(np.diff(self.users, prepend=-1))


def make_events(
    interactions: Interactions, catalogue: Catalogue, *, keep_repeats: bool = False
) -> tuple[Events, int, Problems]:
    """Matches interactions with the catalogue and sorts them.

    Args:
        interactions: as read.
        catalogue: all items.
        keep_repeats: exact repeats stay; else the first of each is kept.

    Returns:
        Events, how many exact repeats (user, item, timestamp) there were, and the rows with items that the catalogue
        does not have, which are left out.
    """
    problems = Problems()
    items = match_items(interactions.items, interactions.item_ids, catalogue.index())
    add_unknown_items(
        problems,
        interactions.path,
        np.flatnonzero(items == 0),
        interactions.locate,
        column=interactions.columns.item,
        item_of=lambda row: interactions.item_ids[interactions.items[row]],
    )
    known = np.flatnonzero(items)
    events, repeats = ordered_events(
        interactions.users[known],
        items[known],
        interactions.timestamps[known],
        interactions.user_ids,
        item_hashes=hash_ids(catalogue.item_ids),
        second=None if interactions.second is None else interactions.second.take(known),
        timed=interactions.timed,
        keep_repeats=keep_repeats,
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


def ordered_events(
    users: np.ndarray,
    items: np.ndarray,
    timestamps: np.ndarray,
    user_ids: np.ndarray,
    *,
    item_hashes: np.ndarray,
    second: SecondKey | None = None,
    timed: bool = True,
    keep_repeats: bool = False,
) -> tuple[Events, int]:
    """Sorts interactions as `ordering` says, and leaves out exact repeats or only counts them.

    Args:
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, item indices from 1.
        timestamps: int64 `[n]`.
        user_ids: `[U]` distinct strings in any order.
        item_hashes: uint64 by item index - 1, from `hash_ids`.
        second: orders events at one time before the hash does, or None.
        timed: False where the timestamps are places of rows.
        keep_repeats: repeats stay.

    Returns:
        Events, and how many repeats (user, item, timestamp) there were.
    """
    by_id = np.argsort(user_ids, kind="stable")
    rank = np.empty(len(by_id), np.int32)
    rank[by_id] = np.arange(len(by_id), dtype=np.int32)
    user_ids = user_ids[by_id]
    users, times, items, repeats = in_order(
        rank[users],
        timestamps,
        items,
        user_hashes=hash_ids(user_ids),
        item_hashes=item_hashes,
        second=second,
        keep_repeats=keep_repeats,
    )
    return Events(users, items, times, user_ids, timed), repeats


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
