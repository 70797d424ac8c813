"""`h2rec pipeline run` with the Tuner node: the Trainer trains with the values that the search found."""

from __future__ import annotations

import csv
import json
import pathlib

import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from h2rec_tf.config import Config
from h2rec_tf.models.store import CONFIG_FILE
from tfx_pipeline import constants
from tfx_pipeline.cli import pipeline

# The configured learning rate is far outside of what is searched.
CONFIG = """
text: {dimensions: 16}
quantizer: {levels: 2, codes: 8, iterations: 5}
codebooks: {max_collision_rate: 1.0}
gate: {baselines: []}
model: {hidden_size: 8, layers: 1, max_length: 10}
training: {epochs: 2, min_epoch_steps: 0, batch_size: 128, validation_users: 100, learning_rate: 1.0e-7}
tuner:
  enabled: true
  trials: 2
  space: {training.learning_rate: {low: 0.002, high: 0.02, log: true}}
"""


# A whole pipeline, and a second one that is mostly cached.
@pytest.mark.slow
def test_the_trainer_takes_the_best_values(tmp_path: pathlib.Path) -> None:
    files = tmp_path / "files"
    made = CliRunner().invoke(data, ["synthesize", str(files), "--items", "200", "--users", "300"])
    assert made.exit_code == 0, made.output
    (tmp_path / "config.yaml").write_text(CONFIG)
    arguments = ["run", "--interactions", str(files / "interactions.csv.gz"), "--items", str(files / "items.jsonl")]
    arguments += ["--root", str(tmp_path / "root"), "--config", str(tmp_path / "config.yaml")]
    result = CliRunner().invoke(pipeline, arguments)
    assert result.exception is None, result.exception
    tuner = tmp_path / "root" / "artifacts" / constants.TUNER
    (best,) = (tuner / "best_hyperparameters").glob("*/*")
    values = json.loads(best.read_text())
    (trials,) = (tuner / "tuner_results").glob("*/trials.csv")
    with open(trials, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    highest = max(rows, key=lambda row: float(row["ndcg@10"]))
    assert list(values) == ["training.learning_rate"]
    assert values["training.learning_rate"] == pytest.approx(float(highest["training.learning_rate"]), rel=1e-3)
    (trained,) = (tmp_path / "root" / "artifacts" / constants.TRAINER / "model").glob(
        f"*/{constants.TRAINED_MODEL_DIR}"
    )
    assert Config.load(str(trained / CONFIG_FILE)).training.learning_rate == values["training.learning_rate"]
    assert not list((tmp_path / "root" / "artifacts" / constants.CHECKPOINTS).iterdir())
    again = CliRunner().invoke(pipeline, arguments)
    assert again.exception is None, again.exception
    for node in (constants.TUNER, constants.TRAINER):
        assert f"{node} ... cached" in again.stderr
