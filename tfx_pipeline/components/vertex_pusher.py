"""VertexPusher: a pushed model -> Vertex AI's model registry and an endpoint."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from h2rec_tf.cloud.deployment import push_machine, push_model
from h2rec_tf.cloud.vertex import Vertex
from h2rec_tf.config import CloudConfig, Config
from tfx_pipeline import constants

VERTEX_MODEL = "vertex_model"


class VertexPusherSpec(component_spec.ComponentSpec):
    """Channels and parameters of VertexPusher."""

    PARAMETERS: ClassVar[dict[str, Any]] = {constants.CONFIG: component_spec.ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.PUSHED_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.PushedModel)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        VERTEX_MODEL: component_spec.ChannelParameter(type=standard_artifacts.PushedModel)
    }


class VertexPusherExecutor(base_executor.BaseExecutor):
    """Uploads, finds or makes the endpoint, deploys, and sets the traffic."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Deploys what Pusher pushed; does nothing where it pushed nothing.

        Raises:
            InputError: Vertex AI refused a request for what it says.
            VertexError: Vertex AI failed.
        """
        pushed = artifact_utils.get_single_instance(input_dict[standard_component_specs.PUSHED_MODEL_KEY])
        result = artifact_utils.get_single_instance(output_dict[VERTEX_MODEL])
        result.set_int_custom_property("pushed", 0)
        if not pushed.get_int_custom_property("pushed"):
            return
        cloud = Config.from_dict({"cloud": json.loads(exec_properties[constants.CONFIG])}).cloud
        model, endpoint = push_model(
            Vertex(cloud.project, cloud.region),
            artifact_uri=pushed.get_string_custom_property("pushed_destination"),
            cloud=cloud,
        )
        result.set_int_custom_property("pushed", 1)
        result.set_string_custom_property("model", model)
        result.set_string_custom_property("endpoint", endpoint)


def check_push(cloud: CloudConfig) -> None:
    """Finds before a run what would stop the push after it.

    Raises:
        InputError: project or region is missing, or fewer machines at the most than at the least.
    """
    Vertex(cloud.project, cloud.region)
    push_machine(cloud)


class VertexPusher(base_component.BaseComponent):
    """Makes a pushed model a version in Vertex AI's model registry and deploys it to an endpoint.

    Outputs:
        vertex_model: `pushed`, and the resource names `model` and `endpoint` as custom properties.
    """

    SPEC_CLASS = VertexPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(VertexPusherExecutor)

    def __init__(self, *, pushed_model: types.BaseChannel, cloud: dict[str, Any]):
        """Args:
        pushed_model: Pusher's output; its version directory must be one that Vertex AI can read.
        cloud: the configuration tree's `cloud` section as plain values.
        """
        super().__init__(
            spec=VertexPusherSpec(
                pushed_model=pushed_model,
                config=json.dumps(cloud, sort_keys=True),
                vertex_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
