"""The load test: arrivals, what counts as latency, and the command."""

import json
import threading
import time

import grpc
import numpy as np
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.main import cli
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
    assert result.errors == {"UNAVAILABLE": 1} and len(result.latencies) == 3
    # All waited for the stall, each from when it was due.
    assert (result.latencies > [0.2, 0.15, 0.05]).all() and (result.late[1:] > [0.15, 0.1, 0.05]).all()


def test_report_numbers():
    load = LoadResult(
        rate=10, seconds=2.0, latencies=np.arange(1, 1001) / 1e3, late=np.zeros(1001), errors={"UNAVAILABLE": 1}
    )
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


def test_the_command_needs_something_to_load():
    result = CliRunner().invoke(cli, ["bench", "serve"])
    assert result.exit_code == 2 and "--model-dir or --target" in result.output
