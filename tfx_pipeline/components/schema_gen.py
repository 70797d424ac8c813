"""TFX's SchemaGen, with what is known about user examples set over what the statistics suggest."""

from __future__ import annotations

import os
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from h2rec_tf import names


class SequenceSchemaGenExecutor(executor.Executor):
    """Infers a schema, then corrects the features that the pipeline itself writes."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the stock executor and rewrites its schema."""
        super().Do(input_dict, output_dict, exec_properties)
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        path = os.path.join(uri, executor.DEFAULT_FILE_NAME)
        tfdv.write_schema_text(user_schema(tfdv.load_schema_text(path)), path)


class SequenceSchemaGen(component.SchemaGen):
    """Schema of user examples.

    Outputs:
        schema: inferred from the statistics, with the presence and the size of each known feature set.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SequenceSchemaGenExecutor)


def user_schema(inferred: schema_pb2.Schema) -> schema_pb2.Schema:
    """A copy of `inferred` in which each known feature has its type, presence and number of values.

    One user id an example; at most one target, absent in training; any number of history items, as a held-out user may
    have none; no string domains, as ids are open-ended.
    """
    schema = schema_pb2.Schema()
    schema.CopyFrom(inferred)
    present = {feature.name for feature in schema.feature}
    for name in (names.USER_ID, names.HISTORY, names.TARGET):
        if name not in present:
            schema.feature.add(name=name, type=schema_pb2.BYTES)
    for feature in schema.feature:
        if feature.name == names.USER_ID:
            _set(feature, min_fraction=1.0, low=1, high=1)
        elif feature.name == names.TARGET:
            _set(feature, min_fraction=0.0, low=1, high=1)
        elif feature.name in (names.HISTORY, names.TIMESTAMPS):
            _set(feature, min_fraction=0.0, low=1, high=None)
    return schema


def _set(feature: schema_pb2.Feature, *, min_fraction: float, low: int, high: int | None) -> None:
    feature.ClearField("domain_info")
    feature.ClearField("unique_constraints")
    feature.ClearField("distribution_constraints")
    feature.presence.min_fraction = min_fraction
    feature.presence.min_count = 1 if min_fraction else 0
    feature.ClearField("shape_type")
    feature.value_count.min = low
    if high is not None:
        feature.value_count.max = high
