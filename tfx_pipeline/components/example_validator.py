"""TFX's ExampleValidator, made to stop the run at an anomaly."""

from __future__ import annotations

import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils, standard_component_specs

from h2rec_tf.errors import InputError

# Anomalies named in the message; the artifact has all.
_SHOWN = 5


class StrictExampleValidatorExecutor(executor.Executor):
    """Runs the stock validation, then raises if it found anything."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Validates each split.

        Raises:
            InputError: anomalies; the message lists split, feature and what is wrong.
        """
        output = super().Do(input_dict, output_dict, exec_properties)
        anomalies = artifact_utils.get_single_instance(output_dict[standard_component_specs.ANOMALIES_KEY])
        found = []
        for split in artifact_utils.decode_split_names(anomalies.split_names):
            path = os.path.join(artifact_utils.get_split_uri([anomalies], split), executor.DEFAULT_FILE_NAME)
            found += [f"{split}: {line}" for line in _describe(path)]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise InputError(f"the examples do not fit their schema: {'; '.join(found[:_SHOWN])}{more}")
        return output


class StrictExampleValidator(component.ExampleValidator):
    """Validates statistics against the schema; an anomaly stops the run.

    Outputs:
        anomalies: what was found in each split.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(StrictExampleValidatorExecutor)


def _describe(path: str) -> list[str]:
    anomalies = anomalies_pb2.Anomalies()
    with open(path, "rb") as file:
        anomalies.ParseFromString(file.read())
    lines = [f"`{feature}`: {info.description}" for feature, info in sorted(anomalies.anomaly_info.items())]
    if anomalies.HasField("dataset_anomaly_info"):
        lines.append(anomalies.dataset_anomaly_info.description)
    return lines
