"""Times as int64 nanoseconds since 1970 in UTC, whatever they are spelled like; nothing is rounded through a float."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
from pyarrow import compute

from h2rec_tf.data.dates import DAY_OR_MONTH, read_dates
from h2rec_tf.data.decimals import BILLION, DECIMAL, INTEGER, Decimals
from h2rec_tf.data.identifiers import is_string
from h2rec_tf.errors import InputError

# Nanoseconds of each unit.
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
AUTO = "auto"
# From these on a number of unknown unit counts milliseconds, microseconds and nanoseconds: each is in March 1973.
_FROM = np.asarray([10**11, 10**14, 10**17], np.int64)

# What became of a value.
READ, EMPTY, UNREADABLE, DAY_AND_MONTH, NO_SUCH_DATE, UNCLEAR_UNIT, EARLY, LATE = range(8)
# How values are spelled.
SPELLINGS = (
    "seconds",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "dates without a zone",
    "dates with a zone",
    "dates with the name of the month",
)
_PLAIN, _ZONED, _NAMED = range(4, 7)


@dataclasses.dataclass(frozen=True)
class Times:
    """`n` values of a column.

    Attributes:
        nanoseconds: int64 `[n]` since 1970 in UTC, at least 0; 0 where not read.
        outcome: uint8 `[n]`, `READ` or why not.
        spelling: uint8 `[n]`, place in `SPELLINGS`; says nothing where not read.
        finer: bool `[n]`, True where digits below a nanosecond were cut.
    """

    nanoseconds: np.ndarray
    outcome: np.ndarray
    spelling: np.ndarray
    finer: np.ndarray

    @property
    def read(self) -> np.ndarray:
        """bool `[n]`."""
        return self.outcome == READ


def clock(nanoseconds: int) -> str:
    """A time as text: ISO-8601, or a number of seconds where it is too small to be a clock's (before March 1973)."""
    seconds, rest = divmod(nanoseconds, BILLION)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    if seconds < 10**8:
        return f"{seconds}{fraction}"
    return f"{np.datetime64(seconds, 's')}{fraction}Z"


