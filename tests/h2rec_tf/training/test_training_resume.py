"""A killed run goes on to the result of an uninterrupted one; TensorBoard has the whole run."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import signal
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support import LEVELS, run_python, tiny_config, tiny_dataset

from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids
from h2rec_tf.training.configured import train_configured
from h2rec_tf.training.loop import TrainingResult
from h2rec_tf.training.state import Checkpoints, RunState

DATA = tiny_dataset()
# Everything that draws at random during training, so that a state which is not in the checkpoint shows.
RANDOM = {
    "model.dropout": 0.3,
    "model.shared_backbone": True,
    "loss.next_item": "sampled_softmax",
    "loss.mask_strategy": "random",
    "loss.hard_negatives": 1,
    "training.epochs": 4,
    "training.learning_rate": 0.01,
    "training.schedule": "cosine",
    "training.warmup_steps": 3,
}

_KILLED_IN_VALIDATION = """
import json, os, signal, sys
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.semantic_ids import build_semantic_ids
from h2rec_tf.training import loop
from h2rec_tf.training.configured import train_configured
from support import tiny_dataset

directory, config, kill_at = sys.argv[1], Config.from_dict(json.loads(sys.argv[2])), int(sys.argv[3])
evaluate, calls = loop.evaluate, []

def evaluate_or_die(*arguments, **named):
    calls.append(1)
    if len(calls) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(*arguments, **named)

loop.evaluate = evaluate_or_die
data = tiny_dataset()
semantic_ids = build_semantic_ids(data.catalogue, quantizer=config.quantizer)
train_configured(config, semantic_ids, data.train, data.validation, directory=directory)
"""


@pytest.fixture(scope="module")
def semantic_ids() -> SemanticIds:
    return build_semantic_ids(DATA.catalogue, quantizer=tiny_config().quantizer)


def _train(config: Config, semantic_ids: SemanticIds, directory: pathlib.Path) -> TrainingResult:
    return train_configured(config, semantic_ids, DATA.train, DATA.validation, directory=str(directory))


def _scalars(directory: pathlib.Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for path in sorted((directory / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[value.tag][event.step] = float(tf.make_ndarray(value.tensor))
    return found


@pytest.fixture(scope="module")
def straight(
    semantic_ids: SemanticIds, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingResult, pathlib.Path]:
    directory = tmp_path_factory.mktemp("straight")
    return _train(tiny_config(**RANDOM), semantic_ids, directory), directory


def test_a_killed_run_resumes_to_the_same_result(
    straight: tuple[TrainingResult, pathlib.Path], semantic_ids: SemanticIds, tmp_path: pathlib.Path
) -> None:
    config = tiny_config(**RANDOM)
    # Killed when all steps of epoch 3 are done and none of them is saved.
    killed = run_python(_KILLED_IN_VALIDATION, str(tmp_path), json.dumps(config.to_dict()), "3", check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert json.loads((tmp_path / "checkpoints" / "state.json").read_text())["epoch"] == 2
    resumed, (expected, directory) = _train(config, semantic_ids, tmp_path), straight
    assert len(resumed.history) == 4
    assert resumed.best_epoch == expected.best_epoch
    timeless = {"seconds", "sequences_per_second"}
    for left, right in zip(resumed.history, expected.history, strict=True):
        for name in set(left) - timeless:
            np.testing.assert_allclose(left[name], right[name], rtol=1e-5, err_msg=name)
    for variable, left, right in zip(
        expected.model.variables, resumed.model.get_weights(), expected.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(left, right, atol=1e-6, err_msg=variable.name)
    # Drift is measured from the start of the run, not from where it was resumed.
    found, wanted = _scalars(tmp_path), _scalars(directory)
    assert set(found) == set(wanted)
    for level in range(1, LEVELS + 1):
        tag = f"codebook_drift/level_{level}"
        np.testing.assert_allclose(found[tag][4], wanted[tag][4], rtol=1e-4)


def test_tensorboard_shows_losses_apart_gates_and_drift(straight: tuple[TrainingResult, pathlib.Path]) -> None:
    result, directory = straight
    scalars = _scalars(directory)
    losses = {"loss", "next_item_loss", "item_alignment_loss", "user_alignment_loss"}
    gates = [f"gate/level_{level}" for level in range(1, LEVELS + 1)]
    drifts = [f"codebook_drift/level_{level}" for level in range(1, LEVELS + 1)]
    assert losses | {"ndcg@10", "hr@10", *gates, *drifts} <= set(scalars)
    for tag, points in scalars.items():
        assert sorted(points) == [1, 2, 3, 4], tag
        assert np.isfinite(list(points.values())).all(), tag
    for epoch in range(1, 5):
        np.testing.assert_allclose(sum(scalars[tag][epoch] for tag in gates), 1.0, rtol=1e-4)
        np.testing.assert_allclose(scalars["loss"][epoch], result.history[epoch - 1]["loss"], rtol=1e-5)
        assert all(scalars[tag][epoch] > 0 for tag in drifts)


@dataclasses.dataclass
class _Run:
    """A one-branch run in a directory, and what it did."""

    directory: pathlib.Path
    semantic_ids: SemanticIds

    def train(self, **changes: Any) -> TrainingResult:
        settings = {"model.branches": "hid", "training.epochs": 2, "training.learning_rate": 0.01, **changes}
        return _train(tiny_config(**settings), self.semantic_ids, self.directory)


def test_a_finished_run_is_not_trained_again_and_another_one_starts_afresh(
    semantic_ids: SemanticIds, tmp_path: pathlib.Path
) -> None:
    run = _Run(tmp_path, semantic_ids)
    first = run.train()
    again = run.train()
    assert again.history == first.history
    for left, right in zip(again.model.get_weights(), first.model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    # It changes neither a shape nor a start value, but the result.
    other = run.train(**{"loss.next_item": "in_batch"})
    assert len(other.history) == 2
    assert other.history[0]["loss"] != first.history[0]["loss"]
    files = {path.name.split(".")[0] for path in (tmp_path / "checkpoints").iterdir()}
    assert files == {"state", "last-2", f"best-{other.best_epoch}"}, "what is not needed to resume is gone"


@pytest.mark.parametrize(
    "damaged", ["state.json", "last-1.data-00000-of-00001", "best-1.data-00000-of-00001", "last-1.index"]
)
def test_a_damaged_checkpoint_is_refused(damaged: str, tmp_path: pathlib.Path) -> None:
    variable = tf.Variable(tf.range(100, dtype=tf.float32))

    def checkpoints() -> Checkpoints:
        parts = {"model": tf.train.Checkpoint(variable=variable)}
        return Checkpoints(str(tmp_path), fingerprint="same", last=parts, best=parts)

    checkpoints().save(RunState(epoch=1, best_epoch=1))
    assert checkpoints().restore().epoch == 1
    path = tmp_path / damaged
    content = path.read_bytes()
    for bad in (content[: len(content) // 2], b"", content[:40] + bytes([content[40] ^ 255]) + content[41:]):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=rf"^{tmp_path}: the checkpoint .* is damaged .*training starts anew$"):
            checkpoints().restore()
