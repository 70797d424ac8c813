"""Which version of a model answers: the newest that loads. Versions are swapped while requests run."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import tensorflow as tf

from h2rec_tf.errors import H2RecError, InputError
from serving.server.errors import RequestError, one_line
from serving.server.servable import Servable
from serving.server.versions import Fingerprint, fingerprint, list_versions

logger = logging.getLogger("h2rec.serving")


class State(enum.Enum):
    """Life of a version; the values are those of ModelVersionStatus.State."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version; `error` says why it could not be loaded, and is empty for a healthy one."""

    state: State
    error: str = ""


class ModelManager:
    """Serves the newest version under a folder that loads, and follows the folder.

    A new version is loaded beside the one that answers, then takes its place between two requests; the old one is
    closed when its last request ends. A version that fails to load is reported and changes nothing; it is tried again
    once its files change.

    Args:
        name: the model's name, for messages.
        model_dir: folder with one integer-named folder a version.
        poll_seconds: time between looks at the folder; 0 looks only at `start` and `refresh`.
        load: makes a servable of a version and its folder.
        warm_up: called with a loaded servable before it takes requests.
    """

    def __init__(
        self,
        *,
        name: str,
        model_dir: str,
        poll_seconds: float,
        load: Callable[[int, str], Servable] = Servable.load,
        warm_up: Callable[[Servable], None] = lambda servable: None,
    ) -> None:
        self.name = name
        self._model_dir = model_dir
        self._poll_seconds = poll_seconds
        self._load = load
        self._warm_up = warm_up
        self._current: Servable | None = None
        self._users: collections.Counter[Servable] = collections.Counter()
        self._retired: set[Servable] = set()
        self._status: dict[int, VersionStatus] = {}
        self._broken: dict[int, Fingerprint] = {}
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="model-versions", daemon=True)
        self._loader = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-load")

    def start(self) -> int:
        """Loads the newest version that can be loaded and begins to follow the folder.

        Returns:
            The version that answers.

        Raises:
            InputError: the folder is absent, holds no version, or none that loads.
        """
        self.refresh()
        with self._lock:
            current = self._current
        if current is None:
            self.stop()
            if not self._status:
                raise InputError(
                    f"model folder {self._model_dir}: holds no version (a folder named by an integer with "
                    "saved_model.pb in it); push a model with `h2rec pipeline run`"
                )
            newest = max(self._status)
            raise InputError(
                f"model folder {self._model_dir}: version {newest} cannot be loaded: {self._status[newest].error}"
            )
        if self._poll_seconds > 0:
            self._poller.start()
        return current.version

    def refresh(self) -> None:
        """Looks at the folder once; loads and swaps if a better version is there.

        Raises:
            InputError: the folder is absent.
            tf.errors.OpError: the folder cannot be read.
        """
        with self._refreshing:
            versions = list_versions(self._model_dir)
            for version in sorted(versions, reverse=True):
                if self._current is not None and version == self._current.version:
                    break
                if self._stopping.is_set() or self._take(version, versions[version]):
                    break
            with self._lock:
                gone = [v for v, status in self._status.items() if status.state is State.END and v not in versions]
                for version in gone:
                    del self._status[version]
                    self._broken.pop(version, None)

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """The servable for one request, which stays open until the request ends.

        Args:
            version: the one asked for; None takes the one that answers now.

        Raises:
            RequestError: NOT_FOUND; that version is not served.
        """
        with self._lock:
            servable = self._current
            if servable is None or version not in (None, servable.version):
                wanted = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
                raise RequestError.not_found(f"Servable not found for request: {wanted}")
            self._users[servable] += 1
        try:
            yield servable
        finally:
            with self._lock:
                self._users[servable] -= 1
            self._close_if_idle(servable)

    def statuses(self) -> dict[int, VersionStatus]:
        """State of each version that is or was served, or failed to load."""
        with self._lock:
            return dict(self._status)

    def stop(self) -> None:
        """Stops following the folder and closes what is loaded as soon as no request uses it."""
        self._stopping.set()
        if self._poller.is_alive():
            self._poller.join()
        self._loader.shutdown(wait=True)
        self._swap(None)

    def _poll(self) -> None:
        trouble = ""
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.refresh()
                trouble = ""
            except (H2RecError, tf.errors.OpError) as error:
                if one_line(error) != trouble:
                    trouble = one_line(error)
                    logger.warning("cannot look for new versions, keeps trying: %s", trouble)

    def _take(self, version: int, path: str) -> bool:
        mark = fingerprint(path)
        if self._broken.get(version) == mark:
            return False
        self._set(version, State.LOADING)
        began = time.monotonic()
        # A future hands back whatever a damaged model makes the loader raise; nothing may end the thread that polls.
        attempt = self._loader.submit(self._load_warm, version, path)
        error = attempt.exception()
        if error is not None:
            self._broken[version] = mark
            self._set(version, State.END, one_line(error))
            logger.warning("version %d cannot be loaded: %s", version, one_line(error))
            return False
        self._broken.pop(version, None)
        self._swap(attempt.result())
        logger.info("version %d loaded in %.1f s and answers now", version, time.monotonic() - began)
        return True

    def _load_warm(self, version: int, path: str) -> Servable:
        servable = self._load(version, path)
        with contextlib.ExitStack() as undo:
            undo.callback(servable.close)
            self._warm_up(servable)
            undo.pop_all()
        return servable

    def _swap(self, servable: Servable | None) -> None:
        with self._lock:
            old, self._current = self._current, servable
            if servable is not None:
                self._status[servable.version] = VersionStatus(State.AVAILABLE)
            if old is not None:
                self._retired.add(old)
                if servable is None or old.version != servable.version:
                    self._status[old.version] = VersionStatus(State.UNLOADING)
        if old is not None:
            self._close_if_idle(old)

    def _close_if_idle(self, servable: Servable) -> None:
        with self._lock:
            if self._users[servable] or servable not in self._retired:
                return
            self._retired.remove(servable)
            del self._users[servable]
        servable.close()
        with self._lock:
            if self._status.get(servable.version) == VersionStatus(State.UNLOADING):
                self._status[servable.version] = VersionStatus(State.END)

    def _set(self, version: int, state: State, error: str = "") -> None:
        with self._lock:
            self._status[version] = VersionStatus(state, error)
