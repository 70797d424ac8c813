"""TFX's Pusher that does not push the version it already serves."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

# Written by TensorFlow into every SavedModel; its random id tells two saves apart.
_FINGERPRINT_FILE = "fingerprint.pb"


class NewestPusherExecutor(executor.Executor):
    """Pushes a blessed model unless the newest version at the destination is that very model."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes, or records the version that is there already."""
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        newest = newest_version(destination.filesystem.base_directory)
        if newest and self.CheckBlessing(input_dict) and _same_model(newest, self.GetModelPath(input_dict)):
            pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
            io_utils.copy_dir(newest, pushed.uri)
            self._MarkPushed(pushed, pushed_destination=newest, pushed_version=os.path.basename(newest))
            return
        super().Do(input_dict, output_dict, exec_properties)


class NewestPusher(component.Pusher):
    """Makes a blessed model the newest version of a directory of versions.

    Run it without TFX's cache: whether there is something to push depends on the directory as well.

    Outputs:
        pushed_model: the model, with the version's directory as `pushed_destination`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(NewestPusherExecutor)


def newest_version(directory: str) -> str:
    """The complete version with the highest number, or ""."""
    versions = [name for name in fileio.listdir(directory) if name.isdigit()] if fileio.isdir(directory) else []
    complete = [name for name in versions if fileio.exists(os.path.join(directory, name, "saved_model.pb"))]
    return os.path.join(directory, max(complete, key=int)) if complete else ""


def _same_model(first: str, second: str) -> bool:
    paths = [os.path.join(path, _FINGERPRINT_FILE) for path in (first, second)]
    return all(fileio.exists(path) for path in paths) and _read(paths[0]) == _read(paths[1])


def _read(path: str) -> bytes:
    with fileio.open(path, "rb") as file:
        return file.read()
