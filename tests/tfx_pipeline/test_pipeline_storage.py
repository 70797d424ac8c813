"""Artifacts and checkpoints on another file system (TensorFlow's in-memory one, `ram://`)."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import memory_files
import numpy as np
import pytest
import tensorflow_transform.beam as tft_beam
from pipeline_support import ITEM_IDS, RAW_SPEC, Transformed
from support import item_parts, tiny_config
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import io_utils
from trainer_support import SMALL, at, save_semantic_ids, train, write_examples

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import ITEM_IDS_FILE, build_semantic_ids
from h2rec_tf.training.configured import train_configured
from h2rec_tf.training.epochs import Epochs
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds
from tfx_pipeline.components.tuner import SequenceTunerExecutor
from tfx_pipeline.runners.fingerprint import source_fingerprint
from tfx_pipeline.storage import kept_local, local_copy, on_local_artifacts
from tfx_pipeline.user_code.preprocessing import preprocessing_fn

ROOT = "ram://root"


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    memory_files.register(monkeypatch)
    write("in/sub/file", b"content")
    yield
    fileio.rmtree(ROOT)


def write(path: str, content: bytes) -> str:
    fileio.makedirs(f"{ROOT}/{path}".rpartition("/")[0])
    if fileio.exists(f"{ROOT}/{path}"):
        fileio.remove(f"{ROOT}/{path}")
    with fileio.open(f"{ROOT}/{path}", "wb") as file:
        file.write(content)
    return f"{ROOT}/{path}"


def read(path: str) -> bytes:
    with fileio.open(f"{ROOT}/{path}", "rb") as file:
        return file.read()


class Copying(base_executor.BaseExecutor):
    """Writes what it reads, with Python's own `open`, and may fail after that."""

    fails = False

    @on_local_artifacts
    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        (source,), (target,) = input_dict["model"], output_dict["model"]
        content = (pathlib.Path(source.uri) / "sub" / "file").read_bytes()
        (pathlib.Path(target.uri) / "copy").write_bytes(content)
        target.set_string_custom_property("seen", "yes")
        if self.fails:
            raise ValueError("after writing")


def artifact(uri: str) -> standard_artifacts.Model:
    result = standard_artifacts.Model()
    result.uri = uri
    return result


def run(executor: Copying, target: str) -> standard_artifacts.Model:
    source, result = artifact(f"{ROOT}/in"), artifact(target)
    try:
        executor.Do({"model": [source]}, {"model": [result]}, {})
    finally:
        assert (source.uri, result.uri) == (f"{ROOT}/in", target)
    return result


def test_remote_artifacts_are_read_and_written() -> None:
    result = run(Copying(), f"{ROOT}/out")
    assert read("out/copy") == b"content"
    assert result.get_string_custom_property("seen") == "yes"


def test_a_failed_executor_leaves_nothing_remote() -> None:
    executor = Copying()
    executor.fails = True
    with pytest.raises(ValueError, match="after writing"):
        run(executor, f"{ROOT}/failed")
    assert not fileio.exists(f"{ROOT}/failed")


def test_local_artifacts_stay_where_they_are(tmp_path: pathlib.Path) -> None:
    run(Copying(), str(tmp_path))
    assert (tmp_path / "copy").read_bytes() == b"content"
    with local_copy(str(tmp_path)) as directory:
        assert directory == str(tmp_path)


def test_a_kept_directory_is_fetched_and_its_changes_are_saved() -> None:
    write("kept/state.json", b"1")
    write("kept/last-1", b"one")
    with kept_local(f"{ROOT}/kept") as kept:
        folder = pathlib.Path(kept.directory)
        assert (folder / "last-1").read_bytes() == b"one"
        (folder / "logs").mkdir()
        (folder / "logs" / "events").write_bytes(b"e")
        (folder / "last-2").write_bytes(b"two")
        (folder / "state.json").write_bytes(b"2")
        (folder / "last-1").unlink()
        assert read("kept/state.json") == b"1"
        kept.save()
        found = {name: read(f"kept/{name}") for name in ("last-2", "logs/events", "state.json")}
        assert found == {"last-2": b"two", "logs/events": b"e", "state.json": b"2"}
        assert not fileio.exists(f"{ROOT}/kept/last-1")
    assert not folder.exists()


