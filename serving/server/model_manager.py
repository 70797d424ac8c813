"""Which versions of one model answer. Versions are swapped while requests run."""

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
from serving.server.policy import VersionPolicy
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
    """Serves the versions under a folder that its policy picks and that load, and follows the folder.

    A new version is loaded beside those that answer, then takes a place between two requests; an old one is closed when
    its last request ends. A version that fails to load is reported and changes nothing; it is tried again once its
    files change.

    Args:
        name: the model's name, for messages.
        model_dir: folder with one integer-named folder a version.
        poll_seconds: time between looks at the folder; 0 looks only at `start` and `refresh`.
        policy: which versions are served.
        check: raises where a version's folder cannot be loaded, without loading anything.
        load: makes a servable of a version and its folder.
        warm_up: called with a loaded servable and its folder before it takes requests.
        on_load: told whether each attempt to load succeeded.
    """

    def __init__(
        self,
        *,
        name: str,
        model_dir: str,
        poll_seconds: float,
        policy: VersionPolicy | None = None,
        check: Callable[[str], object] = lambda path: None,
        load: Callable[[int, str], Servable] = Servable.load,
        warm_up: Callable[[Servable, str], None] = lambda servable, path: None,
        on_load: Callable[[bool], None] = lambda succeeded: None,
    ) -> None:
        self.name = name
        self.model_dir = model_dir
        self.policy = policy or VersionPolicy()
        self._poll_seconds = poll_seconds
        self._check = check
        self._load = load
        self._warm_up = warm_up
        self._on_load = on_load
        self._loaded: dict[int, Servable] = {}
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
        """Loads the versions of the policy that can be loaded and begins to follow the folder.

        Returns:
            The newest version that answers.

        Raises:
            InputError: the folder is absent, holds no version, or none that loads.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self.refresh()
            newest = max(self.versions(), default=None)
            if newest is None:
                raise InputError(f"model folder {self.model_dir}: {self._why_empty(self.policy)}")
            undo.pop_all()
        if self._poll_seconds > 0:
            self._poller.start()
        return newest

    def expected(self, policy: VersionPolicy) -> list[int]:
        """The versions that a policy would serve, as far as their folders tell; nothing is loaded.

        Raises:
            InputError: there is none.
        """
        found = list_versions(self.model_dir)
        good: list[int] = []
        trouble = ""
        for version in policy.candidates(found):
            if len(good) == policy.latest:
                break
            try:
                if version not in self._loaded:
                    self._check(found[version])
                good.append(version)
            except (H2RecError, tf.errors.OpError) as error:
                trouble = trouble or f"version {version} cannot be loaded: {one_line(error)}"
        if not good:
            raise InputError(f"model folder {self.model_dir}: {trouble or self._why_empty(policy)}")
        return good

    def refresh(self) -> None:
        """Looks at the folder once; loads what the policy picks and is not loaded, then lets go of the rest.

        Raises:
            InputError: the folder is absent.
            tf.errors.OpError: the folder cannot be read.
        """
        with self._refreshing:
            found = list_versions(self.model_dir)
            kept: list[int] = []
            for version in self.policy.candidates(found):
                if len(kept) == self.policy.latest or self._stopping.is_set():
                    break
                if version in self._loaded or self._take(version, found[version]):
                    kept.append(version)
            # With nothing to put in its place, what answers goes on answering.
            if kept and not self._stopping.is_set():
                self._retire(set(self._loaded).difference(kept))
            with self._lock:
                gone = [v for v, status in self._status.items() if status.state is State.END and v not in found]
                for version in gone:
                    del self._status[version]
                    self._broken.pop(version, None)

    @contextlib.contextmanager
    def lease(self, version: int | None = None) -> Iterator[Servable]:
        """The servable for one request, which stays open until the request ends.

        Args:
            version: the one asked for; None takes the newest that answers.

        Raises:
            RequestError: NOT_FOUND; that version is not served.
        """
        with self._lock:
            servable = self._loaded.get(max(self._loaded, default=-1) if version is None else version)
            if servable is None:
                wanted = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
                raise RequestError.not_found(f"Servable not found for request: {wanted}")
            self._users[servable] += 1
        try:
            yield servable
        finally:
            with self._lock:
                self._users[servable] -= 1
                idle = not self._users[servable] and servable in self._retired
            if idle:
                self._close(servable)

    def versions(self) -> list[int]:
        """The versions that answer, newest first."""
        with self._lock:
            return sorted(self._loaded, reverse=True)

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
        self._retire(set(self._loaded))

    def _poll(self) -> None:
        trouble = ""
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.refresh()
                trouble = ""
            except (H2RecError, tf.errors.OpError) as error:
                if one_line(error) != trouble:
                    trouble = one_line(error)
                    logger.warning("model %s: cannot look for new versions, keeps trying: %s", self.name, trouble)

    def _take(self, version: int, path: str) -> bool:
        mark = fingerprint(path)
        if self._broken.get(version) == mark:
            return False
        self._set(version, State.LOADING)
        began = time.monotonic()
        # A future hands back whatever a damaged model makes the loader raise; nothing may end the thread that polls.
        attempt = self._loader.submit(self._load_warm, version, path)
        error = attempt.exception()
        self._on_load(error is None)
        if error is not None:
            self._broken[version] = mark
            self._set(version, State.END, one_line(error))
            logger.warning("model %s version %d cannot be loaded: %s", self.name, version, one_line(error))
            return False
        self._broken.pop(version, None)
        with self._lock:
            self._loaded[version] = attempt.result()
            self._status[version] = VersionStatus(State.AVAILABLE)
        seconds = time.monotonic() - began
        logger.info("model %s version %d loaded in %.1f s and answers now", self.name, version, seconds)
        return True

    def _load_warm(self, version: int, path: str) -> Servable:
        servable = self._load(version, path)
        with contextlib.ExitStack() as undo:
            undo.callback(servable.close)
            self._warm_up(servable, path)
            undo.pop_all()
        return servable

    def _retire(self, versions: set[int]) -> None:
        with self._lock:
            old = [self._loaded.pop(version) for version in versions]
            self._retired.update(old)
            for version in versions:
                self._status[version] = VersionStatus(State.UNLOADING)
            idle = [servable for servable in old if not self._users[servable]]
        for servable in idle:
            self._close(servable)

    def _close(self, servable: Servable) -> None:
        with self._lock:
            if servable not in self._retired:
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

    def _why_empty(self, policy: VersionPolicy) -> str:
        if self._status:
            newest = max(self._status)
            return f"version {newest} cannot be loaded: {self._status[newest].error}"
        if policy.specific:
            return f"holds none of the versions {', '.join(map(str, policy.specific))}; push one or change the policy"
        return (
            "holds no version (a folder named by an integer with saved_model.pb in it); "
            "push a model with `h2rec pipeline run`"
        )
