"""Reading CSV and TSV: block by block, Arrow for the values of records that are clean.

Nothing here hands Python functions, files or bytes to Arrow: its threads may outlive the interpreter, and then abort
the process when they need its lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from h2rec_tf.data.csv_blocks import BlockCleaner, CleanBlock, cut_place, line_count, with_one_byte
from h2rec_tf.data.csv_header import Layout
from h2rec_tf.data.problems import EMPTY_FILE, MALFORMED_ROW, UNREADABLE_FILE, Problem, Problems
from h2rec_tf.data.source_file import SourceFile, reading
from h2rec_tf.data.table import RowLocator, Table
from h2rec_tf.data.text_format import DOUBLE_QUOTES

_BLOCK_BYTES = 1 << 22
# What Arrow reads at once, where no record can be longer.
_ARROW_BYTES = 1 << 20
_LONGEST_LINE = 1 << 24


def read_csv(source: SourceFile, columns: Sequence[str] | None, problems: Problems) -> Table:
    """Reads columns as bytes, so that no value is guessed to be a number.

    Args:
        source: the file.
        columns: which to read, absent ones are passed over; None reads every named one.
        problems: takes rows with another number of fields than the header, and rows with quotes that do not pair up.

    Raises:
        InputError: no rows, a column name that stands twice, no telling whether the first row is a header.
    """
    tables = list(csv_batches(source, columns, problems))
    first = np.cumsum([0, *(len(table) for table in tables)])

    def locate(positions: np.ndarray) -> np.ndarray:
        rows = np.empty(len(positions), np.int64)
        owner = np.searchsorted(first, positions, side="right") - 1
        for number in np.unique(owner).tolist():
            rows[owner == number] = tables[number].locate(positions[owner == number] - first[number])
        return rows

    values = {
        name: pa.chunked_array([chunk for table in tables for chunk in table.columns[name].chunks], pa.binary())
        for name in tables[0].columns
    }
    found = sum(table.rows_in_file for table in tables)
    return Table(source.path, tables[0].available, values, locate, {}, found, tables[0].hint, source.text)


def csv_batches(source: SourceFile, columns: Sequence[str] | None, problems: Problems) -> Iterator[Table]:
    """As `read_csv`, in tables of a bounded size, at least one; `problems` takes a table's rows before it comes.

    Raises:
        InputError: as `read_csv`.
    """
    with reading(source.path), source.open() as file:
        start = file.read(_BLOCK_BYTES)
        layout, place = Layout.read(source, start, columns)
        if not layout.places:
            yield Table(source.path, layout.available, {}, _counted_from(0), {}, 0, layout.hint, source.text)
            return
        line, rows, memory = line_count(start[:place]), 0, _ArrowMemory()
        for block, last, returned in _blocks(file, start[place:], source.path):
            table, clean, consumed, passed = _read(block, layout, memory, last)
            if consumed < len(block):
                returned.append(block[consumed:])
            found = len(table) + sum(rejected.rows for rejected in clean.rejected)
            _report(source, layout, clean, line, problems)
            lines = clean.lines
            locate = _counted_from(line + 1) if lines is None else _looked_up(lines + line + 1)
            values = {name: table[str(place)] for name, place in layout.places.items()}
            yield Table(source.path, layout.available, values, locate, {}, found, layout.hint, source.text)
            line += passed
            rows += found
        if not rows:
            what = "no row" if layout.headless else "a header and no row below it"
            raise Problem(source.path, None, "", EMPTY_FILE, f"there is {what}").error()


def _blocks(file: BinaryIO, start: bytes, path: str) -> Iterator[tuple[bytes, bool, list[bytes]]]:
    """Blocks of whole lines, whether each is the last one, and a list that takes what belongs to the next one."""
    kept: list[bytes] = []
    chunk = start
    while True:
        following = file.read(_BLOCK_BYTES)
        # There is a last block, though an empty one.
        last = not following
        place = len(chunk) if last else cut_place(chunk)
        returned: list[bytes] = []
        if place or last:
            yield b"".join([*kept, memoryview(chunk)[:place]]), last, returned
            kept = returned
        if last:
            return
        kept.append(chunk[place:])
        if sum(map(len, kept)) > _LONGEST_LINE:
            message = f"a line of more than {_LONGEST_LINE >> 20} MiB, so this is no CSV or TSV; check the file"
            raise Problem(path, None, "", UNREADABLE_FILE, message).error()
        chunk = following


def _read(block: bytes, layout: Layout, memory: _ArrowMemory, last: bool) -> tuple[pa.Table, CleanBlock, int, int]:
    """Arrow's table of a block, what was left out of it, and how many of its bytes and lines that is."""
    text, delimiter = with_one_byte(block, layout.delimiter)
    cleaner = BlockCleaner(
        width=layout.width,
        delimiter=delimiter,
        quoting=layout.quoting,
        trusting=layout.text.quoting == DOUBLE_QUOTES,
        used={int(place) for place in layout.places.values()},
        remedies=(f"{layout.text.flags}quoting none", f"{layout.text.flags}quoting double"),
    )
    quotes = cleaner.quotes(text)
    lines = line_count(text)
    if not quotes or cleaner.tidy(text):
        try:
            table = _parsed(text, delimiter, layout, memory, quotes=quotes, at_once=_ARROW_BYTES)
        except pa.ArrowInvalid:
            pass
        else:
            # Blank lines make the difference.
            if len(table) == lines:
                return table, CleanBlock(text, None), len(block), lines
    clean, consumed = cleaner.clean(text, last=last)
    table = _parsed(clean.content, delimiter, layout, memory, quotes=quotes, at_once=len(clean.content) + 1)
    if consumed < len(text):
        # That is so only where quotes count, and there the delimiter is one byte and the text is the block.
        return table, clean, consumed, line_count(text[:consumed])
    return table, clean, len(block), lines


