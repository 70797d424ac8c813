"""Index and push: an index is judged, and a version appears whole, once, and only when everything is blessed."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from pipeline_support import ITEM_IDS
from push_support import push
from support import run_python
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import standard_artifacts
from trainer_support import at, write_examples

from h2rec_tf.config import Config, IndexConfig
from h2rec_tf.index.scann_index import build_index, load_index
from tfx_pipeline import constants
from tfx_pipeline.artifacts import IndexBlessing, ItemIndex
from tfx_pipeline.components.index_builder import IndexBuilderExecutor, served_model
from tfx_pipeline.components.index_evaluator import IndexEvaluatorExecutor
from tfx_pipeline.components.pusher import _next_version, newest_version

SETTINGS = Config().replace(**{"index.k": 5, "index.queries": 30}).to_dict()["index"]

_KILLED_BEFORE_THE_RENAME = """
import os, pathlib, signal, sys
from push_support import push

os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
push(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def folder(model_artifact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """`good/index` as IndexBuilder makes it, `bad/index` of other vectors, and the blessing of each."""
    folder = tmp_path_factory.mktemp("index")
    models = at(standard_artifacts.Model(), model_artifact)
    (index,) = at(ItemIndex(), folder / "good" / "index")
    IndexBuilderExecutor().Do({"model": models}, {"index": [index]}, {"config": json.dumps(SETTINGS)})
    assert index.get_string_custom_property("kind") == "brute"
    model = served_model(models)
    table = model.table[1:, : model.learned_size]
    shuffled = table[np.random.default_rng(0).permutation(len(table))]
    build_index(shuffled, np.asarray(ITEM_IDS), str(folder / "bad" / "index"), config=IndexConfig(k=5))
    write_examples(folder / "examples", items=len(ITEM_IDS))
    return folder


def judged(folder: pathlib.Path, model: pathlib.Path, name: str, **limits: float) -> IndexBlessing:
    """IndexEvaluator's verdict on one of the two."""
    examples = standard_artifacts.Examples()
    examples.split_names = '["train", "validation"]'
    inputs = {
        "index": at(ItemIndex(), folder / name / "index"),
        "model": at(standard_artifacts.Model(), model),
        "examples": at(examples, folder / "examples"),
    }
    (blessing,) = at(IndexBlessing(), folder / name / "blessing")
    settings = {"index": {**SETTINGS, **limits}, "seed": 0}
    IndexEvaluatorExecutor().Do(inputs, {"blessing": [blessing]}, {"config": json.dumps(settings)})
    return blessing


def test_a_good_index_is_blessed_and_a_bad_one_refused(folder: pathlib.Path, model_artifact: pathlib.Path) -> None:
    blessing = judged(folder, model_artifact, "good")
    assert blessing.get_int_custom_property("blessed") == 1
    report = json.loads((folder / "good" / "blessing" / constants.INDEX_REPORT_FILE).read_text())
    assert (report["recall"], report["items"], report["k"], report["queries"]) == (1.0, len(ITEM_IDS), 5, 30)
    bad = judged(folder, model_artifact, "bad")
    assert bad.get_int_custom_property("blessed") == 0
    assert "recall@5" in bad.get_string_custom_property("reasons")
    slow = judged(folder, model_artifact, "good", max_p99_ms=1e-6)
    assert slow.get_int_custom_property("blessed") == 0
    assert "p99" in slow.get_string_custom_property("reasons")
    judged(folder, model_artifact, "good")


def test_a_version_has_all_that_serving_needs(
    folder: pathlib.Path, model_artifact: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    judged(folder, model_artifact, "good")
    artifact = push(tmp_path, model_artifact, index=folder / "good" / "index")
    version = pathlib.Path(artifact.get_string_custom_property("pushed_destination"))
    extra = version / constants.EXTRA_DIR
    items = [json.loads(line) for line in (extra / constants.ITEMS_FILE).read_text().splitlines()]
    assert items == [{"item_id": item_id, "title": f"Title of {item_id}"} for item_id in ITEM_IDS]
    assert load_index(str(extra / constants.INDEX_DIR)).item_ids.tolist() == ITEM_IDS
    card = json.loads((extra / "model_card.json").read_text())
    assert card["version"] == version.name
    assert card["data"]["items"] == len(ITEM_IDS)
    assert card["index"]["recall"] == 1.0
    text = (extra / "model_card.md").read_text()
    assert "recall: 1.0000" in text and "at most 100 items" in text and '"hidden_size": 8' in text
    # The trained model beside the SavedModel stays in the pipeline.
    assert not list(version.rglob("weights.npz"))
    # A server may run as another user.
    assert os.stat(version).st_mode & 0o055 == 0o055 & ~_umask()


def test_warm_up_requests_are_answered_by_every_serving_signature(
    model_artifact: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    version = push(tmp_path, model_artifact).get_string_custom_property("pushed_destination")
    loaded = tf.saved_model.load(version)
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(f"{version}/{constants.EXTRA_DIR}/{constants.WARMUP_FILE}")
    ]
    called = []
    for log in logs:
        request = log.predict_log.request
        called.append(request.model_spec.signature_name)
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        outputs = loaded.signatures[called[-1]](**inputs)
        # Catalogue items, so that the way of a real request is warmed up.
        assert all(np.any(value.numpy() != value.dtype.as_numpy_dtype()) for value in outputs.values()), called[-1]
    assert sorted(called) == sorted(set(loaded.signatures) - {"evaluate", "transform_features"})


def test_a_servable_is_pushed_once_until_another_one_is_newest(
    folder: pathlib.Path, model_artifact: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    judged(folder, model_artifact, "good")
    other = shutil.copytree(model_artifact, tmp_path / "other")
    (other / "Format-Serving" / "fingerprint.pb").write_bytes(b"other")
    found = []
    for model, index in ((model_artifact, "good"), (model_artifact, "good"), (other, "good"), (model_artifact, "good")):
        artifact = push(tmp_path, model, index=folder / index / "index")
        found.append(artifact.get_string_custom_property("pushed_destination"))
        assert found[-1] == newest_version(str(tmp_path / "serving"))
    assert found[0] == found[1]
    assert [int(path.rpartition("/")[2]) for path in found[1:]] == sorted({int(p.rpartition("/")[2]) for p in found})


def test_a_version_that_was_damaged_is_pushed_again(model_artifact: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first, again = (push(tmp_path, model_artifact).get_string_custom_property("pushed_destination") for _ in range(2))
    assert first == again
    weights = next(pathlib.Path(first).rglob("variables.data*"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    second = push(tmp_path, model_artifact).get_string_custom_property("pushed_destination")
    assert second != first
    assert next(pathlib.Path(second).rglob("variables.data*")).read_bytes() == whole


@pytest.mark.parametrize("verdict", [False, None])
@pytest.mark.parametrize("refused", ["blessed", "index_blessed"])
def test_what_is_not_blessed_stays_out(
    folder: pathlib.Path, model_artifact: pathlib.Path, tmp_path: pathlib.Path, refused: str, verdict: bool | None
) -> None:
    """Refused, or not judged at all."""
    artifact = push(tmp_path, model_artifact, index=folder / "good" / "index", **{refused: verdict})
    assert artifact.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_a_killed_push_leaves_no_version_and_the_next_one_cleans_up(
    model_artifact: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent, here.parents[1])))
    killed = run_python(_KILLED_BEFORE_THE_RENAME, str(tmp_path), str(model_artifact), check=False, PYTHONPATH=paths)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (left,) = (tmp_path / "serving").iterdir()
    assert not left.name.isdigit()
    assert (left / "saved_model.pb").exists()
    assert newest_version(str(tmp_path / "serving")) == ""
    version = push(tmp_path, model_artifact).get_string_custom_property("pushed_destination")
    assert [str(path) for path in (tmp_path / "serving").iterdir()] == [version]


def test_version_numbers_only_grow(tmp_path: pathlib.Path) -> None:
    (tmp_path / "99999999999").mkdir()
    (tmp_path / "notes").mkdir()
    assert _next_version(str(tmp_path)) == "100000000000"


def test_a_half_written_version_is_not_the_newest(tmp_path: pathlib.Path) -> None:
    for version in ("7", "12"):
        (tmp_path / version).mkdir()
    (tmp_path / "7" / "saved_model.pb").touch()
    assert newest_version(str(tmp_path)) == str(tmp_path / "7")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
