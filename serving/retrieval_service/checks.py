"""What a request says, checked where it comes in; messages name the input and the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h2rec_tf import names
from serving.server.errors import RequestError

_LONGEST_ID = 1024
# Squares of two such lengths multiply to a finite float32, so every score is finite.
_LONGEST_VECTOR = 1e18


def checked_ids(array: np.ndarray) -> list[str]:
    """Object `[B]` of bytes -> ids to write.

    Raises:
        RequestError: INVALID_ARGUMENT; an id is empty, too long or not UTF-8.
    """
    result = []
    for row, item_id in enumerate(array):
        text = decoded(item_id, f"`{names.ITEM_IDS}` row {row}")
        if not text:
            raise RequestError.invalid(f"`{names.ITEM_IDS}` row {row}: an item id must not be empty")
        if len(item_id) > _LONGEST_ID:
            raise RequestError.invalid(f"`{names.ITEM_IDS}` row {row}: longer than {_LONGEST_ID} bytes")
        result.append(text)
    return result


def decoded(data: bytes, place: str) -> str:
    """The text of bytes; `place` is what the message calls them.

    Raises:
        RequestError: INVALID_ARGUMENT; they are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RequestError.invalid(f"{place}: not UTF-8") from error


def lenient_text(item_id: bytes) -> str:
    """An id that is only looked up: one that cannot exist is an unknown one."""
    return item_id.decode(errors="replace")


def encoded(texts: Sequence[str]) -> np.ndarray:
    """B texts -> object `[B]` of bytes."""
    result = np.empty(len(texts), object)
    result[:] = [text.encode() for text in texts]
    return result


def check_vectors(vectors: np.ndarray, alias: str, width: int) -> None:
    """Takes float `[B, width]` vectors whose every inner product is finite.

    Raises:
        RequestError: INVALID_ARGUMENT; another shape, NaN, infinity or too large a value; the message names the row.
    """
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise RequestError.invalid(f"`{alias}` must be of shape [?, {width}], got {list(vectors.shape)}")
    with np.errstate(over="ignore", invalid="ignore"):
        good = np.isfinite(vectors).all(axis=1) & (np.linalg.norm(vectors.astype(np.float64), axis=1) < _LONGEST_VECTOR)
    if not good.all():
        row = int(np.argmin(good))
        raise RequestError.invalid(f"`{alias}` row {row}: holds a value that is not finite, or too large a one")
