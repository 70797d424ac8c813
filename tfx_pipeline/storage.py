"""Artifacts and kept directories on object stores (`gs://...`), for code that reads and writes local files.

The library works on plain files. Executors that hand it directories go through this module; what is local already is
used where it lies. Executors that read and write through TensorFlow, TFX or Beam alone need none of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfx import types
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfx_pipeline.constants import is_remote
from tfx_pipeline.records import has_record, record_path, verify, write_record

Artifacts = dict[str, list[types.Artifact]]


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """The directory itself, or for a remote one a copy that lasts as long as the block."""
    if not is_remote(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="h2rec-") as folder:
        copy = os.path.join(folder, os.path.basename(uri.rstrip("/")))
        io_utils.copy_dir(uri, copy)
        yield copy


@contextlib.contextmanager
def local_artifacts(input_dict: Artifacts, output_dict: Artifacts) -> Iterator[None]:
    """While the block runs, remote artifacts have local directories as their URIs.

    Inputs are copied whole, outputs only when the block ended well, so that nothing half-written is read. Records of
    files go with them, so that a copy is compared with what was written first. The artifacts have their own URIs again
    afterwards.

    Args:
        input_dict: as an executor gets them.
        output_dict: likewise; their local directories are empty.

    Raises:
        InputError: an input is not what its producer wrote.
    """
    with tempfile.TemporaryDirectory(prefix="h2rec-") as folder:
        inputs = _moved(input_dict, os.path.join(folder, "inputs"))
        outputs = _moved(output_dict, os.path.join(folder, "outputs"))
        try:
            for artifact, uri in inputs:
                if fileio.exists(uri):
                    io_utils.copy_dir(uri, artifact.uri)
                _copy_record(uri, artifact.uri)
                verify(artifact.uri)
            for artifact, _ in outputs:
                os.makedirs(artifact.uri)
            yield
            for artifact, uri in outputs:
                if not has_record(artifact.uri):
                    write_record(artifact.uri)
                io_utils.copy_dir(artifact.uri, uri)
                _copy_record(artifact.uri, uri)
        finally:
            for artifact, uri in [*inputs, *outputs]:
                artifact.uri = uri


def _copy_record(uri: str, target: str) -> None:
    if has_record(uri):
        fileio.makedirs(os.path.dirname(record_path(target)))
        fileio.copy(record_path(uri), record_path(target), overwrite=True)


def on_local_artifacts(do: Callable[..., None]) -> Callable[..., None]:
    """An executor's `Do` within `local_artifacts`."""

    @functools.wraps(do)
    def local(self: Any, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        with local_artifacts(input_dict, output_dict):
            do(self, input_dict, output_dict, exec_properties)

    return local


def _moved(artifacts: Artifacts, folder: str) -> list[tuple[types.Artifact, str]]:
    """Points remote artifacts into `folder`; they come back with the URIs they had."""
    moved = []
    for key, channel in artifacts.items():
        for number, artifact in enumerate(channel):
            if is_remote(artifact.uri):
                moved.append((artifact, artifact.uri))
                artifact.uri = os.path.join(folder, key, str(number))
    return moved


@dataclasses.dataclass
class Kept:
    """A local directory and the one, perhaps remote, where its content outlives the process.

    Attributes:
        directory: the local one; made.
        uri: the lasting one; equal to `directory` where that is used itself, "" where nothing is to be written.
    """

    directory: str
    uri: str
    _there: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def save(self) -> None:
        """Copies what changed since the last time.

        Files that were not there come first, JSON records, which name the others, after them, and what the local
        directory no longer has goes last: a kill in between leaves a record whose files are whole.
        """
        if self.uri in ("", self.directory):
            return
        here = self._files()
        changed = [name for name, state in here.items() if self._there.get(name) != state]
        for name in sorted(changed, key=lambda name: (name.endswith(".json"), name)):
            target = os.path.join(self.uri, name)
            fileio.makedirs(os.path.dirname(target))
            fileio.copy(os.path.join(self.directory, name), target, overwrite=True)
        for name in set(self._there) - set(here):
            fileio.remove(os.path.join(self.uri, name))
        self._there = here

    def _files(self) -> dict[str, tuple[int, int]]:
        """Path below the directory -> time of change and size."""
        found = {}
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                state = os.stat(path)
                found[os.path.relpath(path, self.directory)] = (state.st_mtime_ns, state.st_size)
        return found


@contextlib.contextmanager
def kept_local(uri: str, *, chief: bool = True) -> Iterator[Kept]:
    """A local directory with what an interrupted run left at `uri`, to be saved there as the work goes on.

    Args:
        uri: a directory that need not exist; a local one is used itself.
        chief: whether this process writes there. The others of a distributed training only begin with what it holds, in
            a directory of their own.
    """
    if chief and not is_remote(uri):
        os.makedirs(uri, exist_ok=True)
        yield Kept(uri, uri)
        return
    with tempfile.TemporaryDirectory(prefix="h2rec-") as folder:
        kept = Kept(os.path.join(folder, "kept"), uri if chief else "")
        if fileio.exists(uri):
            io_utils.copy_dir(uri, kept.directory)
        os.makedirs(kept.directory, exist_ok=True)
        kept._there = kept._files()
        yield kept


def is_chief(variables: Mapping[str, str]) -> bool:
    """Whether TF_CONFIG, which is set in jobs of several machines, says so; without it there is one machine."""
    task = json.loads(variables.get("TF_CONFIG") or "{}").get("task", {})
    return task.get("type", "chief") in ("chief", "master")
