"""Vectors of items, one a row: list columns, or numbers in text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import is_list, shown
from h2rec_tf.data.identifiers import is_string
from h2rec_tf.data.problems import MISSING_VECTOR, VECTOR_VALUE, VECTOR_WIDTH
from h2rec_tf.errors import InputError

# Lengths of vectors are sums of squares in float32.
LARGEST = 1e15
# Rows that are looked at in one go.
_BLOCK = 1 << 14
_SEPARATORS = str.maketrans("[](),;", "      ")


@dataclasses.dataclass(frozen=True)
class ItemVectors:
    """Vectors of `n` rows, some of them unusable.

    Attributes:
        matrix: float32 `[n, D]`; zeros in unusable rows.
        failures: position -> kind of problem and message.
    """

    matrix: np.ndarray
    failures: dict[int, tuple[str, str]]


def parse_vectors(column: pa.ChunkedArray, *, path: str, name: str) -> ItemVectors:
    """Reads one vector a row; the width that most rows have is the right one.

    Args:
        column: lists of numbers, or text such as `[0.1, 0.2]` or `0.1 0.2`.
        path: the file, for messages.
        name: the column, for messages.

    Raises:
        InputError: the column holds another type, or no numbers at all.
    """
    failures: dict[int, tuple[str, str]] = {}
    if is_string(column.type):
        flat, widths, failures = _from_text(column.to_pylist())
    elif is_list(column.type) and _is_number(column.type.value_type):
        flat, widths, failures = _from_lists(column)
    else:
        raise InputError(f"{path}: column `{name}` holds {shown(column.type)}; vectors must be lists of numbers")
    filled = widths[widths > 0]
    if not len(filled):
        raise InputError(f"{path}: column `{name}` holds no numbers; vectors must be lists of numbers")
    width = int(np.bincount(filled).argmax())
    fits = widths == width
    for place in np.flatnonzero(~fits).tolist():
        if not widths[place]:
            failures.setdefault(place, (MISSING_VECTOR, "no vector"))
        else:
            failures[place] = (VECTOR_WIDTH, f"a vector of {widths[place]} numbers where others have {width}")
    rows = flat[np.repeat(fits, widths)].reshape(-1, width)
    positions = np.flatnonzero(fits)
    failures = {int(positions[row]): failure for row, failure in unusable(rows).items()} | failures
    matrix = np.zeros((len(widths), width), np.float32)
    with np.errstate(over="ignore"):
        matrix[fits] = rows
    matrix[list(failures)] = 0.0
    return ItemVectors(matrix, failures)


def unusable(matrix: np.ndarray) -> dict[int, tuple[str, str]]:
    """Row -> kind of problem and message, for rows of a float `[n, D]` with NaN, infinity, or too large a number."""
    failures = {}
    for start in range(0, len(matrix), _BLOCK):
        block = matrix[start : start + _BLOCK]
        peaks = np.maximum(block.max(axis=1), -block.min(axis=1)).astype(np.float64)
        # NaN is the maximum of what it is in, and fails the comparison.
        for row in np.flatnonzero(~(peaks <= LARGEST)).tolist():
            place = int(np.flatnonzero(~(np.abs(block[row].astype(np.float64)) <= LARGEST))[0])
            value = block[row, place]
            size = f", larger than {LARGEST:g}: its square is too large for float32" if np.isfinite(value) else ""
            failures[start + row] = (VECTOR_VALUE, f"{value:g} at place {place} of the vector{size}")
    return failures


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _from_lists(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[str, str]]]:
    """Float values, all rows one after another, int64 numbers of values a row, and rows with a null inside."""
    parts, widths, nulls = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for chunk in column.chunks:
        # `flatten` leaves out what stands under null rows.
        values = chunk.flatten()
        if pa.types.is_decimal(values.type):
            values = values.cast(pa.float64())
        nulls.append(values.is_null().to_numpy(zero_copy_only=False))
        numbers = values.to_numpy(zero_copy_only=False)
        parts.append(numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64))
        if pa.types.is_fixed_size_list(chunk.type):
            widths.append(chunk.is_valid().to_numpy(zero_copy_only=False) * np.int64(chunk.type.list_size))
        else:
            widths.append(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    lengths = np.concatenate(widths)
    empty = np.flatnonzero(np.concatenate(nulls))
    rows = np.repeat(np.arange(len(lengths)), lengths)[empty]
    places = empty - (np.cumsum(lengths) - lengths)[rows]
    failures = {
        row: (VECTOR_VALUE, f"null at place {place} of the vector")
        for row, place in zip(reversed(rows.tolist()), reversed(places.tolist()), strict=True)
    }
    return np.concatenate(parts), lengths, failures


def _from_text(texts: list[str | None]) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[str, str]]]:
    parts, widths = [np.zeros(0)], np.zeros(len(texts), np.int64)
    failures = {}
    for place, text in enumerate(texts):
        numbers = (text or "").translate(_SEPARATORS).split()
        try:
            if "_" in (text or ""):
                raise ValueError("`_` is in it")
            parts.append(np.asarray([float(number) for number in numbers], np.float64))
            widths[place] = len(numbers)
        except ValueError as error:
            failures[place] = (VECTOR_VALUE, f"not a list of numbers: {error}")
    return np.concatenate(parts), widths, failures
