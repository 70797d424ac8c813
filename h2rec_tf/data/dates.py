"""Dates and times as text: spellings that can be read in one way only."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
from pyarrow import compute

_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_BASIC_CLOCK = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|UT|[+-][0-9]{2}(?::?[0-9]{2})?))?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_WEEKDAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_DAY = "(?P<day>[0-9]{1,2})"
_YEAR = "(?P<year>[0-9]{4})"

# ISO-8601, extended (also with slashes) and basic.
_ISO = (
    rf"(?i)^{_YEAR}-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})(?:[T ]{_CLOCK}{_ZONE})?$",
    rf"(?i)^{_YEAR}/(?P<month>[0-9]{{2}})/(?P<day>[0-9]{{2}})(?:[T ]{_CLOCK}{_ZONE})?$",
    rf"(?i)^{_YEAR}(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}})T{_BASIC_CLOCK}{_ZONE}$",
)
# As C's `asctime` and Twitter write, and as mail and HTTP headers do (RFC 2822).
_NAMED = (
    rf"(?i)^{_WEEKDAY} {_MONTH} +{_DAY} {_CLOCK}{_ZONE} {_YEAR}$",
    rf"(?i)^(?:{_WEEKDAY}, ?)?{_DAY} {_MONTH} {_YEAR} {_CLOCK}{_ZONE}$",
)
# 03/04/2012 is in March or in April.
DAY_OR_MONTH = r"^[0-9]{1,2}([/.\-])[0-9]{1,2}[/.\-](?:[0-9]{4}|[0-9]{2})(?:$|[^0-9])"


@dataclasses.dataclass(frozen=True)
class Dates:
    """`n` texts read as dates.

    Attributes:
        found: bool `[n]`, True where the text is spelled as a date.
        exists: bool `[n]`, True where there is such a date and time.
        seconds: int64 `[n]` since 1970 in UTC, negative before.
        nanoseconds: int64 `[n]`, 0 to 999,999,999.
        finer: bool `[n]`, True where digits below a nanosecond were cut.
        zoned: bool `[n]`, True where the text names a zone; one without is UTC.
        named: bool `[n]`, True where the month has a name.
    """

    found: np.ndarray
    exists: np.ndarray
    seconds: np.ndarray
    nanoseconds: np.ndarray
    finer: np.ndarray
    zoned: np.ndarray
    named: np.ndarray

    @classmethod
    def nowhere(cls, count: int) -> Dates:
        """No text is a date."""
        flags, numbers = (np.zeros((5, count), bool), np.zeros((2, count), np.int64))
        return cls(flags[0], flags[1], numbers[0], numbers[1], flags[2], flags[3], flags[4])


def read_dates(column: pa.ChunkedArray) -> Dates:
    """Reads trimmed strings without nulls."""
    dates = Dates.nowhere(len(column))
    rest = np.arange(len(column))
    for pattern in (*_ISO, *_NAMED):
        if not len(rest):
            break
        fields = compute.extract_regex(column, pattern=pattern)
        fits = fields.is_valid().to_numpy()
        if fits.any():
            _fill(dates, rest[fits], fields.filter(pa.array(fits)), named=pattern in _NAMED)
            rest, column = rest[~fits], column.filter(pa.array(~fits))
    return dates


def _fill(dates: Dates, places: np.ndarray, fields: pa.ChunkedArray, *, named: bool) -> None:
    names = [field.name for field in fields.type]
    text = {name: compute.struct_field(fields, [place]) for place, name in enumerate(names)}

    def numbers(name: str) -> np.ndarray:
        return compute.utf8_lpad(text[name], width=1, padding="0").cast(pa.int64()).to_numpy()

    year, day, hour, minute, second = map(numbers, ("year", "day", "hour", "minute", "second"))
    if named:
        months = compute.index_in(compute.utf8_lower(text["month"]), value_set=pa.array(_MONTHS))
        month = months.to_numpy().astype(np.int64) + 1
    else:
        month = numbers("month")
    first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = first.astype("datetime64[D]")
    length = ((first + 1).astype("datetime64[D]") - days).astype(np.int64)
    offset, offset_exists, zoned = _offsets(text["zone"])
    exists = (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
    exists &= (hour < 24) & (minute < 60) & (second < 60) & offset_exists
    seconds = (days.astype(np.int64) + day - 1) * 86400 + hour * 3600 + minute * 60 + second - offset
    fraction = compute.utf8_slice_codeunits(text["fraction"], 0, 9)
    below = compute.utf8_slice_codeunits(compute.utf8_rtrim(text["fraction"], characters="0"), 9, 1 << 30)
    dates.found[places] = True
    dates.exists[places] = exists
    dates.seconds[places] = np.where(exists, seconds, 0)
    dates.nanoseconds[places] = compute.utf8_rpad(fraction, width=9, padding="0").cast(pa.int64()).to_numpy()
    dates.finer[places] = compute.utf8_length(below).to_numpy() > 0
    dates.zoned[places] = zoned
    dates.named[places] = named


def _offsets(zones: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64 seconds east of Greenwich, bool whether there is such a zone, bool whether one is named."""
    encoded = zones.combine_chunks().dictionary_encode()
    offsets, exists, named = [], [], []
    for zone in encoded.dictionary.to_pylist():
        digits = zone[1:].replace(":", "") if zone[:1] in ("+", "-") else ""
        hours, minutes = int(digits[:2] or 0), int(digits[2:] or 0)
        offsets.append((hours * 3600 + minutes * 60) * (-1 if zone[:1] == "-" else 1))
        exists.append(hours < 24 and minutes < 60)
        named.append(bool(zone))
    places = encoded.indices.to_numpy(zero_copy_only=False)
    return np.asarray(offsets, np.int64)[places], np.asarray(exists, bool)[places], np.asarray(named, bool)[places]
