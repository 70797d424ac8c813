"""Items that can be searched and changed, and that survive the end of the process at any moment."""

from __future__ import annotations

import collections
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from h2rec_tf.errors import H2RecError
from h2rec_tf.index.settings import BRUTE
from serving.retrieval_service import mutations
from serving.retrieval_service.live_index import LiveIndex, settings_for
from serving.retrieval_service.log import FULL, LogWriteError
from serving.retrieval_service.mutations import Mutation
from serving.retrieval_service.options import StoreOptions
from serving.retrieval_service.results import Status, Written
from serving.retrieval_service.rows import FrozenRows
from serving.retrieval_service.snapshot import load_snapshot, snapshots, write_snapshot
from serving.retrieval_service.store import Store

logger = logging.getLogger("h2rec.serving")

# What one group commit takes together: one `fsync` for all of it.
_GROUP_RECORDS, _GROUP_BYTES = 256, 16 * 2**20
# Rounds of catching up with writes before they are held for the last of it.
_CATCH_UP_ROUNDS = 5
# A catalogue near a limit between two kinds must not be built anew by every few writes.
_KIND_CHANGE_FRACTION = 0.1


# A write that waits: what it changes, and its bytes for the log.
_Entry = tuple[Mutation, bytes]


class UnavailableError(H2RecError):
    """The store takes no more writes; the message says why."""


