"""The one thread that does all writes, so that their order is the log's; writes that wait together go together."""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from h2rec_tf.errors import H2RecError
from serving.retrieval_service.mutations import Mutation
from serving.retrieval_service.results import Written

logger = logging.getLogger("h2rec.serving")

# What one group commit takes together: one `fsync` for all of it.
_GROUP_RECORDS, _GROUP_BYTES = 256, 16 * 2**20


class UnavailableError(H2RecError):
    """The store takes no more writes; the message says why."""


@dataclasses.dataclass(frozen=True)
class Write:
    """A write that waits: what it changes, its bytes for the log, and who waits for it."""

    mutation: Mutation
    record: bytes
    done: Future[Written] = dataclasses.field(default_factory=Future)


@dataclasses.dataclass(frozen=True)
class _Task:
    """Something else to do between two groups of writes."""

    function: Callable[[], Any]
    done: Future[Any] = dataclasses.field(default_factory=Future)


class WriteThread:
    """Runs writes, and what must not run beside them, one after the other.

    Args:
        commit: makes a group of writes and gives each one its result or error.
    """

    def __init__(self, commit: Callable[[list[Write]], None]) -> None:
        self._commit = commit
        # "" while all is well; otherwise why nothing is done any more.
        self.failure = ""
        self._waiting: collections.deque[Write | _Task] = collections.deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def write(self, mutation: Mutation, record: bytes) -> Written:
        """Has a write made and waits for it.

        Raises:
            LogWriteError: it could not be made durable.
            UnavailableError: the thread has ended or has failed.
        """
        return self._wait(Write(mutation, record))

    def call(self, function: Callable[[], Any]) -> Any:
        """Has a function called between writes; its result or error.

        Raises:
            UnavailableError: the thread has ended or has failed.
        """
        return self._wait(_Task(function))

    def close(self) -> None:
        """Ends after what waits."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _wait(self, entry: Write | _Task) -> Any:
        with self._wake:
            if self.failure or self._closing:
                raise UnavailableError(self.failure or "the service is stopping")
            self._waiting.append(entry)
            self._wake.notify()
        return entry.done.result()

    def _run(self) -> None:
        while entry := self._next():
            if isinstance(entry, _Task):
                try:
                    entry.done.set_result(entry.function())
                except Exception as error:
                    entry.done.set_exception(error)
                continue
            try:
                self._commit(entry)
            except Exception as error:
                logger.exception("a write failed in an unknown way")
                self.failure = f"the log failed ({error}); restart the service"
                for write in entry:
                    if not write.done.done():
                        write.done.set_exception(UnavailableError(self.failure))

    def _next(self) -> _Task | list[Write]:
        """What waits first: a task, or the writes before the next task; an empty list at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            group: list[Write] = []
            size = 0
            while self._waiting and len(group) < _GROUP_RECORDS and size < _GROUP_BYTES:
                entry = self._waiting[0]
                if isinstance(entry, _Task):
                    if group:
                        break
                    self._waiting.popleft()
                    return entry
                self._waiting.popleft()
                group.append(entry)
                size += len(entry.record)
            return group
