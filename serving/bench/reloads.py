"""New versions that come while a server is under load, and what that did to the requests."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np

from h2rec_tf.errors import InputError
from serving.bench.load import LoadResult, percentiles_ms
from serving.server.versions import list_versions

# A reload is not over with its first answer: the version before is closed after it.
_AFTER_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Appeared:
    """A version in the folder of the server, and when it came there (`time.perf_counter()`)."""

    version: int
    at: float


class VersionFolder:
    """A folder to serve, in which the newest version of a model comes again and again under the next number.

    The model's own folder stays as it is.

    Args:
        model_dir: a local folder with versions.

    Raises:
        InputError: it is not local, or holds no version.
    """

    def __init__(self, model_dir: str) -> None:
        if "://" in model_dir:
            raise InputError(f"--model-dir {model_dir}: new versions are made of local folders only; copy it first")
        versions = list_versions(model_dir)
        if not versions:
            raise InputError(f"model folder {model_dir}: holds no version")
        self._version, source = max(versions.items())
        self._temporary = tempfile.TemporaryDirectory(prefix="h2rec-bench-")
        self.path = self._temporary.name
        self._newest = pathlib.Path(self.path) / str(self._version)
        shutil.copytree(source, self._newest)

    @contextlib.contextmanager
    def growing(self, every: float, seconds: float) -> Iterator[list[Appeared]]:
        """Adds a version every so many seconds while the context is open, none in the last interval of `seconds`.

        Yields:
            What has come; filled as it comes.
        """
        appeared: list[Appeared] = []
        ended = threading.Event()
        began = time.perf_counter()

        def add() -> None:
            for number in range(1, max(1, int(seconds / every + 1e-9))):
                version = self._version + 1
                staged = pathlib.Path(self.path) / f"staged-{version}"
                # Links: this process writes no more than a server reads, and the disk holds the model once.
                shutil.copytree(self._newest, staged, copy_function=os.link)
                if ended.wait(max(0.0, began + number * every - time.perf_counter())):
                    return
                staged.rename(pathlib.Path(self.path) / str(version))
                appeared.append(Appeared(version, time.perf_counter()))
                self._version = version

        thread = threading.Thread(target=add, name="versions", daemon=True)
        thread.start()
        try:
            yield appeared
        finally:
            ended.set()
            thread.join()

    def __enter__(self) -> VersionFolder:
        return self

    def __exit__(self, *unused: object) -> None:
        self._temporary.cleanup()


def as_dict(load: LoadResult, appeared: list[Appeared]) -> dict[str, object]:
    """Requests beside a reload and the others, as JSON holds it; seconds, and latencies in milliseconds.

    A reload lasts from the moment that its version is in the folder until a second after the first answer of that
    version or a later one; a request is beside it if it was due, waiting or running meanwhile.
    """
    answered_at = load.due + load.latencies
    until = np.where(np.isnan(answered_at), load.due, answered_at)
    beside = np.zeros(len(load.due), bool)
    waits = []
    for entry in appeared:
        begin = entry.at - load.began
        first = np.min(answered_at[load.versions >= entry.version], initial=np.inf)
        beside |= (until >= begin) & (load.due <= first + _AFTER_SECONDS)
        waits.append(round(float(first - begin), 3) if np.isfinite(first) else None)
    versions, counts = np.unique(load.versions[load.versions > 0], return_counts=True)
    return {
        "appeared": [entry.version for entry in appeared],
        "seconds_to_first_answer": waits,
        "answers_by_version": {str(version): int(count) for version, count in zip(versions, counts, strict=True)},
        "beside": _group(load.latencies[beside]),
        "otherwise": _group(load.latencies[~beside]),
    }


def _group(latencies: np.ndarray) -> dict[str, object]:
    failed = np.isnan(latencies)
    return {
        "requests": len(latencies),
        "failed": int(failed.sum()),
        "latency_ms": {name: round(value, 3) for name, value in percentiles_ms(latencies[~failed]).items()},
    }
