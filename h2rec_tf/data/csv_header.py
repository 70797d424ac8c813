"""The first row of CSV and TSV: names of columns, or data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from h2rec_tf.data.csv_blocks import line_count
from h2rec_tf.data.csv_records import LINE_END, RecordReader
from h2rec_tf.data.hints import in_quotes, is_data, shape_hint, without_types
from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, Problem
from h2rec_tf.data.source_file import TSV, SourceFile
from h2rec_tf.data.text_format import AUTO, DOUBLE_QUOTES, HEADER_NONE, TextFormat, not_decodable

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HINT_BYTES = 1 << 14


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the rows of a file are to be read.

    Attributes:
        text: what the user said.
        delimiter: between fields, as bytes.
        quoting: fields may stand in quotes.
        names: of all columns; "" where the header has none.
        headless: the first row is data.
        places: name -> place of its column, as text, for the columns to read.
        hint: what may be wrong, for a message about columns that are not there.
    """

    text: TextFormat
    delimiter: bytes
    quoting: bool
    names: list[str]
    headless: bool
    places: dict[str, str]
    hint: str

    @property
    def width(self) -> int:
        """Fields of a row."""
        return len(self.names)

    @property
    def available(self) -> list[str]:
        """Names of columns that have one."""
        return [name for name in self.names if name]

    @classmethod
    def read(cls, source: SourceFile, start: bytes, columns: Sequence[str] | None) -> tuple[Layout, int]:
        """The layout, and the place in `start` where the data begins.

        Args:
            source: the file.
            start: its first bytes.
            columns: which to read; None reads every named one.

        Raises:
            InputError: no rows, a name twice, a header that is not text, names that do not fit the first row, or no
                telling whether that is a header.
        """
        text = source.text
        delimiter = text.delimiter.encode() or (b"\t" if source.format == TSV else b",")
        place = len(_BYTE_ORDER_MARK) if start.startswith(_BYTE_ORDER_MARK) else 0
        place += len(start) - place - len(start[place:].lstrip(b"\r\n"))
        if place == len(start):
            raise Problem(source.path, None, "", EMPTY_FILE, "the file is empty").error()
        line = line_count(start[:place]) + 1
        quoting = text.quoting == DOUBLE_QUOTES or (text.quoting == AUTO and len(delimiter) == 1 and delimiter != b"\t")
        names, end = _fields(start, place, delimiter, quoting)
        odd = [character for name in names for character in name if "\udc80" <= character <= "\udcff"]
        if odd:
            message = f"the header is {not_decodable(ord(odd[0]) - 0xDC00, text)}"
            raise Problem(source.path, line, "", INVALID_UTF8, message).error()
        if text.quoting == AUTO and delimiter == b"\t" and in_quotes(names):
            # Whoever quotes the names, quotes the values.
            quoting = True
            names, end = _fields(start, place, delimiter, quoting)
        names = [name.strip() for name in names]
        headless = _headless(source, line, names)
        first_row = names
        if text.columns:
            names = [name.strip() for name in text.columns]
        elif not headless:
            names = without_types(names)
        lines = start[place : place + _HINT_BYTES].decode("utf-8", "replace").splitlines()[:6]
        hint = shape_hint(lines, delimiter=delimiter.decode(), names=first_row, text=text)
        if len(first_row) != len(names):
            message = f"{text.flags}columns has {len(names)} names, and the first row {len(first_row)} fields"
            raise Problem(source.path, line, "", MALFORMED_ROW, f"{message}{'; ' if hint else ''}{hint}").error()
        wanted = [name for name in dict.fromkeys(names) if name and (columns is None or name in columns)]
        for name in wanted:
            if names.count(name) > 1:
                raise Problem(source.path, line, name, MALFORMED_ROW, "the header has this name twice").error()
        places = {name: str(names.index(name)) for name in wanted}
        return cls(text, delimiter, quoting, names, headless, places, hint), place if headless else end


def _fields(start: bytes, place: int, delimiter: bytes, quoting: bool) -> tuple[list[str], int]:
    """Fields of the first row, and where the next one begins."""
    if quoting:
        record = RecordReader(delimiter, trusting=True).read(start, place, width=None, last=True)
        assert record is not None
        return [field.decode("utf-8", "surrogateescape") for field in record.fields], record.end
    match = LINE_END.search(start, place)
    stop, end = (match.start(), match.end()) if match else (len(start), len(start))
    return start[place:stop].decode("utf-8", "surrogateescape").split(delimiter.decode()), end


def _headless(source: SourceFile, line: int, names: list[str]) -> bool:
    """Whether the first row is data."""
    text = source.text
    if text.header != AUTO or not text.columns:
        return text.header == HEADER_NONE
    if [name.lower() for name in without_types(names)] == [name.strip().lower() for name in text.columns]:
        return False
    if is_data(names) or len(names) != len(text.columns):
        return True
    message = (
        f"the first row `{', '.join(names)[:80]}` may be a header or data; pass {text.flags}no-header if it is data, "
        f"{text.flags}header if it is a header"
    )
    raise Problem(source.path, line, "", MALFORMED_ROW, message).error()
