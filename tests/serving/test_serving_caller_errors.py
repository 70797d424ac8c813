"""What a caller does wrong is the caller's error, with the cause: never INTERNAL, never 500."""

import base64
import json

import foreign_model
import grpc
import httpx
import numpy as np
import pytest
from foreign_model import texts
from tensorflow_serving.apis import predict_pb2
from test_serving_reload import serving

from serving import protocol, tensors
from serving.client import Client
from serving.server.errors import RequestError

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
PREDICT = "/v1/models/h2rec:predict"


@pytest.fixture(scope="module")
def foreign_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    foreign_model.save(folder)
    with serving(folder, rest_port=0, poll_seconds=0) as running:
        yield running


@pytest.fixture(scope="module")
def ask(foreign_server):
    with grpc.insecure_channel(foreign_server.target) as channel:
        yield channel.unary_unary(protocol.PREDICT)


@pytest.fixture(scope="module")
def post(foreign_server):
    with httpx.Client(base_url=foreign_server.rest_url, timeout=60) as client:
        yield lambda body: client.post(PREDICT, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def request(signature, **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "h2rec", signature
    for alias, array in inputs.items():
        tensors.encode_into(message.inputs[alias], array)
    return message.SerializeToString()


ONE = np.ones(1, np.float32)
GOOD = foreign_model.serialized([b"a"], [1])


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (request("examples", examples=texts([GOOD, b"\xff\xfe"])), INVALID, "row 1 is not a serialized tf.Example"),
        (request("examples", examples=texts([b"\x0c" + GOOD])), INVALID, "row 0 is not a serialized tf.Example"),
        (request("numbers", x=texts([b"\xff"])), INVALID, "not UTF-8"),
        (request("numbers", x=texts([b"abc"])), INVALID, "abc"),
        # An input that is called `k` and is no length of a list.
        (request("k", k=np.asarray(1, np.int32), x=ONE), INVALID, "must be of type float32"),
        (request("unserved_output", x=ONE), UNIMPLEMENTED, "output `y` is of type bfloat16"),
        (request("unserved_input", x=ONE), INVALID, "must be of type float16"),
        (request("no\ud7ffsuch"), PRECONDITION, "not found"),
        # What follows the stray end of a group would be passed over.
        (b"\x0c" + request("numbers", x=texts([b"1"])), INVALID, "not a message"),
    ],
)
def test_over_grpc(ask, content, code, words):
    with pytest.raises(grpc.RpcError) as raised:
        ask(content, timeout=60)
    assert raised.value.code() is code and words in raised.value.details(), raised.value


HALF = "\ud800"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"signature_name": HALF, "inputs": []}, "`signature_name` must be a string of Unicode"),
        ({"signature_name": "numbers", "inputs": {HALF: ["1"]}}, r"input `\ud800` is unknown"),
        ({"signature_name": "numbers", "instances": [{HALF: "1"}]}, r"input `\ud800` is unknown"),
        ({"signature_name": "numbers", "inputs": [HALF]}, "not valid Unicode"),
        ({"signature_name": "numbers", "inputs": [{"b64": "/w=="}]}, "not UTF-8"),
        ({"signature_name": "examples", "inputs": [{"b64": "//8="}]}, "row 0 is not a serialized tf.Example"),
        ({"signature_name": "vectors", "inputs": {"a": [1e39], "b": [1]}}, "holds a number that float32 cannot"),
        ({"signature_name": "k", "inputs": {"k": [[0]], "x": [1]}}, "must be of rank 0"),
        ({"signature_name": "k", "instances": [{"k": [[0]], "x": 1}] * 2}, "must be one value"),
        ({"signature_name": "k", "instances": [{"k": {"a": [0]}, "x": 1}] * 2}, "must be one value"),
        ({"signature_name": "unserved_input", "inputs": [1]}, "a type that JSON cannot give"),
        ({"signature_name": "unserved_output", "inputs": [1]}, "output `y` is of type bfloat16"),
        (b'{"signature_name": "k", "instances": [' + b'{"k": ' + b"[" * 900 + b"]" * 900 + b"}]}", "one value"),
        (b'{"inputs": ' + b"[" * 100_000, "too deep"),
        (b'{"inputs": 1' + b"0" * 5000 + b"}", "too many digits"),
    ],
)
def test_over_rest(post, body, words):
    answer = post(body)
    assert answer.status_code in (400, 501) and words in answer.json()["error"], answer.text


def test_an_answer_of_one_string_is_answered(foreign_server, post):
    with Client(foreign_server.target) as client:
        found = client.predict("one_answer", {"x": texts([b"a", b"\xff"])})
        assert found["all"].item() == b"a\xff" and found["number"].item() == 2
    answer = post({"signature_name": "one_answer", "inputs": ["a", "b"]})
    assert answer.json() == {"outputs": {"all": "ab", "number": 2}}


def test_foreign_names_mean_nothing_over_rest(post):
    """Rows of an input that is called `history` are filled up for a recommender of this package alone."""
    answer = post({"signature_name": "history", "inputs": {"history": [["a"], ["b", "c"]]}})
    assert answer.status_code == 400 and "rows of equal length" in answer.json()["error"]
    answer = post({"signature_name": "examples", "inputs": [{"b64": base64.b64encode(GOOD).decode()}]})
    assert answer.json() == {"outputs": {"words": ["a"], "total": [1]}}


def test_a_message_of_a_caller_is_text_whatever_it_quotes():
    error = RequestError.invalid(f"input `{HALF}`\nis unknown")
    assert error.message == r"input `\ud800` is unknown"
