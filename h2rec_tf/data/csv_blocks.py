"""Blocks of CSV made clean: every record has as many fields as the header, and Arrow can read it without a doubt.

Nearly all blocks of nearly all files are clean as they are, which Arrow's own count of fields shows; the others are
looked at here, all lines at once as far as they have no odd quotes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from h2rec_tf.data.csv_records import Record, RecordReader
from h2rec_tf.errors import InputError

_CR, _LF, _QUOTE = 13, 10, 34
# What stands for a delimiter of several bytes: the first that a block does not have.
_STAND_INS = [bytes([byte]) for byte in (31, 30, 29, 28, *range(1, 9), 11, 12, *range(14, 28), 127)]
# A record in quotes that takes more is not waited for.
_LONGEST_RECORD = 1 << 22
# Bytes that are looked at in one go, for the processor's cache.
_COUNTED = 1 << 17


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A line, or several that are one record, that cannot be read.

    Attributes:
        line: the first one's place in the block, from 0.
        rows: how many rows of the file it counts for.
        column: place of the column at fault, or None.
        message: why.
    """

    line: int
    rows: int
    column: int | None
    message: str


@dataclasses.dataclass(frozen=True)
class CleanBlock:
    """Records for Arrow.

    Attributes:
        content: bytes of records that all have the right number of fields, blank lines at most between them.
        lines: int64 `[n]`, each record's line in the block, from 0; None if that cannot differ from its place unless
            there are blank lines.
        rejected: what was left out.
        odd_quotes: records that hold a quote which does not close, in a column that is not read.
    """

    content: bytes
    lines: np.ndarray | None
    rejected: list[Rejected] = dataclasses.field(default_factory=list)
    odd_quotes: int = 0


class BlockCleaner:
    """Makes blocks clean.

    Args:
        width: fields in a record.
        delimiter: one byte.
        quoting: fields may stand in quotes.
        trusting: as `RecordReader` takes it.
        used: places of the columns that are read.
        remedies: what to do about quotes that are text, and about quotes that enclose line breaks.
    """

    def __init__(
        self, *, width: int, delimiter: bytes, quoting: bool, trusting: bool, used: set[int], remedies: tuple[str, str]
    ):
        self._width = width
        self._delimiter = delimiter
        self._quoting = quoting
        self._used = used
        self._remedies = remedies
        self._records = RecordReader(delimiter, trusting=trusting)
        self._trusting = trusting

    def quotes(self, block: bytes) -> bool:
        """Whether quotes in the block mean anything."""
        return self._quoting and b'"' in block

    def tidy(self, block: bytes) -> bool:
        """Whether each quote encloses a field, or stands twice in one, and no field has a line end."""
        return self._tidy(np.frombuffer(block, np.uint8)) is not None

    def clean(self, block: bytes, *, last: bool) -> tuple[CleanBlock, int]:
        """Leaves out what cannot be read.

        Args:
            block: ends with a line end, or is the last one.
            last: nothing follows.

        Returns:
            The clean block, and how many bytes of the block it stands for: what follows belongs to the next one.
        """
        bytes_ = np.frombuffer(block, np.uint8)
        starts, stops = line_bounds(block, bytes_)
        delimiters = _counts(np.flatnonzero(bytes_ == ord(self._delimiter)), starts, stops)
        rejected: list[Rejected] = []
        replaced: dict[int, bytes] = {}
        kept = (delimiters == self._width - 1) & (stops > starts)
        judged = kept | (stops == starts)
        consumed, odd_quotes = len(block), 0
        if self._quoting:
            quoted = np.flatnonzero(_counts(np.flatnonzero(bytes_ == _QUOTE), starts, stops))
            next_line = 0
            for line in quoted.tolist():
                if line < next_line:
                    continue
                start = int(starts[line])
                record = self._records.read(block, start, width=self._width, last=last)
                if record is None:
                    if len(block) - start <= _LONGEST_RECORD:
                        consumed = start
                        kept[line:], judged[line:] = False, True
                        break
                    record = self._records.read_line(block, start)
                next_line = line + record.lines
                judged[line:next_line] = True
                reason = self._reason(record)
                kept[line:next_line] = False
                if reason:
                    rows = record.lines if record.lines > 1 and record.doubtful else 1
                    rejected.append(Rejected(line, rows, *reason))
                else:
                    odd_quotes += bool(record.broken)
                    replaced[line], kept[line] = record.encoded(self._delimiter), True
        for line in np.flatnonzero(~judged).tolist():
            message = about_fields(int(delimiters[line]) + 1, self._width)
            if b'"' in block[starts[line] : stops[line]]:
                message += f"; pass {self._remedies[1]} if quotes enclose fields"
            rejected.append(Rejected(line, 1, None, message))
        rejected.sort(key=lambda row: row.line)
        content = _joined(block, starts, kept, replaced)
        return CleanBlock(content, np.flatnonzero(kept), rejected, odd_quotes), consumed

    def _reason(self, record: Record) -> tuple[int | None, str] | None:
        """Column and message where a record cannot be taken."""
        text, field = self._remedies
        if record.lines > 1 and record.doubtful:
            return None, (
                f"a quote opens here and closes {record.lines - 1} lines below, and each of these lines is a row by "
                f"itself; pass {text} if quotes are text, {field} if they enclose line breaks"
            )
        if record.broken:
            message = "a quote opens a field and does not close before a delimiter or the line's end"
            if len(record.fields) != self._width:
                return (
                    None,
                    f"{message} ({about_fields(len(record.fields), self._width)}); pass {text} if quotes are text",
                )
            if record.doubtful or record.broken[0] in self._used:
                return record.broken[0], f"{message}; pass {text} if quotes are text"
            return None
        if len(record.fields) != self._width:
            return None, about_fields(len(record.fields), self._width)
        return None

    def _tidy(self, bytes_: np.ndarray) -> np.ndarray | None:
        """Places of the quotes, if `tidy`."""
        quotes = np.flatnonzero(bytes_ == _QUOTE)
        if len(quotes) % 2:
            return None
        opens, closes = quotes[::2], quotes[1::2]
        framed = np.r_[np.uint8(_LF), bytes_, np.uint8(_LF)]
        ends = np.zeros(256, bool)
        ends[[ord(self._delimiter), _CR, _LF]] = True
        twice = closes[:-1] + 1 == opens[1:]
        opens_well = ends[framed[opens]]
        opens_well[1:] |= twice
        closes_well = ends[framed[closes + 2]]
        closes_well[:-1] |= twice
        if not (opens_well.all() and closes_well.all()):
            return None
        line_ends = np.flatnonzero((bytes_ == _LF) | (bytes_ == _CR))
        inside = np.searchsorted(line_ends, opens) != np.searchsorted(line_ends, closes)
        return None if inside.any() else quotes


