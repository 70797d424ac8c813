"""Reading Parquet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from h2rec_tf.data.problems import EMPTY_FILE, UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import SourceFile, reading
from h2rec_tf.data.table import Table


def read_parquet(source: SourceFile, columns: Sequence[str] | None) -> Table:
    """Reads columns with their own types; row numbers count records from 1.

    Args:
        source: the file.
        columns: which to read, absent ones are passed over; None reads all.

    Raises:
        InputError: not Parquet, damaged, or no rows.
    """
    if source.gzipped:
        message = "Parquet inside gzip; decompress it first (Parquet has its own compression)"
        raise Problem(source.path, None, "", UNREADABLE_FILE, message).error()
    with reading(source.path):
        try:
            with parquet.ParquetFile(source.path) as file:
                names = file.schema_arrow.names
                values = file.read(columns=[name for name in names if columns is None or name in columns])
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            message = f"not readable as Parquet: {reason}; write or copy the file again"
            raise Problem(source.path, None, "", UNREADABLE_FILE, message).error() from error
    if not file.metadata.num_rows:
        raise Problem(source.path, None, "", EMPTY_FILE, "the file has no rows").error()
    return Table(source.path, names, dict(zip(values.column_names, values.columns, strict=True)), _record_numbers)


def _record_numbers(positions: np.ndarray) -> np.ndarray:
    return positions + 1
