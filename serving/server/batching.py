"""Requests that arrive while the model is busy share its next call."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import math
import time
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from serving.server.errors import RequestError
from serving.server.options import Batching
from serving.server.signature import Feeds
from serving.server.workers import Workers

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False)
class _Task:
    feeds: Feeds
    deadline: float
    arrived: float
    done: asyncio.Future[Outputs]


class Batcher:
    """Runs one signature for many requests. Lives in one event loop; the calls themselves run in `workers`.

    A request that finds nothing running starts a call at once, so an idle server adds no wait. Otherwise it
    queues, and a call that ends is followed at once by one with what has queued: the busier the server, the larger its
    calls. Requests share a call if their `Feeds.key` is equal.

    Args:
        run: feeds, in the signature's order, -> outputs by name.
        options: sizes and times.
        workers: threads for the calls.
        observe: told the number of requests and of rows of each call.
    """

    def __init__(
        self,
        run: Callable[[Sequence[np.ndarray]], Outputs],
        options: Batching,
        workers: Workers,
        observe: Callable[[int, int], None] = lambda requests, rows: None,
    ) -> None:
        self._run = run
        self._options = options
        self._workers = workers
        self._observe = observe
        self._queue: collections.deque[_Task] = collections.deque()
        self._running = 0
        self._alarm: asyncio.TimerHandle | None = None

    async def __call__(self, feeds: Feeds, deadline: float = math.inf) -> Outputs:
        """Outputs for one request.

        Args:
            feeds: what the request feeds.
            deadline: `time.monotonic()` after which nobody waits for the answer any more.

        Raises:
            RequestError: the model refused the input (its own code), too many requests wait (UNAVAILABLE), or the
                deadline passed (DEADLINE_EXCEEDED).
        """
        if len(self._queue) >= self._options.max_queued:
            raise RequestError.unavailable(f"{self._options.max_queued} requests wait already; try again later")
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        if now >= deadline:
            raise RequestError.deadline()
        task = _Task(feeds, deadline, now, loop.create_future())
        self._queue.append(task)
        self._dispatch(now)
        alarm = loop.call_later(deadline - now, _expire, task) if deadline < math.inf else None
        try:
            return await task.done
        except BaseException:
            # What nobody waits for any more must not hold its memory until its turn comes.
            if task in self._queue:
                self._queue.remove(task)
            raise
        finally:
            if alarm:
                alarm.cancel()

    def _dispatch(self, now: float) -> None:
        while self._queue and self._running < self._options.parallel:
            if self._queue[0].done.done():
                # Its caller went away.
                self._queue.popleft()
                continue
            wait = self._queue[0].arrived + self._options.timeout_seconds - now
            if self._running and wait > 0 and len(self._queue) < self._options.max_rows:
                self._wake_in(wait)
                return
            batch = self._next()
            self._running += 1
            self._workers.put(self._call, asyncio.get_running_loop(), batch)

    def _wake_in(self, seconds: float) -> None:
        def wake() -> None:
            self._alarm = None
            self._dispatch(time.monotonic())

        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, wake)

    def _next(self) -> list[_Task]:
        """The first in the queue and, in their order, those that may share its call and fit in."""
        batch = [self._queue.popleft()]
        key, rows, size = batch[0].feeds.key, batch[0].feeds.rows, batch[0].feeds.bytes
        if key is None or not self._options.enabled:
            return batch
        others = [task for task in self._queue if not task.done.done()]
        self._queue.clear()
        for task in others:
            fits = (
                rows + task.feeds.rows <= self._options.max_rows and size + task.feeds.bytes <= self._options.max_bytes
            )
            if fits and _equal(task.feeds.key, key):
                batch.append(task)
                rows += task.feeds.rows
                size += task.feeds.bytes
            else:
                self._queue.append(task)
        return batch

    def _call(self, loop: asyncio.AbstractEventLoop, batch: list[_Task]) -> None:
        try:
            answers = self._answers(batch)
        except Exception as error:
            answers = [error] * len(batch)
        try:
            loop.call_soon_threadsafe(self._finish, batch, answers)
        except RuntimeError:
            # The loop ended at the end of the grace time: nobody waits any more.
            return

    def _answers(self, batch: list[_Task]) -> list[Outputs | BaseException]:
        self._observe(len(batch), sum(task.feeds.rows for task in batch))
        if len(batch) > 1:
            try:
                return list(split(self._run(merge([task.feeds for task in batch])), [task.feeds for task in batch]))
            except Exception:
                # One request's fault, or the model cannot take them together; each gets its own answer below.
                pass
        answers: list[Outputs | BaseException] = []
        for task in batch:
            try:
                answers.append(self._run(task.feeds.arrays))
            except Exception as error:
                answers.append(error)
        return answers

    def _finish(self, batch: list[_Task], answers: list[Outputs | BaseException]) -> None:
        self._running -= 1
        for task, answer in zip(batch, answers, strict=True):
            if task.done.done():
                continue
            if isinstance(answer, BaseException):
                task.done.set_exception(answer)
            else:
                task.done.set_result(answer)
        self._dispatch(time.monotonic())


def merge(requests: Sequence[Feeds]) -> list[np.ndarray]:
    """Feeds of one call for requests of equal keys.

    Matrices of strings are brought to one width by "" on the left, where it leaves the last item in its place.
    """
    first = requests[0]
    merged = []
    for place, array in enumerate(first.arrays):
        if place not in first.row_wise:
            merged.append(array)
            continue
        arrays = [request.arrays[place] for request in requests]
        if len({array.shape[1:] for array in arrays}) > 1:
            width = max(array.shape[1] for array in arrays)
            padded = np.full((sum(map(len, arrays)), width), b"", object)
            start = 0
            for array in arrays:
                padded[start : start + len(array), width - array.shape[1] :] = array
                start += len(array)
            merged.append(padded)
        else:
            merged.append(np.concatenate(arrays))
    return merged


def split(outputs: Outputs, requests: Sequence[Feeds]) -> list[Outputs]:
    """The outputs of each request of a shared call.

    Raises:
        RequestError: an output does not have the rows of the call, so nobody can tell whose they are.
    """
    rows = sum(request.rows for request in requests)
    if any(array.ndim == 0 or len(array) != rows for array in outputs.values()):
        raise RequestError.failed_precondition("an output of the signature does not have the rows of its inputs")
    parts = []
    start = 0
    for request in requests:
        parts.append({alias: array[start : start + request.rows] for alias, array in outputs.items()})
        start += request.rows
    return parts


def _expire(task: _Task) -> None:
    if not task.done.done():
        task.done.set_exception(RequestError.deadline())


def _equal(one: Hashable, other: Hashable) -> bool:
    return one is not None and one == other
