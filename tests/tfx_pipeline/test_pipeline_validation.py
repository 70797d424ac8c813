"""The curated schema bites, and the validator's message says where, what was expected and what to do."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from pipeline_support import example
from tensorflow_data_validation.statistics import stats_impl, stats_options
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from h2rec_tf.config import ValidationConfig
from h2rec_tf.config_tree import to_dict
from h2rec_tf.errors import InputError
from tfx_pipeline.components import logged_requests
from tfx_pipeline.components.example_validator import StrictExampleValidatorExecutor
from tfx_pipeline.components.schema_gen import SequenceSchemaGenExecutor
from tfx_pipeline.schema import item_schema, user_schema

Rows = list[dict[str, list]]
TRAIN: Rows = [
    {"user_id": ["a"], "history": ["x", "y"], "timestamps": [0, 4]},
    {"user_id": ["b"], "history": ["x", "z"], "timestamps": [1, 2]},
]
TEST: Rows = [
    {"user_id": ["a"], "history": [], "timestamps": [], "target": ["z"]},
    {"user_id": ["b"], "history": ["x"], "timestamps": [3], "target": ["y"]},
]
ITEMS: Rows = [{"item_id": [item], "title": [""], "text": ["t"], "vector": [0.5, 1.0]} for item in "xyz"]


def statistics(rows: Rows) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Statistics of examples, as StatisticsGen makes them."""
    if not rows:
        empty = pa.RecordBatch.from_arrays([pa.array([], pa.list_(pa.binary()))], ["history"])
        return stats_impl.generate_statistics_in_memory(empty, stats_options.StatsOptions())
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([example(**row) for row in rows])
    return stats_impl.generate_statistics_in_memory(batch, stats_options.StatsOptions())


