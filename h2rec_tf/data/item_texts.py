"""Titles and texts of items out of the columns of an items file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

from h2rec_tf.data.arrow_columns import is_list, shown
from h2rec_tf.data.identifiers import is_string
from h2rec_tf.data.table import Table
from h2rec_tf.errors import InputError

_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
DEFAULT_TITLE = "title"


def item_texts(
    table: Table, *, item_column: str, title_column: str, text_columns: Sequence[str], vector_column: str
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Reads what describes an item.

    Args:
        table: the items file, all columns.
        item_column: not a text.
        title_column: if there is none by the default name, the first text column gives the titles; "" asks for that.
        text_columns: columns to join; empty means every column of text (numbers written as text are not), title first.
        vector_column: not a text.

    Returns:
        Titles and texts, `n` strings each, "" where there is nothing. In texts `|`, which separates tags, and runs of
        blanks are one space.

    Raises:
        InputError: a named column is missing or holds no text.
    """
    if text_columns:
        chosen = [_as_text(table.require(name, "--text-column"), table.path, name) for name in text_columns]
        first = text_columns[0]
    else:
        others = [name for name in table.columns if name not in (item_column, vector_column)]
        names = [name for name in others if _is_text(table.columns[name])]
        names.sort(key=lambda name: name != title_column)
        chosen = [_as_text(table.columns[name], table.path, name) for name in names]
        first = names[0] if names else ""
    if title_column in table.columns:
        title_name = title_column
    elif title_column in table.unread or title_column not in ("", DEFAULT_TITLE):
        table.require(title_column, "--title-column")
        title_name = ""
    else:
        title_name = first
    empty = pa.chunked_array([pa.array([""] * len(table), pa.string())])
    titles = _as_text(table.columns[title_name], table.path, title_name) if title_name else empty
    return titles, _joined(chosen) if chosen else empty


def item_categories(table: Table, column: str) -> np.ndarray:
    """Object `[n]`: the names in a column of categories, without blanks around them, "|" between them.

    Raises:
        InputError: the column is missing, or holds neither text nor lists of text.
    """
    values = table.require(column, "--category-column")
    kind = values.type
    if is_list(kind) and is_string(_entries(kind.value_type)):
        rows = [[name or "" for name in row or ()] for row in values.to_pylist()]
    else:
        rows = [text.split("|") for text in _as_text(values, table.path, column).to_pylist()]
    names = [[name.replace("|", " ").strip() for name in row] for row in rows]
    return np.asarray(["|".join(dict.fromkeys(name for name in row if name)) for row in names], object)


def _joined(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    arrays = [column.combine_chunks() for column in columns]
    arrays = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    joined = compute.binary_join_element_wise(*arrays, " ") if len(arrays) > 1 else arrays[0]
    spaced = compute.replace_substring_regex(joined, pattern=r"[|\s]+", replacement=" ")
    return pa.chunked_array([compute.utf8_trim_whitespace(spaced)])


def _is_text(column: pa.ChunkedArray) -> bool:
    """Whether a column describes items in words: text that is not only numbers."""
    kind = _entries(column.type)
    if is_list(kind):
        return is_string(_entries(kind.value_type))
    if not is_string(kind):
        return False
    strings = column.cast(pa.string())
    words = compute.invert(compute.match_substring_regex(strings, _NUMBER))
    return bool(compute.any(compute.and_(words, compute.not_equal(strings, ""))).as_py())


def _as_text(column: pa.ChunkedArray, path: str, name: str) -> pa.ChunkedArray:
    kind = _entries(column.type)
    if is_list(kind) and is_string(_entries(kind.value_type)):
        # Not by Arrow's join, which makes nothing of a list with a null in it.
        rows = [" ".join(part for part in row or () if part) for row in column.to_pylist()]
        return pa.chunked_array([pa.array(rows, pa.string())])
    if pa.types.is_decimal(kind):
        numbers = [None if value is None else f"{value:f}" for value in column.to_pylist()]
        return compute.fill_null(pa.chunked_array([pa.array(numbers, pa.string())]), "")
    if not (is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"{path}: column `{name}` holds {shown(kind)}; a text column must hold text or numbers")
    return compute.fill_null(column.cast(kind).cast(pa.string()), "")


def _entries(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's entries; any other type is its own."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind
