"""The gate: thresholds by slice and baselines, by the Evaluator on models that gain here and lose there."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from pipeline_support import ITEM_IDS, Transformed, example
from tensorflow_model_analysis.metrics import metric_specs
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from trainer_support import at

from h2rec_tf.config import GateConfig
from h2rec_tf.config_tree import from_dict, to_dict
from h2rec_tf.errors import InputError
from h2rec_tf.export import ServingModel, export_model
from h2rec_tf.models.store import SEMANTIC_IDS_DIR
from h2rec_tf.semantic_ids import ITEM_IDS_FILE
from tfx_pipeline import constants
from tfx_pipeline.components.baseline_comparison import BASELINES_FILE, BaselineResults
from tfx_pipeline.components.evaluation import eval_config, slice_name
from tfx_pipeline.components.evaluation_results import EvaluationResults
from tfx_pipeline.components.model_evaluator import ModelEvaluatorExecutor
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

    def diverge(self) -> None:
        """What the model says after item 3 is not a number."""
        scores = self._scores.numpy()
        scores[3] = np.nan
        self._scores.assign(scores)


def save(
    folder: pathlib.Path,
    graph: Any,
    *,
    head: int,
    tail: int,
    popularity: np.ndarray = POPULARITY,
    diverged: bool = False,
) -> pathlib.Path:
    """A model that ranks every head target `head`-th and every tail target `tail`-th."""
    ranker = Ranker({item: head if item <= 8 else tail for item in range(1, ITEMS + 1)})
    if diverged:
        ranker.diverge()
    ids = np.asarray(ITEM_IDS, dtype=object)
    # What a list leaves out would move the ranks.
    serving = ServingModel(
        ranker,  # type: ignore[arg-type]
        item_ids=ids,
        titles=ids,
        popularity=popularity,
        max_length=4,
        seen="include",
    )
    signatures = EvaluationSignatures(serving, graph, (10,)).signatures()
    export_model(serving, str(folder / "Format-Serving"), signatures=signatures)
    catalogue = folder / constants.TRAINED_MODEL_DIR / SEMANTIC_IDS_DIR
    catalogue.mkdir(parents=True)
    (catalogue / ITEM_IDS_FILE).write_text("".join(f"{item_id}\n" for item_id in ITEM_IDS))
    return folder


def write(folder: pathlib.Path, rows: list[dict[str, list]]) -> None:
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for row in rows:
            writer.write(example(**row))


@pytest.fixture(scope="module")
def folder(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Test examples, 60 of head targets and 40 of tail ones, training examples, and models.

    In training the head items follow each other in a circle and tail items stand alone. So item-kNN ranks a head target
    first or second (the item before is as near), popularity by its index, and both give tail targets next to nothing.
    """
    folder = tmp_path_factory.mktemp("gate")
    targets = [1 + row % 8 for row in range(60)] + [9 + row % 32 for row in range(40)]
    rows = []
    for row, target in enumerate(targets):
        last, user = ITEM_IDS[(target - 2) % ITEMS], f"u{row // 2}"
        rows.append({"user_id": [user], "history": [last], "target": [ITEM_IDS[target - 1]], "timestamps": [row]})
    write(folder / "examples" / "Split-test", rows)
    pairs = [[1 + item, 1 + (item + 1) % 8] for item in range(8)] * 60
    histories = pairs + [[item] for item in range(9, ITEMS + 1) for _ in range(POPULARITY[item])]
    train = [{"user_id": [f"t{row}"], "history_index": history} for row, history in enumerate(histories)]
    write(folder / "transformed" / "Split-train", train)
    shutil.copytree(transformed.graph.transform_savedmodel_dir + "/..", folder / "graph")
    save(folder / "even", transformed.graph, head=3, tail=3)
    save(folder / "tail-breaking", transformed.graph, head=1, tail=30)
    save(folder / "poor", transformed.graph, head=4, tail=4)
    save(folder / "diverged", transformed.graph, head=1, tail=1, diverged=True)
    # Trained when other items were popular.
    older = np.concatenate([[0], POPULARITY[:0:-1]])
    save(folder / "older", transformed.graph, head=3, tail=3, popularity=older)
    return folder


