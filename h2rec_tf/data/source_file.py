"""Opening input files: format by name or content, gzip and encoding, and one clear error when a file cannot be read."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import gzip
import io
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from h2rec_tf.data.containers import not_text, wide_encoding
from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, TRUNCATED_GZIP, UNREADABLE_FILE, Problem
from h2rec_tf.data.text_format import UNSAID, UTF_8, TextFormat
from h2rec_tf.errors import InputError

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
_SUFFIXES = {
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    # RecBole's atomic files.
    ".inter": TSV,
    ".item": TSV,
    ".user": TSV,
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
        text: how it is written, as far as the user says.
    """

    path: str
    format: str
    gzipped: bool
    text: TextFormat = UNSAID

    @classmethod
    def detect(cls, path: str, text: TextFormat | None = None) -> SourceFile:
        """Looks at name and first bytes.

        Args:
            path: the file.
            text: what the user says about it; None says nothing.

        Raises:
            InputError: no such file, not readable, empty, gzip that is cut off, an archive or another file that is no
                text, text of another encoding, or no delimited text though `text` describes it so.
        """
        path, text = os.fspath(path), text or UNSAID
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
        if start.startswith(_PARQUET_MAGIC):
            return cls(path, _described(path, PARQUET, text), gzipped, text)
        foreign = not_text(start)
        if foreign:
            raise Problem(path, None, "", UNREADABLE_FILE, foreign).error()
        if text.encoding == UTF_8:
            _check_utf_8(path, start, text)
            start = start.removeprefix(codecs.BOM_UTF8)
        else:
            try:
                start = codecs.getincrementaldecoder(text.encoding)("replace").decode(start).encode("utf-8")
            except UnicodeError as error:
                raise _other_encoding(path, text, error) from error
        return cls(path, _described(path, _text_format(path, start, text), text), gzipped, text)

    def open(self) -> BinaryIO:
        """The content, decompressed, as UTF-8; bytes that are not text in its encoding stay as they are."""
        file = open_bytes(self.path, self.gzipped)
        if self.format == PARQUET or self.text.encoding == UTF_8:
            return file
        return cast(BinaryIO, io.BufferedReader(_Recoded(file, self), buffer_size=1 << 16))


class _Recoded(io.RawIOBase):
    """Bytes of another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, source: SourceFile):
        self._file = file
        self._source = source
        self._decoder = codecs.getincrementaldecoder(source.text.encoding)("surrogateescape")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer as far as there is content; 0 at the end."""
        while not self._ready and not self._ended:
            block = self._file.read(1 << 20)
            self._ended = not block
            try:
                decoded = self._decoder.decode(block, final=self._ended)
                # What could not be decoded goes through as it was: the row that holds it is rejected.
                self._ready = decoded.encode("utf-8", "surrogateescape")
            except UnicodeError as error:
                raise _other_encoding(self._source.path, self._source.text, error) from error
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        """Closes the file below too."""
        self._file.close()
        super().close()


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


def _other_encoding(path: str, text: TextFormat, error: UnicodeError) -> InputError:
    message = f"the content is not {text.encoding} ({error}); name its encoding with {text.flags}encoding"
    return Problem(path, None, "", INVALID_UTF8, message).error()


def _check_utf_8(path: str, start: bytes, text: TextFormat) -> None:
    wide = wide_encoding(start)
    if wide:
        message = f"the file is {wide.upper()}, not UTF-8; pass {text.flags}encoding {wide}, or save it as UTF-8"
        raise Problem(path, 1, "", INVALID_UTF8, message).error()


def _described(path: str, format: str, text: TextFormat) -> str:
    """The format, unless the user describes a file that it cannot be."""
    if text.described and format not in (CSV, TSV):
        what = "Parquet" if format == PARQUET else "JSON Lines"
        message = (
            f"is {what}, which has no delimiter and no header; leave {text.flags}delimiter, {text.flags}columns, "
            f"{text.flags}header and {text.flags}no-header out"
        )
        raise Problem(path, None, "", UNREADABLE_FILE, message).error()
    return format


def _text_format(path: str, start: bytes, text: TextFormat) -> str:
    """The format by the name, and by the content where the name tells nothing."""
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    named = _SUFFIXES.get(next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), ""))
    if named == PARQUET:
        return PARQUET
    first_line = start.lstrip().split(b"\n", 1)[0]
    if named not in (CSV, TSV) and not text.delimiter:
        _check_json(path, first_line)
    if named in (CSV, TSV, JSONL):
        return named
    if text.delimiter:
        return CSV
    if first_line.startswith(b"{"):
        return JSONL
    return TSV if b"\t" in first_line else CSV


def _check_json(path: str, first_line: bytes) -> None:
    """Refuses what looks like JSON Lines and is not."""
    if first_line.startswith(b"["):
        message = (
            "a JSON array; write one object a line (JSON Lines: `jq -c '.[]' FILE > NEW.jsonl`), without brackets and "
            "commas around"
        )
        raise Problem(path, 1, "", MALFORMED_ROW, message).error()
    if first_line.startswith((b"{'", b"{u'", b"{ '")):
        message = (
            "Python literals, not JSON (single quotes around the names); write JSON with double quotes, as "
            "json.dumps(ast.literal_eval(line)) does for each line"
        )
        raise Problem(path, 1, "", MALFORMED_ROW, message).error()


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
