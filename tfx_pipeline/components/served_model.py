"""ServedModel: the newest version of a serving directory, where an orchestrator cannot resolve artifacts."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, path_utils

from tfx_pipeline.components.pusher import newest_version

_SERVING_DIR = "serving_dir"
# Custom property of an artifact that stands for nothing; `tfx_pipeline.runners.container` takes such inputs away.
ABSENT = "absent"


class ServedModelSpec(component_spec.ComponentSpec):
    """Channels and parameters of ServedModel."""

    PARAMETERS: ClassVar[dict[str, Any]] = {_SERVING_DIR: component_spec.ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model)
    }


class ServedModelExecutor(base_executor.BaseExecutor):
    """Copies the newest pushed version into the artifact's directory."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Gives the model, or marks the artifact as absent before the first push."""
        model = artifact_utils.get_single_instance(output_dict[standard_component_specs.MODEL_KEY])
        newest = newest_version(exec_properties[_SERVING_DIR])
        model.set_int_custom_property(ABSENT, int(not newest))
        if newest:
            model.set_string_custom_property("version", os.path.basename(newest))
            io_utils.copy_dir(newest, path_utils.serving_model_dir(model.uri))


class ServedModel(base_component.BaseComponent):
    """The last model that was pushed, and so blessed. Run it without a cache: the directory changes between runs.

    Outputs:
        model: the SavedModel.
    """

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ServedModelExecutor)

    def __init__(self, *, serving_dir: str):
        """Args:
        serving_dir: directory of versions that Pusher writes.
        """
        super().__init__(
            spec=ServedModelSpec(serving_dir=serving_dir, model=types.Channel(type=standard_artifacts.Model))
        )
