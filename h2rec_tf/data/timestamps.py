"""Timestamps as int64: numbers keep their own unit, ISO-8601 dates and times become Unix seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from h2rec_tf.data.identifiers import is_string
from h2rec_tf.errors import InputError

_INTEGER = r"^[+-]?[0-9]{1,18}$"
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$"
)
_LARGEST = float(2**63)


def parse_timestamps(column: pa.ChunkedArray, *, path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads integers, decimals (cut to integers), ISO-8601 text, and Arrow's dates and times.

    Args:
        column: `n` values.
        path: the file, for messages.
        name: the column, for messages.

    Returns:
        int64 `[n]` values (0 where not readable) and bool `[n]`, True where readable. A time without a zone is UTC.

    Raises:
        InputError: the column holds another type.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        ticks, readable = _integers(column.cast(pa.timestamp(kind.unit)).cast(pa.int64()))
        return ticks // per_second, readable
    if pa.types.is_integer(kind):
        if pa.types.is_uint64(kind):
            return _from_decimals(column.cast(pa.float64(), safe=False))
        return _integers(column.cast(pa.int64()))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _from_decimals(column.cast(pa.float64()))
    if is_string(kind):
        return _from_text(column)
    if pa.types.is_null(kind):
        return np.zeros(len(column), np.int64), np.zeros(len(column), bool)
    raise InputError(f"{path}: column `{name}` holds {kind}; timestamps must be numbers or ISO-8601 text")


def _integers(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    readable = column.is_valid().to_numpy()
    return compute.fill_null(column, 0).to_numpy(), readable


def _from_decimals(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    values = compute.fill_null(column, np.nan).to_numpy()
    readable = np.abs(values) < _LARGEST
    return np.where(readable, values, 0.0).astype(np.int64), readable


def _from_text(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros(len(column), np.int64)
    readable = np.zeros(len(column), bool)
    column = compute.fill_null(compute.utf8_trim_whitespace(column), "")
    rest = np.arange(len(column))
    for pattern, parse in ((_INTEGER, _text_integers), (_DECIMAL, _text_decimals), (_ISO_8601, _text_iso)):
        fits = compute.match_substring_regex(column, pattern).to_numpy()
        if fits.any():
            values[rest[fits]], readable[rest[fits]] = parse(column.filter(pa.array(fits)))
        if fits.all():
            break
        rest, column = rest[~fits], column.filter(pa.array(~fits))
    return values, readable


def _text_integers(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    # Arrow reads no plus sign.
    column = compute.utf8_ltrim(column, characters="+")
    return column.cast(pa.int64()).to_numpy(), np.ones(len(column), bool)


def _text_decimals(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    return _from_decimals(compute.utf8_ltrim(column, characters="+").cast(pa.float64()))


def _text_iso(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    texts = compute.replace_substring(column, ",", ".").to_pandas()
    times = pd.to_datetime(texts, errors="coerce", utc=True)
    readable = times.notna().to_numpy()
    nanoseconds = np.where(readable, times.to_numpy(dtype="datetime64[ns]").astype(np.int64), 0)
    return nanoseconds // 10**9, readable
