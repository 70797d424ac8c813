"""TensorFlow Serving's REST surface, health and metrics."""

import base64
import json
import socket

import httpx
import pytest
import toy_recommender

from h2rec_tf import names
from serving.server.model_server import ModelServer
from serving.server.options import Limits, ServerOptions

PREDICT = "/v1/models/h2rec:predict"


@pytest.fixture(scope="session")
def http(server):
    with httpx.Client(base_url=server.rest_url, timeout=20) as client:
        yield client


def ids(history, k):
    return [item for item, _ in toy_recommender.expected(1, history, k)]


def test_row_format_with_rows_of_different_lengths(http):
    rows = [{"history": ["i1", "i2"], "k": 3}, {"history": ["i5"], "k": 3}]
    answer = http.post(PREDICT, json={"instances": rows, "signature_name": "serving_default"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    first, second = answer.json()["predictions"]
    assert set(first) == {names.ITEM_IDS, names.TITLES, names.SCORES}
    assert (first[names.ITEM_IDS], second[names.ITEM_IDS]) == (ids(["i1", "i2"], 3), ids(["i5"], 3))
    want = [score for _, score in toy_recommender.expected(1, ["i5"], 3)]
    assert second[names.SCORES] == pytest.approx(want, rel=1e-5)


def test_row_format_with_unnamed_rows_and_one_output(http):
    answer = http.post(PREDICT, json={"instances": [["i1", ""], ["i2", "i3"]]})
    assert [row[names.ITEM_IDS] for row in answer.json()["predictions"]] == [ids(["i1"], 10), ids(["i2", "i3"], 10)]
    answer = http.post(PREDICT, json={"instances": ["i3", "nobody"], "signature_name": names.ITEM_TITLES})
    assert answer.json() == {"predictions": ["Title 3 of v1", "Title 0 of v1"]} or answer.json() == {
        "predictions": ["Title 3 of v1", ""]
    }


def test_column_format_named_and_unnamed(http):
    answer = http.post(PREDICT, json={"inputs": {"history": [["i1", "i2"]], "k": 4}})
    assert answer.json()["outputs"][names.ITEM_IDS] == [ids(["i1", "i2"], 4)]
    answer = http.post(PREDICT, json={"inputs": [["i4"]], "signature_name": names.USER_EMBEDDING})
    assert len(answer.json()["outputs"][0]) == toy_recommender.SIZE


def test_strings_in_base64(http):
    history = [[{"b64": base64.b64encode(b"i1").decode()}]]
    answer = http.post(PREDICT, json={"inputs": {"history": history, "k": 2}})
    assert answer.json()["outputs"][names.ITEM_IDS] == [ids(["i1"], 2)]


def test_version_in_the_path(http):
    body = {"instances": [["i1"]]}
    assert http.post("/v1/models/h2rec/versions/1:predict", json=body).status_code == 200
    answer = http.post("/v1/models/h2rec/versions/7:predict", json=body)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Servable not found for request: Specific(h2rec, 7)"}
    answer = http.post("/v1/models/h2rec/labels/canary:predict", json=body)
    assert answer.status_code == 400 and "label: canary" in answer.json()["error"]


def test_status_and_metadata(http):
    status = {"error_code": "OK", "error_message": ""}
    want = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert http.get("/v1/models/h2rec").json() == http.get("/v1/models/h2rec/versions/1").json() == want
    metadata = http.get("/v1/models/h2rec/metadata").json()
    assert metadata["model_spec"]["name"] == "h2rec" and metadata["model_spec"]["version"] == "1"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    history = signatures[names.SERVING_DEFAULT]["inputs"]["history"]
    assert history["dtype"] == "DT_STRING" and [d["size"] for d in history["tensor_shape"]["dim"]] == ["-1", "-1"]
    assert http.get("/v1/models/other").status_code == 404


def test_health_and_metrics(http):
    assert http.get("/healthz").text == "ok\n" and http.get("/readyz").text == "ready\n"
    http.post(PREDICT, json={"instances": [["i1"]]})
    http.post("/v1/models/made-up-name:predict", json={"instances": [["i1"]]})
    page = http.get("/monitoring/prometheus/metrics").text
    assert 'h2rec_requests_total{api="rest",code="OK",method="predict",model="h2rec"}' in page
    assert 'h2rec_model_version{model="h2rec",state="AVAILABLE",version="1"} 1.0' in page
    assert "h2rec_request_seconds_bucket" in page and "made-up-name" not in page


BIG = [["i"] * 21]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff\xfe{}", "not UTF-8"),
        (b"{'a'", "not JSON"),
        (b"[" * 60_000, "nested too deep"),
        (b"[1]", "must be a JSON object"),
        ({}, "exactly one of `instances` and `inputs`"),
        ({"instances": [["i1"]], "inputs": [["i1"]]}, "exactly one"),
        ({"instances": []}, "at least one row"),
        ({"instances": [["i1"]], "signature_name": 3}, "`signature_name` must be a string"),
        ({"instances": [["i1"]], "signature_name": "no"}, 'signature key "no" not found'),
        ({"instances": [{"history": ["i1"]}, {"k": 1}]}, "row 1 of `instances`"),
        ({"instances": [{"history": ["i1"], "k": 1}, {"history": ["i1"], "k": 2}]}, "`k` must be the same"),
        ({"instances": [{"history": ["i1"], "kk": 1}]}, "input `kk` is unknown"),
        ({"instances": [["i1"], [["i2"]]]}, "equal length and depth"),
        ({"instances": [[1]]}, "`history` must hold strings, got a number"),
        ({"instances": [[None]]}, "got null"),
        ({"instances": [[{"b64": "###"}]]}, "not valid Unicode or base64"),
        (b'{"instances": [["\\ud800"]]}', "not valid Unicode"),
        ({"instances": "i1"}, "must be a list"),
        ({"inputs": {"k": 1}}, "Missing but required: {history}"),
        ({"inputs": {"history": ["i1"]}}, "must be of rank 2"),
        ({"inputs": {"history": [["i1"]], "k": "3"}}, "`k` must be of type int32, got a string"),
        ({"inputs": {"history": [["i1"]], "k": 1.5}}, "got a number"),
        ({"inputs": {"history": [["i1"]], "k": True}}, "got a boolean"),
        ({"inputs": {"history": [["i1"]], "k": 2**40}}, "a number that int32 cannot"),
        ({"inputs": {"history": [["i1"]], "k": 0}}, "`k` must be at least 1"),
        ({"inputs": {"history": [["i1"]], "k": 100_000}}, "`k` must be at most 5000"),
        ({"inputs": {"history": [["i1"]], "k": 13}}, "`k` is at most 12"),
        ({"inputs": {"history": BIG}}, "21 long, at most 20"),
        ({"instances": [["i1"]] * 17}, "17 rows, at most 16"),
    ],
)
def test_bad_bodies_get_400_and_one_line(http, body, words):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = http.post(PREDICT, content=content)
    message = answer.json()["error"]
    assert answer.status_code == 400 and words in message
    assert "\n" not in message and "Traceback" not in message


