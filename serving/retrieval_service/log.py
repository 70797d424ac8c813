"""The write-ahead log: what is in it has been promised to a caller.

A log is a folder of segments, files named by the sequence number of their first record. A segment is a magic word and
frames; a frame holds the records of one group commit:

    magic u32 | payload bytes u32 | first sequence u64 | CRC-32 of payload u32 | CRC-32 of the header so far u32
    payload: for each record its length u32 and its bytes

One frame is one `write` and one `fsync`, and the next frame is written only after that. So a crash leaves at most the
last frame of the last segment incomplete, and nothing in it was acknowledged: it is cut off. A bad frame with a good
one behind it is damage, and the log refuses to be read.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import pathlib
import struct
import zlib
from collections.abc import Iterator, Sequence

from h2rec_tf.errors import H2RecError, InputError

logger = logging.getLogger("h2rec.serving")

# Errors that more space mends (the last one: a limit on the size of a file).
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SUFFIX = ".log"
_MAGIC = b"H2RecLog1\n"
_FRAME_MAGIC = 0x57324852
_HEADER = struct.Struct("<IIQII")
_LENGTH = struct.Struct("<I")


class LogWriteError(H2RecError):
    """A record could not be made durable; the log is as it was before.

    Args:
        message: one line.
        full: the disk or a quota is full.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class WriteAheadLog:
    """Appends records; one thread at a time.

    Args:
        folder: made if absent.
        next_sequence: number of the next record.
        resume: a segment whose last record comes right before that one, and the size of its good part; anything behind
            it is cut off. None starts a new segment.
        segment_bytes: a segment that has grown to this size is followed by a new one.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        next_sequence: int,
        resume: tuple[pathlib.Path, int] | None = None,
        segment_bytes: int = 64 * 2**20,
    ) -> None:
        self.folder = folder
        self.next_sequence = next_sequence
        self._segment_bytes = segment_bytes
        self._broken = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if resume is None:
                self._path, self._file, self._end = self._create(next_sequence)
            else:
                self._path, self._end = resume
                self._file = os.open(self._path, os.O_RDWR)
                os.ftruncate(self._file, self._end)
                os.lseek(self._file, self._end, os.SEEK_SET)
                os.fsync(self._file)
            for _, path in segments(folder):
                if path > self._path:
                    # Its making was cut short: it holds nothing.
                    path.unlink()
        except OSError as error:
            raise InputError(f"{folder}: cannot write the log: {error.strerror}") from error

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        total = 0
        for _, path in segments(self.folder):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def append(self, records: Sequence[bytes]) -> int:
        """Makes records durable, all or none.

        Returns:
            The sequence number of the first.

        Raises:
            LogWriteError: they are not in the log; a later call may work.
        """
        if self._end > self._segment_bytes:
            self.rotate()
        if self._broken:
            raise LogWriteError(self._broken)
        payload = b"".join(part for record in records for part in (_LENGTH.pack(len(record)), record))
        first = self.next_sequence
        head = _HEADER.pack(_FRAME_MAGIC, len(payload), first, zlib.crc32(payload), 0)[:-4]
        frame = head + _LENGTH.pack(zlib.crc32(head)) + payload
        try:
            _write(self._file, frame)
            os.fsync(self._file)
        except OSError as error:
            self._undo()
            full = error.errno in FULL
            remedy = "free some space" if full else "look at the disk"
            raise LogWriteError(f"{self._path}: cannot write the log: {error.strerror}; {remedy}", full=full) from error
        self._end += len(frame)
        self.next_sequence += len(records)
        return first

    def rotate(self) -> int:
        """Starts a new segment, so that the ones before it can be removed once a snapshot covers them.

        Returns:
            The sequence number of the last record before it.

        Raises:
            LogWriteError: the segment cannot be made; the log goes on in the old one.
        """
        if self._broken:
            raise LogWriteError(self._broken)
        if self._end > len(_MAGIC):
            try:
                path, file, end = self._create(self.next_sequence)
            except OSError as error:
                full = error.errno in FULL
                raise LogWriteError(f"{self.folder}: cannot start a log file: {error.strerror}", full=full) from error
            os.close(self._file)
            self._path, self._file, self._end = path, file, end
        return self.next_sequence - 1

    def remove_through(self, sequence: int) -> None:
        """Removes segments whose records all have numbers up to `sequence`."""
        found = segments(self.folder)
        for (_, path), (following, _) in itertools.pairwise(found):
            if following <= sequence + 1:
                path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def close(self) -> None:
        """Closes the file; everything in it is durable already."""
        os.close(self._file)
        self._broken = "the log is closed"

    def _create(self, first: int) -> tuple[pathlib.Path, int, int]:
        path = self.folder / f"{first:020d}{SUFFIX}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write(file, _MAGIC)
            os.fsync(file)
            sync_folder(self.folder)
        except OSError:
            os.close(file)
            # A last segment without its magic word holds nothing and reads as such, should this fail too.
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path, file, len(_MAGIC)

    def _undo(self) -> None:
        """After a failed append: the frame must not turn up at the next start."""
        try:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            os.fsync(self._file)
        except OSError as error:
            # What the disk holds is unknown now, and only reading it again can tell.
            self._broken = (
                f"{self._path}: the log failed ({error.strerror}) and takes no more writes; restart the service"
            )
            logger.error(self._broken)


def segments(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """First sequence number and path of each segment, in order."""
    names = [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit()]
    return sorted((int(path.stem), path) for path in names)


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
        if found and found[-1][1].stat().st_size < len(_MAGIC):
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
        if not data.startswith(_MAGIC):
            raise InputError(f"{path}: not a log file of this program (offset 0); {_RESTORE}")
        place = len(_MAGIC)
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


_RESTORE = "restore a snapshot with `h2rec retrieval restore`"


def sync_folder(folder: pathlib.Path) -> None:
    """Makes made, renamed and removed names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _frame(data: bytes, place: int) -> tuple[int, bytes, int] | None:
    """First sequence, payload and end of the frame at `place`; None where there is no whole, good one."""
    if len(data) - place < _HEADER.size:
        return None
    magic, length, first, payload_crc, header_crc = _HEADER.unpack_from(data, place)
    start = place + _HEADER.size
    if magic != _FRAME_MAGIC or zlib.crc32(data[place : start - 4]) != header_crc or start + length > len(data):
        return None
    payload = data[start : start + length]
    return (first, payload, start + length) if zlib.crc32(payload) == payload_crc else None


def _good_frame_follows(data: bytes, place: int) -> bool:
    magic = _LENGTH.pack(_FRAME_MAGIC)
    while (place := data.find(magic, place + 1)) >= 0:
        if _frame(data, place):
            return True
    return False


def _split(payload: bytes, path: pathlib.Path, offset: int) -> Iterator[bytes]:
    place = 0
    while place < len(payload):
        (length,) = _LENGTH.unpack_from(payload, place)
        place += _LENGTH.size
        if place + length > len(payload):
            raise InputError(f"{path}: damaged at offset {offset}: record lengths do not add up; {_RESTORE}")
        yield payload[place : place + length]
        place += length


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
