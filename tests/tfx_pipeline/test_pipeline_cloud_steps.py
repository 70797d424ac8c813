"""What steps do on Kubeflow and Vertex AI alone: the served baseline, the container's entry, custom jobs, the push."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import yaml
from fake_vertex import PARENT, PROJECT, REGION, FakeVertex
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from h2rec_tf.cloud.traffic import with_newcomer
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline.components import vertex_trainer
from tfx_pipeline.components.served_model import ABSENT, ServedModelExecutor
from tfx_pipeline.components.vertex_pusher import VERTEX_MODEL, VertexPusherExecutor
from tfx_pipeline.components.vertex_trainer import CustomJobError, CustomJobTrainerExecutor
from tfx_pipeline.runners import container, custom_job
from tfx_pipeline.storage import is_chief

GOLDEN = pathlib.Path(__file__).parent / "golden"


def version(serving: pathlib.Path, name: str, content: str) -> None:
    (serving / name).mkdir(parents=True)
    (serving / name / "saved_model.pb").write_text(content)


def run_step(spec: dict[str, Any], node: str, folder: pathlib.Path, **parameters: str) -> tuple[int, dict[str, Any]]:
    """Runs a compiled step's own command line in this process, as an orchestrator would, and reads what it reports."""
    component = spec["components"][node]
    outputs = {
        name: {
            "artifacts": [{"name": name, "uri": str(folder / name), "type": artifact["artifactType"], "metadata": {}}]
        }
        for name, artifact in component["outputDefinitions"]["artifacts"].items()
    }
    values = {
        name: value["runtimeValue"]["constant"]
        for name, value in spec["root"]["dag"]["tasks"][node]["inputs"]["parameters"].items()
    }
    report = folder / "executor_output.json"
    invocation = {
        "inputs": {"parameterValues": values | parameters, "artifacts": {}},
        "outputs": {"outputFile": str(report), "artifacts": outputs},
    }
    arguments = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["args"]
    code = container.main([json.dumps(invocation) if word == "{{$}}" else word for word in arguments])
    return code, json.loads(report.read_text())["artifacts"] if report.exists() else {}


def test_a_compiled_step_runs_from_its_command_line(tmp_path: pathlib.Path) -> None:
    spec = yaml.safe_load((GOLDEN / "kubeflow.yaml").read_text())
    serving = tmp_path / "serving"
    version(serving, "7", "old")
    version(serving, "12", "new")
    code, artifacts = run_step(spec, "BaselineResolver", tmp_path, serving_dir=str(serving))
    assert code == 0
    assert (tmp_path / "model" / "Format-Serving" / "saved_model.pb").read_text() == "new"
    assert not artifacts["model"]["artifacts"][0]["metadata"][ABSENT]


def test_a_baseline_before_the_first_push_is_no_input(tmp_path: pathlib.Path) -> None:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    ServedModelExecutor().Do({}, {"model": [model]}, {"serving_dir": str(tmp_path / "serving")})
    assert model.get_int_custom_property(ABSENT) == 1
    assert not (tmp_path / "model").exists()
    absent = {"artifacts": [{"uri": "a", "metadata": {ABSENT: 1.0}}]}
    present = {"artifacts": [{"uri": "b", "metadata": {ABSENT: 0.0}}, {"uri": "c"}]}
    invocation = {"inputs": {"artifacts": {"baseline_model": absent, "model": present}}, "outputs": {"x": 1}}
    kept = json.loads(container.without_absent(json.dumps(invocation)))
    assert kept == {"inputs": {"artifacts": {"model": present}}, "outputs": {"x": 1}}


