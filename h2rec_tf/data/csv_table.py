"""Reading CSV and TSV: Arrow for the values, Python's csv module only to find line numbers for messages."""

from __future__ import annotations

import array
import contextlib
import csv
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, Problem, Problems
from h2rec_tf.data.source_file import TSV, SourceFile, reading
from h2rec_tf.data.table import RowLocator, Table
from h2rec_tf.errors import InputError

# No row may be longer than a block.
_BLOCK_BYTES = 1 << 24


def read_csv(source: SourceFile, columns: Sequence[str] | None, problems: Problems) -> Table:
    """Reads columns as bytes, so that no value is guessed to be a number.

    Args:
        source: the file; its first line that is not blank has the column names.
        columns: which to read, absent ones are passed over; None reads every named one.
        problems: takes rows with another number of fields than the header.

    Raises:
        InputError: no rows, a column name that stands twice, or quotes that do not pair up.
    """
    layout = _Layout.read(source, columns)
    values: dict[str, pa.ChunkedArray] = {}
    malformed = 0
    if layout.places:
        with _opened(source, layout) as (reader, counted):
            arrow = reader.read_all()
            malformed = len(counted)
        values = {name: arrow[place] for name, place in layout.places.items()}
    lines = _Lines(source, layout.delimiter, layout.width)
    if malformed:
        rows, fields = lines.malformed()
        problems.add_rows(
            source.path,
            np.arange(len(rows)),
            rows.__getitem__,
            column="",
            kind=MALFORMED_ROW,
            describe=lambda place: _about_fields(fields[place], layout.width),
        )
    return Table(source.path, layout.available, values, lines.locate)


def csv_batches(source: SourceFile, columns: Sequence[str]) -> Iterator[tuple[Table, int]]:
    """As `read_csv`, in tables of a bounded size, each with the number of malformed rows met since the last one.

    Row numbers of the tables count well-formed records from 0; `csv_lines` turns them into line numbers and describes
    the malformed rows.

    Raises:
        InputError: as `read_csv`.
    """
    layout = _Layout.read(source, columns)
    if not layout.places:
        yield Table(source.path, layout.available, {}, _as_they_are), 0
        return
    first = seen = 0
    with _opened(source, layout) as (reader, counted):
        for batch in reader:
            table = pa.Table.from_batches([batch])
            values = {name: table[place] for name, place in layout.places.items()}
            yield Table(source.path, layout.available, values, _counted_from(first)), len(counted) - seen
            first, seen = first + batch.num_rows, len(counted)
    if len(counted) > seen:
        empty = {name: pa.chunked_array([], pa.binary()) for name in layout.places}
        yield Table(source.path, layout.available, empty, _as_they_are), len(counted) - seen


def csv_lines(source: SourceFile, records: Sequence[int], malformed: int) -> tuple[dict[int, int], list[Problem]]:
    """Line numbers of well-formed records (counted from 0), and the first `malformed` malformed rows, by one scan."""
    layout = _Layout.read(source, ())
    wanted = set(records)
    lines: dict[int, int] = {}
    problems: list[Problem] = []
    record = 0
    with _records(source, layout.delimiter) as numbered:
        next(numbered)
        for line, fields in numbered:
            if len(lines) == len(wanted) and len(problems) == malformed:
                break
            if len(fields) == layout.width:
                if record in wanted:
                    lines[record] = line
                record += 1
            elif len(problems) < malformed:
                message = _about_fields(len(fields), layout.width)
                problems.append(Problem(source.path, line, "", MALFORMED_ROW, message))
    return lines, problems


def _about_fields(found: int, width: int) -> str:
    return f"{found} fields, the header has {width}"


def _as_they_are(positions: np.ndarray) -> np.ndarray:
    return positions


