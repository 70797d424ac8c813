"""`h2rec pipeline submit`: the real client library against a server that knows the API's messages."""

from __future__ import annotations

import json
import pathlib

import pytest
from click.testing import CliRunner, Result
from fake_vertex import PARENT, PROJECT, REGION, FakeVertex

from h2rec_tf.cloud.errors import VertexError
from h2rec_tf.cloud.vertex import ENDPOINT_VARIABLE
from h2rec_tf.errors import H2RecError, InputError
from tfx_pipeline.cli import pipeline

GOLDEN = pathlib.Path(__file__).parent / "golden" / "vertex.json"
ACCOUNT = "runner@test-project.iam.gserviceaccount.com"


def submit(*flags: str, path: pathlib.Path = GOLDEN) -> Result:
    arguments = ["submit", "--file", str(path), "--project", PROJECT, "--region", REGION, *flags]
    return CliRunner().invoke(pipeline, arguments)


def message(result: Result, kind: type[H2RecError]) -> str:
    assert isinstance(result.exception, kind), result.exception
    return str(result.exception)


def test_submits_the_compiled_spec(vertex_server: FakeVertex) -> None:
    result = submit("--service-account", ACCOUNT, "--label", "team=search", "--job-id", "run-1")
    assert result.exception is None, result.exception
    (request,) = vertex_server.changes()
    assert request.path == f"/v1/{PARENT}/pipelineJobs"
    assert request.query["pipelineJobId"] == "run-1"
    golden = json.loads(GOLDEN.read_text())
    assert request.body["pipelineSpec"] == golden["pipelineSpec"]
    assert request.body["runtimeConfig"]["gcsOutputDirectory"] == golden["runtimeConfig"]["gcsOutputDirectory"]
    assert request.body["labels"]["team"] == "search"
    assert request.body["serviceAccount"] == ACCOUNT
    assert f"{PARENT}/pipelineJobs/run-1" in result.stdout


def test_no_cache_is_of_every_task(vertex_server: FakeVertex) -> None:
    assert submit("--no-cache").exception is None
    (request,) = vertex_server.changes()
    tasks = request.body["pipelineSpec"]["root"]["dag"]["tasks"].values()
    assert [task["cachingOptions"].get("enableCache", False) for task in tasks] == [False] * len(tasks)


@pytest.mark.parametrize(
    "flags",
    [
        ("--job-id", "run-1", "--service-account", ACCOUNT, "--label", "a=b"),
        ("--job-id", "run-1", "--no-cache"),
        ("--schedule", "TZ=Europe/Berlin 0 3 * * *", "--max-runs", "5", "--service-account", ACCOUNT),
    ],
)
def test_a_dry_run_prints_what_would_be_sent(vertex_server: FakeVertex, flags: tuple[str, ...]) -> None:
    shown = submit(*flags, "--dry-run")
    assert shown.exception is None, shown.exception
    assert not vertex_server.received
    request = json.loads(shown.stdout)["request"]
    assert submit(*flags).exception is None
    (sent,) = vertex_server.changes()
    body = {key: value for key, value in request.items() if key not in ("parent", "pipelineJobId")}
    assert list(body.values()) == [sent.body]
    assert sent.path.startswith(f"/v1/{request['parent']}/")
    assert sent.query.get("pipelineJobId") == request.get("pipelineJobId")


def test_a_dry_run_needs_neither_credentials_nor_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT_VARIABLE, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    result = submit("--dry-run")
    assert result.exception is None, result.exception
    assert json.loads(result.stdout)["method"].endswith("PipelineService.CreatePipelineJob")


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        (403, "PERMISSION_DENIED", InputError, ["permission denied", "roles/aiplatform.user"]),
        (404, "NOT_FOUND", InputError, ["not found", "project"]),
        (400, "INVALID_ARGUMENT", InputError, ["not accepted"]),
        (409, "ALREADY_EXISTS", InputError, ["exists already"]),
        (429, "RESOURCE_EXHAUSTED", VertexError, ["quota"]),
        (503, "UNAVAILABLE", VertexError, ["not available"]),
        (500, "INTERNAL", VertexError, ["try again"]),
    ],
)
def test_a_refusal_is_one_line_with_a_remedy(
    vertex_server: FakeVertex, code: int, status: str, kind: type[H2RecError], words: list[str]
) -> None:
    vertex_server.fail("/pipelineJobs", code, status, "The server's\nown words.")
    text = message(submit(), kind)
    assert "\n" not in text
    assert text.startswith("PipelineService.CreatePipelineJob: ")
    assert all(word in text for word in [*words, "The server's own words."])


def test_credentials_that_are_not_accepted_are_named(vertex_server: FakeVertex) -> None:
    vertex_server.fail("/pipelineJobs", 401, "UNAUTHENTICATED", "Expired.")
    assert "gcloud auth application-default login" in message(submit(), InputError)


def test_without_a_server_the_network_is_named(monkeypatch: pytest.MonkeyPatch, vertex_server: FakeVertex) -> None:
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:1")
    assert "cannot be reached" in message(submit(), VertexError)


def test_without_credentials_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT_VARIABLE, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in message(submit(), InputError)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--schedule", "every day"), "five fields"),
        (("--max-runs", "3"), "--schedule"),
        (("--schedule", "0 3 * * *", "--job-id", "a"), "--job-id"),
        (("--label", "team"), "KEY=VALUE"),
        (("--label", "a=1", "--label", "a=2"), "twice"),
        (("--job-id", "Not Valid"), "job ID"),
        (("--project", "no such thing"), "--project"),
    ],
)
def test_bad_arguments_are_named(vertex_server: FakeVertex, flags: tuple[str, ...], words: str) -> None:
    assert words in message(submit(*flags), InputError)
    assert not vertex_server.received


@pytest.mark.parametrize("content", ["{}", "a: b", "[1, 2]", "pipelineSpec: 3", "{"])
def test_a_file_that_is_no_pipeline_is_named(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(content)
    assert str(path) in message(submit(path=path), InputError)
