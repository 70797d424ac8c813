"""A sign on the terminal that a command is at work."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_SIGNS = "|/-\\"
_SECONDS = 0.2


@contextlib.contextmanager
def moving(text: str, *, after: float = 1.0) -> Iterator[None]:
    """Inside the block a line on stderr moves; nothing where that is not a terminal.

    For work that shows nothing itself: two that move would overwrite each other.

    Args:
        text: what the command is doing.
        after: seconds in which nothing is shown.
    """
    terminal = sys.stderr
    if not terminal.isatty():
        yield
        return
    ended = threading.Event()

    def move() -> None:
        begin = time.monotonic()
        if ended.wait(after):
            return
        turn = 0
        while not ended.is_set():
            terminal.write(f"\r{text} {_SIGNS[turn % len(_SIGNS)]} {time.monotonic() - begin:.0f} s\x1b[K")
            terminal.flush()
            turn += 1
            ended.wait(_SECONDS)
        terminal.write("\r\x1b[K")
        terminal.flush()

    thread = threading.Thread(target=move, name="moving-sign", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
