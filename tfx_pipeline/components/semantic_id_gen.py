"""SemanticIdGen: item examples -> semantic IDs."""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from h2rec_tf.config import Config
from h2rec_tf.semantic_ids import build_semantic_ids
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds
from tfx_pipeline.examples import decode_items
from tfx_pipeline.reading import split_batches


class SemanticIdGenSpec(component_spec.ComponentSpec):
    """Channels and parameters of SemanticIdGen."""

    PARAMETERS: ClassVar[dict[str, Any]] = {constants.CONFIG: component_spec.ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {
        constants.ITEMS: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {constants.SEMANTIC_IDS: component_spec.ChannelParameter(type=SemanticIds)}


class SemanticIdGenExecutor(base_executor.BaseExecutor):
    """Fits the text encoder and the quantizer on the catalogue."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Builds and saves the semantic IDs.

        Raises:
            InputError: the catalogue is empty or its text or vectors are not usable.
        """
        settings = json.loads(exec_properties[constants.CONFIG])
        config = Config.from_dict({"text": settings["text"], "quantizer": settings["quantizer"]})
        items = split_batches(input_dict[constants.ITEMS], constants.ITEMS_SPLIT, "SemanticIdGen")
        semantic_ids = build_semantic_ids(
            decode_items(items),
            text=config.text,
            quantizer=config.quantizer,
            seed=settings["seed"],
            progress=sys.stderr.isatty(),
        )
        artifact = artifact_utils.get_single_instance(output_dict[constants.SEMANTIC_IDS])
        semantic_ids.save(artifact.uri)
        artifact.set_int_custom_property("items", len(semantic_ids))
        artifact.set_int_custom_property("levels", semantic_ids.codes.shape[1])


class SemanticIdGen(base_component.BaseComponent):
    """Derives each item's code tuple from its text or its given vector.

    Outputs:
        semantic_ids: `tfx_pipeline.SemanticIds`; `item_ids.txt` in it is the catalogue's vocabulary.
    """

    SPEC_CLASS = SemanticIdGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SemanticIdGenExecutor)

    def __init__(self, *, items: types.BaseChannel, text: dict[str, Any], quantizer: dict[str, Any], seed: int):
        """Args:
        items: item examples, split `items`.
        text: the configuration tree's `text` section as plain values.
        quantizer: its `quantizer` section.
        seed: of the encoder and the quantizer.
        """
        settings = json.dumps({"text": text, "quantizer": quantizer, "seed": seed}, sort_keys=True)
        super().__init__(
            spec=SemanticIdGenSpec(items=items, config=settings, semantic_ids=types.Channel(type=SemanticIds))
        )
