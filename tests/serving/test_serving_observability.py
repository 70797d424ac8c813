"""The access log, and readiness."""

import contextlib
import json

import httpx

from serving.client import Client, ServerError
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions


def lines_of(model_dir, path, **options):
    settings = ServerOptions(
        model_dir=str(model_dir), port=0, rest_port=0, poll_seconds=0, access_log=str(path), **options
    )
    with ModelServer(settings) as server, Client(server.target) as client:
        client.recommend([["i1", "secret-item"]], k=2)
        with contextlib.suppress(ServerError):
            client.recommend([["secret-item"]], k=10_000)
        httpx.post(f"{server.rest_url}/v1/models/h2rec:predict", json={"instances": [["secret-item"]]}, timeout=20)
    assert not server.ready()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log_has_one_line_a_request_and_no_history(model_dir, tmp_path):
    path = tmp_path / "access.log"
    good, bad, rest = lines_of(model_dir, path)
    assert "secret-item" not in path.read_text()
    assert (good["api"], good["method"], good["model"], good["version"]) == ("grpc", "Predict", "h2rec", 1)
    assert (good["signature"], good["rows"], good["code"]) == ("serving_default", 1, "OK")
    assert good["ms"] > 0 and good["peer"] and good["time"].endswith("+00:00") and "error" not in good
    assert bad["code"] == "INVALID_ARGUMENT" and "`k` must be at most" in bad["error"]
    assert (rest["api"], rest["method"], rest["code"]) == ("rest", "predict", "OK")


def test_access_log_with_inputs_on_request(model_dir, tmp_path):
    good, _, _ = lines_of(model_dir, tmp_path / "access.log", log_inputs=True)
    assert good["inputs"]["history"] == {"shape": [1, 2], "values": ["i1", "secret-item"]}
    assert good["inputs"]["k"] == {"shape": [], "values": [2]}