class Engine:
    """Log, snapshots and index of a store. Safe for threads.

    A write is in the log and on the disk before it is in the index, and in the index before it is acknowledged. One
    thread does all writes, so their order is the log's; writes that arrive together share one `fsync`.

    Args:
        store: the data folder; the engine closes it.
        options: how items are kept.

    Raises:
        InputError: a file is damaged.
    """

    def __init__(self, store: Store, options: StoreOptions) -> None:
        self._store = store
        self._options = options
        began = time.perf_counter()
        rows, self._log, self._snapshot_sequence = store.recover()
        self.index = LiveIndex(rows, options.index)
        self._sequence = self._log.next_sequence - 1
        logger.info(
            "recovered %d items at write %d in %.1f s (snapshot at %d)",
            len(rows), self._sequence, time.perf_counter() - began, self._snapshot_sequence,
        )  # fmt: skip
        # "" while all is well; otherwise why nothing is answered any more.
        self.failure = ""
        self._waiting: collections.deque[tuple[Any, Future[Any]]] = collections.deque()
        self._wake = threading.Condition()
        self._closing = False
        # Writes since a new index was begun, for it to catch up with; None while there is none.
        self._missed: list[Mutation] | None = None
        self._maintenance = threading.Lock()
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_loop, name="commit", daemon=True)
        self._writer.start()
        self._keeper = threading.Thread(target=self._keep, name="maintenance", daemon=True)
        self._keeper.start()

    def write(self, mutation: Mutation) -> Written:
        """Makes a change; when this returns it is durable and searched.

        Raises:
            LogWriteError: it could not be made durable and has not been made.
            UnavailableError: the store is closed or has failed.
        """
        return self._do((mutation, mutations.encode(mutation)))

    def snapshot(self) -> tuple[int, str]:
        """Writes all items to disk and drops the log that they make superfluous; searches and writes go on.

        Returns:
            The number of the last write in it, and its folder.

        Raises:
            LogWriteError: the disk is full or failed; the snapshots and the log are as they were.
        """
        with self._maintenance:
            return self._snapshot()

    def rebalance(self) -> tuple[int, str]:
        """Builds the index anew for the items that are there now and has it take over; searches and writes go on.

        Takes a snapshot on the way, whose values are returned.

        Raises:
            LogWriteError: as `snapshot`.
        """
        with self._maintenance:
            try:
                # Reads the snapshot back: what is built from is what would be recovered, and lies in the page cache.
                sequence, path = self._snapshot(record=True)
                fresh = LiveIndex(load_snapshot(self._store.snapshot_folder / f"{sequence:020d}"), self._options.index)
                for _ in range(_CATCH_UP_ROUNDS):
                    if not (missed := self._do(self._take_missed)):
                        break
                    for mutation in missed:
                        fresh.apply(mutation)
                self._do(lambda: self._take_over(fresh))
            finally:
                self._missed = None
            return sequence, path

    def status(self) -> Status:
        """What there is now."""
        index = self.index
        return Status(
            items=len(index),
            width=self._store.width,
            sequence=self._sequence,
            snapshot_sequence=self._snapshot_sequence,
            log_bytes=self._log.size_bytes,
            kind=index.settings.kind,
            changed=index.changed,
            model_version=self._store.model_version,
        )

    def close(self) -> None:
        """Ends after the writes that wait; what was acknowledged is on disk already."""
        self._ended.set()
        self._keeper.join()
        with self._maintenance, self._wake:
            self._closing = True
            self._wake.notify()
        self._writer.join()
        self._log.close()
        self._store.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _do(self, task: _Entry | Callable[[], Any]) -> Any:
        """Has the writing thread do something; its result or error."""
        future: Future[Any] = Future()
        with self._wake:
            if self.failure or self._closing:
                raise UnavailableError(self.failure or "the service is stopping")
            self._waiting.append((task, future))
            self._wake.notify()
        return future.result()

    def _write_loop(self) -> None:
        while group := self._next_group():
            if isinstance(group[0][0], tuple):
                try:
                    self._commit(group)
                except Exception as error:
                    logger.exception("a write failed in an unknown way")
                    self.failure = f"the log failed ({error}); restart the service"
                    for _, waiting in group:
                        if not waiting.done():
                            waiting.set_exception(UnavailableError(self.failure))
                continue
            task, future = group[0]
            try:
                future.set_result(task())
            except Exception as error:
                future.set_exception(error)

    def _next_group(self) -> list[tuple[Any, Future[Any]]]:
        """What waits, in order: writes together, anything else alone; empty at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            group: list[tuple[Any, Future[Any]]] = []
            size = 0
            while self._waiting and len(group) < _GROUP_RECORDS and size < _GROUP_BYTES:
                task = self._waiting[0][0]
                if group and not isinstance(task, tuple):
                    break
                group.append(self._waiting.popleft())
                if not isinstance(task, tuple):
                    break
                size += len(task[1])
            return group

    def _commit(self, group: list[tuple[_Entry, Future[Written]]]) -> None:
        try:
            first = self._log.append([record for (_, record), _ in group])
        except LogWriteError as error:
            for _, future in group:
                future.set_exception(LogWriteError(str(error), full=error.full))
            return
        for number, ((mutation, _), future) in enumerate(group):
            try:
                if self.failure:
                    raise UnavailableError(self.failure)
                existed = self.index.apply(mutation)
            except Exception as error:
                # The log is right and the index may be half-way: only reading the log again mends that.
                if not self.failure:
                    logger.exception("the index did not take a write that is in the log")
                    self.failure = f"the index failed ({error}); restart the service, the log has every write"
                future.set_exception(UnavailableError(self.failure))
                continue
            if self._missed is not None:
                self._missed.append(mutation)
            self._sequence = first + number
            future.set_result(Written(first + number, existed))

    def _snapshot(self, *, record: bool = False) -> tuple[int, str]:
        """As `snapshot`; from its moment on writes are also kept in `_missed` if `record`."""
        index = self.index

        def begin() -> tuple[int, FrozenRows]:
            sequence = self._log.rotate()
            self._missed = [] if record else None
            with index.lock:
                return sequence, index.rows.freeze()

        sequence, frozen = self._do(begin)
        folder = self._store.snapshot_folder
        path = folder / f"{sequence:020d}"
        try:
            if not path.exists():
                write_snapshot(
                    folder,
                    sequence=sequence,
                    width=self._store.width,
                    model_version=self._store.model_version,
                    item_ids=frozen.item_ids,
                    titles=frozen.titles,
                    chunks=_locked(index, frozen.chunks()),
                )
        except OSError as error:
            full = error.errno in FULL
            raise LogWriteError(f"{path}: cannot write the snapshot: {error.strerror}", full=full) from error
        finally:
            with index.lock:
                index.rows.thaw()
        self._snapshot_sequence = sequence
        self._log.remove_through(sequence)
        for _, old in snapshots(folder)[: -self._options.keep_snapshots]:
            shutil.rmtree(old, ignore_errors=True)
        return sequence, str(path)

    def _take_missed(self) -> list[Mutation]:
        missed, self._missed = self._missed or [], []
        return missed

    def _take_over(self, fresh: LiveIndex) -> None:
        for mutation in self._take_missed():
            fresh.apply(mutation)
        self.index = fresh

    def _keep(self) -> None:
        """Snapshots and rebalances when they are due."""
        while not self._ended.wait(self._options.poll_seconds):
            try:
                if self._rebalance_is_due():
                    self.rebalance()
                    logger.info("built the index anew for %d items: %s", len(self.index), self.index.settings.kind)
                elif 0 < self._options.snapshot_log_bytes < self._log.size_bytes:
                    sequence, path = self.snapshot()
                    logger.info("snapshot at write %d in %s", sequence, path)
            except H2RecError as error:
                logger.error("maintenance failed, it will be tried again: %s", error)

    def _rebalance_is_due(self) -> bool:
        fraction = self._options.rebalance_fraction
        index = self.index
        if not fraction or not len(index):
            return False
        kind = settings_for(self._options.index, len(index)).kind
        if kind != index.settings.kind:
            return index.changed > _KIND_CHANGE_FRACTION * len(index)
        return kind != BRUTE and index.changed > fraction * len(index)


def _locked(index: LiveIndex, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Draws each chunk under the index's lock and hands it on without it."""
    while True:
        with index.lock:
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
