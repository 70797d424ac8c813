"""A run's own process: it lives no longer than the one that started it."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

import psutil

ROOT = pathlib.Path(__file__).parents[3]
# Seconds; a busy machine takes its time to import TensorFlow twice.
STARTED = 600
ENDED = 120

_ENDLESS = """
import sys
from support import tiny_config, tiny_dataset
from h2rec_tf.bench.configurations import NamedConfiguration
from h2rec_tf.bench.quality import run_quality

config = tiny_config(**{"model.branches": "hid", "training.epochs": 10**6, "training.patience": 10**6})
models = [NamedConfiguration("endless", config)]
run_quality(models, tiny_dataset(), seeds=[0], output=sys.argv[1], dataset_name="toy")
"""


def test_a_killed_benchmark_leaves_no_run_behind(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    runs = []
    try:
        deadline = time.monotonic() + STARTED
        while not (states := list(tmp_path.glob("cache/runs/*/checkpoints/state.json"))):
            assert parent.poll() is None and time.monotonic() < deadline, "the run has no first epoch"
            time.sleep(0.1)
        runs = psutil.Process(parent.pid).children()
        assert len(runs) == 1
        parent.kill()
        # The run shares its parent's stderr, which ends when both are gone.
        parent.communicate(timeout=ENDED)
    finally:
        for process in (parent, *runs):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert json.loads(states[0].read_text())["epoch"] > 0, "the next one goes on from here"
    assert not (tmp_path / "results.jsonl").exists()