def _counted_from(first: int) -> RowLocator:
    return lambda positions: positions + first


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What the header says.

    Attributes:
        delimiter: between fields.
        width: fields in a row.
        header_line: line of the header.
        available: all column names that are not blank.
        places: name -> place of its column, as text, for the columns to read.
    """

    delimiter: str
    width: int
    header_line: int
    available: list[str]
    places: dict[str, str]

    @classmethod
    def read(cls, source: SourceFile, columns: Sequence[str] | None) -> _Layout:
        delimiter = "\t" if source.format == TSV else ","
        with reading(source.path):
            names, header_line = _header(source, delimiter)
        wanted = [name for name in dict.fromkeys(names) if name and (columns is None or name in columns)]
        for name in wanted:
            if names.count(name) > 1:
                raise Problem(source.path, header_line, name, MALFORMED_ROW, "the header has this name twice").error()
        places = {name: str(names.index(name)) for name in wanted}
        return cls(delimiter, len(names), header_line, [name for name in names if name], places)


def _header(source: SourceFile, delimiter: str) -> tuple[list[str], int]:
    """Column names and the line they stand on."""
    with _records(source, delimiter) as records:
        line, names = next(records)
        if any("\udc80" <= character <= "\udcff" for name in names for character in name):
            message = "the header is not UTF-8; save the file as UTF-8"
            raise Problem(source.path, line, "", INVALID_UTF8, message).error()
        if next(records, None) is None:
            raise Problem(source.path, None, "", EMPTY_FILE, "there is a header and no row below it").error()
    return [name.strip() for name in names], line


@contextlib.contextmanager
def _opened(source: SourceFile, layout: _Layout) -> Iterator[tuple[arrow_csv.CSVStreamingReader, list[None]]]:
    """Arrow's reader of the wanted columns as bytes, and a list with one entry for each malformed row met so far."""
    malformed: list[None] = []

    def pass_over(row: arrow_csv.InvalidRow) -> str:
        malformed.append(None)
        return "skip"

    with reading(source.path):
        try:
            # Arrow's own stream: its reading thread and a Python file can wait for each other for ever after an error.
            with pa.input_stream(source.path, compression="gzip" if source.gzipped else None) as file:
                yield (
                    arrow_csv.open_csv(
                        file,
                        read_options=arrow_csv.ReadOptions(
                            column_names=[str(place) for place in range(layout.width)],
                            skip_rows=layout.header_line,
                            use_threads=False,
                            block_size=_BLOCK_BYTES,
                        ),
                        parse_options=arrow_csv.ParseOptions(
                            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=pass_over
                        ),
                        convert_options=arrow_csv.ConvertOptions(
                            include_columns=list(layout.places.values()),
                            column_types={place: pa.binary() for place in layout.places.values()},
                            strings_can_be_null=False,
                        ),
                    ),
                    malformed,
                )
        except pa.ArrowInvalid as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{source.path}: not readable as {source.format}: {reason}; check the quotes") from error
        except OSError:
            # Python's gzip says better than Arrow what is wrong with a stream.
            source.read_through()
            raise


class _Lines:
    """Line numbers of a file's records, found by one scan on first need."""

    def __init__(self, source: SourceFile, delimiter: str, width: int):
        self._source = source
        self._delimiter = delimiter
        self._width = width
        self._scanned: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def locate(self, records: np.ndarray) -> np.ndarray:
        """int64 first line of each well-formed record, by its place among those."""
        return self._scan()[0][records]

    def malformed(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 first lines of the other records, and their numbers of fields."""
        return self._scan()[1:]

    def _scan(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._scanned is None:
            good, bad, fields_of_bad = array.array("q"), array.array("q"), array.array("q")
            with _records(self._source, self._delimiter) as records:
                next(records)
                for line, fields in records:
                    if len(fields) == self._width:
                        good.append(line)
                    else:
                        bad.append(line)
                        fields_of_bad.append(len(fields))
            self._scanned = np.asarray(good, np.int64), np.asarray(bad, np.int64), np.asarray(fields_of_bad, np.int64)
        return self._scanned


@contextlib.contextmanager
def _records(source: SourceFile, delimiter: str) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """First line and fields of each record that is not a blank line, header included."""
    limit = csv.field_size_limit(_BLOCK_BYTES)
    try:
        with reading(source.path), source.open_text() as text:
            yield _numbered(csv.reader(_without_nul(text), delimiter=delimiter))
    except csv.Error as error:
        raise InputError(f"{source.path}: not readable as {source.format}: {error}; check the quotes") from error
    finally:
        csv.field_size_limit(limit)


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    last_line = 0
    for fields in reader:
        first_line, last_line = last_line + 1, reader.line_num
        if fields:
            yield first_line, fields


def _without_nul(lines: Iterator[str]) -> Iterator[str]:
    """Python 3.10's csv module refuses NUL characters."""
    return (line.replace("\0", "\ufffd") for line in lines)
