"""Trainer and Tuner: all forms of the model, a start from the last one, and a training that outlives SIGKILL."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from pipeline_support import ITEM_IDS, Transformed
from support import item_parts, run_python, tiny_config
from tfx.types import standard_artifacts
from trainer_support import EPOCHS, SMALL, at, save_semantic_ids, train, write_examples

from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.errors import InputError
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import build_semantic_ids
from tfx_pipeline import constants
from tfx_pipeline.artifacts import SemanticIds as SemanticIdsArtifact
from tfx_pipeline.components.trainer import _checkpoints
from tfx_pipeline.components.tuner import SequenceTunerExecutor, search_space

_KILLED_AFTER_AN_EPOCH = """
import logging, os, pathlib, signal, sys
import h2rec_tf
from trainer_support import train

class Killer(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("epoch 3,"):
            os.kill(os.getpid(), signal.SIGKILL)

log = logging.getLogger("h2rec_tf.training")
log.setLevel(logging.INFO)
log.addHandler(Killer())
train(pathlib.Path(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def folder(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Inputs of the Trainer, and `straight`, the outputs of a run without interruption."""
    folder = tmp_path_factory.mktemp("trainer")
    ids = np.asarray(ITEM_IDS, dtype=object)
    catalogue = Catalogue(item_ids=ids, titles=ids, texts=ids, vectors=item_parts()["vectors"])
    save_semantic_ids(build_semantic_ids(catalogue, quantizer=tiny_config().quantizer), folder)
    shutil.copytree(transformed.graph.transform_savedmodel_dir + "/..", folder / "graph")
    write_examples(folder / "examples", items=len(ITEM_IDS))
    write_examples(folder / "later", items=len(ITEM_IDS), seed=5)
    train(folder, "straight")
    return folder


def weights(run: pathlib.Path) -> list[np.ndarray]:
    return TrainedModel.load(str(run / "model" / constants.TRAINED_MODEL_DIR)).model.get_weights()


def epochs(run: pathlib.Path) -> list[dict[str, float]]:
    return json.loads((run / "model_run" / constants.HISTORY_FILE).read_text())["history"]


def tensorboard_steps(run: pathlib.Path) -> list[int]:
    steps = set()
    for path in sorted((run / "model_run" / constants.TENSORBOARD_DIR).iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            steps |= {event.step for value in event.summary.value if value.tag == "loss"}
    return sorted(steps)


def test_writes_model_weights_and_logs(folder: pathlib.Path) -> None:
    run = folder / "straight"
    assert (run / "model" / "Format-Serving" / "saved_model.pb").is_file()
    stored = TrainedModel.load(str(run / "model" / constants.TRAINED_MODEL_DIR))
    table = stored.model.item_table().numpy()
    exported = tf.saved_model.load(str(run / "model" / "Format-Serving"))
    served = exported.signatures["item_embedding"](item_ids=tf.constant(ITEM_IDS))["embedding"].numpy()
    np.testing.assert_allclose(table[1:], served, atol=1e-6)
    assert len(epochs(run)) == EPOCHS
    assert tensorboard_steps(run) == [1, 2, 3, 4]
    # Nothing is left of a training that ended well.
    assert not list((folder / "checkpoints").iterdir())


def test_a_killed_training_goes_on_in_the_next_execution(folder: pathlib.Path) -> None:
    """Killed between the third epoch and its checkpoint, the worst moment: two epochs are kept, the third is redone."""
    killed = run_python(_KILLED_AFTER_AN_EPOCH, str(folder), "killed", check=False, PYTHONPATH=_path())
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "killed" / "model" / "Format-Serving").exists()
    (kept,) = (folder / "checkpoints").iterdir()
    assert json.loads((kept / "checkpoints" / "state.json").read_text())["epoch"] == 2
    begun = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            begun.append(record.getMessage().partition(",")[0])

    log, listener = logging.getLogger("h2rec_tf.training.loop"), Listener()
    log.addHandler(listener)
    log.setLevel(logging.INFO)
    try:
        resumed = train(folder, "resumed")
    finally:
        log.removeHandler(listener)
    assert begun == ["epoch 3", "epoch 4"]
    for one, other in zip(weights(resumed), weights(folder / "straight"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert tensorboard_steps(resumed) == [1, 2, 3, 4]
    assert [figures["ndcg@10"] for figures in epochs(resumed)] == pytest.approx(
        [figures["ndcg@10"] for figures in epochs(folder / "straight")]
    )
    assert not list((folder / "checkpoints").iterdir())


def test_another_setting_or_input_has_its_own_checkpoints() -> None:
    def place(uri: str, config: str) -> str:
        artifact = standard_artifacts.Examples()
        artifact.uri = uri
        return _checkpoints({"examples": [artifact]}, {"custom_config": json.dumps({"a": config, "checkpoints": "/c"})})

    assert place("/one", "x") == place("/one", "x")
    assert len({place("/one", "x"), place("/other", "x"), place("/one", "y")}) == 3
    assert place("/one", "x").startswith("/c/")


def test_starts_from_the_base_model_and_says_so(folder: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "h2rec_tf.training")
    base = folder / "straight" / "model"
    warm = train(folder, "warm", examples="later", base=base, hyperparameters={"training.epochs": 1})
    assert f"warm start: {len(ITEM_IDS)} of {len(ITEM_IDS)} items were in the earlier model's catalogue" in caplog.text
    # The Tuner's values go before the configuration's.
    assert len(epochs(warm)) == 1 < EPOCHS
    # Other users of the same kind: a fresh start would begin about where the first training did.
    assert epochs(warm)[0]["loss"] < 0.95 * epochs(folder / "straight")[0]["loss"]


def test_the_tuner_finds_values_that_the_trainer_takes(folder: pathlib.Path) -> None:
    config = tiny_config(
        **SMALL,
        **{
            "training.max_steps": 2,
            "tuner.trials": 2,
            "tuner.space": {"training.learning_rate": [0.0001, 0.01], "model.dropout": [0.0, 0.1]},
        },
    )
    examples = standard_artifacts.Examples()
    examples.split_names = '["train", "validation"]'
    inputs = {
        "examples": at(examples, folder / "examples"),
        "semantic_ids": at(SemanticIdsArtifact(), folder / "semantic_ids"),
    }
    outputs = {
        "best_hyperparameters": at(standard_artifacts.HyperParameters(), folder / "tuned" / "best"),
        "tuner_results": at(standard_artifacts.TunerResults(), folder / "tuned" / "results"),
    }
    for artifacts in outputs.values():
        pathlib.Path(artifacts[0].uri).mkdir(parents=True)
    properties = {"config": json.dumps(config.to_dict()), "checkpoints": str(folder / "checkpoints")}
    SequenceTunerExecutor().Do(inputs, outputs, properties)
    (best,) = (folder / "tuned" / "best").iterdir()
    values = json.loads(best.read_text())
    assert set(values) == set(config.tuner.space)
    assert all(value in config.tuner.space[key] for key, value in values.items())
    assert (folder / "tuned" / "results" / "trials.md").is_file()
    assert not list((folder / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "`tuner.space` is empty"),
        ({"quantizer.levels": [2, 3]}, "the pipeline tunes model, loss, training alone"),
        ({"model.layer": [1, 2]}, "did you mean `layers`"),
    ],
)
def test_an_unusable_search_space_is_refused_when_the_pipeline_is_made(space: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        search_space(tiny_config(**{"tuner.space": space}))


def _path() -> str:
    root = pathlib.Path(__file__).parents[2]
    return ":".join(str(path) for path in (root, root / "tests", pathlib.Path(__file__).parent))