def evaluate(folder: pathlib.Path, model: str, baseline: str | None, asked: GateConfig, where: pathlib.Path) -> Any:
    """Runs the Evaluator; the metrics and the verdict as a run's summary has them."""
    examples = standard_artifacts.Examples()
    examples.split_names = '["test"]'
    transformed = standard_artifacts.Examples()
    transformed.split_names = '["train"]'
    inputs = {
        "examples": at(examples, folder / "examples"),
        "transformed_examples": at(transformed, folder / "transformed"),
        "transform_graph": at(standard_artifacts.TransformGraph(), folder / "graph"),
        "model": at(standard_artifacts.Model(), folder / model),
    }
    if baseline:
        inputs["baseline_model"] = at(standard_artifacts.Model(), folder / baseline)
    outputs = {
        "evaluation": at(standard_artifacts.ModelEvaluation(), where / "evaluation"),
        "blessing": at(standard_artifacts.ModelBlessing(), where / "blessing"),
    }
    config = eval_config(metrics=METRICS, gate=asked)
    against = {key: to_dict(asked)[key] for key in ("baselines", "confidence", "max_tail_loss")}
    properties = {
        "eval_config": json_format.MessageToJson(config),
        "example_splits": '["test"]',
        "fairness_indicator_thresholds": "null",
        "config": json.dumps({"gate": against, "evaluation": {"head_fraction": 0.2}, "serving": {"seen": "include"}}),
    }
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_pipeline_args(), tmp_dir=str(where / "tmp"), unique_id="1"
    )
    ModelEvaluatorExecutor(context).Do(inputs, outputs, properties)
    (blessing,) = outputs["blessing"]
    results = EvaluationResults.load(outputs["evaluation"][0].uri)
    assert results.blessed == bool(blessing.get_int_custom_property("blessed"))
    assert [path.name for path in (where / "blessing").iterdir()] == ["BLESSED" if results.blessed else "NOT_BLESSED"]
    assert blessing.get_string_custom_property("reasons") == "; ".join(results.reasons)
    return results.metrics, results.blessed, results.reasons


def test_a_model_that_gains_overall_but_breaks_the_tail_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = gate(min_ndcg_at_10=0.3, baselines=["popularity"], max_tail_loss=1.0)
    before, blessed, reasons = evaluate(folder, "even", None, config, tmp_path / "first")
    assert blessed and not reasons
    now, blessed, reasons = evaluate(folder, "tail-breaking", "even", config, tmp_path / "second")
    # Rank 3 is worth 0.5, rank 1 is worth 1.
    assert [before[name]["ndcg_10"] for name in ("overall", "head", "tail")] == pytest.approx([0.5] * 3, abs=1e-6)
    assert [now[name]["ndcg_10"] for name in ("overall", "head", "tail")] == pytest.approx([0.6, 1.0, 0.0], abs=1e-6)
    assert not blessed
    assert reasons == ["tail ndcg@10 changed by -100.0% against the last blessed model, allowed is -5.0%"]


