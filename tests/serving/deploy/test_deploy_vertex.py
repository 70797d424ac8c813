"""`h2rec deploy vertex`: the real client libraries against a server that knows the API's messages."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner, Result
from fake_vertex import PARENT, PROJECT, REGION, FakeVertex

from h2rec_tf.cloud.errors import VertexError
from h2rec_tf.cloud.vertex import ENDPOINT_VARIABLE
from h2rec_tf.errors import H2RecError, InputError
from serving.deploy.vertex_cli import deploy


def run(*arguments: str) -> Result:
    return CliRunner().invoke(deploy, ["vertex", *arguments, "--project", PROJECT, "--region", REGION])


def ok(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exception is None, result.exception
    return result.stdout.strip()


def message(result: Result, kind: type[H2RecError]) -> str:
    assert isinstance(result.exception, kind), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


def shown(text: str) -> list[dict]:
    """The requests that a dry run printed."""
    return [json.loads(part) for part in re.split(r"(?<=^})\n", text, flags=re.MULTILINE) if part]


def endpoint_with(fake: FakeVertex, split: dict[str, int]) -> str:
    """An endpoint `shop` whose models were deployed in this order."""
    models = [
        {"id": key, "model": f"{PARENT}/models/7", "createTime": f"2024-01-01T00:0{number}:00Z", "displayName": key}
        for number, key in enumerate(split)
    ]
    return fake.add("endpoints", displayName="shop", deployedModels=models, trafficSplit=split)


def test_from_upload_to_traffic_and_back(vertex_server: FakeVertex) -> None:
    first = ok("upload", "--artifact-uri", "gs://bucket/serving/1", "--alias", "blue", "--label", "team=search")
    name, _, version = first.partition("@")
    assert version == "1"
    assert vertex_server.resources[name]["artifactUri"] == "gs://bucket/serving/1"
    assert vertex_server.resources[name]["versionAliases"] == ["blue"]
    second = ok("upload", "--artifact-uri", "gs://bucket/serving/2", "--parent-model", name)
    assert second == f"{name}@2"
    endpoint = ok("endpoint", "--name", "shop")
    one = ok("deploy", "--endpoint", "shop", "--model", first).split()[2]
    machines = ("--machine-type", "n1-highmem-8", "--max-replicas", "3", "--accelerator-type", "NVIDIA_TESLA_T4")
    two = ok("deploy", "--endpoint", "shop", "--model", second, "--traffic", "20", *machines).split()[2]
    state = vertex_server.resources[endpoint]
    assert state["trafficSplit"] == {one: 80, two: 20}
    resources = state["deployedModels"][1]["dedicatedResources"]
    assert resources["machineSpec"]["machineType"] == "n1-highmem-8"
    assert resources["machineSpec"]["acceleratorCount"] == 1
    assert resources["maxReplicaCount"] == 3
    ok("traffic", "--endpoint", endpoint, "--split", f"{one}=50", "--split", f"{two}=50")
    assert vertex_server.resources[endpoint]["trafficSplit"] == {one: 50, two: 50}
    lines = ok("status", "--endpoint", "shop").splitlines()
    assert lines[0].split() == [endpoint, "shop"]
    assert [line.split()[:2] for line in lines[1:]] == [[one, "50"], [two, "50"]]
    assert ok("rollback", "--endpoint", "shop", "--undeploy") == f"{one}: 100 %; undeployed: {two}"
    assert vertex_server.resources[endpoint]["trafficSplit"] == {one: 100}
    assert [model["id"] for model in vertex_server.resources[endpoint]["deployedModels"]] == [one]


def test_own_server_gets_routes_port_and_the_folder_of_versions(vertex_server: FakeVertex) -> None:
    name = ok("upload", "--artifact-uri", "gs://b/serving", "--server", "--image", "registry/server:1").partition("@")[
        0
    ]
    container = vertex_server.resources[name]["containerSpec"]
    assert container["imageUri"] == "registry/server:1"
    assert "--model-dir=$(AIP_STORAGE_URI)" in container["args"]
    assert container["predictRoute"] == "/v1/models/h2rec:predict"
    assert container["ports"] == [{"containerPort": 8501}]


def test_batch_prediction(vertex_server: FakeVertex) -> None:
    arguments = ["--source", "gs://b/a.jsonl", "--source", "gs://b/b.jsonl", "--destination", "gs://b/out"]
    name = ok("batch-predict", "--model", "7@2", *arguments, "--min-replicas", "2", "--max-replicas", "4")
    job = vertex_server.resources[name]
    assert job["model"] == f"{PARENT}/models/7@2"
    assert job["inputConfig"]["gcsSource"]["uris"] == ["gs://b/a.jsonl", "gs://b/b.jsonl"]
    assert job["outputConfig"]["gcsDestination"]["outputUriPrefix"] == "gs://b/out"
    assert job["dedicatedResources"]["startingReplicaCount"] == 2


CHANGES = [
    ("upload", "--artifact-uri", "gs://b/serving/1"),
    ("upload", "--artifact-uri", "gs://b/serving", "--server", "--image", "a/b:1", "--parent-model", "12"),
    ("endpoint", "--name", "shop"),
    ("deploy", "--endpoint", "12", "--model", "7"),
    ("traffic", "--endpoint", "12", "--split", "1=30", "--split", "2=70"),
    ("batch-predict", "--model", "7", "--source", "gs://b/a.jsonl", "--destination", "gs://b/out"),
]


@pytest.mark.parametrize("arguments", CHANGES, ids=lambda arguments: " ".join(arguments[:2]))
def test_a_dry_run_needs_neither_credentials_nor_network(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv(ENDPOINT_VARIABLE, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    (request,) = shown(ok(*arguments, "--dry-run"))
    assert request["method"].startswith("google.cloud.aiplatform.v1.")
    assert PARENT in json.dumps(request["request"])


def test_a_dry_run_shows_what_is_sent_and_changes_nothing(vertex_server: FakeVertex) -> None:
    endpoint = endpoint_with(vertex_server, {"1": 75, "2": 25})
    vertex_server.resources[f"{PARENT}/models/7"] = {"name": f"{PARENT}/models/7", "versionId": "1"}
    for arguments in (
        ("rollback", "--endpoint", "shop", "--undeploy"),
        ("deploy", "--endpoint", "shop", "--model", "7", "--traffic", "40"),
    ):
        before = len(vertex_server.changes())
        requests = shown(ok(*arguments, "--dry-run"))
        assert len(vertex_server.changes()) == before
        ok(*arguments)
        sent = vertex_server.changes()[before:]
        assert len(sent) == len(requests)
        for received, request in zip(sent, requests, strict=True):
            # REST puts the resource's name into the path, and one field or all of them into the body.
            body = request["request"].get("endpoint") if received.verb == "PATCH" else request["request"]
            assert received.body.items() <= body.items()
            assert endpoint in json.dumps(request)


def test_the_others_share_what_a_newcomer_leaves(vertex_server: FakeVertex) -> None:
    endpoint = endpoint_with(vertex_server, {"1": 75, "2": 25})
    vertex_server.resources[f"{PARENT}/models/7"] = {"name": f"{PARENT}/models/7"}
    ok("deploy", "--endpoint", endpoint, "--model", "7", "--traffic", "40")
    split = vertex_server.resources[endpoint]["trafficSplit"]
    assert sorted(split.values()) == [15, 40, 45]
    assert (split["1"], split["2"]) == (45, 15)


@pytest.mark.parametrize(
    ("split", "flags", "after"),
    [
        ({"1": 0, "2": 100}, (), {"1": 100, "2": 0}),
        ({"1": 60, "2": 0, "3": 40}, (), {"1": 0, "2": 100, "3": 0}),
        ({"1": 0, "2": 0, "3": 100}, ("--to", "1"), {"1": 100, "2": 0, "3": 0}),
    ],
)
def test_rollback_goes_to_the_model_before(
    vertex_server: FakeVertex, split: dict[str, int], flags: tuple[str, ...], after: dict[str, int]
) -> None:
    endpoint = endpoint_with(vertex_server, split)
    ok("rollback", "--endpoint", "shop", *flags)
    assert vertex_server.resources[endpoint]["trafficSplit"] == after


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rollback", "--endpoint", "shop"), "no model was deployed before"),
        (("rollback", "--endpoint", "shop", "--to", "9"), "deployed, oldest first: 1"),
        (("rollback", "--endpoint", "unknown"), "--endpoint unknown"),
        (("traffic", "--endpoint", "1", "--split", "1=70"), "sum to 70"),
        (("traffic", "--endpoint", "1", "--split", "1:70"), "DEPLOYED_MODEL_ID=PERCENT"),
        (("traffic", "--endpoint", "1", "--split", "1=50", "--split", "1=50"), "twice"),
        (("upload", "--artifact-uri", "/models/1"), "gs://"),
        (("upload", "--artifact-uri", "gs://b/1", "--server"), "server.Dockerfile"),
        (("batch-predict", "--model", "1", "--source", "a.jsonl", "--destination", "gs://b"), "a.jsonl"),
        (("deploy", "--endpoint", "1", "--model", "1", "--min-replicas", "2"), "--max-replicas"),
        (("deploy", "--endpoint", "1", "--model", "1", "--accelerator-type", "T4"), "NVIDIA_TESLA_T4"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_changed(
    vertex_server: FakeVertex, arguments: tuple[str, ...], words: str
) -> None:
    endpoint_with(vertex_server, {"1": 100})
    assert words in message(run(*arguments), InputError)
    assert not vertex_server.changes()


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        (403, "PERMISSION_DENIED", InputError, "permission denied"),
        (404, "NOT_FOUND", InputError, "not found"),
        (429, "RESOURCE_EXHAUSTED", VertexError, "quota"),
    ],
)
def test_a_refusal_is_one_line_with_a_remedy(
    vertex_server: FakeVertex, code: int, status: str, kind: type[H2RecError], words: str
) -> None:
    vertex_server.fail(":deployModel", code, status, "Own words.")
    text = message(run("deploy", "--endpoint", "12", "--model", "7"), kind)
    assert text.startswith("EndpointService.DeployModel: ")
    assert words in text
    assert "Own words." in text