def parse_timestamps(column: pa.ChunkedArray, *, path: str, name: str, unit: str = AUTO) -> Times:
    """Reads numbers, dates as text, and Arrow's dates and times.

    Args:
        column: `n` values.
        path: the file, for messages.
        name: the column, for messages.
        unit: of numbers: `s`, `ms`, `us`, `ns`, or `auto`, where the size of each tells.

    Raises:
        InputError: the column holds another type.
    """
    values = parse_values(column, path=path, name=name, what="timestamps")
    outcome = np.full(len(column), UNREADABLE, np.uint8)
    outcome[values.blank] = EMPTY
    auto = unit == AUTO
    kinds = np.full(len(column), list(UNITS).index(unit) if not auto else 0, np.uint8)
    if auto:
        kinds[:] = np.searchsorted(_FROM, values.whole, side="right")
    kinds[values.date] = 0
    sizes = np.asarray(list(UNITS.values()), np.int64)[kinds]
    number, date = values.number, values.date
    late = ~values.fits & number | (values.whole > (2**63 - 1) // sizes - (sizes > 1))
    outcome[number | date] = READ
    outcome[late & (number | date)] = LATE
    if auto:
        outcome[late & number & values.fits] = UNCLEAR_UNIT
    outcome[(values.whole < 0) & (number | date)] = EARLY
    outcome[date & ~values.fits] = NO_SUCH_DATE
    outcome[values.ambiguous] = DAY_AND_MONTH
    read = outcome == READ
    finest = BILLION // sizes
    nanoseconds = np.where(read, np.where(read, values.whole, 0) * sizes + values.billionths // finest, 0)
    kinds[date] = _PLAIN
    kinds[date & values.zoned] = _ZONED
    kinds[date & values.named] = _NAMED
    return Times(nanoseconds, outcome, kinds, read & (values.finer | (values.billionths % finest != 0)))


@dataclasses.dataclass(frozen=True)
class Values:
    """`n` numbers and dates; a date counts the seconds since 1970 in UTC.

    Attributes:
        number: bool `[n]`.
        date: bool `[n]`.
        blank: bool `[n]`, True where there is nothing.
        ambiguous: bool `[n]`, True where day and month cannot be told apart.
        whole: int64 `[n]`, rounded down; 0 where neither number nor date.
        billionths: int64 `[n]`, 0 to 999,999,999.
        finer: bool `[n]`, True where digits below a billionth were cut.
        fits: bool `[n]`, False for a number beyond int64 and a date that does not exist.
        zoned: bool `[n]`, True for dates with a zone.
        named: bool `[n]`, True for dates with the name of a month.
    """

    number: np.ndarray
    date: np.ndarray
    blank: np.ndarray
    ambiguous: np.ndarray
    whole: np.ndarray
    billionths: np.ndarray
    finer: np.ndarray
    fits: np.ndarray
    zoned: np.ndarray
    named: np.ndarray

    @classmethod
    def of(cls, count: int, **known: np.ndarray) -> Values:
        """The named arrays, and zeros for the others (`fits`: True)."""
        for field in dataclasses.fields(cls):
            if field.name not in known:
                kind = np.int64 if field.name in ("whole", "billionths") else bool
                known[field.name] = np.full(count, field.name == "fits", kind)
        return cls(**known)

    def put(self, places: np.ndarray, **parts: np.ndarray) -> None:
        """Writes values at int `places` `[m]` of the named arrays."""
        for name, part in parts.items():
            getattr(self, name)[places] = part


def parse_values(column: pa.ChunkedArray, *, path: str, name: str, what: str) -> Values:
    """Reads numbers, dates as text, and Arrow's dates and times, without a bound on their size.

    Args:
        column: `n` values.
        path: the file, for messages.
        name: the column, for messages.
        what: what the column should hold, for messages.

    Raises:
        InputError: the column holds another type.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if is_string(kind):
        return _from_text(column)
    blank = column.is_null().to_numpy()
    if pa.types.is_null(kind):
        return Values.of(len(column), blank=blank)
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        ticks = compute.fill_null(column.cast(pa.timestamp(kind.unit)).cast(pa.int64()), 0).to_numpy()
        per_second = BILLION // UNITS[kind.unit]
        return Values.of(
            len(column),
            blank=blank,
            date=~blank,
            whole=ticks // per_second,
            billionths=ticks % per_second * UNITS[kind.unit],
            zoned=np.full(len(column), kind.tz is not None),
        )
    if pa.types.is_integer(kind):
        numbers = Decimals.from_integers(compute.fill_null(column, 0).to_numpy())
        return Values.of(len(column), blank=blank, number=~blank, whole=numbers.whole, fits=numbers.fits)
    if pa.types.is_floating(kind):
        # The shortest digits that give the float again: those that the same value has in a text file.
        column = column.cast(pa.float32()) if pa.types.is_float16(kind) else column
        return _from_text(column.cast(pa.string()))
    if pa.types.is_decimal(kind):
        texts = [value if value is None else format(value, "f") for value in column.to_pylist()]
        return _from_text(pa.chunked_array([pa.array(texts, pa.string())]))
    raise InputError(f"{path}: column `{name}` holds {kind}; {what} must be numbers or dates, best in ISO-8601")


def _from_text(column: pa.ChunkedArray) -> Values:
    column = compute.fill_null(compute.utf8_trim_whitespace(column), "")
    values = Values.of(len(column))
    rest = np.arange(len(column))

    def matching(pattern: str) -> tuple[np.ndarray, pa.ChunkedArray]:
        """Places and texts that match; they are taken from those that are left."""
        nonlocal rest, column
        fits = compute.match_substring_regex(column, pattern).to_numpy()
        places, texts = rest[fits], column.filter(pa.array(fits))
        rest, column = rest[~fits], column.filter(pa.array(~fits))
        return places, texts

    places, texts = matching(INTEGER)
    # Arrow reads no plus sign.
    whole = compute.utf8_ltrim(texts, characters="+").cast(pa.int64()).to_numpy()
    values.put(places, number=np.ones(len(places), bool), whole=whole)
    places, texts = matching(DECIMAL) if len(rest) else (rest, column)
    if len(places):
        values.put(places, number=np.ones(len(places), bool), **vars(Decimals.from_text(texts)))
    if not len(rest):
        return values
    places, _ = matching("^$")
    values.blank[places] = True
    dates = read_dates(column)
    values.put(
        rest,
        date=dates.found,
        fits=~dates.found | dates.exists,
        whole=dates.seconds,
        billionths=np.where(dates.found, dates.nanoseconds, 0),
        finer=dates.finer,
        zoned=dates.zoned,
        named=dates.named,
    )
    values.ambiguous[rest] = compute.match_substring_regex(column, DAY_OR_MONTH).to_numpy()
    return values
