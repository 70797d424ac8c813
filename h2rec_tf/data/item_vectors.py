"""Vectors of items, one a row: list columns, or numbers in text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import is_list
from h2rec_tf.data.identifiers import is_string
from h2rec_tf.data.problems import MISSING_VECTOR, VECTOR_VALUE, VECTOR_WIDTH
from h2rec_tf.errors import InputError

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
    elif is_list(column.type):
        flat, widths = _from_lists(column)
    else:
        raise InputError(f"{path}: column `{name}` holds {column.type}; vectors must be lists of numbers")
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
    matrix = np.zeros((len(widths), width), np.float32)
    matrix[fits] = flat[np.repeat(fits, widths)].reshape(-1, width)
    failures.update(not_finite(matrix, np.flatnonzero(fits)))
    matrix[list(failures)] = 0.0
    return ItemVectors(matrix, failures)


def not_finite(matrix: np.ndarray, rows: np.ndarray) -> dict[int, tuple[str, str]]:
    """Failures of those `rows` of `[n, D]` that hold NaN or infinity."""
    # A sum is finite unless a term is not, or it overflows: few rows are left to look at in full.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = matrix.sum(axis=1, dtype=np.float64)[rows]
    suspects = rows[~np.isfinite(sums)]
    failures = {}
    for row in suspects.tolist():
        places = np.flatnonzero(~np.isfinite(matrix[row]))
        if len(places):
            failures[row] = (VECTOR_VALUE, f"{matrix[row, places[0]]} at place {places[0]} of the vector")
    return failures


def _from_lists(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """float32 values, all rows one after another, and int64 numbers of values a row."""
    parts, widths = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        # `flatten` leaves out what stands under null rows.
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            parts.append(values.astype(np.float32))
        if pa.types.is_fixed_size_list(chunk.type):
            widths.append(chunk.is_valid().to_numpy(zero_copy_only=False) * np.int64(chunk.type.list_size))
        else:
            widths.append(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    return np.concatenate(parts), np.concatenate(widths)


def _from_text(texts: list[str | None]) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[str, str]]]:
    parts, widths = [np.zeros(0, np.float32)], np.zeros(len(texts), np.int64)
    failures = {}
    for place, text in enumerate(texts):
        numbers = (text or "").translate(_SEPARATORS).split()
        try:
            with np.errstate(over="ignore"):
                parts.append(np.asarray([float(number) for number in numbers]).astype(np.float32))
            widths[place] = len(numbers)
        except ValueError as error:
            failures[place] = (VECTOR_VALUE, f"not a list of numbers: {error}")
    return np.concatenate(parts), widths, failures
