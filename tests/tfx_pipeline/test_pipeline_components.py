"""Metric and push, each without the rest of the pipeline."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
from tfx.types import standard_artifacts

from tfx_pipeline import constants
from tfx_pipeline.components.evaluation import eval_config
from tfx_pipeline.components.mean_outputs import MeanOutputs
from tfx_pipeline.components.pusher import NewestPusherExecutor, newest_version


def test_mean_outputs_has_one_mean_an_output_and_the_count() -> None:
    (computation,) = MeanOutputs(outputs=["hr_10", "mrr"]).computations(model_names=["candidate"])
    combiner = computation.combiner
    rows = [{"hr_10": 1.0, "mrr": 0.5}, {"hr_10": 0.0, "mrr": 0.1}, {"hr_10": 0.0, "mrr": 0.0}]
    parts = []
    for part in (rows[:1], rows[1:]):
        accumulator = combiner.create_accumulator()
        for row in part:
            outputs = {name: tf_value(value) for name, value in row.items()}
            element = tfma.metrics.StandardMetricInputs({"predictions": {"candidate": outputs}})
            accumulator = combiner.add_input(accumulator, element)
        parts.append(accumulator)
    found = combiner.extract_output(combiner.merge_accumulators(parts))
    assert {key.name: value for key, value in found.items()} == pytest.approx({"users": 3, "hr_10": 1 / 3, "mrr": 0.2})
    assert {key.model_name for key in found} == {"candidate"}


def test_a_slice_without_hits_has_a_mean_that_changes_can_be_measured_against() -> None:
    combiner = MeanOutputs(outputs=["ndcg_10"]).computations(model_names=[""])[0].combiner
    element = tfma.metrics.StandardMetricInputs({"predictions": {"ndcg_10": tf_value(0.0)}})
    mean = list(combiner.extract_output(combiner.add_input(combiner.create_accumulator(), element)).values())[-1]
    assert 0 < mean < 1e-6


def tf_value(value: float) -> object:
    """A model's output for one example, as TFMA hands it over."""
    import numpy as np

    return np.asarray([value], np.float32)


def test_gate_is_on_three_slices_and_one_metric() -> None:
    config = eval_config(metrics=constants.evaluate_outputs((5,)), min_ndcg_at_10=0.02, max_relative_drop=0.1)
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    assert {(key.name, key.is_diff) for key in thresholds} == {("ndcg_10", False), ("ndcg_10", True)}
    # A threshold on a key that no computation gives would refuse every model.
    computed = {key for part in metric_specs.to_computations(list(config.metrics_specs), config) for key in part.keys}
    assert {key for key in thresholds if not key.is_diff} <= computed
    changes = next(values for key, values in thresholds.items() if key.is_diff)
    assert [dict(spec.feature_values) for spec, _ in changes] == [
        {},
        {"popularity_slice": "head"},
        {"popularity_slice": "tail"},
    ]
    assert all(threshold.relative.value == pytest.approx(-0.1) for _, threshold in changes)
    ((spec, minimum),) = next(values for key, values in thresholds.items() if not key.is_diff)
    assert not spec.feature_values
    assert minimum.lower_bound.value == pytest.approx(0.02)


def pushed(root: pathlib.Path, model: bytes, *, blessed: bool = True) -> standard_artifacts.PushedModel:
    """Pushes a stand-in for a SavedModel whose fingerprint is `model`."""
    source = root / f"model-{model.decode()}" / "Format-Serving"
    source.mkdir(parents=True, exist_ok=True)
    (source / "saved_model.pb").write_bytes(b"graph")
    (source / "fingerprint.pb").write_bytes(model)
    artifacts = {
        "model": standard_artifacts.Model(),
        "model_blessing": standard_artifacts.ModelBlessing(),
        "pushed_model": standard_artifacts.PushedModel(),
    }
    artifacts["model"].uri = str(source.parent)
    artifacts["model_blessing"].uri = str(root / "blessing")
    artifacts["model_blessing"].set_int_custom_property("blessed", int(blessed))
    artifacts["pushed_model"].uri = str(root / "pushed")
    destination = f'{{"filesystem": {{"base_directory": "{root / "serving"}"}}}}'
    inputs = {name: [artifacts[name]] for name in ("model", "model_blessing")}
    properties = {"push_destination": destination, "custom_config": "null"}
    NewestPusherExecutor().Do(inputs, {"pushed_model": [artifacts["pushed_model"]]}, properties)
    return artifacts["pushed_model"]


def test_a_model_is_pushed_once_until_another_one_is_newest(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr("tfx.components.pusher.executor.time.time", lambda: next(clock))
    serving = tmp_path / "serving"
    for model in (b"first", b"first", b"second", b"second", b"first"):
        artifact = pushed(tmp_path, model)
        newest = newest_version(str(serving))
        assert artifact.get_string_custom_property("pushed_destination") == newest
        assert (pathlib.Path(newest) / "fingerprint.pb").read_bytes() == model
    assert len(list(serving.iterdir())) == 3


def test_a_model_that_is_not_blessed_stays_out(tmp_path: pathlib.Path) -> None:
    artifact = pushed(tmp_path, b"first", blessed=False)
    assert artifact.get_int_custom_property("pushed") == 0
    assert newest_version(str(tmp_path / "serving")) == ""


def test_a_half_written_version_is_not_the_newest(tmp_path: pathlib.Path) -> None:
    for version in ("7", "12"):
        (tmp_path / version).mkdir()
    (tmp_path / "7" / "saved_model.pb").touch()
    assert newest_version(str(tmp_path)) == str(tmp_path / "7")
