"""The compiled Kubeflow spec, run twice on this machine: each step from its own command line, as a backend would."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from tfx_pipeline.runners import container
from tfx_pipeline.runners.kubeflow import compile_kubeflow

CONFIG = {
    "text.dimensions": 16,
    "quantizer.levels": 2,
    "quantizer.codes": 8,
    "quantizer.iterations": 5,
    "model.hidden_size": 8,
    "model.layers": 1,
    "model.max_length": 10,
    "training.epochs": 1,
    "training.batch_size": 256,
}


def run_spec(spec: dict[str, Any], folder: pathlib.Path) -> None:
    """Runs the steps in the order of their dependencies and hands each one's reported artifacts on."""
    tasks: dict[str, Any] = dict(spec["root"]["dag"]["tasks"])
    made: dict[str, dict[str, Any]] = {}
    while tasks:
        node = next(name for name, task in tasks.items() if set(task.get("dependentTasks", [])) <= set(made))
        task = tasks.pop(node)
        component = spec["components"][task["componentRef"]["name"]]
        outputs = {
            key: {"name": f"{node}/{key}", "uri": str(folder / node / key), "type": output["artifactType"]}
            for key, output in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        sources = {
            key: source["taskOutputArtifact"] for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        inputs = {key: made[source["producerTask"]][source["outputArtifactKey"]] for key, source in sources.items()}
        parameters = task.get("inputs", {}).get("parameters", {})
        report = folder / node / "executor_output.json"
        invocation = {
            "inputs": {
                "parameterValues": {key: value["runtimeValue"]["constant"] for key, value in parameters.items()},
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in inputs.items()},
            },
            "outputs": {
                "outputFile": str(report),
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in outputs.items()},
            },
        }
        arguments = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["args"]
        assert container.main([json.dumps(invocation) if word == "{{$}}" else word for word in arguments]) == 0, node
        reported = json.loads(report.read_text())["artifacts"]
        made[node] = {key: {**outputs[key], **value["artifacts"][0]} for key, value in reported.items()}


# Two whole trainings with TFX's evaluation.
@pytest.mark.slow
def test_a_compiled_pipeline_pushes_a_model_and_compares_the_next_one_with_it(tmp_path: pathlib.Path) -> None:
    files = tmp_path / "files"
    made = CliRunner().invoke(data, ["synthesize", str(files), "--items", "200", "--users", "300"])
    assert made.exit_code == 0, made.output
    spec = compile_kubeflow(
        files=DataFiles(str(files / "interactions.csv.gz"), str(files / "items.jsonl")),
        # Any change is accepted: the second model may be a little worse by chance.
        config=Config().replace(**CONFIG, **{"gate.max_relative_drop": 1.0}),
        root=str(tmp_path / "root"),
        image="registry/h2rec:1",
    )
    run_spec(spec, tmp_path / "one")
    assert not (tmp_path / "one" / "BaselineResolver" / "model").exists()
    run_spec(spec, tmp_path / "two")
    baseline = tmp_path / "two" / "BaselineResolver" / "model" / "Format-Serving" / "saved_model.pb"
    assert baseline.exists()
    assert len(list((tmp_path / "root" / "serving").iterdir())) == 2
