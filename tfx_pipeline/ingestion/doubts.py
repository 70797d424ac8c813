"""Doubts about interactions on Beam: tallies of pieces and shards, added up, say what those of the whole would."""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam import pvalue

from h2rec_tf.data.doubts import Doubt, about_interactions
from h2rec_tf.data.interactions import Columns
from h2rec_tf.data.spellings import SpellingTally
from h2rec_tf.data.tallies import EventTally
from tfx_pipeline.ingestion.rows import catalogue_ids


def interaction_doubts(
    events: beam.PCollection,
    spellings: beam.PCollection,
    *,
    source: str,
    columns: Columns,
    catalogue: tuple[str, ...],
) -> beam.PCollection:
    """Collection of `Doubt`: those of the library's loader, without the numbers of rows.

    Args:
        events: `(shard, Events)`, before a k-core.
        spellings: `SpellingTally` of pieces.
        source: path, pattern or query, for messages.
        columns: their names.
        catalogue: patterns of the files of item examples.
    """
    now = time.time_ns()
    tallies = (
        events
        | "TallyEvents" >> beam.Map(lambda element: EventTally.of(element[1], now=now))
        | "SumEventTallies" >> beam.CombineGlobally(_added).without_defaults()
    )
    spelled = spellings | "SumSpellings" >> beam.CombineGlobally(_added).without_defaults()
    return tallies | "Doubt" >> beam.FlatMap(_doubts, pvalue.AsList(spelled), source, columns, catalogue)


def _added(tallies: Iterable[object]) -> object:
    return functools.reduce(operator.add, tallies)


def _doubts(
    events: EventTally, spellings: list[SpellingTally], source: str, columns: Columns, catalogue: tuple[str, ...]
) -> Iterator[Doubt]:
    yield from about_interactions(
        events,
        spellings[0] if spellings else None,
        item_ids=catalogue_ids(catalogue),
        file=source,
        columns=columns,
    )
