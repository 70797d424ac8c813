"""Compiled specs: equal to the golden files, accepted by the kfp libraries, and complete; refusals name the remedy."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pathlib
from typing import Any

import kfp.components
import pytest
import yaml
from click.testing import CliRunner, Result
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline import constants
from tfx_pipeline.cli import pipeline
from tfx_pipeline.cli_cloud import compile_for

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = pathlib.Path(__file__).parent / "golden"
FILES = DataFiles("gs://bucket/clicks.csv", "gs://bucket/items.jsonl", "gs://bucket/vectors.npz")
ARGUMENTS: dict[str, Any] = {"files": FILES, "root": "gs://bucket/h2rec", "image": "registry/h2rec:1"}


def _script() -> Any:
    path = ROOT / "scripts" / "golden_specs.py"
    spec = importlib.util.spec_from_file_location("golden_specs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


def golden(name: str) -> dict[str, Any]:
    """The golden file's pipeline spec."""
    content = yaml.safe_load((GOLDEN / name).read_text())
    return content.get("pipelineSpec", content)


def container(spec: dict[str, Any], node: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"{node}_executor"]["container"]


@pytest.mark.parametrize("name", SCRIPT.SPECS)
def test_golden_file_is_what_the_pipeline_compiles_to(name: str) -> None:
    assert SCRIPT.compiled(name) == (GOLDEN / name).read_text(), "if the change is wanted, run `make golden`"


@pytest.mark.parametrize("name", SCRIPT.SPECS)
def test_kfp_reads_it(name: str) -> None:
    spec = golden(name)
    component = kfp.components.load_component_from_text(yaml.safe_dump(spec))
    assert component.pipeline_spec.pipeline_info.name == "h2rec"
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert parsed.schema_version == "2.1.0"
    deployment = json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    for name_, task in parsed.root.dag.tasks.items():
        assert set(task.dependent_tasks) <= set(parsed.root.dag.tasks), name_
        assert parsed.components[task.component_ref.name].executor_label in deployment.executors


@pytest.mark.parametrize("name", SCRIPT.SPECS)
def test_every_class_that_a_step_imports_exists_and_every_step_has_the_image(name: str) -> None:
    spec = golden(name)
    for executor in spec["deploymentSpec"]["executors"].values():
        if "container" not in executor:
            continue
        image, command, arguments = (executor["container"][key] for key in ("image", "command", "args"))
        assert image == "europe-west4-docker.pkg.dev/test-project/h2rec/pipeline:0.1.0"
        assert command[:2] == ["python", "-m"]
        assert importlib.util.find_spec(command[2])
        module, _, attribute = arguments[arguments.index("--executor_class_path") + 1].rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)
    titles = {
        yaml.safe_load(artifact["artifactType"]["instanceSchema"])["title"]
        for component in spec["components"].values()
        for side in ("inputDefinitions", "outputDefinitions")
        for artifact in component.get(side, {}).get("artifacts", {}).values()
    }
    for title in titles:
        module, _, attribute = title.rpartition(".")
        assert module == "tfx" or hasattr(importlib.import_module(module), attribute), title


