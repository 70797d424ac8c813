"""SemanticIdGen: item examples -> semantic IDs, with the codebooks of the last run while they fit."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any, ClassVar

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils

from h2rec_tf.config import Config
from h2rec_tf.quantizers.codebook_gate import check_codebooks
from h2rec_tf.semantic_id_update import UPDATE_FILE, Update, update_semantic_ids
from h2rec_tf.semantic_ids import SemanticIds as LoadedSemanticIds
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds
from tfx_pipeline.earlier import earlier_outputs
from tfx_pipeline.examples import decode_items
from tfx_pipeline.reading import split_batches
from tfx_pipeline.records import verify
from tfx_pipeline.storage import local_copy, on_local_artifacts

_ROOT = "root"


class SemanticIdGenSpec(component_spec.ComponentSpec):
    """Channels and parameters of SemanticIdGen."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        constants.CONFIG: component_spec.ExecutionParameter(type=str),
        _ROOT: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        constants.ITEMS: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {constants.SEMANTIC_IDS: component_spec.ChannelParameter(type=SemanticIds)}


class SemanticIdGenExecutor(base_executor.BaseExecutor):
    """Encodes the catalogue with the text encoder and the codebooks of the last run, or fits both."""

    @on_local_artifacts
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Builds, judges and saves the semantic IDs.

        Raises:
            InputError: the catalogue is empty, its text or vectors are not usable, or the codebooks are refused.
        """
        settings = json.loads(exec_properties[constants.CONFIG])
        seed = settings.pop("seed")
        config = Config.from_dict(settings)
        items = split_batches(input_dict[constants.ITEMS], constants.ITEMS_SPLIT, "SemanticIdGen")
        artifact = artifact_utils.get_single_instance(output_dict[constants.SEMANTIC_IDS])
        uri, previous = latest_semantic_ids(exec_properties[_ROOT], artifact.uri)
        semantic_ids, update = update_semantic_ids(
            decode_items(items),
            previous,
            text=config.text,
            quantizer=config.quantizer,
            codebooks=config.codebooks,
            seed=seed,
            progress=sys.stderr.isatty(),
        )
        check_codebooks(semantic_ids.report, config.codebooks)
        semantic_ids.save(artifact.uri)
        # Last: it tells later runs that all the rest is there.
        io_utils.write_string_file(os.path.join(artifact.uri, UPDATE_FILE), update.to_json())
        report = semantic_ids.report
        integers = {
            "items": len(semantic_ids),
            "levels": semantic_ids.codes.shape[1],
            "refit": int(update.refit),
            "items_kept": update.kept,
            "items_with_new_codes": update.changed,
            "items_new": update.new,
            "items_removed": update.removed,
        }
        for name, value in integers.items():
            artifact.set_int_custom_property(name, value)
        artifact.set_float_custom_property("churn", update.churn)
        artifact.set_float_custom_property("collision_rate", report.collision_rate)
        artifact.set_float_custom_property("reconstruction_error", report.error)
        artifact.set_string_custom_property("refit_reason", update.reason)
        artifact.set_string_custom_property("previous", uri)


class SemanticIdGen(base_component.BaseComponent):
    """Derives each item's code tuple from its text or its vector, and refuses codebooks that tell too little apart.

    The previous codes come from the pipeline's root (see `tfx_pipeline.earlier`).

    Outputs:
        semantic_ids: `tfx_pipeline.SemanticIds`; `item_ids.txt` in it is the catalogue's vocabulary, `update.json` says
            whether codebooks were fitted anew, why, and how many items have other codes than before. The same figures
            are custom properties.
    """

    SPEC_CLASS = SemanticIdGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SemanticIdGenExecutor)

    def __init__(
        self,
        *,
        items: types.BaseChannel,
        root: str,
        text: dict[str, Any],
        quantizer: dict[str, Any],
        codebooks: dict[str, Any],
        seed: int,
    ):
        """Args:
        items: item examples, split `items`.
        root: the pipeline's root, where the output of earlier runs lies.
        text: the configuration tree's `text` section as plain values.
        quantizer: its `quantizer` section.
        codebooks: its `codebooks` section.
        seed: of the encoder and the quantizer.
        """
        settings = {"text": text, "quantizer": quantizer, "codebooks": codebooks, "seed": seed}
        super().__init__(
            spec=SemanticIdGenSpec(
                items=items,
                config=json.dumps(settings, sort_keys=True),
                root=root,
                semantic_ids=types.Channel(type=SemanticIds),
            )
        )


def latest_semantic_ids(root: str, own: str) -> tuple[str, tuple[LoadedSemanticIds, Update] | None]:
    """The newest whole semantic IDs below a pipeline's root, and where they are; `("", None)` without any.

    Args:
        root: the pipeline's root.
        own: directory of this run's artifact, which does not count.

    Raises:
        InputError: they are not what was written.
    """
    found = earlier_outputs(root, constants.SEMANTIC_IDS, UPDATE_FILE, own=own)
    if not found:
        return "", None
    uri = found[-1]
    verify(uri)
    with local_copy(uri) as directory:
        semantic_ids = LoadedSemanticIds.load(directory)
        # A memory map would end with the copy.
        whole = dataclasses.replace(semantic_ids, vectors=np.array(semantic_ids.vectors))
    return uri, (whole, Update.from_json(io_utils.read_string_file(os.path.join(uri, UPDATE_FILE))))
