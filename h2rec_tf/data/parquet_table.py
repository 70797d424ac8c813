"""Reading Parquet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from h2rec_tf.data.arrow_columns import is_nested, shown
from h2rec_tf.data.declared_size import check_declared_size
from h2rec_tf.data.parquet_file import open_parquet
from h2rec_tf.data.problems import EMPTY_FILE, MALFORMED_ROW, UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import SourceFile
from h2rec_tf.data.table import RowLocator, Table

# Of one column.
_ROW_BYTES = 8


def read_parquet(source: SourceFile, columns: Sequence[str] | None) -> Table:
    """Reads columns with their own types, but none that is made of parts; row numbers count records from 1.

    Args:
        source: the file.
        columns: which to read, absent ones are passed over; None reads all.

    Raises:
        InputError: not Parquet, damaged, no rows, or a column to read that stands twice.
    """
    with _opened(source) as file:
        wanted, unread = _wanted(source.path, file.schema_arrow, columns)
        names, values = file.schema_arrow.names, file.read(columns=wanted)
    found = {name: values[name] for name in wanted}
    return Table(source.path, names, found, _counted_from(1), unread, rows_in_file=len(values))


def parquet_batches(source: SourceFile, columns: Sequence[str], rows: int) -> Iterator[Table]:
    """As `read_parquet`, in tables of at most `rows` rows."""
    first = 1
    with _opened(source) as file:
        names = file.schema_arrow.names
        wanted, unread = _wanted(source.path, file.schema_arrow, columns)
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            table = pa.Table.from_batches([batch])
            # Arrow reads "a.b" too where "a" is asked for.
            values = {name: table[name] for name in wanted}
            yield Table(source.path, names, values, _counted_from(first), unread, rows_in_file=batch.num_rows)
            first += batch.num_rows


def _wanted(path: str, schema: pa.Schema, columns: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """Columns to read, and what those hold that nothing can be read of."""
    wanted: list[str] = []
    unread: dict[str, str] = {}
    for field in schema:
        if columns is not None and field.name not in columns:
            continue
        if schema.names.count(field.name) > 1:
            raise Problem(path, None, field.name, MALFORMED_ROW, "the file has this column twice").error()
        if is_nested(field.type):
            unread[field.name] = f"holds {shown(field.type)}, neither text nor numbers; store text"
        else:
            wanted.append(field.name)
    return wanted, unread


@contextlib.contextmanager
def _opened(source: SourceFile) -> Iterator[ParquetFile]:
    if source.gzipped:
        message = "Parquet inside gzip; decompress it first (Parquet has its own compression)"
        raise Problem(source.path, None, "", UNREADABLE_FILE, message).error()
    with open_parquet(source.path) as file:
        if not file.metadata.num_rows:
            raise Problem(source.path, None, "", EMPTY_FILE, "the file has no rows").error()
        # The least that a column of so many rows takes.
        declared = file.metadata.num_rows * _ROW_BYTES
        check_declared_size(source.path, "", declared, os.path.getsize(source.path))
        yield file


def _counted_from(first: int) -> RowLocator:
    return lambda positions: positions + first
