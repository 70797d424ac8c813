"""Reading interactions on Beam: pieces of files or rows of a query, each row checked, then dealt to user shards."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam import pvalue

from h2rec_tf import names
from h2rec_tf.data.events import add_unknown_items, match_items
from h2rec_tf.data.identifiers import folded
from h2rec_tf.data.interactions import Columns, usable_rows
from h2rec_tf.data.ordering import SecondKey, hash_ids
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.sequences import catalogue_order
from h2rec_tf.data.spellings import SpellingTally
from h2rec_tf.data.stream import Piece, read_pieces
from h2rec_tf.data.tables import is_bare
from h2rec_tf.data.text_format import TextFormat
from h2rec_tf.errors import EmptyFileError, InputError
from tfx_pipeline.constants import QUERY_MARKER, is_query
from tfx_pipeline.ingestion.findings import COUNTS, EMPTY_FILES, FINDINGS, ROWS, ROWS_IN_FILES, TALLIES, Finding
from tfx_pipeline.ingestion.sources import local_file
from tfx_pipeline.reading import check_examples, verified_examples

# Rows of a query that are checked at once.
_QUERY_ROWS = 1 << 14
# Of the number of a row in its file.
_ROW_BITS = 40


class ShardRows(NamedTuple):
    """Interactions of some users.

    Attributes:
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, item indices.
        timestamps: int64 `[n]`, nanoseconds, or what orders rows without times.
        user_ids: `[U]` distinct strings.
        second: what orders events of one user at one time, or None.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    second: SecondKey | None = None


@dataclasses.dataclass(frozen=True)
class CheckedRows:
    """Collections of `read_rows`: usable rows by user shard, findings, counters, spellings of times."""

    rows: beam.PCollection
    findings: list[beam.PCollection]
    counts: list[beam.PCollection]
    spellings: beam.PCollection


def read_rows(
    pipeline: beam.Pipeline,
    sources: list[str],
    *,
    columns: Columns,
    text: TextFormat,
    catalogue: tuple[str, ...],
    shards: int,
    listed: int,
) -> CheckedRows:
    """Reads sources, checks each row and matches its item.

    Args:
        pipeline: to add to.
        sources: paths of files, or queries.
        columns: names.
        text: how text files are written.
        catalogue: patterns of the files of item examples.
        shards: users are dealt to so many shards by hash.
        listed: rejected rows that are described for each piece; all are counted.

    Returns:
        Elements `(shard, ShardRows)`.

    Raises:
        InputError: a query, and no time to order its rows by.
    """
    files = [source for source in sources if not is_query(source)]
    wanted = columns.names
    if columns.timestamp is None and len(files) < len(sources):
        raise InputError(
            "--time none: rows of a query come in no order; select a time, and name it with --timestamp-column"
        )
    parts = []
    findings = []
    counts = []
    if files:
        read = (
            pipeline
            | "Files" >> beam.Create(files)
            # Each file to any worker; then each piece.
            | "SpreadFiles" >> beam.Reshuffle()
            | "ReadPieces"
            >> beam.ParDo(_ReadPieces(wanted, text, several=len(files) > 1)).with_outputs(
                FINDINGS, COUNTS, main="pieces"
            )
        )
        parts.append(read.pieces)
        findings.append(read[FINDINGS])
        counts.append(read[COUNTS])
    for number, source in enumerate(source for source in sources if is_query(source)):
        parts.append(
            pipeline
            | f"Query{number}" >> beam.io.ReadFromBigQuery(query=source[len(QUERY_MARKER) :], use_standard_sql=True)
            | f"Batch{number}" >> beam.BatchElements(min_batch_size=_QUERY_ROWS, max_batch_size=_QUERY_ROWS)
            | f"Piece{number}" >> beam.Map(query_piece, source, wanted)
        )
    checked = (
        tuple(parts)
        | "AllPieces" >> beam.Flatten(pipeline=pipeline)
        | "SpreadPieces" >> beam.Reshuffle()
        | "CheckRows"
        >> beam.ParDo(_CheckRows(columns, catalogue, shards, listed, files)).with_outputs(
            FINDINGS, COUNTS, TALLIES, main="rows"
        )
    )
    return CheckedRows(checked.rows, [*findings, checked[FINDINGS]], [*counts, checked[COUNTS]], checked[TALLIES])


def query_piece(rows: list[dict[str, Any]], source: str, wanted: tuple[str, ...]) -> Piece:
    """Rows of a query as a piece without row numbers (all 0)."""
    available = list(dict.fromkeys(name for row in rows for name in row))
    columns = {
        name: pa.chunked_array([pa.array([row.get(name) for row in rows])]) for name in available if name in wanted
    }
    return Piece(source, available, columns, np.zeros(len(rows), np.int64), Problems(), rows_in_file=len(rows))


@functools.lru_cache(maxsize=1)
def catalogue_ids(patterns: tuple[str, ...]) -> np.ndarray:
    """`[N]` item ids of item examples, in catalogue order: item index `i` is at place `i - 1`.

    Only the ids are parsed; a worker process reads them once.

    Raises:
        InputError: no items, or a damaged or missing file.
    """
    expected = verified_examples(patterns)
    files = sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))
    spec = {names.ITEM_ID: tf.io.FixedLenFeature([], tf.string)}
    ids: list[bytes] = []
    for file in files:
        try:
            for batch in tf.data.TFRecordDataset(file, compression_type="GZIP").batch(4096):
                ids.extend(tf.io.parse_example(batch, spec)[names.ITEM_ID].numpy().tolist())
        except tf.errors.OpError as error:
            raise InputError(
                f"{file}: damaged file of item examples ({error.message}); delete its directory and run again"
            ) from error
    check_examples(patterns, len(ids), expected)
    texts = np.asarray([item_id.decode("utf-8") for item_id in ids], object)
    return texts[catalogue_order(texts.tolist())] if len(texts) else texts


