"""The ExampleGens' executors: files in, splits of examples out; and what they say to bad input."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from tfx.types.channel_utils import as_channel

from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline.components.interaction_example_gen import InteractionExampleGen, InteractionExampleGenExecutor
from tfx_pipeline.components.item_example_gen import ItemExampleGen, ItemExampleGenExecutor

EVENTS = "user_id,item_id,timestamp\nu1,a,3\nu1,b,1\nu1,c,2\nu1,a,9\nu2,c,1\nu2,b,2\nu2,a,3\nu3,b,1\n"
ITEMS = [{"item_id": item_id, "title": f"Title {item_id}", "tags": "x"} for item_id in "abc"]


def examples_artifact(uri: pathlib.Path) -> standard_artifacts.Examples:
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    return artifact


def run(executor: type, component: Any, inputs: dict[str, list], folder: pathlib.Path) -> standard_artifacts.Examples:
    """Runs an executor as TFX would, with the component's own parameters."""
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--direct_running_mode=in_memory"], tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    output = examples_artifact(folder / "examples")
    executor(context).Do(inputs, {"examples": [output]}, dict(component.exec_properties))
    return output


def read(artifact: standard_artifacts.Examples, split: str) -> dict[str, dict[str, list]]:
    """First id of an example -> its features."""
    rows = {}
    files = [str(path) for path in pathlib.Path(artifact.uri, f"Split-{split}").glob("*.gz")]
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        row = {name: list(getattr(value, value.WhichOneof("kind")).value) for name, value in features.items()}
        rows[(row.get("user_id") or row["item_id"])[0].decode()] = row
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "events.csv").write_text(EVENTS)
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    np.savez(folder / "vectors.npz", item_id=np.asarray(["c", "a", "b"]), embedding=np.eye(3, dtype=np.float16))
    return folder


@pytest.fixture(scope="module")
def items(folder: pathlib.Path) -> standard_artifacts.Examples:
    data = Config().to_dict()["data"]
    component = ItemExampleGen(
        items=str(folder / "items.jsonl"), embeddings=str(folder / "vectors.npz"), data=data, fingerprint=""
    )
    return run(ItemExampleGenExecutor, component, {}, folder / "items")


def interactions(path: pathlib.Path, items: standard_artifacts.Examples, folder: pathlib.Path) -> Any:
    data = Config().to_dict()["data"]
    component = InteractionExampleGen(interactions=str(path), items=as_channel([items]), data=data, fingerprint="")
    return run(InteractionExampleGenExecutor, component, {"items": [items]}, folder)


def test_items_have_text_and_vector(items: standard_artifacts.Examples) -> None:
    rows = read(items, "items")
    assert sorted(rows) == ["a", "b", "c"]
    assert rows["a"]["title"] == [b"Title a"]
    assert rows["a"]["text"] == [b"Title a x"]
    assert rows["a"]["vector"] == [0.0, 1.0, 0.0]


def test_interactions_are_grouped_sorted_and_split(
    folder: pathlib.Path, items: standard_artifacts.Examples, tmp_path: pathlib.Path
) -> None:
    artifact = interactions(folder / "events.csv", items, tmp_path)
    assert artifact.split_names == '["train", "validation", "test"]'
    train, validation, test = (read(artifact, split) for split in ("train", "validation", "test"))
    assert train["u1"]["history"] == [b"b", b"c"]
    assert train["u1"]["timestamps"] == [1, 2]
    assert validation["u1"]["history"] == [b"b", b"c"]
    assert validation["u1"]["target"] == [b"a"]
    assert test["u1"]["history"] == [b"b", b"c", b"a"]
    assert test["u1"]["target"] == [b"a"]
    assert test["u2"]["target"] == [b"a"]
    assert "u3" not in test
    assert all("target" not in row for row in train.values())


def test_an_unknown_item_is_named(items: standard_artifacts.Examples, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(EVENTS + "u9,nowhere,4\n")
    with pytest.raises(InputError, match=r"events\.csv:10.*nowhere"):
        interactions(path, items, tmp_path)


def test_a_missing_file_is_named(items: standard_artifacts.Examples, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: expected one file, found no file"):
        interactions(tmp_path / "absent.csv", items, tmp_path)
