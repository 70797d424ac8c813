"""A file as a stream of pieces: any size is read with bounded memory, and pieces can go to other processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from h2rec_tf.data.csv_table import csv_batches
from h2rec_tf.data.jsonl_table import jsonl_batches
from h2rec_tf.data.parquet_table import parquet_batches
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile
from h2rec_tf.data.table import Table
from h2rec_tf.data.text_format import UNSAID, TextFormat

_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of one file.

    Attributes:
        path: the file.
        available: names of all its columns.
        columns: name -> Arrow values, one a row.
        rows: int64 `[n]` row numbers.
        problems: rows that could not be read.
        unread: as `Table` has it, as the others.
        rows_in_file: all rows that were met to get these.
        hint: what may be wrong where a column is missing.
        text: how the file is written.
    """

    path: str
    available: Sequence[str]
    columns: dict[str, pa.ChunkedArray]
    rows: np.ndarray
    problems: Problems
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rows_in_file: int = 0
    hint: str = ""
    text: TextFormat = UNSAID

    def table(self, problems: Problems, required: Sequence[str] | None = None) -> Table:
        """The rows as a table without bytes, as `Table.decoded` makes it."""
        table = Table(
            self.path,
            self.available,
            self.columns,
            self.rows.__getitem__,
            self.unread,
            self.rows_in_file,
            self.hint,
            self.text,
        )
        return table.decoded(problems, required)


def read_pieces(path: str, columns: Sequence[str], *, text: TextFormat | None = None) -> Iterator[Piece]:
    """Reads columns of CSV, TSV, JSON Lines or Parquet, the text formats also gzipped.

    `text` says how the text formats are written; None finds out. All pieces together are what `read_table` gives, with
    the same rows rejected for the same reasons.

    Raises:
        InputError: the file is missing, empty, damaged or not of its format.
    """
    source = SourceFile.detect(path, text)
    problems = Problems()
    if source.format == PARQUET:
        tables = parquet_batches(source, columns, _ROWS)
    elif source.format == JSONL:
        tables = jsonl_batches(source, columns, problems)
    else:
        tables = csv_batches(source, columns, problems)
    for table in tables:
        rows = np.asarray(table.locate(np.arange(len(table))), np.int64)
        yield Piece(
            path,
            table.available,
            table.columns,
            rows,
            problems.taken(),
            table.unread,
            table.rows_in_file,
            table.hint,
            source.text,
        )
    # What the last lines of the file had wrong.
    rest = problems.total
    if rest:
        yield Piece(path, [], {}, np.zeros(0, np.int64), problems.taken(), rows_in_file=rest)
