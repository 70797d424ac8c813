"""Records of CSV as bytes: what a quote means, and where a record ends.

A field that starts with a quote ends at the next single quote, which must stand before a delimiter or a line end. If it
does not, nobody can say where the field ends: then the record is the line alone, the quote in it is text, and the
record tells of it. The same holds, unless quotes are trusted, where a record over several lines has another number of
fields than the header. So a quote that nothing closes never takes more than its own line.
"""

from __future__ import annotations

import dataclasses
import re

_QUOTE, _QUOTES = b'"', b'""'
# From behind an opening quote to behind the closing one, or to the end.
_QUOTED = re.compile(rb'[^"]*(?:""[^"]*)*("?)')
LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclasses.dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        fields: values, without the quotes around them.
        end: place behind its line end.
        lines: how many it takes.
        broken: places of fields that open a quote which does not close.
        doubtful: what is text and what is quotes can not be told: the lines are rows by themselves too, or a quote
            stands behind a broken field.
    """

    fields: list[bytes]
    end: int
    lines: int = 1
    broken: tuple[int, ...] = ()
    doubtful: bool = False

    def encoded(self, delimiter: bytes) -> bytes:
        """The record with all fields in quotes, and a line end."""
        return delimiter.join(_QUOTE + field.replace(_QUOTE, _QUOTES) + _QUOTE for field in self.fields) + b"\n"


class RecordReader:
    """Reads records at given places of a block.

    Args:
        delimiter: one byte.
        trusting: takes a record over several lines also where each of its lines is a row by itself, or where it has
            another number of fields than the header.
    """

    def __init__(self, delimiter: bytes, *, trusting: bool):
        self._delimiter = delimiter
        self._trusting = trusting
        self._plain = re.compile(rb"[^\r\n" + re.escape(delimiter) + rb"]*")
        self._ends = (delimiter, b"\r", b"\n", b"")

    def read(self, block: bytes, start: int, *, width: int | None, last: bool) -> Record | None:
        """The record that starts at a place.

        Args:
            block: ends with a line end, or is the last one.
            start: place of the record's first byte.
            width: fields that a record has; None takes any number.
            last: nothing follows the block.

        Returns:
            The record; None if the block ends before it can be told where the record does.
        """
        record = self._scan(block, start, last)
        if record is None or record.lines == 1:
            return record
        odd = width is not None and len(record.fields) != width
        if record.broken or (odd and not self._trusting):
            return self.read_line(block, start)
        if not self._trusting and self._rows_by_themselves(block[start : record.end], len(record.fields)):
            return dataclasses.replace(record, doubtful=True)
        return record

    def read_line(self, block: bytes, start: int) -> Record:
        """The record that starts at a place and ends with the line whatever its quotes say."""
        match = LINE_END.search(block, start)
        stop, end = (match.start(), match.end()) if match else (len(block), len(block))
        record = self._scan(block[start:stop], 0, True)
        assert record is not None
        return dataclasses.replace(record, end=end)

    def _scan(self, block: bytes, start: int, last: bool) -> Record | None:
        fields: list[bytes] = []
        broken: list[int] = []
        place, lines, behind = start, 1, -1
        while True:
            stop = -1
            if block[place : place + 1] == _QUOTE:
                match = _QUOTED.match(block, place + 1)
                assert match is not None
                closed = bool(match[1])
                if not closed and not last:
                    return None
                if closed and block[match.end() : match.end() + 1] in self._ends:
                    stop = match.end()
                    value = block[place + 1 : stop - 1]
                    lines += len(LINE_END.findall(value))
                    fields.append(value.replace(_QUOTES, _QUOTE))
                else:
                    broken.append(len(fields))
            if stop < 0:
                match = self._plain.match(block, place)
                assert match is not None
                stop = match.end()
                fields.append(match[0])
            if broken and behind < 0:
                behind = stop
            end = block[stop : stop + 1]
            if end != self._delimiter:
                break
            place = stop + 1
        doubtful = bool(broken) and _QUOTE in block[behind:stop]
        line_end = 2 if block[stop : stop + 2] == b"\r\n" else len(end)
        return Record(fields, stop + line_end, lines, tuple(broken), doubtful)

    def _rows_by_themselves(self, text: bytes, width: int) -> bool:
        """Whether (nearly) every line of a record over several lines has a record's number of fields itself."""
        lines = [line for line in LINE_END.split(text) if line]
        alike = sum(line.count(self._delimiter) == width - 1 for line in lines)
        return len(lines) > 1 and alike * 10 >= len(lines) * 9
