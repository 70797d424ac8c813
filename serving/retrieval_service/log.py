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
from collections.abc import Sequence

from h2rec_tf.errors import H2RecError, InputError

logger = logging.getLogger("h2rec.serving")

# Errors that more space mends (the last one: a limit on the size of a file).
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SUFFIX = ".log"
MAGIC = b"H2RecLog1\n"
FRAME_MAGIC = 0x57324852
HEADER = struct.Struct("<IIQII")
LENGTH = struct.Struct("<I")


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
        payload = b"".join(part for record in records for part in (LENGTH.pack(len(record)), record))
        first = self.next_sequence
        head = HEADER.pack(FRAME_MAGIC, len(payload), first, zlib.crc32(payload), 0)[:-4]
        frame = head + LENGTH.pack(zlib.crc32(head)) + payload
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
        if self._end > len(MAGIC):
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
            _write(file, MAGIC)
            os.fsync(file)
            sync_folder(self.folder)
        except OSError:
            os.close(file)
            # A last segment without its magic word holds nothing and reads as such, should this fail too.
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path, file, len(MAGIC)

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


def sync_folder(folder: pathlib.Path) -> None:
    """Makes made, renamed and removed names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
