"""Opening input files: format by name or content, gzip by content, and one clear error when a file cannot be read."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO, TextIO, cast

from h2rec_tf.data.problems import EMPTY_FILE, TRUNCATED_GZIP, UNREADABLE_FILE, Problem

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
_SUFFIXES = {
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """An existing, non-empty input file.

    Attributes:
        path: as the user gave it.
        format: `csv`, `tsv`, `jsonl` or `parquet`.
        gzipped: its content is gzip.
    """

    path: str
    format: str
    gzipped: bool

    @classmethod
    def detect(cls, path: str) -> SourceFile:
        """Looks at name and first bytes.

        Raises:
            InputError: no such file, not readable, empty, or gzip that is cut off.
        """
        path = os.fspath(path)
        if os.path.isdir(path):
            raise Problem(path, None, "", UNREADABLE_FILE, "is a directory; give one file").error()
        with reading(path):
            with open(path, "rb") as file:
                start = file.read(4)
            gzipped = start.startswith(_GZIP_MAGIC)
            with open_bytes(path, gzipped) as file:
                start = file.read(1 << 16)
        if not start.strip():
            raise Problem(path, None, "", EMPTY_FILE, "the file is empty").error()
        return cls(path, _format(path, start), gzipped)

    def open(self) -> BinaryIO:
        """The content, decompressed."""
        return open_bytes(self.path, self.gzipped)

    def read_through(self) -> None:
        """Reads everything and keeps nothing: raises what there is to raise."""
        with self.open() as file:
            while file.read(1 << 20):
                pass

    def open_text(self) -> TextIO:
        """The content as text without a byte order mark; bytes that are not UTF-8 become lone surrogates."""
        return io.TextIOWrapper(self.open(), encoding="utf-8-sig", errors="surrogateescape", newline="")


def open_bytes(path: str, gzipped: bool) -> BinaryIO:
    """Opens a file for reading bytes, through gzip if asked."""
    return cast(BinaryIO, gzip.open(path, "rb")) if gzipped else open(path, "rb")


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what the operating system and gzip raise into an InputError that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise Problem(path, None, "", UNREADABLE_FILE, "no such file; check the path").error() from error
    except EOFError as error:
        rows = _whole_lines(path)
        message = f"the gzip stream ends early, after {rows:,} whole lines; copy or compress the file again"
        raise Problem(path, rows + 1, "", TRUNCATED_GZIP, message).error() from error
    except (gzip.BadGzipFile, zlib.error) as error:
        message = f"damaged gzip ({error}); copy or compress the file again"
        raise Problem(path, None, "", TRUNCATED_GZIP, message).error() from error
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise Problem(path, None, "", UNREADABLE_FILE, message).error() from error


def _format(path: str, start: bytes) -> str:
    if start.startswith(_PARQUET_MAGIC):
        return PARQUET
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    named = _SUFFIXES.get(next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), ""))
    if named:
        return named
    first_line = start.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
    if first_line.startswith(b"{"):
        return JSONL
    return TSV if b"\t" in first_line else CSV


def _whole_lines(path: str) -> int:
    """Lines that a cut gzip file still yields."""
    lines = 0
    member = zlib.decompressobj(wbits=31)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            while block:
                lines += member.decompress(block).count(b"\n")
                block = member.unused_data
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
    return lines
