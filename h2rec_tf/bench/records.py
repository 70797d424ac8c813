"""The results file: one JSON line a finished run, appended, read back whatever a kill left at its end."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from h2rec_tf.errors import InputError

Record = dict[str, Any]


def run_key(record: Record) -> tuple[str, str, int]:
    """What makes two runs the same: configuration hash, data hash, seed."""
    return record["config_hash"], record["data_hash"], record["seed"]


def read_records(path: str | pathlib.Path) -> list[Record]:
    """All records, oldest first; a missing file has none. A torn last line is passed over.

    Raises:
        InputError: another line is not a record.
    """
    file = pathlib.Path(path)
    if not file.exists():
        return []
    *lines, rest = file.read_text(encoding="utf-8", errors="replace").split("\n")
    if _is_record(rest):
        lines.append(rest)
    for number, line in enumerate(lines, 1):
        if line.strip() and not _is_record(line):
            raise InputError(f"{path}:{number}: not a result of `h2rec bench quality`; remove the line")
    return [json.loads(line) for line in lines if line.strip()]


def append_record(path: str | pathlib.Path, record: Record) -> None:
    """Appends one line and has it on disk when it returns; a torn last line is cut off first.

    Raises:
        InputError: the file cannot be written.
    """
    file = pathlib.Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "ab+") as stream:
            _mend_last_line(stream)
            stream.write((json.dumps(record, allow_nan=False) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror or error}; choose another --output") from error


def _is_record(line: str) -> bool:
    try:
        run_key(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return False
    return True


def _mend_last_line(stream: Any) -> None:
    """Ends a whole last line with a line break, and cuts a torn one off."""
    stream.seek(0)
    content = stream.read()
    _, _, rest = content.rpartition(b"\n")
    if _is_record(rest.decode("utf-8", "replace")):
        stream.write(b"\n")
    elif rest:
        stream.truncate(len(content) - len(rest))
