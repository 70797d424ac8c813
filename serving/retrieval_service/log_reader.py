"""Reading the write-ahead log back, and telling a write that a crash cut short from damage."""

from __future__ import annotations

import logging
import pathlib
import zlib
from collections.abc import Iterator

from h2rec_tf.errors import InputError
from serving.retrieval_service.log import FRAME_MAGIC, HEADER, LENGTH, MAGIC, segments

logger = logging.getLogger("h2rec.serving")

_RESTORE = "restore a snapshot with `h2rec retrieval restore`"


class LogReader:
    """Reads the records after a sequence number, once.

    Args:
        folder: the log's.
        after: number of the last record that is not wanted.

    Attributes:
        next_sequence: number that follows the last record read.
        resume: the segment to append to and its good bytes; None where there is none.
        place: file and offset of the frame that is being read, for messages.
    """

    def __init__(self, folder: pathlib.Path, *, after: int) -> None:
        self._folder = folder
        self.next_sequence = after + 1
        self.resume: tuple[pathlib.Path, int] | None = None
        self.place = ""

    def __iter__(self) -> Iterator[bytes]:
        """Yields the records.

        Raises:
            InputError: a file is damaged, or one is missing; the message names it and the place.
        """
        found = segments(self._folder)
        # A crash while a segment was being made leaves one without its magic word.
        if found and found[-1][1].stat().st_size < len(MAGIC):
            found.pop()
        wanted = self.next_sequence
        expected = None
        for number, (first, path) in enumerate(found):
            last = number == len(found) - 1
            if not last and found[number + 1][0] <= wanted:
                continue
            if expected is None and first > wanted:
                raise InputError(f"{path}: starts with record {first}, but record {wanted} is in no file; {_RESTORE}")
            if expected is not None and first != expected:
                raise InputError(f"{path}: starts with record {first}, expected {expected}: a log file is missing")
            expected = first
            for sequence, record in self._records(path, first, last=last):
                expected = sequence + 1
                if sequence >= wanted:
                    self.next_sequence = sequence + 1
                    yield record
        if expected is not None and expected != self.next_sequence:
            # The log ends before the snapshot that is gone on from; numbers must not have a gap inside a segment.
            self.resume = None

    def _records(self, path: pathlib.Path, expected: int, *, last: bool) -> Iterator[tuple[int, bytes]]:
        data = path.read_bytes()
        if not data.startswith(MAGIC):
            raise InputError(f"{path}: not a log file of this program (offset 0); {_RESTORE}")
        place = len(MAGIC)
        while place < len(data):
            frame = _frame(data, place)
            if frame is None:
                if not last or _good_frame_follows(data, place):
                    raise InputError(f"{path}: damaged at offset {place}: a record fails its checksum; {_RESTORE}")
                logger.warning(
                    "%s: cut off an incomplete record of %d bytes at offset %d; it was never acknowledged",
                    path, len(data) - place, place,
                )  # fmt: skip
                break
            first, payload, end = frame
            self.place = f"{path}: offset {place}"
            if first != expected:
                raise InputError(f"{path}: record {first} at offset {place}, expected {expected}; {_RESTORE}")
            for record in _split(payload, path, place):
                yield expected, record
                expected += 1
            place = end
        if last:
            self.resume = path, place


def _frame(data: bytes, place: int) -> tuple[int, bytes, int] | None:
    """First sequence, payload and end of the frame at `place`; None where there is no whole, good one."""
    if len(data) - place < HEADER.size:
        return None
    magic, length, first, payload_crc, header_crc = HEADER.unpack_from(data, place)
    start = place + HEADER.size
    if magic != FRAME_MAGIC or zlib.crc32(data[place : start - 4]) != header_crc or start + length > len(data):
        return None
    payload = data[start : start + length]
    return (first, payload, start + length) if zlib.crc32(payload) == payload_crc else None


def _good_frame_follows(data: bytes, place: int) -> bool:
    magic = LENGTH.pack(FRAME_MAGIC)
    while (place := data.find(magic, place + 1)) >= 0:
        if _frame(data, place):
            return True
    return False


def _split(payload: bytes, path: pathlib.Path, offset: int) -> Iterator[bytes]:
    place = 0
    while place < len(payload):
        (length,) = LENGTH.unpack_from(payload, place)
        place += LENGTH.size
        if place + length > len(payload):
            raise InputError(f"{path}: damaged at offset {offset}: record lengths do not add up; {_RESTORE}")
        yield payload[place : place + length]
        place += length
