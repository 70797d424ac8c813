"""Snapshots and rebalances that are due by themselves."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from h2rec_tf.errors import H2RecError
from h2rec_tf.index.settings import BRUTE
from serving.retrieval_service.live_index import LiveIndex, settings_for
from serving.retrieval_service.options import StoreOptions

logger = logging.getLogger("h2rec.serving")

# A catalogue near a limit between two kinds must not be built anew by every few writes.
_KIND_CHANGE_FRACTION = 0.1


class Maintained(Protocol):
    """What is looked after: an `Engine`."""

    index: LiveIndex

    @property
    def log_bytes(self) -> int:
        """Size of the log that a restart would read."""

    def snapshot(self) -> tuple[int, str]:
        """Writes all items to disk."""

    def rebalance(self) -> tuple[int, str]:
        """Builds the index anew."""


class MaintenanceThread:
    """Looks every `options.poll_seconds` whether something is due, and does it.

    Args:
        engine: whose items are looked after.
        options: when what is due.
    """

    def __init__(self, engine: Maintained, options: StoreOptions) -> None:
        self._engine = engine
        self._options = options
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends after what is running."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        engine = self._engine
        while not self._ended.wait(self._options.poll_seconds):
            try:
                if rebalance_is_due(engine.index, self._options):
                    engine.rebalance()
                    logger.info("built the index anew for %d items: %s", len(engine.index), engine.index.settings.kind)
                elif 0 < self._options.snapshot_log_bytes < engine.log_bytes:
                    sequence, path = engine.snapshot()
                    logger.info("snapshot at write %d in %s", sequence, path)
            except H2RecError as error:
                logger.error("maintenance failed, it will be tried again: %s", error)


def rebalance_is_due(index: LiveIndex, options: StoreOptions) -> bool:
    """Whether an index no longer fits the number of its items, or too many of them changed since it was built."""
    if not options.rebalance_fraction or not len(index):
        return False
    kind = settings_for(options.index, len(index)).kind
    if kind != index.settings.kind:
        return index.changed > _KIND_CHANGE_FRACTION * len(index)
    return kind != BRUTE and index.changed > options.rebalance_fraction * len(index)