def test_other_paths_and_methods(http):
    assert http.get(PREDICT).status_code == 405
    assert http.post("/v1/models/h2rec:classify", json={}).status_code == 501
    assert http.post("/v1/models/h2rec:regress", json={}).status_code == 501
    assert http.post("/v1/models/h2rec:explode", json={}).status_code == 400
    assert http.put(PREDICT, json={}).status_code == 405
    assert "error" in http.get("/nothing/here").json()


def test_too_large_bodies_declared_and_not(http, server):
    answer = http.post(PREDICT, content=b"x" * 70_000)
    assert answer.status_code == 413 and "at most 65536 bytes" in answer.json()["error"]
    answer = http.post(PREDICT, content=(b"x" * 10_000 for _ in range(10)))
    assert answer.status_code == 413
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as raw:
        # A gigabyte is announced, nothing of it sent: the refusal does not wait for it.
        raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {2**30}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_is_slow_to_send_is_told_so(model_dir):
    options = ServerOptions(model_dir=str(model_dir), port=0, rest_port=0, poll_seconds=0, limits=Limits(seconds=0.3))
    with ModelServer(options) as server:
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as raw:
            raw.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 408")
        assert httpx.post(server.rest_url + PREDICT, json={"instances": [["i1"]]}, timeout=20).status_code == 200
