"""TFX's Transform with the semantic IDs as one more input, so that the catalogue is the item vocabulary."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.components.transform import executor as transform_executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import transform_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from h2rec_tf.errors import InputError
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds
from tfx_pipeline.constants import is_remote
from tfx_pipeline.records import count_examples, recorded_examples, write_record


class SequenceTransformSpec(standard_component_specs.TransformSpec):
    """Transform's spec with the semantic IDs."""

    INPUTS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.TransformSpec.INPUTS,
        constants.SEMANTIC_IDS: component_spec.ChannelParameter(type=SemanticIds),
    }


class SequenceTransformExecutor(transform_executor.Executor):
    """Tells `preprocessing_fn` where the semantic IDs are."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the stock executor with the artifact's URI in `custom_config`.

        Raises:
            InputError: not as many examples were written as there were to transform.
        """
        inputs = dict(input_dict)
        uri = artifact_utils.get_single_uri(inputs.pop(constants.SEMANTIC_IDS))
        properties = dict(exec_properties)
        properties[standard_component_specs.CUSTOM_CONFIG_KEY] = json_utils.dumps({constants.SEMANTIC_IDS: uri})
        super().Do(inputs, output_dict, properties)
        sources = inputs[standard_component_specs.EXAMPLES_KEY]
        for artifact in output_dict.get(standard_component_specs.TRANSFORMED_EXAMPLES_KEY, []):
            _record(artifact.uri, recorded_examples(artifact_utils.get_single_instance(sources).uri))


def _record(uri: str, expected: dict[str, int]) -> None:
    """Leaves the record of transformed examples: of each there was one to transform."""
    for split, count in expected.items() if not is_remote(uri) else ():
        found = count_examples(uri, split)
        if found != count:
            raise InputError(f"{uri}: {found} examples of the split {split} were written, not {count}; run again")
    write_record(uri, expected)


class SequenceTransform(base_beam_component.BaseBeamComponent):
    """Maps item ids of user examples to item indices.

    Outputs:
        transform_graph: the preprocessing graph with its vocabularies.
        transformed_examples: the same splits as the input.
    """

    SPEC_CLASS = SequenceTransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(SequenceTransformExecutor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        semantic_ids: types.BaseChannel,
        preprocessing_fn: str,
        analyze: list[str],
        transform: list[str],
    ):
        """Args:
        examples: user examples.
        schema: their schema.
        semantic_ids: the catalogue's vocabulary.
        preprocessing_fn: path of the function, as `package.module.function`.
        analyze: splits that vocabularies are computed on.
        transform: splits that are transformed and written.
        """
        transformed = types.Channel(type=standard_artifacts.Examples)
        transformed.matching_channel_name = standard_component_specs.EXAMPLES_KEY
        spec = SequenceTransformSpec(
            examples=examples,
            schema=schema,
            semantic_ids=semantic_ids,
            preprocessing_fn=preprocessing_fn,
            splits_config=transform_pb2.SplitsConfig(analyze=analyze, transform=transform),
            force_tf_compat_v1=0,
            # StatisticsGen has the statistics; a second pass over each split would double the time.
            disable_statistics=1,
            transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
            transformed_examples=transformed,
        )
        super().__init__(spec=spec)
