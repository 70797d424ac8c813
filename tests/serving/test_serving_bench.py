"""The load test: arrivals, what counts as latency, and the command."""

import json
import threading
import time

import grpc
import numpy as np
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.main import cli
from serving.bench import reloads
from serving.bench.load import LoadResult, poisson_arrivals, run_load
from serving.bench.report import as_dict, as_markdown


def test_arrivals_are_a_seeded_poisson_process():
    times = poisson_arrivals(200.0, 50.0, seed=3)
    np.testing.assert_array_equal(times, poisson_arrivals(200.0, 50.0, seed=3))
    assert len(times) != len(poisson_arrivals(200.0, 50.0, seed=4)) and times[-1] < 50 and (np.diff(times) > 0).all()
    # Mean and standard deviation of exponential gaps are both 1 / rate; 10,000 gaps.
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.05) and gaps.std() == pytest.approx(1 / 200, rel=0.05)


class FakeCall:
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def add_done_callback(self, callback):
        callback(self)


class Stalling:
    """Answers at once, but the first send blocks the sender: a closed loop would count one slow request."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.sent = []

    def future(self, request, timeout, metadata):
        self.sent.append(request)
        if len(self.sent) == 1:
            threading.Event().wait(self.seconds)
        return FakeCall(grpc.StatusCode.OK if len(self.sent) != 3 else grpc.StatusCode.UNAVAILABLE)


def test_latency_counts_from_the_due_time_and_errors_are_apart():
    method = Stalling(0.2)
    result = run_load(method, [b"a", b"b"], np.array([0.0, 0.05, 0.1, 0.15]), rate=20, timeout=1)
    assert method.sent == [b"a", b"b", b"a", b"b"]
    assert result.errors == {"UNAVAILABLE": 1} and np.isnan(result.latencies).tolist() == [False, False, True, False]
    # All waited for the stall, each from when it was due.
    assert (result.answered > [0.2, 0.15, 0.05]).all() and (result.late[1:] > [0.15, 0.1, 0.05]).all()


def load_of(latencies, *, seconds=10.0, due=None, versions=None, began=0.0, errors=None) -> LoadResult:
    """A load of 10 requests a second."""
    count = len(latencies)
    return LoadResult(
        rate=10,
        seconds=seconds,
        began=began,
        due=np.arange(count) / 10 if due is None else due,
        latencies=np.asarray(latencies, float),
        late=np.zeros(count),
        versions=np.zeros(count, np.int64) if versions is None else np.asarray(versions),
        errors=errors or {},
    )


def test_report_numbers():
    load = load_of(np.append(np.arange(1, 1001) / 1e3, np.nan), seconds=2.0, errors={"UNAVAILABLE": 1})
    result = as_dict({"k": 3}, [load], {"in process": np.array([1.0, 3.0]), "over gRPC": np.array([2.0, 4.0])})
    (row,) = result["loads"]
    assert row["throughput"] == 500 and row["latency_ms"]["p50"] == pytest.approx(500.5)
    assert row["latency_ms"]["p99.9"] == pytest.approx(999.001) and row["latency_ms"]["max"] == 1000
    assert result["one_at_a_time_ms"]["over gRPC"]["p50"] == 3.0
    page = as_markdown(result)
    assert "| 10 | 500 | 500.50 |" in page and "UNAVAILABLE 1" in page and "p50 is +1.00 ms" in page


def test_the_command_loads_a_running_server_and_writes_its_report(server, saved_versions, tmp_path):
    arguments = ["--target", server.target, "--rate", "40", "--rate", "80", "--seconds", "0.5", "--k", "3"]
    arguments += ["--history", "5", "--model-dir", str(saved_versions), "--calls", "5", "--output", str(tmp_path)]
    began = time.monotonic()
    result = CliRunner().invoke(cli, ["bench", "serve", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    report = json.loads((tmp_path / "serve.json").read_text())
    assert [load["rate"] for load in report["loads"]] == [40, 80]
    for load in report["loads"]:
        assert load["errors"] == {} and load["answered"] > 10
        latency = load["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
        assert latency["max"] < (time.monotonic() - began) * 1e3
    assert len(report["one_at_a_time_ms"]) == 3
    assert (tmp_path / "serve.png").read_bytes()[:4] == b"\x89PNG"
    assert "serve.png" in (tmp_path / "serve.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--model-dir or --target"),
        (["--target", "h:1", "--reload-seconds", "1"], "no --target"),
        (["--target", "h:1", "--model-dir", "m", "--reload-seconds", "1"], "no --target"),
        (["--model-dir", "m", "--reload-seconds", "2", "--seconds", "3"], "at least two of --reload-seconds 2"),
    ],
)
def test_options_that_do_not_fit(arguments, words):
    result = CliRunner().invoke(cli, ["bench", "serve", *arguments])
    assert result.exit_code == 2 and words in result.output


def test_requests_beside_a_reload_are_told_from_the_others():
    due = np.arange(10, dtype=float)
    # Version 2 comes at 2.5 and first answers at 4.1: due at 2 and waiting still, to due at 5 within the second after.
    latencies = np.array([0.1, 0.1, 0.7, np.nan, 0.1, 0.3, 0.1, 0.1, 0.1, np.nan])
    versions = np.array([1, 1, 1, 0, 2, 2, 2, 2, 2, 0])
    load = load_of(latencies, due=due, versions=versions, began=100.0)
    result = reloads.as_dict(load, [reloads.Appeared(2, 102.5)])
    assert result["appeared"] == [2] and result["seconds_to_first_answer"] == [1.6]
    assert result["answers_by_version"] == {"1": 3, "2": 5}
    beside, otherwise = result["beside"], result["otherwise"]
    assert (beside["requests"], beside["failed"], beside["latency_ms"]["max"]) == (4, 1, 700.0)
    assert (otherwise["requests"], otherwise["failed"], otherwise["latency_ms"]["max"]) == (6, 1, 100.0)
    # One that never answers is a reload to the end.
    result = reloads.as_dict(load, [reloads.Appeared(3, 106.5)])
    assert result["seconds_to_first_answer"] == [None] and result["beside"]["requests"] == 3
    page = as_markdown(as_dict({}, [load], None, [result]))
    assert "| 10 | beside a reload | 3 |" in page and "| 10 | 3 | 1: 3, 2: 5 | never |" in page


def test_the_command_reloads_under_load_without_a_failed_request(model_dir, tmp_path):
    before = sorted(path.name for path in model_dir.iterdir())
    arguments = ["--model-dir", str(model_dir), "--rate", "40", "--seconds", "6", "--reload-seconds", "2", "--k", "3"]
    arguments += ["--calls", "5", "--timeout", "60", "--output", str(tmp_path / "report")]
    result = CliRunner().invoke(cli, ["bench", "serve", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    (load,) = json.loads((tmp_path / "report" / "serve.json").read_text())["loads"]
    reloaded = load["reloads"]
    assert load["errors"] == {} and reloaded["beside"]["failed"] == reloaded["otherwise"]["failed"] == 0
    # How soon a version answers is the machine's affair.
    assert reloaded["appeared"] == [2, 3] and "1" in reloaded["answers_by_version"]
    assert len(reloaded["answers_by_version"]) > 1
    assert sum(reloaded["answers_by_version"].values()) == load["answered"]
    assert reloaded["beside"]["requests"] + reloaded["otherwise"]["requests"] == load["answered"]
    assert sorted(path.name for path in model_dir.iterdir()) == before