def test_a_save_that_was_cut_short_leaves_a_record_whose_files_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever copy it ends, the record names a file that is there, whole."""
    original = fileio.copy
    for allowed in range(3):
        write("kept/last-1", b"one")
        write("kept/state.json", b"last-1")
        with kept_local(f"{ROOT}/kept") as kept:
            folder = pathlib.Path(kept.directory)
            (folder / "state.json").write_bytes(b"last-2")
            (folder / "last-2").write_bytes(b"two")
            (folder / "last-1").unlink()
            left = [allowed]

            def copy(source: str, target: str, *, left: list[int] = left, **options: Any) -> None:
                if not left[0]:
                    raise OSError("killed")
                left[0] -= 1
                original(source, target, **options)

            with monkeypatch.context() as patch:
                patch.setattr(fileio, "copy", copy)
                if allowed < 2:
                    with pytest.raises(OSError, match="killed"):
                        kept.save()
                else:
                    kept.save()
        named = read("kept/state.json").decode()
        assert named == ("last-2" if allowed == 2 else "last-1")
        assert read(f"kept/{named}") in (b"one", b"two")
        fileio.rmtree(f"{ROOT}/kept")


def test_workers_begin_with_what_the_chief_kept_and_write_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "state.json").write_bytes(b"1")
    with kept_local(str(tmp_path), chief=False) as kept:
        (pathlib.Path(kept.directory) / "state.json").write_bytes(b"2")
        kept.save()
    assert (tmp_path / "state.json").read_bytes() == b"1"
    with kept_local(str(tmp_path)) as kept:
        assert kept.directory == str(tmp_path)


def write_training_inputs(transformed: Transformed, tmp_path: pathlib.Path) -> None:
    """What Trainer and Tuner read, in `tmp_path` and in the remote root."""
    ids = np.asarray(ITEM_IDS, dtype=object)
    catalogue = Catalogue(item_ids=ids, titles=ids, texts=ids, vectors=item_parts()["vectors"])
    save_semantic_ids(build_semantic_ids(catalogue, quantizer=tiny_config().quantizer), tmp_path)
    io_utils.copy_dir(transformed.graph.transform_savedmodel_dir + "/..", str(tmp_path / "graph"))
    write_examples(tmp_path / "examples", items=len(ITEM_IDS))
    for name in ("semantic_ids", "graph", "examples"):
        io_utils.copy_dir(str(tmp_path / name), f"{ROOT}/{name}")


def test_a_remote_training_that_was_stopped_goes_on(
    transformed: Transformed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training_inputs(transformed, tmp_path)
    begun: list[int] = []
    original = Epochs.run

    def epoch(epochs: Epochs, number: int, *arguments: Any) -> dict[str, float]:
        begun.append(number)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return original(epochs, number, *arguments)

    monkeypatch.setattr(Epochs, "run", epoch)
    with pytest.raises(KeyboardInterrupt):
        train(ROOT, "stopped")
    (kept,) = fileio.listdir(f"{ROOT}/checkpoints")
    assert json.loads(read(f"checkpoints/{kept}/checkpoints/state.json"))["epoch"] == 2
    train(ROOT, "resumed")
    assert begun == [0, 1, 2, 2, 3]
    assert not fileio.exists(f"{ROOT}/checkpoints")
    train(str(tmp_path), "straight")
    io_utils.copy_dir(f"{ROOT}/resumed", str(tmp_path / "resumed"))
    models = [
        TrainedModel.load(str(tmp_path / name / "model" / constants.TRAINED_MODEL_DIR)).model.get_weights()
        for name in ("resumed", "straight")
    ]
    for one, other in zip(*models, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert list((tmp_path / "resumed" / "model_run" / constants.TENSORBOARD_DIR).iterdir())


def test_a_remote_search_that_was_stopped_goes_on(
    transformed: Transformed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training_inputs(transformed, tmp_path)
    changes = {
        "training.max_steps": 2,
        "tuner.trials": 2,
        "tuner.space": {"training.learning_rate": {"low": 0.001, "high": 0.01}},
    }
    properties = {
        "config": json.dumps(tiny_config(**SMALL, **changes).to_dict()),
        "checkpoints": f"{ROOT}/checkpoints",
    }
    examples = standard_artifacts.Examples()
    examples.split_names = '["train", "validation"]'
    inputs = {
        "examples": at(examples, f"{ROOT}/examples"),
        "semantic_ids": at(SemanticIds(), f"{ROOT}/semantic_ids"),
    }
    trials: list[float] = []
    original = train_configured

    def trial(config: Config, *arguments: Any, **options: Any) -> Any:
        trials.append(config.training.learning_rate)
        if len(trials) == 2:
            raise KeyboardInterrupt
        return original(config, *arguments, **options)

    def search(run: str) -> None:
        outputs = {
            "best_hyperparameters": at(standard_artifacts.HyperParameters(), f"{ROOT}/{run}/best"),
            "tuner_results": at(standard_artifacts.TunerResults(), f"{ROOT}/{run}/results"),
        }
        SequenceTunerExecutor().Do(inputs, outputs, properties)

    monkeypatch.setattr("h2rec_tf.tuning.search.train_configured", trial)
    with pytest.raises(KeyboardInterrupt):
        search("stopped")
    assert not fileio.exists(f"{ROOT}/stopped")
    search("resumed")
    # The first trial is not run again, and the second one has the values that it had.
    assert len(trials) == 3 and trials[1] == trials[2] != trials[0]
    assert read("resumed/results/trials.csv").decode().count("complete") == 2
    assert json.loads(read("resumed/best/best_hyperparameters.txt"))["training.learning_rate"] in trials
    assert not fileio.exists(f"{ROOT}/checkpoints")


def test_transform_reads_the_vocabulary_where_it_lies(tmp_path: pathlib.Path) -> None:
    ids = write(f"ids/{ITEM_IDS_FILE}", b"b\na\n").rpartition("/")[0]
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(RAW_SPEC)
    rows = [{"user_id": ["u"], "history": ["a", "x", "b"], "target": ["b"], "timestamps": [1, 2, 3]}]
    with tft_beam.Context(temp_dir=str(tmp_path)):
        (outputs, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            functools.partial(preprocessing_fn, custom_config={constants.SEMANTIC_IDS: ids})
        )
    assert outputs[0]["history_index"].tolist() == [2, 1]
    assert outputs[0]["target_index"] == 1


def test_remote_inputs_have_a_fingerprint() -> None:
    path = write("in/day-1.csv", b"one")
    pattern = f"{ROOT}/in/day-{{SPAN}}.csv"
    before = source_fingerprint(path), source_fingerprint(pattern)
    assert before == (source_fingerprint(path), source_fingerprint(pattern))
    write("in/day-2.csv", b"two")
    assert source_fingerprint(path) == before[0]
    assert source_fingerprint(pattern) != before[1]
    write("in/day-1.csv", b"other")
    assert source_fingerprint(path) != before[0]
