"""A service killed with SIGKILL while it writes, snapshots and rebuilds loses nothing that it acknowledged."""

import os
import pathlib
import signal
import subprocess
import sys

import crash_child_layout as layout
import numpy as np
import pytest
from stores import open_engine

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def child():
    paths = [str(ROOT), str(pathlib.Path(__file__).parent)]
    process = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name("crash_child.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    yield process
    process.stdin.close()
    process.wait(30)


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_nothing_acknowledged_is_lost_and_nothing_is_half_applied(tmp_path, child, rounds):
    generator = np.random.default_rng(0)
    last = dict.fromkeys(range(layout.WRITERS), 0)
    for _ in range(rounds):
        start = max(last.values()) + 1
        child.stdin.write(f"{tmp_path} {start}\n")
        child.stdin.flush()
        pid = None
        for _ in range(int(generator.integers(1, 60))):
            word, *values = child.stdout.readline().split()
            if word == "pid":
                pid = int(values[0])
            else:
                assert word == "done"
                last[int(values[0])] = int(values[1])
        os.kill(pid, signal.SIGKILL)
        # What was acknowledged before the signal is still in the pipe.
        while (line := child.stdout.readline().split())[0] != "dead":
            last[int(line[1])] = int(line[2])
        with open_engine(tmp_path, layout.WIDTH) as engine:
            held = engine.index.rows
            for writer, acknowledged in last.items():
                rows = [held.row(item_id) for item_id in layout.ids(writer)]
                states = {None if row is None else (held.titles[row], tuple(held.vector(row))) for row in rows}
                # The write after the last acknowledged one may or may not be in: wholly, if at all.
                nexts = (acknowledged, max(acknowledged + 1, start))
                assert states in [{layout.state(writer, number)} for number in nexts]
            assert len(engine.index.search(np.ones((1, layout.WIDTH), np.float32), 100, [()])[0]) == len(held)