def about_fields(found: int, width: int) -> str:
    """The message on a row of another length."""
    return f"{found} field{'s' if found != 1 else ''}, the header has {width}"


def with_one_byte(block: bytes, delimiter: bytes) -> tuple[bytes, bytes]:
    """The block with a delimiter of one byte in place of one of several, and that byte.

    Raises:
        InputError: the block has all bytes that could stand in.
    """
    if len(delimiter) == 1:
        return block, delimiter
    stand_in = next((byte for byte in _STAND_INS if byte not in block), None)
    if stand_in is None:
        raise InputError("the content has every control character, so it is no text")
    return block.replace(delimiter, stand_in), stand_in


def line_count(block: bytes) -> int:
    """Lines of a block, blank ones too."""
    bytes_ = np.frombuffer(block, np.uint8)
    # Several times as fast as `bytes.count`.
    ends = sum(
        int(np.count_nonzero(bytes_[start : start + _COUNTED] == _LF)) for start in range(0, len(bytes_), _COUNTED)
    )
    if b"\r" in block:
        ends += block.count(b"\r") - block.count(b"\r\n")
    return ends + (bool(block) and block[-1] not in (_CR, _LF))


def line_bounds(block: bytes, bytes_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 starts and stops (without line ends) of all lines."""
    ends = np.flatnonzero(bytes_ == _LF)
    stops = ends
    if b"\r" in block:
        returns = np.flatnonzero(bytes_ == _CR)
        before_feed = np.r_[bytes_, np.uint8(0)][returns + 1] == _LF
        stops = ends - np.isin(ends - 1, returns[before_feed], assume_unique=True)
        alone = returns[~before_feed]
        if len(alone):
            ends, stops = np.sort(np.r_[ends, alone]), np.sort(np.r_[stops, alone])
    starts = np.r_[0, ends + 1]
    if starts[-1] == len(block):
        return starts[:-1], stops
    return starts, np.r_[stops, len(block)]


def cut_place(buffer: bytes) -> int:
    """Where the last whole line ends; 0 if none does for sure."""
    feed = buffer.rfind(b"\n") + 1
    # A carriage return at the very end may be half a line end.
    return feed or buffer.rfind(b"\r", 0, len(buffer) - 1) + 1


def _counts(places: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """int64, how many of the sorted places lie in each line."""
    return np.searchsorted(places, stops) - np.searchsorted(places, starts)


def _joined(block: bytes, starts: np.ndarray, kept: np.ndarray, replaced: dict[int, bytes]) -> bytes:
    """The kept lines, some of them in other words."""
    raw = kept.copy()
    raw[list(replaced)] = False
    ends = np.r_[starts[1:], len(block)]
    edges = np.flatnonzero(np.diff(np.r_[False, raw, False].astype(np.int8)))
    parts = {
        int(first): block[starts[first] : ends[last - 1]] for first, last in zip(edges[::2], edges[1::2], strict=True)
    }
    parts.update(replaced)
    return b"".join(parts[line] for line in sorted(parts))
