"""Columns of Arrow's many types as the few that readers know: text, numbers, times, and lists of these."""

from __future__ import annotations

import pyarrow as pa

from h2rec_tf.data.text_format import UNSAID, TextFormat, not_decodable

# Longest type or value in a message.
_SHOWN = 60


def plain_column(column: pa.ChunkedArray, text: TextFormat = UNSAID) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Bytes and whole decimals as text, extension types as what they store, dictionaries of such as their values.

    Whole decimals are text since ids of 38 digits fit no integer.

    Args:
        column: `n` values of any type.
        text: how the file is written, for messages.

    Returns:
        `n` values, and a message for each position where there are bytes that are not UTF-8; the value is null there.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain_column(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type), text)
    if pa.types.is_dictionary(kind):
        if not (_is_bytes(kind.value_type) or pa.types.is_decimal(kind.value_type)):
            return column, {}
        return plain_column(
            pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind.value_type), text
        )
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column), pa.string())]), {}
    if pa.types.is_decimal(kind) and kind.scale <= 0:
        texts = [None if value is None else f"{value:f}" for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())]), {}
    if _is_bytes(kind):
        return _decoded(column, text)
    return column, {}


def is_nested(kind: pa.DataType) -> bool:
    """Whether a type is made of parts with names, or of lists of lists: no text, number or vector can be read of it."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_nested(kind.storage_type)
    if is_list(kind):
        return is_list(kind.value_type) or is_nested(kind.value_type)
    return pa.types.is_nested(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of any kind."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def shown(what: object) -> str:
    """A type or value, cut for a message of one line."""
    text = " ".join(str(what).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _decoded(column: pa.ChunkedArray, text: TextFormat) -> tuple[pa.ChunkedArray, dict[int, str]]:
    if not pa.types.is_fixed_size_binary(column.type):
        try:
            return column.cast(pa.string()), {}
        except pa.ArrowInvalid:
            pass
    texts: list[str | None] = []
    failures: dict[int, str] = {}
    for position, value in enumerate(column.to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError as error:
            texts.append(None)
            failures[position] = not_decodable(value[error.start], text)
    return pa.chunked_array([pa.array(texts, pa.string())]), failures
