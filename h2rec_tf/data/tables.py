"""The one door to all file formats, and to sets of files."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from h2rec_tf.data.csv_table import read_csv
from h2rec_tf.data.joined_tables import check_formats, joined
from h2rec_tf.data.jsonl_table import read_jsonl
from h2rec_tf.data.parquet_table import read_parquet
from h2rec_tf.data.part_files import part_files
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile
from h2rec_tf.data.table import Table
from h2rec_tf.data.text_format import TextFormat
from h2rec_tf.errors import EmptyFileError


def read_table(
    path: str,
    columns: Sequence[str] | None,
    problems: Problems,
    *,
    required: Sequence[str] | None = None,
    text: TextFormat | None = None,
) -> Table:
    """Reads CSV, TSV, JSON Lines or Parquet, the text formats also gzipped.

    Args:
        path: a file, or a folder or pattern of files with the same columns.
        columns: which to read, absent ones are passed over; None reads all.
        problems: takes rejected rows, and notes on values that were left out.
        required: columns that a row needs: an odd value in one of these rejects the row, in others it is left out.
            None means all.
        text: how CSV, TSV and JSON Lines are written; None finds out.

    Returns:
        At least one row was in the file, though all may be rejected. No column has bytes.

    Raises:
        InputError: the file is missing, empty, damaged or not of its format, or files do not go together.
    """
    return read_parts(part_files(path), path, columns, problems, required=required, text=text)


def read_parts(
    parts: Sequence[str],
    path: str,
    columns: Sequence[str] | None,
    problems: Problems,
    *,
    required: Sequence[str] | None = None,
    text: TextFormat | None = None,
) -> Table:
    """As `read_table`, from the files that `path` means.

    Where there are several, some may have no row; they are counted in a note.

    Raises:
        InputError: as `read_table`.
    """
    if list(parts) == [path]:
        return _read(path, columns, problems, required, text)[0]
    tables: list[Table] = []
    formats: list[tuple[str, str]] = []
    empty: list[tuple[str, EmptyFileError]] = []
    for part in parts:
        try:
            table, form = _read(part, columns, problems, required, text)
        except EmptyFileError as error:
            empty.append((part, error))
        else:
            tables.append(table)
            formats.append((part, form))
    if not tables:
        raise empty[0][1]
    check_formats(formats)
    for part, failure in empty:
        if not is_bare(part, tables[0].available, text):
            raise failure
    problems.note(f"files of {path} without a row", len(empty))
    return joined(tables, path, problems, required=required, sparse=formats[0][1] == JSONL)


def is_bare(path: str, columns: Collection[str], text: TextFormat | None = None) -> bool:
    """Whether a file without rows has nothing in it, or a header with these columns: then it is one of a set."""
    try:
        source = SourceFile.detect(path, text)
    except EmptyFileError:
        return True
    if source.format in (JSONL, PARQUET):
        return True
    with source.open() as file:
        header = file.read(1 << 16).decode("utf-8", "replace")
    return all(column in header for column in columns)


def _read(
    path: str,
    columns: Sequence[str] | None,
    problems: Problems,
    required: Sequence[str] | None,
    text: TextFormat | None,
) -> tuple[Table, str]:
    source = SourceFile.detect(path, text)
    if source.format == PARQUET:
        table = read_parquet(source, columns)
    elif source.format == JSONL:
        table = read_jsonl(source, columns, problems, required=required)
    else:
        # Text has no odd types; what is not UTF-8 has another encoding, in every column.
        table, required = read_csv(source, columns, problems), None
    return table.decoded(problems, required), source.format
