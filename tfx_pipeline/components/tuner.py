"""Tuner: hyperparameters of the Trainer, searched by the library's own search on the validation split."""

from __future__ import annotations

import json
import logging
import os
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils

from h2rec_tf import names
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.semantic_ids import SemanticIds
from h2rec_tf.tuning import SearchSpace, tune
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds as SemanticIdsArtifact
from tfx_pipeline.components.kept import kept_directory
from tfx_pipeline.examples import decode_holdout, decode_training
from tfx_pipeline.reading import split_batches
from tfx_pipeline.storage import kept_local, local_artifacts

_LOG = logging.getLogger("h2rec_tf.training.tuner")
_FILE = "best_hyperparameters.txt"
# The Trainer reads these; text and quantizer belong to a node that ran before.
_SECTIONS = ("model", "loss", "training")


class SequenceTunerSpec(component_spec.ComponentSpec):
    """Channels and parameters of SequenceTuner."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        constants.CONFIG: component_spec.ExecutionParameter(type=str),
        constants.CHECKPOINTS: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        constants.SEMANTIC_IDS: component_spec.ChannelParameter(type=SemanticIdsArtifact),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.BEST_HYPERPARAMETERS_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters
        ),
        standard_component_specs.TUNER_RESULTS_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.TunerResults
        ),
    }


class SequenceTunerExecutor(base_executor.BaseExecutor):
    """Searches; a search that was killed goes on in the next execution with equal inputs and settings."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the best values and the record of all trials.

        Raises:
            InputError: the space names a key or value that is not valid.
            MissingDependencyError: Optuna is not installed.
        """
        settings = json.loads(exec_properties[constants.CONFIG])
        config = Config.from_dict(settings)
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        # While the artifacts have their own URIs, which are equal in the next execution.
        unfinished = kept_directory(exec_properties[constants.CHECKPOINTS], input_dict, exec_properties)
        with local_artifacts(input_dict, output_dict), kept_local(unfinished) as kept:
            semantic_ids = SemanticIds.load(artifact_utils.get_single_uri(input_dict[constants.SEMANTIC_IDS]))

            def say(line: str) -> None:
                _LOG.info("%s", line)
                kept.save()

            found = tune(
                config,
                search_space(config),
                train=decode_training(split_batches(examples, names.TRAIN, constants.TUNER)),
                validation=decode_holdout(split_batches(examples, names.VALIDATION, constants.TUNER)),
                semantic_ids=lambda tried: semantic_ids,
                output=kept.directory,
                trials=config.tuner.trials,
                minutes=config.tuner.minutes,
                seed=config.training.seed,
                say=say,
            )
            results = artifact_utils.get_single_uri(output_dict[standard_component_specs.TUNER_RESULTS_KEY])
            io_utils.copy_dir(kept.directory, results)
            best = artifact_utils.get_single_uri(output_dict[standard_component_specs.BEST_HYPERPARAMETERS_KEY])
            with open(os.path.join(best, _FILE), "w", encoding="utf-8") as file:
                file.write(json.dumps(found.values))
        if fileio.exists(unfinished):
            fileio.rmtree(unfinished)


class SequenceTuner(base_component.BaseComponent):
    """Searches the configured space for the highest NDCG@10 on the validation split.

    Outputs:
        best_hyperparameters: dotted configuration keys with their values, which the Trainer takes.
        tuner_results: the study, and `trials.md` and `trials.csv` with every trial.
    """

    SPEC_CLASS = SequenceTunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SequenceTunerExecutor)

    def __init__(self, *, examples: types.BaseChannel, semantic_ids: types.BaseChannel, config: Config, kept: str):
        """Args:
        examples: transformed user examples.
        semantic_ids: codes of the catalogue.
        config: sections `model`, `loss`, `training`, `tuner` and the policy `serving.seen` are read.
        kept: directory under which an interrupted search is kept for the next run.

        Raises:
            InputError: the space names a key or value that is not valid.
        """
        search_space(config)
        sections = config.to_dict()
        settings = {key: sections[key] for key in (*_SECTIONS, "tuner")}
        # How validation ranks.
        settings["serving"] = {"seen": config.serving.seen}
        spec = SequenceTunerSpec(
            examples=examples,
            semantic_ids=semantic_ids,
            config=json.dumps(settings, sort_keys=True),
            checkpoints=kept,
            best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
            tuner_results=types.Channel(type=standard_artifacts.TunerResults),
        )
        super().__init__(spec=spec)


def search_space(config: Config) -> SearchSpace:
    """The configured space.

    Raises:
        InputError: it is empty, or names a key or value that is not valid.
    """
    space = config.tuner.space
    for key in space:
        if not key.startswith(tuple(f"{section}." for section in _SECTIONS)):
            raise InputError(f"config: `tuner.space` has `{key}`; the pipeline tunes {', '.join(_SECTIONS)} alone")
    if not space:
        raise InputError("config: `tuner.space` is empty; name at least one key, or set `tuner.enabled` to false")
    try:
        return SearchSpace.from_dict(space, config)
    except InputError as error:
        raise InputError(f"config: `tuner.space`: {error}") from error
