"""Signs on the terminal that there is work going on."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

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


@contextlib.contextmanager
def ticking(bar: tqdm, *, seconds: float = 1.0) -> Iterator[None]:
    """Inside the block a bar's clock runs on while no step is done, as when the first one is traced.

    Args:
        bar: may be disabled; then nothing is shown.
        seconds: between two looks of the bar.
    """
    if bar.disable:
        yield
        return
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(seconds):
            bar.refresh()

    thread = threading.Thread(target=tick, name="ticking-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
