"""The compiled Kubeflow spec, run twice on this machine: each step from its own command line, as a backend would."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import memory_files
import pytest
from click.testing import CliRunner
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from h2rec_tf.cli.data import data
from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from tfx_pipeline.components.example_validator import ACCEPTED_FILE
from tfx_pipeline.runners import container
from tfx_pipeline.runners.kubeflow import compile_kubeflow

CONFIG = {
    "text.dimensions": 16,
    "quantizer.levels": 2,
    "quantizer.codes": 8,
    "quantizer.iterations": 5,
    "codebooks.max_collision_rate": 1.0,
    "model.hidden_size": 8,
    "model.layers": 1,
    "model.max_length": 10,
    "training.epochs": 1,
    "training.min_epoch_steps": 0,
    "training.batch_size": 256,
}


def run_spec(spec: dict[str, Any], folder: str) -> None:
    """Runs the steps in the order of their dependencies and hands each one's reported artifacts on.

    Args:
        spec: compiled.
        folder: directory or URI of the run.
    """
    tasks: dict[str, Any] = dict(spec["root"]["dag"]["tasks"])
    made: dict[str, dict[str, Any]] = {}
    while tasks:
        node = next(name for name, task in tasks.items() if set(task.get("dependentTasks", [])) <= set(made))
        task = tasks.pop(node)
        component = spec["components"][task["componentRef"]["name"]]
        outputs = {
            key: {"name": f"{node}/{key}", "uri": f"{folder}/{node}/{key}", "type": output["artifactType"]}
            for key, output in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        sources = {
            key: source["taskOutputArtifact"] for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        inputs = {key: made[source["producerTask"]][source["outputArtifactKey"]] for key, source in sources.items()}
        parameters = task.get("inputs", {}).get("parameters", {})
        report = f"{folder}/{node}/executor_output.json"
        invocation = {
            "inputs": {
                "parameterValues": {key: value["runtimeValue"]["constant"] for key, value in parameters.items()},
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in inputs.items()},
            },
            "outputs": {
                "outputFile": report,
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in outputs.items()},
            },
        }
        arguments = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["args"]
        assert container.main([json.dumps(invocation) if word == "{{$}}" else word for word in arguments]) == 0, node
        with fileio.open(report) as file:
            reported = json.loads(file.read())["artifacts"]
        made[node] = {key: {**outputs[key], **value["artifacts"][0]} for key, value in reported.items()}


# Two whole trainings with TFX's evaluation, each time.
@pytest.mark.slow
@pytest.mark.parametrize("remote", [False, True])
def test_a_compiled_pipeline_pushes_a_model_and_compares_the_next_one_with_it(
    tmp_path: pathlib.Path, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a mounted directory, and with every artifact and input on another file system."""
    files = str(tmp_path / "files")
    made = CliRunner().invoke(data, ["synthesize", files, "--items", "200", "--users", "300"])
    assert made.exit_code == 0, made.output
    base = str(tmp_path)
    if remote:
        memory_files.register(monkeypatch)
        base = f"ram://{tmp_path.name}"
        io_utils.copy_dir(files, f"{base}/files")
        shutil.rmtree(files)
    spec = compile_kubeflow(
        files=DataFiles(f"{base}/files/interactions.csv.gz", f"{base}/files/items.jsonl"),
        # Any change is accepted, as the second model may be a little worse by chance; one epoch beats no baseline.
        config=Config().replace(**CONFIG, **{"gate.max_relative_drop": 1.0, "gate.baselines": []}),
        root=f"{base}/root",
        image="registry/h2rec:1",
    )
    run_spec(spec, f"{base}/root/project/one")
    assert not fileio.glob(f"{base}/root/project/one/BaselineResolver/model/*")
    run_spec(spec, f"{base}/root/project/two")
    assert fileio.exists(f"{base}/root/project/two/BaselineResolver/model/Format-Serving/saved_model.pb")
    assert len(fileio.listdir(f"{base}/root/serving")) == 2
    # The second run found the codes of the first one, and the statistics that it accepted.
    with fileio.open(f"{base}/root/project/two/SemanticIdGen/semantic_ids/update.json") as file:
        assert json.loads(file.read())["kept"] == 200
    with fileio.open(f"{base}/root/project/one/ExampleValidator/anomalies/{ACCEPTED_FILE}") as file:
        # Relative to the root, which may be moved.
        assert fileio.exists(f"{base}/root/{json.loads(file.read())['statistics']}")
    # Nothing is left of trainings that ended well, and no local directory was named after a URI.
    assert not fileio.glob(f"{base}/root/checkpoints/*")
    assert not pathlib.Path("ram:").exists()
