"""What a hostile or broken caller can send: the right code, one line, and a server that goes on answering."""

import json
import socket
import struct
import threading

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2
from test_serving_predict import outputs_of, refusal_of, request_for
from test_serving_reload import serving

from h2rec_tf import names
from serving import protocol
from serving.client import Client
from serving.server.options import Limits
from serving.server.servable import Servable

CLIENT_ERRORS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
BOUNDED = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def still_answers(server):
    with Client(server.target, timeout=20) as client:
        return len(client.recommend([["i1"]], k=2)[0]) == 2


def test_a_history_of_ten_thousand_items(predictions):
    code, details = refusal_of(predictions.Predict, request_for([[""] * 10_000]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "10000 long, at most 20 are taken" in details


def test_names_that_hold_lines_come_back_as_one(predictions):
    for request in (request_for(name="a\nb" * 500), request_for(signature="x\ny"), request_for(**{"in\nput": 1})):
        _, details = refusal_of(predictions.Predict, request)
        assert len(details) < 500


def test_an_expired_deadline_is_an_error_of_its_own(model_dir, monkeypatch):
    go = threading.Event()
    run = Servable.run

    def held(self, *arguments):
        assert go.wait(60)
        return run(self, *arguments)

    with serving(model_dir, poll_seconds=0) as server, grpc.insecure_channel(server.target) as channel:
        # Held until the caller has its answer, so that no server is quick enough.
        monkeypatch.setattr(Servable, "run", held)
        try:
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(protocol.PREDICT)(request_for().SerializeToString(), timeout=1)
        finally:
            go.set()
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert still_answers(server)


def test_the_server_has_a_deadline_for_callers_without_one(model_dir):
    limits = Limits(seconds=1e-9)
    with serving(model_dir, poll_seconds=0, limits=limits) as server, grpc.insecure_channel(server.target) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(protocol.PREDICT)(request_for().SerializeToString())
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "\n" not in raised.value.details()


def test_callers_that_send_nothing_cost_no_worker(server):
    """More stuck callers than the server has threads, gRPC and HTTP; one that is well gets its answer."""
    forever = threading.Event()

    def nothing():
        forever.wait(60)
        yield from ()

    with grpc.insecure_channel(server.target) as channel:
        stuck = [channel.stream_unary(protocol.PREDICT).future(nothing()) for _ in range(40)]
        raw = [socket.create_connection(("127.0.0.1", server.rest_port)) for _ in range(40)]
        for connection in raw:
            connection.sendall(b"POST /v1/models/h2rec:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert still_answers(server)
        body = {"instances": [["i1"]]}
        assert httpx.post(f"{server.rest_url}/v1/models/h2rec:predict", json=body, timeout=20).status_code == 200
        for call in stuck:
            call.cancel()
        for connection in raw:
            connection.close()
        forever.set()


def test_a_grpc_message_that_announces_a_gigabyte(server):
    """Written frame by frame, since no client library sends such a head without its body."""

    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def field(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    head = b"".join(
        field(name, value)
        for name, value in [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", protocol.PREDICT.encode()),
            (b":authority", b"x"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        ]
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        raw.sendall(frame(1, 4, 1, head) + frame(0, 0, 1, b"\x00" + struct.pack(">I", 2**30) + b"x" * 100))
        # gRPC judges a message's size when it is complete; until then the call is one of a slow sender.
        assert still_answers(server)
    assert still_answers(server)


# Requests of the right form with any content.
_shapes = st.lists(st.integers(-2, 40), max_size=3)
_tensors = st.builds(
    lambda dtype, shape, strings, integers, content: _tensor(dtype, shape, strings, integers, content),
    st.sampled_from([0, 1, 3, 7, 9, 14, 20, 99]),
    _shapes,
    st.lists(st.binary(max_size=8), max_size=6),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    st.binary(max_size=8),
)


def _tensor(dtype, shape, strings, integers, content):
    proto = tensor_pb2.TensorProto(
        dtype=dtype, string_val=strings, int_val=integers, float_val=[1.0], tensor_content=content
    )
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@BOUNDED
@given(
    inputs=st.dictionaries(st.sampled_from([names.HISTORY, names.K, names.ITEM_IDS, "x\n"]), _tensors, max_size=3),
    signature=st.sampled_from(["", names.SERVING_DEFAULT, names.ITEM_TITLES, names.USER_EMBEDDING, "\u0000"]),
    name=st.sampled_from(["h2rec", "h2rec", "h2rec", "", "other"]),
    outputs=st.lists(st.sampled_from([names.SCORES, names.TITLES, "no"]), max_size=2),
)
def test_any_grpc_request_is_answered_or_refused(predictions, inputs, signature, name, outputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for alias, proto in inputs.items():
        request.inputs[alias].CopyFrom(proto)
    try:
        predictions.Predict(request, timeout=20)
    except grpc.RpcError as error:
        assert error.code() in CLIENT_ERRORS, error
        assert "\n" not in error.details() and len(error.details()) < 500


@BOUNDED
@given(st.binary(max_size=200))
def test_any_bytes_for_a_grpc_message_are_answered_or_refused(channel, content):
    try:
        channel.unary_unary(protocol.PREDICT)(content, timeout=20)
    except grpc.RpcError as error:
        assert error.code() in CLIENT_ERRORS, error
        assert "\n" not in error.details()


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.just("i1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["history", "k", "b64", "item_ids", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.rest_url, timeout=20) as client:
        yield client


@BOUNDED
@given(
    body=st.dictionaries(st.sampled_from(["instances", "inputs", "signature_name", "x"]), _json, max_size=3),
    path=st.sampled_from(["h2rec:predict", "h2rec/versions/1:predict", "h2rec/labels/x:predict", "a%20b:predict"]),
)
def test_any_json_is_answered_or_refused(http, body, path):
    answer = http.post(f"/v1/models/{path}", content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        message = answer.json()["error"]
        assert message and "\n" not in message and len(message) < 500


@BOUNDED
@given(content=st.binary(max_size=100), path=st.text("ab1%.:/~!$&()*+,;=@_-", max_size=20))
def test_any_bytes_and_any_path_over_http(http, content, path):
    answer = http.request("POST", httpx.URL(http.base_url, raw_path=b"/v1/models/" + path.encode()), content=content)
    assert answer.status_code in (400, 404, 405, 501)


def test_the_official_client_example(server):
    """As TensorFlow Serving's own example client does it, line for line but for the model."""
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    channel = grpc.insecure_channel(server.target)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "h2rec"
    request.model_spec.signature_name = "serving_default"
    request.inputs["history"].CopyFrom(tf.make_tensor_proto([["i1", "i2"]], shape=[1, 2]))
    result_future = stub.Predict.future(request, 5.0)
    assert result_future.exception() is None
    scores = np.array(result_future.result().outputs["scores"].float_val)
    assert len(scores) == 10 and (np.diff(scores) <= 0).all()
    channel.close()


def test_nothing_above_broke_the_server(server, predictions):
    assert still_answers(server) and outputs_of(predictions, request_for())[names.SCORES].shape == (1, 3)
