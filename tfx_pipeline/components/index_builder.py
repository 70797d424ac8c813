"""IndexBuilder: a trained model -> the index over its item vectors."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from h2rec_tf.config import Config
from h2rec_tf.export.recommender import ExportedRecommender
from h2rec_tf.index.scann_index import build_index
from h2rec_tf.models.store import SEMANTIC_IDS_DIR
from h2rec_tf.semantic_ids import read_item_ids
from tfx_pipeline import constants
from tfx_pipeline.artifacts import ItemIndex
from tfx_pipeline.components.model_files import saved_model_dir, trained_dir
from tfx_pipeline.storage import on_local_artifacts

# What only IndexEvaluator reads: a change of it builds nothing anew.
_LIMITS = ("target_recall", "max_p99_ms", "max_memory_ratio", "queries")


class IndexBuilderSpec(component_spec.ComponentSpec):
    """Channels and parameters of IndexBuilder."""

    PARAMETERS: ClassVar[dict[str, Any]] = {constants.CONFIG: component_spec.ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {constants.INDEX: component_spec.ChannelParameter(type=ItemIndex)}


class IndexBuilderExecutor(base_executor.BaseExecutor):
    """Asks the exported model for every item's vector and indexes them with the columns that lists are made with."""

    @on_local_artifacts
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Builds and writes the index.

        Raises:
            InputError: the vectors cannot be indexed as configured.
            MissingDependencyError: ScaNN is not installed.
        """
        config = Config.from_dict({"index": json.loads(exec_properties[constants.CONFIG])})
        models = input_dict[standard_component_specs.MODEL_KEY]
        recommender = served_model(models)
        artifact = artifact_utils.get_single_instance(output_dict[constants.INDEX])
        manifest = build_index(
            recommender.table[1:, : recommender.listed_size], recommender.item_ids, artifact.uri, config=config.index
        )
        artifact.set_int_custom_property("items", manifest.items)
        artifact.set_string_custom_property("kind", manifest.settings.kind)


class IndexBuilder(base_component.BaseComponent):
    """Indexes the item vectors of a model.

    Outputs:
        index: `tfx_pipeline.ItemIndex`.
    """

    SPEC_CLASS = IndexBuilderSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(IndexBuilderExecutor)

    def __init__(self, *, model: types.BaseChannel, index: dict[str, Any]):
        """Args:
        model: from the Trainer.
        index: the configuration tree's `index` section as plain values.
        """
        settings = json.dumps({key: index[key] for key in sorted(index) if key not in _LIMITS})
        super().__init__(spec=IndexBuilderSpec(model=model, config=settings, index=types.Channel(type=ItemIndex)))


def catalogue_ids(models: list[types.Artifact]) -> Any:
    """Object `[N]`: item ids of the one (local) model in a channel, in the order of its item indices."""
    return read_item_ids(os.path.join(trained_dir(models), SEMANTIC_IDS_DIR))


def served_model(models: list[types.Artifact]) -> ExportedRecommender:
    """The one (local) model in a channel through its serving signatures."""
    return ExportedRecommender(saved_model_dir(models))