def test_kubeflow_has_containers_only_and_vertex_resolvers() -> None:
    kubeflow, vertex = golden("kubeflow.yaml"), golden("vertex.json")
    assert all("container" in executor for executor in kubeflow["deploymentSpec"]["executors"].values())
    assert sum("resolver" in executor for executor in vertex["deploymentSpec"]["executors"].values()) == 2
    assert kubeflow["defaultPipelineRoot"] == "gs://bucket/h2rec"
    assert (
        json.loads((GOLDEN / "vertex.json").read_text())["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/h2rec"
    )


@pytest.mark.parametrize("name", SCRIPT.SPECS)
def test_steps_with_an_outside_effect_are_never_cached(name: str) -> None:
    spec = golden(name)
    tasks = spec["root"]["dag"]["tasks"]
    assert constants.PUSHER in tasks
    for node, task in tasks.items():
        # Resolvers are looked up every time by themselves.
        if "container" in spec["deploymentSpec"]["executors"][f"{node}_executor"]:
            assert ("cachingOptions" in task) != (node in constants.UNCACHED), node


def test_machine_settings_are_the_steps() -> None:
    config = Config().replace(
        **{
            "cloud.cpu": 2.0,
            "cloud.trainer.cpu": 16.0,
            "cloud.trainer.memory_gib": 64.0,
            "cloud.trainer.accelerator_type": "NVIDIA_TESLA_T4",
            "cloud.trainer.accelerator_count": 2,
        }
    )
    spec = compile_for("kubeflow", config=config, **ARGUMENTS)
    trainer = container(spec, constants.TRAINER)["resources"]
    assert trainer["cpuLimit"] == 16.0
    assert trainer["memoryLimit"] * 1e9 == pytest.approx(64 * 2**30)
    assert trainer["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "2"}
    assert container(spec, constants.TRANSFORM)["resources"] == {"cpuLimit": 2.0}


def test_file_content_is_not_needed_and_beam_flags_reach_the_steps() -> None:
    job = compile_for("vertex", config=Config(), beam_pipeline_args=["--runner=DataflowRunner"], **ARGUMENTS)
    spec = job["pipelineSpec"]
    assert container(spec, "StatisticsGen")["args"][-1] == "--runner=DataflowRunner"
    assert "gs://bucket/vectors.npz" in json.dumps(spec)


JOB = {"cloud.project": "p1", "cloud.region": "r1", "cloud.trainer.run_as": "custom_job"}


@pytest.mark.parametrize(
    ("target", "arguments", "changes", "words"),
    [
        ("vertex", {"image": " "}, {}, ["--image", "Dockerfile"]),
        ("vertex", {"files": DataFiles("clicks.csv", "gs://b/items")}, {}, ["--interactions clicks.csv", "gs://"]),
        ("vertex", {"files": DataFiles("gs://b/c", "/data/items")}, {}, ["--items /data/items", "gs://"]),
        ("kubeflow", {"files": DataFiles("gs://b/c", "items")}, {}, ["--items items", "absolute path"]),
        ("vertex", {"root": "runs"}, {}, ["--root runs"]),
        ("kubeflow", {"files": DataFiles("gs://b/day-{SPAN}.csv", "gs://b/i")}, {}, ["{SPAN}", "--target vertex"]),
        ("kubeflow", {}, {"cloud.push.enabled": True}, ["cloud.push.enabled", "--target vertex"]),
        ("kubeflow", {}, JOB, ["custom_job", "--target vertex"]),
        ("vertex", {}, {"cloud.trainer.run_as": "custom_job"}, ["cloud.project"]),
        ("vertex", {}, {**JOB, "cloud.trainer.replicas": 2}, ["multi_worker"]),
        ("vertex", {}, {**JOB, "cloud.trainer.accelerator_type": "T4"}, ["'T4'", "NVIDIA_TESLA_T4"]),
        ("vertex", {}, {"cloud.push.enabled": True}, ["cloud.project"]),
        ("vertex", {}, {**JOB, "cloud.push.enabled": True, "cloud.push.min_replicas": 2}, ["max_replicas"]),
    ],
)
def test_what_cannot_run_is_refused(
    target: str, arguments: dict[str, Any], changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        compile_for(target, config=Config().replace(**changes), **{**ARGUMENTS, **arguments})
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "kubeflow", "vertex"),
    [
        ("gs://bucket/h2rec", True, True),
        # A bucket that is mounted, as Vertex AI does it for every step.
        ("/gcs/bucket/h2rec", True, True),
        # Kubeflow's containers may mount a volume and bring file system plugins; Vertex AI knows its own storage alone.
        ("/mnt/h2rec", True, False),
        ("s3://bucket/h2rec", True, False),
        ("minio://bucket/h2rec", True, False),
        # Of the machine that compiles: a container has another working directory.
        ("runs/h2rec", False, False),
        ("./runs", False, False),
        ("~/runs", False, False),
        ("", False, False),
    ],
)
def test_roots_that_a_container_reaches(root: str, kubeflow: bool, vertex: bool, tmp_path: pathlib.Path) -> None:
    arguments = ["compile", "--interactions", "gs://b/clicks.csv", "--items", "gs://b/items.csv", "--image", "i:1"]
    for target, accepted in (("kubeflow", kubeflow), ("vertex", vertex)):
        path = tmp_path / f"{target}.json"
        result = CliRunner().invoke(pipeline, [*arguments, "--root", root, "--target", target, "--output", str(path)])
        assert path.is_file() == accepted, result.exception
        if accepted:
            spec = json.loads(path.read_text())
            assert (spec.get("defaultPipelineRoot") or spec["runtimeConfig"]["gcsOutputDirectory"]) == root
        else:
            assert isinstance(result.exception, InputError)
            assert f"--root {root}: " in str(result.exception) and "gs://" in str(result.exception)


def command(*flags: str) -> Result:
    arguments = ["compile", "--interactions", "gs://b/clicks.csv", "--items", "gs://b/items.csv", "--root", "gs://b/r"]
    return CliRunner().invoke(pipeline, [*arguments, "--target", "vertex", *flags])


def test_the_command_writes_the_file_and_says_so(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "h2rec.yaml"
    result = command("--image", "registry/h2rec:1", "--output", str(path))
    assert result.exception is None, result.exception
    assert str(path) in result.stdout
    assert yaml.safe_load(path.read_text())["pipelineSpec"]["pipelineInfo"]["name"] == "h2rec"


def test_the_command_without_an_image_or_with_another_ending_writes_nothing(tmp_path: pathlib.Path) -> None:
    missing = command("--output", str(tmp_path / "h2rec.json"))
    assert missing.exit_code == 2
    assert "--image" in missing.stderr
    assert "h2rec.txt" in str(command("--image", "a", "--output", str(tmp_path / "h2rec.txt")).exception)
    assert not list(tmp_path.iterdir())