def test_local_outputs_have_directories_before_the_step(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artifacts = [{"uri": str(tmp_path / "node" / "schema")}, {"uri": "gs://bucket/node/schema"}]
    container.make_outputs(json.dumps({"outputs": {"artifacts": {"schema": {"artifacts": artifacts}}}}))
    assert [path.name for path in tmp_path.rglob("*")] == ["node", "schema"]


def test_an_error_that_the_input_explains_is_one_line_and_its_code(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise InputError("gs://bucket/clicks.csv:3:\nno")

    monkeypatch.setattr(ServedModelExecutor, "Do", refuse)
    spec = yaml.safe_load((GOLDEN / "kubeflow.yaml").read_text())
    assert run_step(spec, "BaselineResolver", tmp_path) == (2, {})
    assert capsys.readouterr().err.splitlines()[-1] == "error: gs://bucket/clicks.csv:3: no"


def push(*, pushed: bool = True, **changes: Any) -> standard_artifacts.PushedModel:
    source, result = standard_artifacts.PushedModel(), standard_artifacts.PushedModel()
    source.set_int_custom_property("pushed", int(pushed))
    source.set_string_custom_property("pushed_destination", "gs://bucket/serving/1700000000")
    values = {"cloud.project": PROJECT, "cloud.region": REGION, "cloud.push.endpoint": "shop", **changes}
    cloud = Config().replace(**values).to_dict()["cloud"]
    VertexPusherExecutor().Do({"pushed_model": [source]}, {VERTEX_MODEL: [result]}, {"config": json.dumps(cloud)})
    return result


def test_pushes_make_one_model_with_versions_and_shift_traffic(vertex_server: FakeVertex) -> None:
    first = push()
    second = push(**{"cloud.push.traffic": 10, "cloud.service_account": "server@test"})
    model = first.get_string_custom_property("model")
    assert model.endswith("@1")
    assert second.get_string_custom_property("model") == model.replace("@1", "@2")
    endpoint = vertex_server.resources[first.get_string_custom_property("endpoint")]
    assert first.get_string_custom_property("endpoint") == second.get_string_custom_property("endpoint")
    old, new = endpoint["deployedModels"]
    assert endpoint["trafficSplit"] == {old["id"]: 90, new["id"]: 10}
    assert new["serviceAccount"] == "server@test"
    assert new["model"].endswith("@2")
    uploads = [request.body["model"] for request in vertex_server.changes() if request.path.endswith("models:upload")]
    assert {upload["artifactUri"] for upload in uploads} == {"gs://bucket/serving/1700000000"}


def test_nothing_is_deployed_where_nothing_was_pushed(vertex_server: FakeVertex) -> None:
    assert push(pushed=False).get_int_custom_property("pushed") == 0
    assert not vertex_server.received


def test_a_refused_push_says_why(vertex_server: FakeVertex) -> None:
    vertex_server.fail("models:upload", 403, "PERMISSION_DENIED", "Own words.")
    with pytest.raises(InputError, match=r"ModelService\.UploadModel: permission denied: Own words\."):
        push()


@pytest.mark.parametrize("split", [{"a": 100}, {"a": 33, "b": 33, "c": 34}, {"a": 1, "b": 99}, {"a": 0, "b": 100}, {}])
@pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
def test_traffic_always_sums_to_a_hundred_and_keeps_proportions(split: dict[str, int], percent: int) -> None:
    shares = with_newcomer(split, "new", percent)
    assert sum(shares.values()) == 100
    assert shares["new"] == (percent if split else 100)
    for key, before in split.items():
        assert shares[key] == pytest.approx(before * (100 - shares["new"]) / 100, abs=1)


def train(vertex_server: FakeVertex, *states: str) -> dict[str, Any]:
    """Runs the executor as the golden spec sets it up, and returns the job that was asked for."""
    vertex_server.job_states = list(states)
    spec = json.loads((GOLDEN / "vertex.json").read_text())["pipelineSpec"]
    parameters = spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["parameters"]
    properties = {name: value["runtimeValue"]["constant"] for name, value in parameters.items()}
    model = standard_artifacts.Model()
    model.uri = "gs://bucket/model"
    CustomJobTrainerExecutor().Do({"model": [model]}, {"model": [model]}, properties)
    (request,) = vertex_server.changes()
    return request.body


def test_a_custom_job_runs_the_trainers_own_executor_on_the_configured_machine(
    vertex_server: FakeVertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vertex_trainer, "_POLL_SECONDS", 0.0)
    job = train(vertex_server, "PENDING", "RUNNING", "SUCCEEDED")
    (pool,) = job["jobSpec"]["workerPoolSpecs"]
    # REST sends the numbers of enums.
    assert pool["machineSpec"]["machineType"] == "n1-standard-8"
    assert pool["machineSpec"]["acceleratorCount"] == 1
    assert pool["containerSpec"]["imageUri"].endswith("/h2rec/pipeline:0.1.0")
    command = pool["containerSpec"]["command"]
    assert command[:3] == ["python", "-m", "tfx_pipeline.runners.custom_job"]
    assert command[command.index("--executor_class_path") + 1].startswith("tfx_pipeline.components.trainer.")
    outputs = json.loads(command[command.index("--outputs") + 1])
    assert outputs["model"][0]["artifact"]["uri"] == "gs://bucket/model"
    passed = json.loads(command[command.index("--exec-properties") + 1])
    assert vertex_trainer.JOB not in json_utils.loads(passed["custom_config"])


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_job_that_did_not_succeed_fails_the_step(vertex_server: FakeVertex, state: str) -> None:
    with pytest.raises(CustomJobError, match=rf"{PARENT}/customJobs/\d+ ended as JOB_STATE_{state}"):
        train(vertex_server, state)


def test_several_machines_are_a_chief_and_workers() -> None:
    job = {
        "machine_type": "n1-standard-4",
        "accelerator_type": "",
        "accelerator_count": 1,
        "replicas": 4,
        "image": "registry/h2rec:1",
        "service_account": "",
    }
    request = vertex_trainer.custom_job_request(PARENT, job, ["run"])
    pools = request.custom_job.job_spec.worker_pool_specs
    assert [pool.replica_count for pool in pools] == [1, 3]
    assert [list(pool.container_spec.command) for pool in pools] == [["run"], ["run"]]


@pytest.mark.parametrize(
    ("task", "chief"), [(None, True), ({"type": "chief", "index": 0}, True), ({"type": "worker", "index": 0}, False)]
)
def test_only_the_chief_writes_the_outputs(task: dict[str, Any] | None, chief: bool) -> None:
    variables = {} if task is None else {"TF_CONFIG": json.dumps({"task": task})}
    assert is_chief(variables) == chief
    outputs = json.dumps({"model": [{"artifact": {"uri": "gs://bucket/model"}, "artifact_type": {"name": "Model"}}]})
    moved = json.loads(custom_job.elsewhere(outputs, "/tmp/x"))
    assert moved["model"][0]["artifact"]["uri"] == "/tmp/x/model/0"
    assert moved["model"][0]["artifact_type"] == {"name": "Model"}
