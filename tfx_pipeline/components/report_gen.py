"""ReportGen: one HTML page about the model of a run."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from h2rec_tf import names
from h2rec_tf.bench.pictures import codebook_usage, gate_by_popularity
from h2rec_tf.data.sequences import Holdout
from h2rec_tf.evaluation import Protocol
from h2rec_tf.models.exported import absent_inputs
from h2rec_tf.models.floors import LABELS
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.report.page import Example, ModelReport, render
from tfx_pipeline import constants
from tfx_pipeline.artifacts import IndexBlessing, RunReport
from tfx_pipeline.components.evaluation_results import EvaluationResults
from tfx_pipeline.components.index_evaluator import BLESSED, REASONS
from tfx_pipeline.components.model_files import saved_model_dir, trained_dir
from tfx_pipeline.examples import decode_holdout, decode_training
from tfx_pipeline.reading import split_batches
from tfx_pipeline.storage import on_local_artifacts

# Users shown, items of each history and of each list.
_EXAMPLES, _HISTORY, _LIST = 6, 5, 5


class ReportGenSpec(component_spec.ComponentSpec):
    """Channels of ReportGen."""

    PARAMETERS: ClassVar[dict[str, Any]] = {}
    INPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        standard_component_specs.MODEL_RUN_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        constants.EVALUATION: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        constants.INDEX_BLESSING: component_spec.ChannelParameter(type=IndexBlessing),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {constants.REPORT: component_spec.ChannelParameter(type=RunReport)}


class ReportGenExecutor(base_executor.BaseExecutor):
    """Gathers figures from the artifacts of a run, and renders."""

    @on_local_artifacts
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `report.html`."""
        models = input_dict[standard_component_specs.MODEL_KEY]
        stored = TrainedModel.load(trained_dir(models))
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        train = decode_training(split_batches(examples, names.TRAIN, constants.REPORT_GEN))
        test = decode_holdout(split_batches(examples, names.TEST, constants.REPORT_GEN))
        results = EvaluationResults.load(artifact_utils.get_single_uri(input_dict[constants.EVALUATION]))
        index = artifact_utils.get_single_instance(input_dict[constants.INDEX_BLESSING])
        index_blessed = bool(index.get_int_custom_property(BLESSED))
        reasons = list(results.reasons)
        if not index_blessed:
            reasons.append(f"index: {index.get_string_custom_property(REASONS)}")
        run = _json(input_dict[standard_component_specs.MODEL_RUN_KEY], constants.HISTORY_FILE)
        index_figures = _json([index], constants.INDEX_REPORT_FILE)
        config, popularity = stored.config, stored.popularity
        report = ModelReport(
            title="H2Rec: report of a model",
            facts={
                "items": f"{len(stored.semantic_ids):,}",
                "training": f"{len(train):,} users, {len(train.items):,} interactions",
                "best epoch": f"{run['best_epoch']} of {len(run['history'])}, {run['seconds']:.0f} s",
                "validation NDCG@10": f"{run['best_ndcg_at_10']:.4f}",
                "index": f"{index_figures['kind']}, recall@{index_figures['k']} {index_figures['recall']:.4f},"
                f" p99 {index_figures['p99_ms']:.2f} ms",
            },
            blessed=results.blessed and index_blessed,
            reasons=reasons,
            metrics=results.metrics,
            floors={LABELS[name]: by_slice for name, by_slice in results.baselines.ndcg.items()},
            compared=results.baselines.lines(),
            protocol=Protocol(config.serving.seen).name,
            history=run["history"],
            best_epoch=run["best_epoch"],
            popularity=popularity,
            head_fraction=config.evaluation.head_fraction,
            codebook=codebook_usage(stored.semantic_ids.report),
            gate=gate_by_popularity(stored.model, test.histories, popularity, config.model.max_length),
            examples=_examples(saved_model_dir(models), stored, test),
        )
        target = artifact_utils.get_single_uri(output_dict[constants.REPORT])
        with fileio.open(os.path.join(target, constants.REPORT_FILE), "w") as file:
            file.write(render(report))


class ReportGen(base_component.BaseComponent):
    """Renders metrics by slice beside floors, learning curves, popularity, codes, gate weights, and examples.

    Outputs:
        report: `tfx_pipeline.RunReport`.
    """

    SPEC_CLASS = ReportGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ReportGenExecutor)

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        examples: types.BaseChannel,
        evaluation: types.BaseChannel,
        index_blessing: types.BaseChannel,
    ):
        """Args:
        model: from the Trainer.
        model_run: from the Trainer.
        examples: transformed user examples.
        evaluation: from the Evaluator.
        index_blessing: from IndexEvaluator.
        """
        spec = ReportGenSpec(
            model=model,
            model_run=model_run,
            examples=examples,
            evaluation=evaluation,
            index_blessing=index_blessing,
            report=types.Channel(type=RunReport),
        )
        super().__init__(spec=spec)


def _json(artifacts: list[types.Artifact], name: str) -> dict[str, Any]:
    with fileio.open(os.path.join(artifact_utils.get_single_uri(artifacts), name), "r") as file:
        return json.loads(file.read())


def _examples(saved_model: str, stored: TrainedModel, test: Holdout) -> list[Example]:
    """Users spread over the lengths of histories, answered by the exported model."""
    ids = np.concatenate([[""], stored.semantic_ids.item_ids]).astype(object)
    titles = np.concatenate([[""], stored.semantic_ids.titles]).astype(object)
    # An item without a title is shown by its id.
    titles = np.where(titles == "", ids, titles)
    by_id = dict(zip(ids.tolist(), titles.tolist(), strict=True))
    rows = np.flatnonzero((test.histories.lengths > 0) & (test.targets > 0))
    rows = rows[np.argsort(test.histories.lengths[rows], kind="stable")]
    if not len(rows):
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, _EXAMPLES).astype(int))]
    recommend = tf.saved_model.load(saved_model).signatures[names.SERVING_DEFAULT]
    k, absent = min(_LIST, stored.config.serving.max_k), absent_inputs(recommend)
    found = []
    for row in chosen:
        history = test.histories.history(row)
        answer = recommend(history=tf.constant([ids[history].tolist()]), k=tf.constant(k), **absent)
        items = [by_id[item_id.decode("utf-8")] for item_id in answer[names.ITEM_IDS].numpy()[0] if item_id]
        found.append(Example(titles[history[-_HISTORY:]].tolist(), titles[test.targets[row]], items))
    return found
