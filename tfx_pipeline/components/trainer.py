"""TFX's Trainer with the semantic IDs as one more input, and checkpoints that a killed run leaves to the next one."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from tfx import types
from tfx.components.trainer import executor as trainer_executor
from tfx.components.trainer import fn_args_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds
from tfx_pipeline.components.kept import kept_directory
from tfx_pipeline.storage import is_chief, local_artifacts


class SequenceTrainerSpec(standard_component_specs.TrainerSpec):
    """Trainer's spec with the semantic IDs."""

    INPUTS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.TrainerSpec.INPUTS,
        constants.SEMANTIC_IDS: component_spec.ChannelParameter(type=SemanticIds),
    }


class SequenceTrainerExecutor(trainer_executor.GenericExecutor):
    """Tells `run_fn` where the semantic IDs are and where to keep checkpoints."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains; checkpoints go when the model is written."""
        # While the artifacts have their own URIs, which are equal in the next execution.
        directory = _checkpoints(input_dict, exec_properties)
        custom = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        custom[constants.CHECKPOINTS] = directory
        properties = {**exec_properties, standard_component_specs.CUSTOM_CONFIG_KEY: json_utils.dumps(custom)}
        with local_artifacts(input_dict, output_dict):
            super().Do(input_dict, output_dict, properties)
        if directory and is_chief(os.environ) and fileio.exists(directory):
            fileio.rmtree(directory)

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> fn_args_utils.FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        fn_args.custom_config = {
            **fn_args.custom_config,
            constants.SEMANTIC_IDS: artifact_utils.get_single_uri(input_dict[constants.SEMANTIC_IDS]),
            constants.CHECKPOINTS: fn_args.custom_config[constants.CHECKPOINTS] or fn_args.model_run_dir,
        }
        return fn_args


def _checkpoints(input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> str:
    """The directory for a training with these inputs and settings; "" where the settings name no place."""
    root = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY]).get(constants.CHECKPOINTS)
    if not root:
        return ""
    return kept_directory(root, input_dict, exec_properties)


class SequenceTrainer(base_component.BaseComponent):
    """Trains a sequence model on transformed examples and exports it.

    Outputs:
        model: SavedModel with serving, evaluation and transformation signatures.
        model_run: `tensorboard/` with the logs, and `history.json`, a record of every epoch.
    """

    SPEC_CLASS = SequenceTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SequenceTrainerExecutor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        semantic_ids: types.BaseChannel,
        run_fn: str,
        train_splits: list[str],
        eval_splits: list[str],
        custom_config: dict[str, Any],
        base_model: types.BaseChannel | None = None,
        hyperparameters: types.BaseChannel | None = None,
    ):
        """Args:
        examples: transformed user examples.
        transform_graph: what transformed them.
        semantic_ids: codes, codebooks and titles of the catalogue.
        run_fn: path of the function, as `package.module.function`.
        train_splits: splits that the model learns from.
        eval_splits: splits that early stopping looks at.
        custom_config: passed to `run_fn`; must be JSON. `checkpoints` in it is the directory under which an
            interrupted training is kept for the next run.
        base_model: what a warm start begins with; may resolve to nothing.
        hyperparameters: dotted configuration keys and values that replace those of `custom_config`.
        """
        spec = SequenceTrainerSpec(
            examples=examples,
            transform_graph=transform_graph,
            semantic_ids=semantic_ids,
            base_model=base_model,
            hyperparameters=hyperparameters,
            run_fn=run_fn,
            train_args=trainer_pb2.TrainArgs(splits=train_splits),
            eval_args=trainer_pb2.EvalArgs(splits=eval_splits),
            custom_config=json_utils.dumps(custom_config),
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
        )
        super().__init__(spec=spec)