class Root:
    """A pipeline's root with numbered runs of the validator."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.runs = 0

    def run(self, *, train: Rows = TRAIN, test: Rows = TEST, items: Rows = ITEMS, **limits: Any) -> pathlib.Path:
        """Validates; gives the directory of the anomalies."""
        self.runs += 1
        artifacts: dict[str, Any] = {
            "statistics": standard_artifacts.ExampleStatistics(),
            "schema": standard_artifacts.Schema(),
            "items": standard_artifacts.Examples(),
        }
        anomalies = standard_artifacts.ExampleAnomalies()
        anomalies.uri = str(self.folder / "ExampleValidator" / "anomalies" / str(self.runs))
        for name, artifact in artifacts.items():
            artifact.uri = str(self.folder / "Other" / name / str(self.runs))
        artifacts["statistics"].split_names = '["train", "test"]'
        for split, rows in (("train", train), ("test", test)):
            path = pathlib.Path(artifacts["statistics"].uri, f"Split-{split}")
            path.mkdir(parents=True)
            (path / "FeatureStats.pb").write_bytes(statistics(rows).SerializeToString())
        pathlib.Path(artifacts["schema"].uri).mkdir(parents=True)
        SequenceSchemaGenExecutor().Do({}, {"schema": [artifacts["schema"]]}, {})
        write_items(artifacts["items"], items)
        StrictExampleValidatorExecutor().Do(
            {name: [artifact] for name, artifact in artifacts.items()},
            {"anomalies": [anomalies]},
            {"config": json.dumps(to_dict(ValidationConfig(**limits))), "root": str(self.folder)},
        )
        return pathlib.Path(anomalies.uri)


def write_items(artifact: standard_artifacts.Examples, rows: Rows) -> None:
    """Item examples of given features."""
    artifact.split_names = '["items"]'
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    folder = pathlib.Path(artifact.uri, "Split-items")
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for row in rows:
            writer.write(example(**row))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Root:
    return Root(tmp_path)


@pytest.mark.parametrize(("rows", "split"), [(TRAIN, "train"), (TEST, "test"), (TEST, "validation")])
def test_schema_fits_training_and_held_out_examples(rows: Rows, split: str) -> None:
    assert not tfdv.validate_statistics(statistics(rows), user_schema(), environment=split).anomaly_info


@pytest.mark.parametrize(
    ("row", "split", "feature"),
    [
        ({"user_id": [], "history": ["x"]}, "train", "user_id"),
        ({"user_id": ["a", "b"], "history": ["x"]}, "train", "user_id"),
        ({"user_id": ["a"], "history": [7]}, "train", "history"),
        ({"user_id": ["a"], "history": ["x"], "timestamps": [-1]}, "train", "timestamps"),
        ({"user_id": ["a"], "history": ["x"], "timestamps": ["soon"]}, "train", "timestamps"),
        ({"user_id": ["a"], "history": ["x"], "target": ["y"]}, "train", "target"),
        ({"user_id": ["a"], "history": ["x"], "target": ["y", "z"]}, "test", "target"),
        ({"user_id": ["a"], "history": ["x"]}, "test", "target"),
        ({"user_id": ["a"], "history": ["x"], "extra": [1]}, "train", "extra"),
    ],
)
def test_schema_rejects_broken_examples(row: dict[str, list], split: str, feature: str) -> None:
    found = tfdv.validate_statistics(statistics([row, row]), user_schema(), environment=split).anomaly_info
    assert set(found) == {feature}


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"vector": [1.0]}, "vector"),
        ({"item_id": []}, "item_id"),
        ({"text": ["a", "b"]}, "text"),
        ({"text": []}, "text"),
    ],
)
def test_item_schema_rejects_broken_items(change: dict[str, list], feature: str) -> None:
    rows = [ITEMS[0], {**ITEMS[1], **change}]
    assert set(tfdv.validate_statistics(statistics(rows), item_schema(2)).anomaly_info) == {feature}
    assert not tfdv.validate_statistics(statistics(ITEMS), item_schema(2)).anomaly_info


def test_anomalies_stop_the_run_with_split_feature_expectation_and_remedy(root: Root) -> None:
    with pytest.raises(InputError) as caught:
        root.run(test=[{"user_id": ["a"], "history": [7], "timestamps": [1], "target": ["x"]}])
    message = str(caught.value)
    assert "test: `history`: Expected data of type: BYTES but got INT" in message
    assert "(expected text, 1 or more in an example); mend the input" in message
    assert "train" not in message
    assert "\n" not in message


def test_items_of_two_vector_widths_stop_the_run(root: Root) -> None:
    with pytest.raises(InputError, match=r"items: `vector`: .*expected numbers, 2 in every example"):
        root.run(items=[*ITEMS, {**ITEMS[0], "vector": [1.0, 2.0, 3.0]}])


def test_a_history_beyond_the_limit_stops_the_run(root: Root) -> None:
    root.run()
    with pytest.raises(InputError, match=r"train: `history`: .*1 in an example.*validation\.max_history"):
        root.run(max_history=1)


def test_an_empty_split_or_training_without_items_stops_the_run(root: Root) -> None:
    """Neither is an anomaly of a feature, and neither drifts."""
    root.run()
    with pytest.raises(InputError, match=r"schema: test: holds no example; check the data's filters"):
        root.run(test=[])
    nothing = [{**row, "history": [], "timestamps": []} for row in TRAIN]
    with pytest.raises(InputError, match=r"train: `history`: no example has an item"):
        root.run(train=nothing)
    # A held-out user may have no history.
    root.run(test=TEST[:1], max_drift=0.0)


def test_drift_is_measured_against_the_last_accepted_run(root: Root) -> None:
    root.run()
    root.run(train=[*TRAIN, *TRAIN])
    drifted = [{**row, "history": ["x", "x"]} for row in TRAIN]
    for _ in range(2):
        # The refused run is not what the next one is compared with.
        with pytest.raises(InputError, match=r"train: `history`: .*validation\.max_drift"):
            root.run(train=drifted)
    root.run()
    root.run(train=drifted, max_drift=0.0)
    root.run(train=drifted)


def test_logged_requests_are_compared_with_training(root: Root, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "requests.jsonl"
    log.write_text('{"history": ["x", "y"], "k": 5}\n\n{"history": ["x", "z"]}\n')
    root.run(serving_requests=str(log))
    log.write_text('{"history": ["nothing", "else"]}\n')
    with pytest.raises(InputError, match=r"train: `history`: .*validation\.max_skew"):
        root.run(serving_requests=str(log))
    log.write_text('{"history": ["x"]}\n{"items": []}\n')
    with pytest.raises(InputError, match=r"requests\.jsonl:2: not a logged request.*`history`"):
        root.run(serving_requests=str(log))
    log.write_text('{"history": []}\n{"history": []}\n')
    with pytest.raises(InputError, match=r"no request has an item in its `history`"):
        root.run(serving_requests=str(log), max_skew=1.0)
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        root.run(serving_requests=str(tmp_path / "absent"))


def test_the_newest_requests_are_taken_in_bounded_memory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "requests.jsonl"
    lines = ["not JSON", *(json.dumps({"history": [f"item-{number}"]}) for number in range(9))]
    log.write_text("".join(f"{line}\n\n" for line in lines))
    monkeypatch.setattr(logged_requests, "_ROWS", 2)

    def taken() -> set[str]:
        (feature,) = logged_requests.serving_statistics(str(log)).datasets[0].features
        return {bucket.label for bucket in feature.string_stats.rank_histogram.buckets}

    monkeypatch.setattr(logged_requests, "_REQUESTS", 5)
    assert taken() == {f"item-{number}" for number in range(4, 9)}
    monkeypatch.setattr(logged_requests, "_CHARACTERS", 3 * len(lines[-1]) + 3)
    assert taken() == {"item-6", "item-7", "item-8"}
    # A single line that is longer than all that is kept still counts.
    monkeypatch.setattr(logged_requests, "_CHARACTERS", 1)
    assert taken() == {"item-8"}
