"""A pipeline that is killed in Trainer, Evaluator and Pusher, and one that goes on from an earlier day's model."""

from __future__ import annotations

import csv
import gzip
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from tfx_pipeline import constants

# Four whole pipelines, each in its own process.
pytestmark = pytest.mark.slow

CONFIG = """
text: {dimensions: 16}
quantizer: {levels: 2, codes: 8, iterations: 5}
codebooks: {max_collision_rate: 1.0}
model: {hidden_size: 8, layers: 1, max_length: 10}
training: {epochs: 3, min_epoch_steps: 0, patience: 3, batch_size: 256, validation_users: 100}
gate: {baselines: [], max_relative_drop: 1.0}
"""

# Dies of SIGKILL: after the Trainer's second epoch and before its checkpoint, when the Evaluator has half of its files,
# or before the Pusher's rename.
_RUN = """
import logging, os, signal, sys

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv.pop(1)
if where == "Trainer":
    class Killer(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("epoch 2,"):
                die()
    logging.getLogger("h2rec_tf.training").addHandler(Killer())
if where == "Evaluator":
    import tfx.components.evaluator.executor as executor
    # Called when the metrics are written and the blessing is not.
    executor.tfma.load_validation_result = die
if where == "Pusher":
    import tfx_pipeline.components.pusher as pusher
    pusher.warmup_requests = die
from h2rec_tf.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("resume")
    made = CliRunner().invoke(data, ["synthesize", str(folder / "files"), "--items", "200", "--users", "300"])
    assert made.exit_code == 0, made.output
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def run(folder: pathlib.Path, kill_in: str = "") -> subprocess.CompletedProcess[str]:
    arguments = ["pipeline", "run", "--interactions", str(folder / "files" / "interactions.csv.gz")]
    arguments += ["--items", str(folder / "files" / "items.jsonl"), "--root", str(folder / "root")]
    arguments += ["--config", str(folder / "config.yaml")]
    result = subprocess.run([sys.executable, "-c", _RUN, kill_in, *arguments], capture_output=True, text=True)
    assert result.returncode == (-signal.SIGKILL if kill_in else 0), result.stderr
    return result


def cached(result: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"\] (\w+) \.\.\. cached", result.stderr))


def test_killed_three_times_then_warm_started(folder: pathlib.Path) -> None:
    run(folder, "Trainer")
    evaluated = run(folder, "Evaluator")
    # The second epoch was done but not kept; the first one is not done again.
    assert re.findall(r"epoch (\d+),", evaluated.stderr) == ["2", "3"]
    assert {"Transform", "SemanticIdGen"} <= cached(evaluated)
    pushing = run(folder, "Pusher")
    assert "Trainer" in cached(pushing) and "Evaluator" not in cached(pushing)
    assert not [path for path in (folder / "root" / "serving").iterdir() if path.name.isdigit()]
    last = run(folder)
    # The Evaluator compares with the model that it blessed before the Pusher died, so it has a new input.
    assert {"Trainer", "IndexBuilder", "IndexEvaluator"} <= cached(last)
    (version,) = (folder / "root" / "serving").iterdir()
    assert (version / constants.EXTRA_DIR / constants.WARMUP_FILE).is_file()
    assert not list((folder / "root" / "artifacts" / constants.CHECKPOINTS).iterdir())

    # The next day: one more interaction of each of the first users.
    path = folder / "files" / "interactions.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    newest = max(int(row["timestamp"]) for row in rows)
    users = list(dict.fromkeys(row["user_id"] for row in rows))[:50]
    rows += [{**rows[number], "user_id": user, "timestamp": str(newest + 1)} for number, user in enumerate(users)]
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    warm = run(folder)
    assert "warm start: 200 of 200 items were in the earlier model's catalogue" in warm.stderr
    assert len(list((folder / "root" / "serving").iterdir())) == 2
    again = run(folder)
    assert "Trainer" in cached(again)
