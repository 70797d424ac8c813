"""IndexEvaluator: an index against exact search -> a blessing."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from h2rec_tf import names
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.index.evaluate import check_same_items, evaluate_index
from h2rec_tf.index.scann_index import load_index
from tfx_pipeline import constants
from tfx_pipeline.artifacts import IndexBlessing, ItemIndex
from tfx_pipeline.components.index_builder import served_model
from tfx_pipeline.examples import decode_holdout
from tfx_pipeline.reading import split_batches
from tfx_pipeline.storage import on_local_artifacts

# Custom properties of the blessing.
BLESSED, REASONS = "blessed", "reasons"
_ROWS = 256


class IndexEvaluatorSpec(component_spec.ComponentSpec):
    """Channels and parameters of IndexEvaluator."""

    PARAMETERS: ClassVar[dict[str, Any]] = {constants.CONFIG: component_spec.ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {
        constants.INDEX: component_spec.ChannelParameter(type=ItemIndex),
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.BLESSING_KEY: component_spec.ChannelParameter(type=IndexBlessing)
    }


class IndexEvaluatorExecutor(base_executor.BaseExecutor):
    """Asks the index what users of the validation split would ask, and compares with exact search."""

    @on_local_artifacts
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures and blesses or refuses; a refusal is a result, not an error.

        Raises:
            InputError: the index is damaged or of another catalogue, or the validation split is empty.
        """
        settings = json.loads(exec_properties[constants.CONFIG])
        config = Config.from_dict({"index": settings["index"]}).index
        index = load_index(artifact_utils.get_single_uri(input_dict[constants.INDEX]))
        recommender = served_model(input_dict[standard_component_specs.MODEL_KEY])
        check_same_items(index, recommender.item_ids, where=artifact_utils.get_single_uri(input_dict[constants.INDEX]))
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        holdout = decode_holdout(split_batches(examples, names.VALIDATION, constants.INDEX_EVALUATOR))
        if not len(holdout):
            raise InputError("the validation split is empty, so there are no users to ask the index; hold out more")
        generator = np.random.default_rng(settings["seed"])
        rows = np.sort(generator.choice(len(holdout), min(config.queries, len(holdout)), replace=False))
        queries = [
            recommender.queries(holdout.histories.padded(rows[start : start + _ROWS], recommender.max_length))
            for start in range(0, len(rows), _ROWS)
        ]
        vectors, users = (
            part[:, : recommender.listed_size] for part in (recommender.table[1:], np.concatenate(queries))
        )
        report = evaluate_index(index, vectors, users, k=config.k)
        reasons = report.problems(config)
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        report.save(os.path.join(artifact.uri, constants.INDEX_REPORT_FILE))
        artifact.set_int_custom_property(BLESSED, int(not reasons))
        artifact.set_string_custom_property(REASONS, "; ".join(reasons))


class IndexEvaluator(base_component.BaseComponent):
    """Measures recall and time of an index with the validation split's users.

    Outputs:
        blessing: `tfx_pipeline.IndexBlessing`.
    """

    SPEC_CLASS = IndexEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(IndexEvaluatorExecutor)

    def __init__(
        self,
        *,
        index: types.BaseChannel,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        settings: dict[str, Any],
        seed: int,
    ):
        """Args:
        index: from IndexBuilder.
        model: what it was built from.
        examples: transformed user examples.
        settings: the configuration tree's `index` section as plain values.
        seed: of the choice of users.
        """
        spec = IndexEvaluatorSpec(
            index=index,
            model=model,
            examples=examples,
            config=json.dumps({"index": settings, "seed": seed}, sort_keys=True),
            blessing=types.Channel(type=IndexBlessing),
        )
        super().__init__(spec=spec)