def _parsed(
    content: bytes, delimiter: bytes, layout: Layout, memory: _ArrowMemory, *, quotes: bool, at_once: int
) -> pa.Table:
    if content[:1] in b"\r\n" and not content.strip(b"\r\n"):
        return pa.table({place: pa.chunked_array([], pa.binary()) for place in layout.places.values()})
    # As a stream: for each table it reads at once, Arrow looks through all objects of the interpreter.
    reader = arrow_csv.open_csv(
        pa.BufferReader(memory.copy(content)),
        read_options=arrow_csv.ReadOptions(
            column_names=[str(place) for place in range(layout.width)],
            use_threads=False,
            block_size=at_once,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter.decode("ascii"), quote_char='"' if quotes else False, newlines_in_values=quotes
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(layout.places.values()),
            column_types={place: pa.binary() for place in layout.places.values()},
            strings_can_be_null=False,
        ),
    )
    return reader.read_all()


class _ArrowMemory:
    """Memory of Arrow's own: a thread that lets go of Python's last takes the interpreter's lock for it.

    The same for one block after the other, as what Arrow makes of a block is in other memory.
    """

    def __init__(self) -> None:
        self._buffer = pa.allocate_buffer(0)

    def copy(self, content: bytes) -> pa.Buffer:
        """The content."""
        if self._buffer.size < len(content):
            self._buffer = pa.allocate_buffer(len(content))
        np.frombuffer(self._buffer, np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        return self._buffer.slice(0, len(content))


def _report(source: SourceFile, layout: Layout, clean: CleanBlock, line: int, problems: Problems) -> None:
    for rejected in clean.rejected:
        column = "" if rejected.column is None else layout.names[rejected.column]
        message = rejected.message
        problems.add(Problem(source.path, line + rejected.line + 1, column, MALFORMED_ROW, message), rows=rejected.rows)
    problems.note(
        f"rows of {source.path} with a quote that does not close, in a column that is not used", clean.odd_quotes
    )


def _counted_from(first: int) -> RowLocator:
    return lambda positions: positions + first


def _looked_up(lines: np.ndarray) -> RowLocator:
    return lambda positions: lines[positions]
