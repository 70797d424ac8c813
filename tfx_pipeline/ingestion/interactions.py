"""The whole way of interactions on Beam: read, check, group, filter, split, write."""

from __future__ import annotations

import os

import apache_beam as beam
from apache_beam import pvalue

from h2rec_tf.config import DataConfig
from h2rec_tf.data.dataset import nothing_left
from h2rec_tf.data.interactions import Columns, check_count, no_usable_row
from h2rec_tf.data.readiness import unsettled
from h2rec_tf.data.splits import empty_split, nobody_to_hold_out, nothing_to_train_on
from h2rec_tf.data.text_format import interactions_format
from h2rec_tf.names import SPLITS, TEST, TRAIN, VALIDATION
from tfx_pipeline.ingestion.cuts import temporal_cuts
from tfx_pipeline.ingestion.doubts import interaction_doubts
from tfx_pipeline.ingestion.findings import (
    FINDINGS,
    LEAST_LISTED,
    REJECTED_FILES,
    ROWS,
    ROWS_IN_FILES,
    Summary,
    summarize,
)
from tfx_pipeline.ingestion.groups import UNSETTLED, group_by_user, k_core
from tfx_pipeline.ingestion.rows import read_rows
from tfx_pipeline.ingestion.shards import WriteShard


def add_interactions(
    pipeline: beam.Pipeline,
    sources: list[str],
    *,
    source: str,
    data: DataConfig,
    catalogue: tuple[str, ...],
    shards: int,
    uri: str,
    split_uris: dict[str, str],
    temporary: str,
) -> None:
    """Adds all steps to a pipeline.

    The results are those of `h2rec_tf.data.load.load_dataset` on the same rows. No step holds more than one shard's
    users, one piece of a file, or the catalogue's ids and counts.

    Args:
        pipeline: to add to.
        sources: paths of files, or queries.
        source: path, pattern or query that they come from, for messages.
        data: columns, filters and split.
        catalogue: patterns of the files of item examples.
        shards: of users, each a file in every split.
        uri: directory of the artifact; rejected rows go there.
        split_uris: split -> directory.
        temporary: directory for growing files and the summary.

    Raises:
        InputError: nothing orders the rows, or two things do.
    """
    columns = Columns.of(data)
    checked = read_rows(
        pipeline,
        sources,
        columns=columns,
        text=interactions_format(data),
        catalogue=catalogue,
        shards=shards,
        listed=_listed(data),
    )
    events, repeats = group_by_user(
        checked.rows,
        catalogue=catalogue,
        timed=columns.timestamp is not None,
        keep_repeats=data.repeats == "keep",
    )
    counts = [*checked.counts, repeats]
    doubts = interaction_doubts(events, checked.spellings, source=source, columns=columns, catalogue=catalogue)
    if max(data.min_user_interactions, data.min_item_interactions) > 1:
        events, unsettled = k_core(
            events,
            min_user_interactions=data.min_user_interactions,
            min_item_interactions=data.min_item_interactions,
            rounds=data.k_core_rounds,
        )
        counts.append(unsettled)
    write = WriteShard(
        catalogue=catalogue,
        split_uris=split_uris,
        shards=shards,
        temporary=os.path.join(temporary, "shards"),
        validation=bool(data.validation_fraction),
        test=bool(data.test_fraction),
    )
    sides = []
    if data.split == "temporal":
        cuts = temporal_cuts(events, validation_fraction=data.validation_fraction, test_fraction=data.test_fraction)
        sides.append(pvalue.AsSingleton(cuts))
    written = events | "WriteShards" >> beam.ParDo(write, *sides).with_outputs(FINDINGS, main="examples")
    summarize(
        pipeline,
        [*checked.findings, written[FINDINGS]],
        [*counts, written.examples],
        listed=_listed(data),
        rejected_prefix=os.path.join(uri, REJECTED_FILES),
        summary_dir=temporary,
        doubts=doubts,
    )


def _listed(data: DataConfig) -> int:
    """Rejected rows that are described: all that may be, and some causes where no row is left."""
    return max(data.max_bad_rows + 1, LEAST_LISTED)


def check_interactions(summary: Summary, source: str, *, data: DataConfig, rejected_before: int) -> None:
    """Raises what the library's loader would raise.

    Args:
        summary: of a pipeline that has run.
        source: path, pattern or query, for messages.
        data: as for `add_interactions`.
        rejected_before: rows of the items that were rejected.

    Raises:
        InputError: an unusable source, too many rejected rows, or a split without examples.
    """
    summary.check_sources()
    counts = summary.counts
    if not counts.get(ROWS):
        raise no_usable_row(source, summary.problems())
    check_count(
        source, rows_in_file=counts[ROWS_IN_FILES], usable=counts[ROWS], rejected=summary.total - summary.unknown_items
    )
    summary.check_limit(max_bad_rows=data.max_bad_rows, rejected_before=rejected_before)
    if counts.get(UNSETTLED):
        raise unsettled(data.k_core_rounds)
    examples = {split: counts.get(split, 0) for split in SPLITS}
    if not any(examples.values()):
        raise nothing_left()
    if data.split == "leave_one_out" and not examples[TEST]:
        raise nobody_to_hold_out()
    if not examples[TRAIN]:
        raise nothing_to_train_on(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction)
    for split in (VALIDATION, TEST):
        if not examples[split]:
            raise empty_split(source, split)
