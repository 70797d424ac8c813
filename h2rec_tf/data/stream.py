"""A file as a stream of pieces: any size is read with bounded memory, and pieces can go to other processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from h2rec_tf.data.csv_table import csv_batches, csv_lines
from h2rec_tf.data.jsonl_table import jsonl_batches
from h2rec_tf.data.parquet_table import parquet_batches
from h2rec_tf.data.problems import MALFORMED_ROW, Problem, Problems
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile
from h2rec_tf.data.table import Table

_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of one file.

    Attributes:
        path: the file.
        available: names of all its columns.
        columns: name -> Arrow values, one a row.
        rows: int64 `[n]` row numbers; in CSV and TSV the place among well-formed records, which `located` makes a line.
        problems: rows that could not be read; those of CSV and TSV are counted only, `located` has the rest.
        unread: as `Table` has it.
    """

    path: str
    available: Sequence[str]
    columns: dict[str, pa.ChunkedArray]
    rows: np.ndarray
    problems: Problems
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def table(self, problems: Problems, required: Sequence[str] | None = None) -> Table:
        """The rows as a table without bytes, as `Table.decoded` makes it."""
        return Table(self.path, self.available, self.columns, self.rows.__getitem__, self.unread).decoded(
            problems, required
        )


def read_pieces(path: str, columns: Sequence[str]) -> Iterator[Piece]:
    """Reads columns of CSV, TSV, JSON Lines or Parquet, the text formats also gzipped.

    All pieces together are what `read_table` gives, with the same rows rejected for the same reasons.

    Raises:
        InputError: the file is missing, empty, damaged or not of its format.
    """
    source = SourceFile.detect(path)
    problems = Problems()
    if source.format == PARQUET:
        tables: Iterator[tuple[Table, int]] = ((table, 0) for table in parquet_batches(source, columns, _ROWS))
    elif source.format == JSONL:
        tables = ((table, 0) for table in jsonl_batches(source, columns, problems))
    else:
        tables = csv_batches(source, columns)
    for table, malformed in tables:
        if malformed:
            problems.counts[MALFORMED_ROW] = problems.counts.get(MALFORMED_ROW, 0) + malformed
        rows = np.asarray(table.locate(np.arange(len(table))), np.int64)
        yield Piece(path, table.available, table.columns, rows, problems.taken(), table.unread)
    # What the last lines of the file had wrong.
    if problems.total:
        yield Piece(path, [], {}, np.zeros(0, np.int64), problems.taken())


def located(path: str, problems: Sequence[Problem], malformed: int) -> list[Problem]:
    """Problems of pieces of one file with their true row numbers, in order of rows.

    Args:
        path: the file.
        problems: as pieces and their tables gave them.
        malformed: how many malformed CSV rows to describe at most, the first ones.
    """
    source = SourceFile.detect(path)
    found: list[Problem] = []
    if source.format not in (PARQUET, JSONL):
        lines, found = csv_lines(source, [problem.row for problem in problems if problem.row is not None], malformed)
        problems = [dataclasses.replace(problem, row=lines[problem.row or 0]) for problem in problems]
    return sorted([*problems, *found], key=lambda problem: problem.row or 0)
