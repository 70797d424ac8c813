"""Lets executors that read and write plain files work on artifacts in cloud storage."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.utils import io_utils

Artifacts = dict[str, list[types.Artifact]]
# An executor that only passes artifacts on says so with this attribute.
PASSES_ON = "PASSES_ARTIFACTS_ON"


def needs_local_files(executor: type) -> bool:
    """Whether an executor is this project's own and runs in its own process: those use the library's plain files.

    TFX's executors and everything on Beam read and write URIs themselves; a Beam runner has other machines too.
    """
    return (
        executor.__module__.startswith("tfx_pipeline.")
        and not issubclass(executor, base_beam_executor.BaseBeamExecutor)
        and not getattr(executor, PASSES_ON, False)
    )


def on_local_files(do: Callable[..., Any]) -> Callable[..., Any]:
    """An executor's `Do` with remote artifacts copied to this machine before and back after it.

    Inputs are copied whole, outputs only when `do` ended well, so that nothing half-written is read. The artifacts
    have their own URIs again afterwards; local ones are left as they are.
    """

    @functools.wraps(do)
    def staged(self: Any, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory(prefix="h2rec-") as folder:
            inputs = _moved(input_dict, os.path.join(folder, "inputs"))
            outputs = _moved(output_dict, os.path.join(folder, "outputs"))
            try:
                for artifact, uri in inputs:
                    if fileio.exists(uri):
                        io_utils.copy_dir(uri, artifact.uri)
                for artifact, _ in outputs:
                    os.makedirs(artifact.uri)
                result = do(self, input_dict, output_dict, exec_properties)
                for artifact, uri in outputs:
                    io_utils.copy_dir(artifact.uri, uri)
            finally:
                for artifact, uri in [*inputs, *outputs]:
                    artifact.uri = uri
        return result

    return staged


def _moved(artifacts: Artifacts, folder: str) -> list[tuple[types.Artifact, str]]:
    """Points remote artifacts into `folder`; they come back with the URIs they had."""
    moved = []
    for key, channel in artifacts.items():
        for number, artifact in enumerate(channel):
            if "://" in artifact.uri:
                moved.append((artifact, artifact.uri))
                artifact.uri = os.path.join(folder, key, str(number))
    return moved


def stage(executor_path: str) -> None:
    """Makes the executor at this import path work on local files, in this process, where it needs to."""
    from tfx.utils import import_utils

    executor = import_utils.import_class_by_path(executor_path)
    if needs_local_files(executor):
        executor.Do = on_local_files(executor.Do)
