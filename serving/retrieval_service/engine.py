"""Items that can be searched and changed, and that survive the end of the process at any moment."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterator

import numpy as np

from serving.retrieval_service import mutations
from serving.retrieval_service.live_index import LiveIndex
from serving.retrieval_service.log import FULL, LogWriteError
from serving.retrieval_service.maintenance import MaintenanceThread
from serving.retrieval_service.mutations import Mutation
from serving.retrieval_service.options import StoreOptions
from serving.retrieval_service.results import Status, Written
from serving.retrieval_service.rows import FrozenRows
from serving.retrieval_service.snapshot import load_snapshot, snapshots, write_snapshot
from serving.retrieval_service.store import Store
from serving.retrieval_service.write_thread import UnavailableError, Write, WriteThread

logger = logging.getLogger("h2rec.serving")

# Rounds of catching up with writes before they are held for the last of it.
_CATCH_UP_ROUNDS = 5


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
        # Writes since a new index was begun, for it to catch up with; None while there is none.
        self._missed: list[Mutation] | None = None
        # Held by a snapshot or a rebalance; they take minutes and must not run beside each other.
        self._rebuilding = threading.Lock()
        self._writes = WriteThread(self._commit)
        self._maintenance = MaintenanceThread(self, options)

    @property
    def failure(self) -> str:
        """Why nothing is answered any more; "" while all is well."""
        return self._writes.failure

    @property
    def log_bytes(self) -> int:
        """Size of the log that a restart would read."""
        return self._log.size_bytes

    def write(self, mutation: Mutation) -> Written:
        """Makes a change; when this returns it is durable and searched.

        Raises:
            LogWriteError: it could not be made durable and has not been made.
            UnavailableError: the store is closed or has failed.
        """
        return self._writes.write(mutation, mutations.encode(mutation))

    def snapshot(self) -> tuple[int, str]:
        """Writes all items to disk and drops the log that they make superfluous; searches and writes go on.

        Returns:
            The number of the last write in it, and its folder.

        Raises:
            LogWriteError: the disk is full or failed; the snapshots and the log are as they were.
        """
        with self._rebuilding:
            return self._snapshot()

    def rebalance(self) -> tuple[int, str]:
        """Builds the index anew for the items that are there now and has it take over; searches and writes go on.

        Takes a snapshot on the way, whose values are returned.

        Raises:
            LogWriteError: as `snapshot`.
        """
        with self._rebuilding:
            try:
                # Reads the snapshot back: what is built from is what would be recovered, and lies in the page cache.
                sequence, path = self._snapshot(record=True)
                fresh = LiveIndex(load_snapshot(self._store.snapshot_folder / f"{sequence:020d}"), self._options.index)
                for _ in range(_CATCH_UP_ROUNDS):
                    if not (missed := self._writes.call(self._take_missed)):
                        break
                    for mutation in missed:
                        fresh.apply(mutation)
                self._writes.call(lambda: self._take_over(fresh))
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
            log_bytes=self.log_bytes,
            kind=index.settings.kind,
            changed=index.changed,
            model_version=self._store.model_version,
        )

    def close(self) -> None:
        """Ends after the writes that wait; what was acknowledged is on disk already."""
        self._maintenance.close()
        with self._rebuilding:
            self._writes.close()
        self._log.close()
        self._store.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _commit(self, group: list[Write]) -> None:
        try:
            first = self._log.append([write.record for write in group])
        except LogWriteError as error:
            for write in group:
                write.done.set_exception(LogWriteError(str(error), full=error.full))
            return
        for sequence, write in enumerate(group, start=first):
            try:
                if self.failure:
                    raise UnavailableError(self.failure)
                existed = self.index.apply(write.mutation)
            except Exception as error:
                # The log is right and the index may be half-way: only reading the log again mends that.
                if not self.failure:
                    logger.exception("the index did not take a write that is in the log")
                    self._writes.failure = f"the index failed ({error}); restart the service, the log has every write"
                write.done.set_exception(UnavailableError(self.failure))
                continue
            if self._missed is not None:
                self._missed.append(write.mutation)
            self._sequence = sequence
            write.done.set_result(Written(sequence, existed))

    def _snapshot(self, *, record: bool = False) -> tuple[int, str]:
        """As `snapshot`; from its moment on writes are also kept in `_missed` if `record`."""
        index = self.index

        def begin() -> tuple[int, FrozenRows]:
            sequence = self._log.rotate()
            self._missed = [] if record else None
            with index.lock:
                return sequence, index.rows.freeze()

        sequence, frozen = self._writes.call(begin)
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


def _locked(index: LiveIndex, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Draws each chunk under the index's lock and hands it on without it."""
    while True:
        with index.lock:
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
