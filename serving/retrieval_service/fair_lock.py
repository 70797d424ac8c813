"""A lock that goes to whoever has waited longest."""

from __future__ import annotations

import collections
import threading


class FairLock:
    """A mutual-exclusion context manager, first come, first served.

    `threading.Lock` lets a thread that releases and takes it again in a loop keep it for as long as it likes: a writer
    that works in small steps would still hold up every reader.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: collections.deque[threading.Lock] = collections.deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        # The one before opens it and hands the lock over without ever letting go of it.
        gate.acquire()

    def __exit__(self, *unused: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
