"""What doubts about interactions are made of: counts of parts of the data that add up to those of the whole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
from pyarrow import compute

from h2rec_tf.data.decimals import BILLION
from h2rec_tf.data.events import Events
from h2rec_tf.data.identifiers import folded
from h2rec_tf.data.spellings import Found

# What exports write where there is no value.
PLACEHOLDERS = (
    *("na", "n/a", "#n/a", "nan", "null", "(null)", "none", "nil", "undefined", "unknown", "missing"),
    *(r"\n", "-", "--", "?"),
)
# Distinct times that are kept; more are no small set.
FEW_TIMES = 11
# Events of one item alone that make a history odd.
ONE_ITEM_LENGTH = 5
_YEAR = 365 * 86400 * BILLION


@dataclasses.dataclass(frozen=True)
class IdTally:
    """What ids look like and how events are shared among them.

    Attributes:
        ids: how many have an event.
        events: how many.
        placeholders: id that stands for no value -> its events.
        edges: ids with a blank at an edge.
        alike: ids that differ from another only by case or blanks at the edges.
        largest: the id with most events.
        most: its events.
        next: events of the one after it.
    """

    ids: int
    events: int
    placeholders: dict[str, int]
    edges: Found
    alike: Found
    largest: str
    most: int
    next: int

    @classmethod
    def of(cls, ids: np.ndarray, counts: np.ndarray) -> IdTally:
        """Counts distinct ids, `[n]` strings, with int `[n]` events; looks count also without an event."""
        plain = folded(ids)
        trimmed = compute.utf8_trim_whitespace(pa.array(ids.tolist(), pa.large_string()))
        edges = np.flatnonzero(compute.not_equal(trimmed, pa.array(ids.tolist(), pa.large_string())).to_numpy(False))
        stand_ins = np.flatnonzero(compute.is_in(plain, pa.array(PLACEHOLDERS, pa.large_string())).to_numpy(False))
        top = np.argsort(counts, kind="stable")[::-1][:2]
        return cls(
            ids=int((counts > 0).sum()),
            events=int(counts.sum()),
            placeholders={ids[place]: int(counts[place]) for place in stand_ins.tolist() if counts[place]},
            edges=Found(len(edges), repr(min(ids[edges]))) if len(edges) else Found(),
            alike=_alike(ids, plain),
            largest=ids[top[0]] if len(top) else "",
            most=int(counts[top[0]]) if len(top) else 0,
            next=int(counts[top[1]]) if len(top) > 1 else 0,
        )

    def __add__(self, other: IdTally) -> IdTally:
        (most, largest), (following, _), *_ = sorted(
            [(self.most, self.largest), (self.next, ""), (other.most, other.largest), (other.next, "")], reverse=True
        )
        return IdTally(
            ids=self.ids + other.ids,
            events=self.events + other.events,
            placeholders=self.placeholders | other.placeholders,
            edges=self.edges + other.edges,
            alike=self.alike + other.alike,
            largest=largest,
            most=most,
            next=following,
        )


def _alike(ids: np.ndarray, plain: pa.Array) -> Found:
    encoded = plain.dictionary_encode()
    if len(encoded.dictionary) == len(ids):
        return Found()
    codes = encoded.indices.to_numpy()
    several = np.flatnonzero(np.bincount(codes)[codes] > 1)
    first = min(ids[several])
    code = codes[several[ids[several] == first][0]]
    return Found(len(several), " and ".join(repr(name) for name in sorted(ids[codes == code])[:2]))


@dataclasses.dataclass(frozen=True)
class EventTally:
    """Events of some users.

    Attributes:
        users: ids and their events.
        item_counts: int64 by item index.
        neighbours: events that come after another of the same user.
        tied: those of them at the same time as the one before.
        first: the earliest time; None without events or times.
        last: the latest.
        times: the distinct times, if there are at most `FEW_TIMES`; else None.
        early: events within the first year from 1970.
        late: events after now.
        one_item: users with some events, all of one item.
    """

    users: IdTally
    item_counts: np.ndarray
    neighbours: int
    tied: int
    first: int | None
    last: int | None
    times: frozenset[int] | None
    early: int
    late: int
    one_item: Found

    @classmethod
    def of(cls, events: Events, *, now: int) -> EventTally:
        """Counts events; `now` is the time in nanoseconds."""
        starts = events.starts
        lengths = np.diff(np.append(starts, len(events)))
        ids = events.user_ids[events.users[starts]]
        times = events.timestamps if events.timed and len(events) else np.zeros(0, np.int64)
        tied = (events.users[1:] == events.users[:-1])[: len(times)] & (times[1:] == times[:-1])
        few = frozenset(np.unique(times[:10_000]).tolist())
        if len(few) <= FEW_TIMES:
            few = frozenset(np.unique(times).tolist())
        single = np.zeros(0, np.int64)
        if len(starts):
            low, high = np.minimum.reduceat(events.items, starts), np.maximum.reduceat(events.items, starts)
            single = np.flatnonzero((low == high) & (lengths >= ONE_ITEM_LENGTH))
        return cls(
            users=IdTally.of(ids, lengths),
            item_counts=np.bincount(events.items, minlength=1).astype(np.int64),
            neighbours=len(events) - len(starts),
            tied=int(tied.sum()),
            first=int(times.min()) if len(times) else None,
            last=int(times.max()) if len(times) else None,
            times=few if len(few) <= FEW_TIMES else None,
            early=int((times < _YEAR).sum()),
            late=int((times > now).sum()),
            one_item=Found(len(single), min(ids[single])) if len(single) else Found(),
        )

    def __add__(self, other: EventTally) -> EventTally:
        times = None if self.times is None or other.times is None else self.times | other.times
        return EventTally(
            users=self.users + other.users,
            item_counts=_sum(self.item_counts, other.item_counts),
            neighbours=self.neighbours + other.neighbours,
            tied=self.tied + other.tied,
            first=min((time for time in (self.first, other.first) if time is not None), default=None),
            last=max((time for time in (self.last, other.last) if time is not None), default=None),
            times=times if times is not None and len(times) <= FEW_TIMES else None,
            early=self.early + other.early,
            late=self.late + other.late,
            one_item=self.one_item + other.one_item,
        )


def _sum(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    total = np.zeros(max(len(first), len(second)), np.int64)
    total[: len(first)] += first
    total[: len(second)] += second
    return total
