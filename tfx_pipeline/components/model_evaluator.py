"""TFX's Evaluator, whose blessing also asks that the model beats recommenders without training."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from typing import Any, ClassVar

import numpy as np
import tensorflow_model_analysis as tfma
from tfx import types
from tfx.components.evaluator import constants as evaluator_constants
from tfx.components.evaluator import executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils

from h2rec_tf import names
from h2rec_tf.config import Config
from h2rec_tf.export.saved import ranking_protocol
from tfx_pipeline import constants
from tfx_pipeline.components.baseline_comparison import BaselineResults, compare
from tfx_pipeline.components.evaluation_results import EvaluationResults
from tfx_pipeline.components.index_builder import catalogue_ids
from tfx_pipeline.components.index_evaluator import REASONS
from tfx_pipeline.components.model_files import saved_model_dir
from tfx_pipeline.examples import decode_training
from tfx_pipeline.reading import split_batches
from tfx_pipeline.storage import local_artifacts

_LOG = logging.getLogger(__name__)
# What of the `gate` section is not in TFMA's configuration.
_GATE = ("baselines", "confidence", "max_tail_loss")


class ModelEvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """Evaluator's spec with what the baselines are fitted on, what transformed it, and their settings."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        constants.CONFIG: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        constants.TRANSFORMED_EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        standard_component_specs.TRANSFORM_GRAPH_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
    }


class ModelEvaluatorExecutor(executor.Executor):
    """Runs TFMA, measures the baselines on the same users, and blesses what passes both."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures and blesses or refuses; a refusal is a result, not an error.

        The last blessed model is not compared with where it ranks by another protocol, as one that was exported with
        another `serving.seen`: figures of two protocols say nothing about each other. The results say so.

        Raises:
            InputError: a file is damaged.
        """
        inputs, properties = dict(input_dict), dict(exec_properties)
        transformed = inputs.pop(constants.TRANSFORMED_EXAMPLES)
        graph = artifact_utils.get_single_uri(inputs.pop(standard_component_specs.TRANSFORM_GRAPH_KEY))
        settings = json.loads(properties.pop(constants.CONFIG))
        earlier = _other_protocol(inputs)
        if earlier:
            _LOG.warning("%s", earlier)
            del inputs[standard_component_specs.BASELINE_MODEL_KEY]
        super().Do(inputs, output_dict, properties)
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])
        models = inputs[standard_component_specs.MODEL_KEY]
        with local_artifacts({standard_component_specs.MODEL_KEY: models}, {}):
            compared = _compare(models, inputs[standard_component_specs.EXAMPLES_KEY], transformed, graph, settings)
        dataclasses.replace(compared, not_compared=earlier).save(uri)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        _bless(blessing, EvaluationResults.load(uri))


class ModelEvaluator(base_beam_component.BaseBeamComponent):
    """Measures a model by slice, and judges it against thresholds, the last blessed model, and baselines.

    Outputs:
        evaluation: what TFMA writes, and `baselines.json`.
        blessing: with `reasons` as a custom property where it is refused.
    """

    SPEC_CLASS = ModelEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ModelEvaluatorExecutor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        transformed_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        example_splits: list[str],
        eval_config: tfma.EvalConfig,
        gate: dict[str, Any],
        head_fraction: float,
        seen: str,
    ):
        """Args:
        examples: user examples.
        transformed_examples: the same with item indices; the baselines are fitted on their training split.
        transform_graph: what transformed them.
        model: from the Trainer.
        baseline_model: the last blessed model, TFMA's baseline; may resolve to nothing.
        example_splits: splits that TFMA measures.
        eval_config: of TFMA.
        gate: the configuration tree's `gate` section as plain values.
        head_fraction: share of the catalogue that is head.
        seen: what is served of seen items, as `serving.seen`; the baselines are ranked so.
        """
        settings = {
            "gate": {key: gate[key] for key in _GATE},
            "evaluation": {"head_fraction": head_fraction},
            "serving": {"seen": seen},
        }
        super().__init__(
            spec=ModelEvaluatorSpec(
                examples=examples,
                transformed_examples=transformed_examples,
                transform_graph=transform_graph,
                model=model,
                baseline_model=baseline_model,
                fairness_indicator_thresholds=json_utils.dumps(None),
                example_splits=json_utils.dumps(example_splits),
                eval_config=eval_config,
                config=json.dumps(settings, sort_keys=True),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )


def _other_protocol(inputs: dict[str, list[types.Artifact]]) -> str:
    """Why the last blessed model cannot be compared with, or ""."""
    keys = (standard_component_specs.MODEL_KEY, standard_component_specs.BASELINE_MODEL_KEY)
    models = {key: inputs[key] for key in keys if inputs.get(key)}
    if len(models) < len(keys):
        return ""
    with local_artifacts(models, {}):
        now, before = (ranking_protocol(saved_model_dir(models[key])) for key in keys)
    if now == before:
        return ""
    return (
        f"not compared with the last blessed model: its figures are by another protocol ({before or 'an earlier one'})"
        f" than this one's ({now or 'an earlier one'}); the next model is compared with this one"
    )


def _compare(
    models: list[types.Artifact],
    examples: list[types.Artifact],
    transformed: list[types.Artifact],
    transform_graph: str,
    settings: dict[str, Any],
) -> BaselineResults:
    config = Config.from_dict(settings)
    train = decode_training(split_batches(transformed, names.TRAIN, constants.EVALUATOR))
    return compare(
        saved_model_dir(models),
        examples,
        transform_graph,
        train=train,
        popularity=np.bincount(train.items, minlength=len(catalogue_ids(models)) + 1),
        head_fraction=config.evaluation.head_fraction,
        seen=config.serving.seen,
        gate=config.gate,
    )


def _bless(blessing: types.Artifact, results: EvaluationResults) -> None:
    """Takes back what TFMA's thresholds alone blessed where the results say otherwise, and records why."""
    blessing.set_string_custom_property(REASONS, "; ".join(results.reasons))
    blessed_file = os.path.join(blessing.uri, evaluator_constants.BLESSED_FILE_NAME)
    if results.blessed or not fileio.exists(blessed_file):
        return
    fileio.remove(blessed_file)
    io_utils.write_string_file(os.path.join(blessing.uri, evaluator_constants.NOT_BLESSED_FILE_NAME), "")
    blessing.set_int_custom_property(
        evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY, evaluator_constants.NOT_BLESSED_VALUE
    )
