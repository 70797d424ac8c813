"""One run at a time on one root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from h2rec_tf.errors import InputError

LOCK_FILE = ".lock"


@contextlib.contextmanager
def run_lock(root: str) -> Iterator[None]:
    """Holds the root directory's lock while the block runs; the system frees it when the process ends, however it ends.

    Raises:
        InputError: another run holds it; the message names that process.
    """
    path = pathlib.Path(root) / LOCK_FILE
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise InputError(
                f"--root {root}: another run (process {file.read().strip() or 'unknown'}) is using this directory;"
                " wait for it or choose another --root"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)
