"""Schema, validation and metric, each without the rest of the pipeline."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from pipeline_support import example
from tensorflow_data_validation.statistics import stats_impl, stats_options
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from h2rec_tf.errors import InputError
from tfx_pipeline.components.example_validator import StrictExampleValidatorExecutor
from tfx_pipeline.components.mean_outputs import MeanOutputs
from tfx_pipeline.components.schema_gen import user_schema

TRAIN = [{"user_id": ["a"], "history": ["x", "y"]}, {"user_id": ["b"], "history": ["x"]}]
TEST = [{"user_id": ["a"], "history": [], "target": ["z"]}, {"user_id": ["b"], "history": ["x"], "target": ["y"]}]


def statistics(rows: list[dict[str, list]]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Statistics of examples, as StatisticsGen makes them."""
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([example(**row) for row in rows])
    return stats_impl.generate_statistics_in_memory(batch, stats_options.StatsOptions())


def schema() -> schema_pb2.Schema:
    """The schema of the training rows alone."""
    return user_schema(tfdv.infer_schema(statistics(TRAIN), infer_feature_shape=False))


@pytest.mark.parametrize("rows", [TRAIN, TEST])
def test_schema_fits_training_and_held_out_examples(rows: list[dict[str, list]]) -> None:
    assert not tfdv.validate_statistics(statistics(rows), schema()).anomaly_info


@pytest.mark.parametrize(
    ("row", "feature"),
    [
        ({"user_id": [], "history": ["x"]}, "user_id"),
        ({"user_id": ["a", "b"], "history": ["x"]}, "user_id"),
        ({"user_id": ["a"], "history": [7]}, "history"),
        ({"user_id": ["a"], "history": ["x"], "target": ["y", "z"]}, "target"),
    ],
)
def test_schema_rejects_broken_examples(row: dict[str, list], feature: str) -> None:
    assert feature in tfdv.validate_statistics(statistics([row, row]), schema()).anomaly_info


def test_anomalies_stop_the_run_with_split_and_feature(tmp_path: pathlib.Path) -> None:
    artifacts = {
        "statistics": standard_artifacts.ExampleStatistics(),
        "schema": standard_artifacts.Schema(),
        "anomalies": standard_artifacts.ExampleAnomalies(),
    }
    for name, artifact in artifacts.items():
        artifact.uri = str(tmp_path / name)
    artifacts["statistics"].split_names = '["test"]'
    folder = tmp_path / "statistics" / "Split-test"
    folder.mkdir(parents=True)
    broken = statistics([{"user_id": ["a"], "history": [7]}])
    (folder / "FeatureStats.pb").write_bytes(broken.SerializeToString())
    (tmp_path / "schema").mkdir()
    tfdv.write_schema_text(schema(), str(tmp_path / "schema" / "schema.pbtxt"))
    inputs = {name: [artifacts[name]] for name in ("statistics", "schema")}
    with pytest.raises(InputError, match="test: `history`: Expected data of type: BYTES but got INT"):
        StrictExampleValidatorExecutor().Do(inputs, {"anomalies": [artifacts["anomalies"]]}, {})


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
