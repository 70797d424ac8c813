"""The gate: thresholds by slice, and TFX's own Evaluator on models that gain here and lose there."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from pipeline_support import ITEM_IDS, Transformed, example
from tensorflow_model_analysis.metrics import metric_specs
from tfx.components.evaluator import executor
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from trainer_support import at

from h2rec_tf.config import GateConfig
from h2rec_tf.config_tree import from_dict
from h2rec_tf.errors import InputError
from h2rec_tf.export import ServingModel, export_model
from tfx_pipeline import constants
from tfx_pipeline.components.evaluation import eval_config, slice_name
from tfx_pipeline.components.evaluation_results import EvaluationResults
from tfx_pipeline.runners.local import beam_pipeline_args
from tfx_pipeline.user_code.signatures import EvaluationSignatures

ITEMS = len(ITEM_IDS)
METRICS = constants.evaluate_outputs((10,))
# The head is 8 of 40 items. Item i is followed by item i + 1, the last by the first.
POPULARITY = np.asarray([0, *([120] * 8), *([20] * 12), *([5] * 19), 0])


def gate(**values: Any) -> GateConfig:
    return from_dict(GateConfig, values)


class Ranker:
    """Stands for a trained model: gives the follower of the last item the rank asked for."""

    seen_size = 0

    def __init__(self, ranks: dict[int, int]) -> None:
        scores = np.tile(np.linspace(0.5, 0.1, ITEMS, dtype=np.float32), (ITEMS + 1, 1))
        for last in range(1, ITEMS + 1):
            follower = last % ITEMS
            others = np.delete(np.arange(ITEMS), follower)
            scores[last, others] = np.linspace(0.9, 0.1, ITEMS - 1)
            scores[last, follower] = scores[last, others[ranks[follower + 1] - 1]] + 1e-3
        self.num_items = ITEMS
        self._scores = tf.Variable(scores)
        self.variables = [self._scores]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._scores, items[:, -1])

    def learned_table(self) -> np.ndarray:
        return np.eye(ITEMS + 1, dtype=np.float32)[:, 1:]


def save(
    folder: pathlib.Path, graph: Any, *, head: int, tail: int, popularity: np.ndarray = POPULARITY
) -> pathlib.Path:
    """A model that ranks every head target `head`-th and every tail target `tail`-th."""
    ranker = Ranker({item: head if item <= 8 else tail for item in range(1, ITEMS + 1)})
    ids = np.asarray(ITEM_IDS, dtype=object)
    serving = ServingModel(ranker, item_ids=ids, titles=ids, popularity=popularity, max_length=4)  # type: ignore[arg-type]
    signatures = EvaluationSignatures(serving, graph, (10,)).signatures()
    export_model(serving, str(folder / "Format-Serving"), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def folder(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Test examples, 60 of head targets and 40 of tail ones, and models."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "examples" / "Split-test").mkdir(parents=True)
    targets = [1 + row % 8 for row in range(60)] + [9 + row % 32 for row in range(40)]
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-test" / "data.gz"), "GZIP") as writer:
        for row, target in enumerate(targets):
            last = ITEM_IDS[(target - 2) % ITEMS]
            writer.write(example(user_id=[f"u{row}"], history=[last], target=[ITEM_IDS[target - 1]], timestamps=[row]))
    save(folder / "even", transformed.graph, head=3, tail=3)
    save(folder / "tail-breaking", transformed.graph, head=1, tail=30)
    # Trained when other items were popular.
    older = np.concatenate([[0], POPULARITY[:0:-1]])
    save(folder / "older", transformed.graph, head=3, tail=3, popularity=older)
    return folder


def evaluate(
    folder: pathlib.Path, model: str, baseline: str | None, config: tfma.EvalConfig, where: pathlib.Path
) -> Any:
    """Runs TFX's Evaluator; the metrics and the verdict as a run's summary has them."""
    examples = standard_artifacts.Examples()
    examples.split_names = '["test"]'
    inputs = {
        "examples": at(examples, folder / "examples"),
        "model": at(standard_artifacts.Model(), folder / model),
    }
    if baseline:
        inputs["baseline_model"] = at(standard_artifacts.Model(), folder / baseline)
    outputs = {
        "evaluation": at(standard_artifacts.ModelEvaluation(), where / "evaluation"),
        "blessing": at(standard_artifacts.ModelBlessing(), where / "blessing"),
    }
    properties = {"eval_config": json_format.MessageToJson(config), "example_splits": '["test"]'}
    properties["fairness_indicator_thresholds"] = "null"
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_pipeline_args(), tmp_dir=str(where / "tmp"), unique_id="1"
    )
    executor.Executor(context).Do(inputs, outputs, properties)
    (blessing,) = outputs["blessing"]
    results = EvaluationResults.load(outputs["evaluation"][0].uri)
    assert results.blessed == bool(blessing.get_int_custom_property("blessed"))
    return results.metrics, results.blessed, results.reasons


def test_a_model_that_gains_overall_but_breaks_the_tail_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = eval_config(metrics=METRICS, gate=gate(min_ndcg_at_10=0.3))
    before, blessed, reasons = evaluate(folder, "even", None, config, tmp_path / "first")
    assert blessed and not reasons
    now, blessed, reasons = evaluate(folder, "tail-breaking", "even", config, tmp_path / "second")
    # Rank 3 is worth 0.5, rank 1 is worth 1.
    assert [before[name]["ndcg_10"] for name in ("overall", "head", "tail")] == pytest.approx([0.5] * 3, abs=1e-6)
    assert [now[name]["ndcg_10"] for name in ("overall", "head", "tail")] == pytest.approx([0.6, 1.0, 0.0], abs=1e-6)
    assert not blessed
    assert reasons == ["tail ndcg@10 changed by -100.0% against the last blessed model, allowed is -5.0%"]


def test_slices_are_those_of_the_model_that_is_judged(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = eval_config(metrics=METRICS, gate=gate())
    alone, *_ = evaluate(folder, "even", None, config, tmp_path / "alone")
    beside, blessed, _ = evaluate(folder, "even", "older", config, tmp_path / "beside")
    assert blessed
    assert {name: row["users"] for name, row in beside.items()} == {name: row["users"] for name, row in alone.items()}


def test_a_minimum_on_one_group_is_enforced_and_every_group_is_measured(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = eval_config(metrics=METRICS, gate=gate(slices={"popularity 1-9": {"min_ndcg_at_10": 0.2}}))
    metrics, blessed, reasons = evaluate(folder, "tail-breaking", None, config, tmp_path)
    assert not blessed
    assert reasons == ["popularity 1-9 ndcg@10 is 0.0000, below 0.2000"]
    assert {name: row["users"] for name, row in metrics.items()} == {
        "overall": 100,
        "head": 60,
        "tail": 40,
        "cold": 1,
        "popularity 1-9": 19,
        "popularity 10-29": 20,
        "popularity 100+": 60,
        "history 1-4": 100,
    }


def limits(values: GateConfig) -> dict[str, tuple[float, float]]:
    """Slice -> minimum and accepted relative change, as TFMA reads them."""
    config = eval_config(metrics=METRICS, gate=values)
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    # A threshold on a key that no computation gives would refuse every model.
    computed = {key for part in metric_specs.to_computations(list(config.metrics_specs), config) for key in part.keys}
    assert {key for key in thresholds if not key.is_diff} <= computed
    assert {key.name for key in thresholds} == {"ndcg_10"}
    found: dict[str, list[float]] = {}
    for key, rows in thresholds.items():
        for spec, threshold in rows:
            pair = found.setdefault(slice_name(dict(spec.feature_values)), [0.0, 0.0])
            pair[key.is_diff] = threshold.relative.value if key.is_diff else threshold.lower_bound.value
    # TFMA's protos hold some of them in single precision.
    return {name: (round(pair[0], 6), round(pair[1], 6)) for name, pair in found.items()}


def test_thresholds_by_slice() -> None:
    general = {"min_ndcg_at_10": 0.02, "max_relative_drop": 0.1}
    assert limits(gate(**general)) == {"overall": (0.02, -0.1), "head": (0, -0.1), "tail": (0, -0.1)}
    special = {
        "overall": {"max_relative_drop": 0.0},
        "tail": {"max_relative_drop": 0.02},
        "cold": {"min_ndcg_at_10": 0.01},
        "history 1-4": {"max_relative_drop": 0.3},
    }
    assert limits(gate(**general, slices=special)) == {
        "overall": (0.02, 0.0),
        "head": (0, -0.1),
        "tail": (0, -0.02),
        "cold": (0.01, -0.1),
        "history 1-4": (0, -0.3),
    }


def test_an_unknown_slice_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"slice 'tial'; there are: overall, head, tail, cold, popularity 1-9"):
        eval_config(metrics=METRICS, gate=gate(slices={"tial": {"min_ndcg_at_10": 0.1}}))