@functools.lru_cache(maxsize=1)
def catalogue_hashes(patterns: tuple[str, ...]) -> np.ndarray:
    """uint64 `[N]`, `hash_ids` of the `catalogue_ids`."""
    return hash_ids(catalogue_ids(patterns))


@functools.lru_cache(maxsize=1)
def _catalogue_index(patterns: tuple[str, ...]) -> dict[str, int]:
    return {item_id: row + 1 for row, item_id in enumerate(catalogue_ids(patterns).tolist())}


class _ReadPieces(beam.DoFn):
    """Path -> pieces of the file; of several files, some may have no row."""

    def __init__(self, columns: tuple[str, ...], text: TextFormat, *, several: bool):
        self._columns = columns
        self._text = text
        self._several = several

    def process(self, path: str) -> Iterator[Any]:
        # Errors are findings, not exceptions: runners retry those and lose their types.
        try:
            with local_file(path) as local:
                try:
                    for piece in read_pieces(local, self._columns, text=self._text):
                        yield dataclasses.replace(piece, path=path, problems=renamed(piece.problems, {local: path}))
                except InputError as error:
                    if (
                        self._several
                        and isinstance(error, EmptyFileError)
                        and is_bare(local, self._columns, self._text)
                    ):
                        yield pvalue.TaggedOutput(COUNTS, {EMPTY_FILES: 1})
                        return
                    raise InputError(str(error).replace(local, path)) from error
        except InputError as error:
            yield pvalue.TaggedOutput(FINDINGS, Finding(path, fatal=str(error)))


def renamed(problems: Problems, files: Mapping[str, str]) -> Problems:
    """The same problems with other names of files."""
    problems.records = [
        dataclasses.replace(problem, file=files.get(problem.file, problem.file)) for problem in problems.records
    ]
    for old, new in files.items():
        problems.notes = {what.replace(old, new): count for what, count in problems.notes.items()}
    return problems


class _CheckRows(beam.DoFn):
    """Piece -> `(shard, ShardRows)`, findings, counters and spellings of times."""

    def __init__(self, columns: Columns, catalogue: tuple[str, ...], shards: int, listed: int, files: list[str]):
        self._columns = columns
        self._catalogue = catalogue
        self._shards = shards
        self._listed = listed
        self._files = files

    def process(self, piece: Piece) -> Iterator[Any]:
        problems = Problems(self._listed)
        problems.extend(piece.problems)
        try:
            rows, usable, spellings = self._checked(piece, problems)
        except InputError as error:
            yield pvalue.TaggedOutput(FINDINGS, Finding(piece.path, fatal=str(error)))
            return
        if problems.total or problems.notes:
            yield pvalue.TaggedOutput(FINDINGS, Finding(piece.path, problems))
        yield pvalue.TaggedOutput(COUNTS, {ROWS: usable, ROWS_IN_FILES: piece.rows_in_file})
        if spellings is not None:
            yield pvalue.TaggedOutput(TALLIES, spellings)
        yield from by_shard(rows, self._shards)

    def _checked(self, piece: Piece, problems: Problems) -> tuple[ShardRows, int, SpellingTally | None]:
        """The rows with known items, how many had all they need, and how their times are spelled."""
        if not piece.available:
            nothing = np.zeros(0, np.int32)
            return ShardRows(nothing, nothing, nothing.astype(np.int64), np.zeros(0, object)), 0, None
        table = piece.table(problems)
        rows = usable_rows(table, self._columns, problems)
        items = match_items(rows.items, rows.item_ids, _catalogue_index(self._catalogue))
        add_unknown_items(
            problems,
            piece.path,
            np.flatnonzero(items == 0),
            lambda positions: table.locate(rows.kept[positions]),
            column=self._columns.item,
            item_of=lambda row: rows.item_ids[rows.items[row]],
        )
        known = np.flatnonzero(items)
        times = rows.timestamps
        if self._columns.timestamp is None:
            # Without times the order of files, then that of rows; a piece knows its rows by number.
            times = self._files.index(piece.path) << _ROW_BITS | table.locate(rows.kept)
        second = None if rows.second is None else rows.second.take(known)
        usable = ShardRows(rows.users[known], items[known], times[known], rows.user_ids, second)
        return usable, len(rows.kept), rows.spellings


def by_shard(rows: ShardRows, shards: int) -> Iterator[tuple[int, ShardRows]]:
    """Deals rows to shards by a hash of the user id that is the same in every process.

    Ids that differ only by case or by blanks at their edges come to one shard, where they are noticed.
    """
    if not len(rows.users):
        return
    shard_of_user = (hash_ids(folded(rows.user_ids).to_numpy(zero_copy_only=False)) % shards).astype(np.int64)
    shard = shard_of_user[rows.users]
    order = np.argsort(shard, kind="stable")
    starts = np.flatnonzero(np.diff(shard[order], prepend=-1))
    for begin, end in zip(starts, [*starts[1:], len(order)], strict=True):
        part = order[begin:end]
        users, codes = np.unique(rows.users[part], return_inverse=True)
        yield (
            int(shard[part[0]]),
            ShardRows(
                codes.astype(np.int32),
                rows.items[part],
                rows.timestamps[part],
                rows.user_ids[users],
                None if rows.second is None else rows.second.take(part),
            ),
        )
