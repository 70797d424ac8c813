"""Reading Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from h2rec_tf.data.parquet_file import open_parquet
from h2rec_tf.data.problems import EMPTY_FILE, UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import SourceFile
from h2rec_tf.data.table import RowLocator, Table


def read_parquet(source: SourceFile, columns: Sequence[str] | None) -> Table:
    """Reads columns with their own types; row numbers count records from 1.

    Args:
        source: the file.
        columns: which to read, absent ones are passed over; None reads all.

    Raises:
        InputError: not Parquet, damaged, or no rows.
    """
    with _opened(source) as file:
        names = file.schema_arrow.names
        values = file.read(columns=[name for name in names if columns is None or name in columns])
    return Table(source.path, names, dict(zip(values.column_names, values.columns, strict=True)), _counted_from(1))


def parquet_batches(source: SourceFile, columns: Sequence[str], rows: int) -> Iterator[Table]:
    """As `read_parquet`, in tables of at most `rows` rows."""
    first = 1
    with _opened(source) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if name in columns]
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            table = pa.Table.from_batches([batch])
            yield Table(source.path, names, dict(zip(wanted, table.columns, strict=True)), _counted_from(first))
            first += batch.num_rows


@contextlib.contextmanager
def _opened(source: SourceFile) -> Iterator[ParquetFile]:
    if source.gzipped:
        message = "Parquet inside gzip; decompress it first (Parquet has its own compression)"
        raise Problem(source.path, None, "", UNREADABLE_FILE, message).error()
    with open_parquet(source.path) as file:
        if not file.metadata.num_rows:
            raise Problem(source.path, None, "", EMPTY_FILE, "the file has no rows").error()
        yield file


def _counted_from(first: int) -> RowLocator:
    return lambda positions: positions + first
