"""Ids are strings: nothing here ever reads one as a number."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from pyarrow import compute

from h2rec_tf.errors import InputError

_CONTROL = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"


def factorize(column: pa.ChunkedArray, *, path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ids and where they stand.

    Args:
        column: strings, integers or a dictionary of these, `n` values.
        path: the file, for messages.
        name: the column, for messages.

    Returns:
        int32 `[n]` codes, -1 where the id is null or blank, and `[U]` distinct id strings; code `c` is `ids[c]`.

    Raises:
        InputError: the column holds another type; decimals above all, since `1.0` is not the id `1`.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (is_string(kind) or pa.types.is_integer(kind)):
        raise InputError(
            f"{path}: column `{name}` holds {kind}; ids must be strings or integers, so store them as text"
        )
    strings = column.cast(kind).cast(pa.large_string()) if kind != pa.large_string() else column.cast(kind)
    encoded = strings.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = compute.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    blank = compute.utf8_is_space(encoded.dictionary).to_numpy(zero_copy_only=False)
    blank |= compute.equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)
    ids = encoded.dictionary.to_numpy(zero_copy_only=False)
    if blank.any():
        # One place more, so that code -1 stays -1.
        new_codes = np.r_[np.where(blank, -1, np.cumsum(~blank) - 1), -1].astype(np.int32)
        codes, ids = new_codes[codes], ids[~blank]
    return codes, ids


def folded(ids: np.ndarray) -> pa.Array:
    """The ids `[n]` without blanks at their edges and in small letters: equal where ids are easily taken for one."""
    return compute.utf8_lower(compute.utf8_trim_whitespace(pa.array(ids.tolist(), pa.large_string())))


def with_control(ids: np.ndarray) -> dict[int, str]:
    """Places of ids `[U]` that hold a line break or another control character, each with what it is.

    Files of ids have one a line, and logs and tables show them: such an id would be read as two, or as another one.
    """
    found = compute.match_substring_regex(pa.array(ids, pa.large_string()), _CONTROL).to_numpy(zero_copy_only=False)
    return {place: _named(ids[place]) for place in np.flatnonzero(found).tolist()}


def _named(item_id: str) -> str:
    character = next(character for character in item_id if re.match(_CONTROL, character))
    if character in "\n\r\x85\u2028\u2029":
        return "a line break"
    return "a tab" if character == "\t" else f"the control character U+{ord(character):04X}"


def about_control(item_id: str, what: str) -> str:
    """The message on an id that `with_control` finds."""
    return f"the id {item_id[:60]!r} has {what}; rename it"


def is_string(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