@pytest.mark.parametrize("seen", [None, "exclude"])
def test_the_last_model_is_not_compared_with_where_it_ranks_by_another_protocol(
    folder: pathlib.Path, tmp_path: pathlib.Path, seen: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    before = shutil.copytree(folder / "even", tmp_path / "before")
    (limits,) = before.glob("**/h2rec.json")
    values = json.loads(limits.read_text())
    assert values.pop("seen") == "include"
    limits.write_text(json.dumps(values if seen is None else {**values, "seen": seen}))
    # Another test may have left the root logger quieter.
    caplog.set_level(logging.WARNING, logger="tfx_pipeline")
    _, blessed, reasons = evaluate(
        folder, "tail-breaking", str(before), gate(baselines=["popularity"], max_tail_loss=1.0), tmp_path / "now"
    )
    assert blessed and not reasons
    said = EvaluationResults.load(str(tmp_path / "now" / "evaluation")).baselines.lines()[-1]
    assert said.startswith("not compared with the last blessed model") and said in caplog.messages
    assert "seen items compete" in said and ("seen excluded" in said) == (seen is not None)


def test_slices_are_those_of_the_model_that_is_judged(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = gate(baselines=["popularity"])
    alone, *_ = evaluate(folder, "even", None, config, tmp_path / "alone")
    beside, blessed, _ = evaluate(folder, "even", "older", config, tmp_path / "beside")
    assert blessed
    assert {name: row["users"] for name, row in beside.items()} == {name: row["users"] for name, row in alone.items()}


def test_a_minimum_on_one_group_is_enforced_and_every_group_is_measured(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = gate(slices={"popularity 1-9": {"min_ndcg_at_10": 0.2}}, max_tail_loss=1.0)
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


@pytest.fixture(scope="module")
def poor(folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Any]:
    """A model that ranks every target fourth: where its evaluation is, and what came of it."""
    where = tmp_path_factory.mktemp("poor")
    return where / "evaluation", evaluate(folder, "poor", None, gate(), where)


def test_a_model_that_does_not_beat_every_baseline_is_refused(poor: tuple[pathlib.Path, Any]) -> None:
    evaluation, (_, blessed, reasons) = poor
    assert not blessed
    (reason,) = reasons
    assert reason.startswith(f"overall ndcg@10 {1 / np.log2(5):.4f} does not beat the baseline item_knn")
    found = BaselineResults.load(str(evaluation))
    assert [test.beaten for test in found.verdict.tests] == [True, False]


def test_users_and_slices_are_those_of_the_evaluator(poor: tuple[pathlib.Path, Any]) -> None:
    evaluation, (metrics, *_) = poor
    found = BaselineResults.load(str(evaluation))
    # Every slice that has users, and no other.
    for by_slice in found.ndcg.values():
        assert set(by_slice) == set(metrics)
    assert found.verdict.value == pytest.approx(metrics["overall"]["ndcg_10"], abs=1e-6)
    assert found.verdict.tail == pytest.approx(metrics["tail"]["ndcg_10"], abs=1e-6)
    # By hand: equals stand in the order of their indices, so that popularity ranks head item i at place i.
    head = [1 + row % 8 for row in range(60)]
    assert found.ndcg["popularity"]["head"] == pytest.approx(np.mean([1 / np.log2(1 + target) for target in head]))
    # The item before and the item after are as near; after a tail item, as for targets 1, all are equal.
    assert found.ndcg["item_knn"]["head"] == pytest.approx(
        np.mean([1.0 if target <= 2 else 1 / np.log2(3) for target in head])
    )
    # Two users each have the tail items 9 and 10, which stand behind the eight head items.
    tail = (2 / np.log2(10) + 2 / np.log2(11)) / 40
    assert found.ndcg["popularity"]["tail"] == pytest.approx(tail)
    assert found.ndcg["item_knn"]["tail"] == pytest.approx(tail)


def test_a_comparison_that_is_missing_does_not_pass(poor: tuple[pathlib.Path, Any], tmp_path: pathlib.Path) -> None:
    evaluation = shutil.copytree(poor[0], tmp_path / "evaluation")
    (evaluation / BASELINES_FILE).unlink()
    with pytest.raises(InputError, match="the comparison with baselines is missing"):
        EvaluationResults.load(str(evaluation))


def test_a_model_that_diverged_is_refused_with_every_other_threshold_off(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Scores that are not a number are neither higher nor lower than others: such a target must not come first."""
    metrics, blessed, reasons = evaluate(folder, "diverged", None, gate(baselines=[]), tmp_path)
    assert not blessed
    assert any(reason.startswith("ndcg@10 is not a finite number in: overall, head, ") for reason in reasons), reasons
    assert metrics["tail"]["ndcg_10"] == pytest.approx(1.0)


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
