"""Grouping by user, and the k-core, whose rounds exchange one number an item."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam import pvalue

from h2rec_tf.data.events import Events, ordered_events
from h2rec_tf.data.ordering import SecondKey
from tfx_pipeline.ingestion.findings import COUNTS, REPEATS
from tfx_pipeline.ingestion.rows import ShardRows, catalogue_hashes

# Rounds of the k-core that did not come to rest.
UNSETTLED = "unsettled"


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Items that have too few interactions.

    Attributes:
        items: bool `[N + 1]` by item index, or None before the first round.
        settled: another round would drop nothing more.
    """

    items: np.ndarray | None = None
    settled: bool = False


def group_by_user(
    rows: beam.PCollection, *, catalogue: tuple[str, ...], timed: bool, keep_repeats: bool
) -> tuple[beam.PCollection, beam.PCollection]:
    """`(shard, ShardRows)` -> `(shard, Events)`, one a shard, sorted; and counters.

    A shard holds all interactions of its users; the number of shards bounds what a worker holds.

    Args:
        rows: of all sources.
        catalogue: patterns of the files of item examples.
        timed: the data has times.
        keep_repeats: exact repeats stay; else the first of each is kept.
    """
    group = _Group(catalogue, timed=timed, keep_repeats=keep_repeats)
    grouped = rows | "ByShard" >> beam.GroupByKey() | "Group" >> beam.ParDo(group).with_outputs(COUNTS, main="events")
    return grouped.events, grouped[COUNTS]


def k_core(
    events: beam.PCollection, *, min_user_interactions: int, min_item_interactions: int, rounds: int
) -> tuple[beam.PCollection, beam.PCollection]:
    """Drops users and items with too few events, repeatedly.

    The rounds are unrolled into the graph, as Beam has no loops. Each counts, on all shards, the events that are left
    of an item when its users are filtered, and adds the items with too few to those dropped; once a round adds none,
    the rest do nothing.

    Args:
        events: `(shard, Events)`.
        min_user_interactions: events that a user must keep.
        min_item_interactions: events that an item must keep.
        rounds: how many at most.

    Returns:
        `(shard, Events)`, and a counter `UNSETTLED` that is 1 if `rounds` were not enough.
    """
    state = events.pipeline | "NothingDropped" >> beam.Create([Dropped(settled=min_item_interactions <= 1)])
    for number in range(rounds if min_item_interactions > 1 else 0):
        counts = (
            events
            | f"CountItems{number}" >> beam.FlatMap(_item_counts, min_user_interactions, pvalue.AsSingleton(state))
            | f"SumItems{number}" >> beam.CombineGlobally(_SumArrays()).without_defaults()
        )
        state = state | f"Drop{number}" >> beam.Map(_next, pvalue.AsList(counts), min_item_interactions)
    core = events | "KeepCore" >> beam.Map(
        lambda element, dropped: (element[0], _kept(element[1], min_user_interactions, dropped)),
        pvalue.AsSingleton(state),
    )
    return core, state | "Settled" >> beam.Map(lambda dropped: {UNSETTLED: int(not dropped.settled)})


class _Group(beam.DoFn):
    def __init__(self, catalogue: tuple[str, ...], *, timed: bool, keep_repeats: bool):
        self._catalogue = catalogue
        self._timed = timed
        self._keep_repeats = keep_repeats

    def process(self, element: tuple[int, Iterable[ShardRows]]) -> Iterator[object]:
        shard, parts = element
        parts = list(parts)
        starts = np.cumsum([0, *(len(part.user_ids) for part in parts)])
        codes, user_ids = pd.factorize(np.concatenate([part.user_ids for part in parts]))
        seconds = [part.second for part in parts if part.second is not None]
        events, repeats = ordered_events(
            np.concatenate([codes[part.users + start] for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            user_ids,
            item_hashes=catalogue_hashes(self._catalogue),
            second=SecondKey(
                np.concatenate([key.whole for key in seconds]), np.concatenate([key.billionths for key in seconds])
            )
            if seconds
            else None,
            timed=self._timed,
            keep_repeats=self._keep_repeats,
        )
        yield pvalue.TaggedOutput(COUNTS, {REPEATS: repeats})
        yield shard, events


class _SumArrays(beam.CombineFn):
    """Sum of int64 arrays of different lengths."""

    def create_accumulator(self) -> np.ndarray:
        return np.zeros(0, np.int64)

    def add_input(self, accumulator: np.ndarray, element: np.ndarray) -> np.ndarray:
        longer, shorter = sorted((accumulator, element), key=len, reverse=True)
        total = longer.copy()
        total[: len(shorter)] += shorter
        return total

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return functools.reduce(self.add_input, accumulators, self.create_accumulator())

    def extract_output(self, accumulator: np.ndarray) -> np.ndarray:
        return accumulator


def _kept(events: Events, min_user_interactions: int, dropped: Dropped) -> Events:
    """The shard's events without dropped items, then without users that have too few."""
    if dropped.items is not None:
        # Later shards may have items beyond those counted: such are dropped like any with no event.
        known = np.pad(dropped.items, (0, max(0, int(events.items.max(initial=0)) + 1 - len(dropped.items))))
        events = events.where(~known[events.items])
    if len(events):
        events = events.where(np.bincount(events.users)[events.users] >= min_user_interactions)
    return events


def _item_counts(element: tuple[int, Events], min_user_interactions: int, dropped: Dropped) -> Iterator[np.ndarray]:
    if not dropped.settled:
        yield np.bincount(_kept(element[1], min_user_interactions, dropped).items).astype(np.int64)


def _next(dropped: Dropped, counts: list[np.ndarray], min_item_interactions: int) -> Dropped:
    """The next state out of the counts of all shards: one array, or none where nothing was counted."""
    if dropped.settled or not counts:
        return Dropped(dropped.items, settled=True)
    few = (counts[0] > 0) & (counts[0] < min_item_interactions)
    # An item beyond these counts has no event left; it stays as it was.
    items = np.zeros(0, bool) if dropped.items is None else dropped.items
    items = np.pad(items, (0, max(0, len(few) - len(items))))
    items[: len(few)] |= few
    return Dropped(items, settled=not few.any())
