"""What a write changes, and its form in the log."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence

import numpy as np

_UPSERT, _DELETE = 1, 2
_HEAD = struct.Struct("<BII")


@dataclasses.dataclass(frozen=True)
class Upsert:
    """Items that are added, or replaced where their id is there already.

    Attributes:
        item_ids: n ids, each once.
        titles: n titles, "" for none.
        vectors: float32 `[n, D]`.
    """

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    vectors: np.ndarray


@dataclasses.dataclass(frozen=True)
class Delete:
    """Items that are taken out; ids that are not there change nothing.

    Attributes:
        item_ids: n ids, each once.
    """

    item_ids: tuple[str, ...]


Mutation = Upsert | Delete


def encode(mutation: Mutation) -> bytes:
    """Bytes for the log; `decode` reads them back."""
    if isinstance(mutation, Delete):
        return _HEAD.pack(_DELETE, len(mutation.item_ids), 0) + _strings(mutation.item_ids)
    vectors = np.ascontiguousarray(mutation.vectors, "<f4")
    head = _HEAD.pack(_UPSERT, len(mutation.item_ids), vectors.shape[1])
    return head + _strings(mutation.item_ids) + _strings(mutation.titles) + vectors.tobytes()


def decode(data: bytes) -> Mutation:
    """The mutation that `encode` wrote.

    Raises:
        ValueError: the bytes are not such a mutation.
    """
    try:
        kind, count, width = _HEAD.unpack_from(data)
        item_ids, place = _read_strings(data, _HEAD.size, count)
        if kind == _DELETE and place == len(data):
            return Delete(item_ids)
        titles, place = _read_strings(data, place, count)
        if kind == _UPSERT and len(data) - place == 4 * count * width:
            return Upsert(item_ids, titles, np.frombuffer(data, "<f4", offset=place).reshape(count, width))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"not a mutation: {error}") from error
    raise ValueError(f"not a mutation: kind {kind}, {len(data)} bytes")


def _strings(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return np.asarray([len(text) for text in encoded], "<u4").tobytes() + b"".join(encoded)


def _read_strings(data: bytes, place: int, count: int) -> tuple[tuple[str, ...], int]:
    lengths = np.frombuffer(data, "<u4", count, place)
    ends = place + 4 * count + np.cumsum(lengths, dtype=np.int64)
    stops = ends.tolist()
    starts = [place + 4 * count, *stops[:-1]]
    end = stops[-1] if stops else place
    if end > len(data):
        raise IndexError("strings end beyond the data")
    return tuple(data[start:stop].decode() for start, stop in zip(starts, stops, strict=False)), end
