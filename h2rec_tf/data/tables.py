"""The one door to all file formats."""

from __future__ import annotations

from collections.abc import Sequence

from h2rec_tf.data.csv_table import read_csv
from h2rec_tf.data.jsonl_table import read_jsonl
from h2rec_tf.data.parquet_table import read_parquet
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile
from h2rec_tf.data.table import Table


def read_table(
    path: str, columns: Sequence[str] | None, problems: Problems, *, required: Sequence[str] | None = None
) -> Table:
    """Reads CSV, TSV, JSON Lines or Parquet, the text formats also gzipped.

    Args:
        path: a file.
        columns: which to read, absent ones are passed over; None reads all.
        problems: takes rejected rows, and notes on values that were left out.
        required: columns that a row needs: an odd value in one of these rejects the row, in others it is left out.
            None means all.

    Returns:
        At least one row was in the file, though all may be rejected. No column has bytes.

    Raises:
        InputError: the file is missing, empty, damaged or not of its format.
    """
    source = SourceFile.detect(path)
    if source.format == PARQUET:
        table = read_parquet(source, columns)
    elif source.format == JSONL:
        table = read_jsonl(source, columns, problems, required=required)
    else:
        # Text has no odd types; what is not UTF-8 has another encoding, in every column.
        table, required = read_csv(source, columns, problems), None
    return table.decoded(problems, required)
