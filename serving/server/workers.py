"""Threads that calls are handed to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class Workers:
    """Runs functions in threads, first come, first served.

    Hands nothing back: a function that has a result says so itself. Every request goes this way and back, and an
    executor would put two futures on it.

    Args:
        number: of threads.
        name: of the threads, for who looks at the process.
    """

    def __init__(self, number: int, name: str) -> None:
        self._queue: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{place}", daemon=True) for place in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, function: Callable[..., None], *arguments: Any) -> None:
        """Has a thread call a function, which must not raise."""
        self._queue.put((function, arguments))

    def close(self) -> None:
        """Ends the threads after all that was put."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while task := self._queue.get():
            function, arguments = task
            function(*arguments)
            # What the request held must not live until the next one comes.
            del task, function, arguments
