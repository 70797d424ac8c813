"""One JSON line a request. Without user histories, unless the operator asks for them."""

from __future__ import annotations

import datetime
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from h2rec_tf.errors import InputError
from h2rec_tf.printable import printable_json

# Longer inputs are cut in the log.
_MOST_VALUES = 1000


class AccessLog:
    """Writes to a file, or stderr for "-".

    Args:
        path: the file, which is appended to; "-" for stderr.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._file: TextIO = sys.stderr
        self._owned = path != "-"
        if self._owned:
            try:
                self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
            except OSError as error:
                raise InputError(f"--access-log {path}: cannot be written ({error.strerror})") from error

    def write(self, fields: Mapping[str, Any]) -> None:
        """Writes one line: the time, then the fields that are not None."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now, **{name: value for name, value in fields.items() if value is not None}}
        text = printable_json(line) + "\n"
        with self._lock:
            try:
                self._file.write(text)
            except (OSError, ValueError):
                # A full disk or a closed pipe must not fail the requests.
                return

    def close(self) -> None:
        """Closes the file."""
        if self._owned:
            self._file.close()


def loggable(array: np.ndarray) -> Any:
    """An input as JSON can hold it; bytes that are not UTF-8 are replaced."""
    flat = array.ravel()[:_MOST_VALUES]
    values = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in flat.tolist()]
    return {"shape": list(array.shape), "values": values}
