"""A run that is killed in the middle of a component goes on with the next one; nothing half-written is read."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import killed_runs
import pytest


# Slow: a process that loads TFX, and a run of six components for each kill.
@pytest.mark.slow
def test_killed_in_each_component_and_run_again(tmp_path: pathlib.Path) -> None:
    found = subprocess.run(
        [sys.executable, killed_runs.__file__, str(tmp_path)], capture_output=True, text=True, check=True
    )
    *kills, resumed, again, deleted = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    assert [step["killed"] for step in kills] == [True] * len(killed_runs.KILLS), kills
    assert not resumed["killed"]
    # What was whole before the last kill is taken as it is; the component that was killed runs.
    assert [node for node, cached in resumed["cached"].items() if not cached] == ["SemanticIdGen"]
    assert all(again["cached"].values())
    assert again["files"] == resumed["files"]
    # TFX's metadata still names the directory that is gone.
    assert not deleted["cached"]["ItemExampleGen"]
    assert deleted["files"] == resumed["files"]
    files = resumed["files"]
    assert {path.split("/")[0] for path in files["InteractionExampleGen"]} == {
        "Split-test",
        "Split-train",
        "Split-validation",
    }
    assert {"update.json", "codes.npy", "item_ids.txt"} <= set(files["SemanticIdGen"])
    assert "accepted.json" in files["ExampleValidator"]
