"""A request is held to what it takes decoded, before it is decoded, whichever way it comes in."""

import contextlib
import json
import tracemalloc

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2
from test_serving_predict import refusal_of, request_for
from test_serving_reload import serving

from h2rec_tf import names
from serving import protocol, tensors
from serving.budget import Budget
from serving.client import ServerError, operations
from serving.retrieval_service import signatures
from serving.server.errors import RequestError
from serving.server.held import Held
from serving.server.options import MEBIBYTE, Limits
from serving.server.rest.json_tensors import check_json_bytes
from serving.server.signature import Signature

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PREDICT = "/v1/models/h2rec:predict"
# The rows and columns that are taken by default.
LIMITS = Limits()


def declared(dtype, shape, **fields):
    """A tensor that says of itself what its values do not bear out."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.fixture(scope="module")
def wide(saved_versions, tmp_path_factory):
    """A server with the limits that it has unless told otherwise, but for the bytes, so that the tests are quick."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "1").symlink_to(saved_versions / "1")
    with serving(folder, rest_port=0, poll_seconds=0, limits=Limits(request_bytes=4 * MEBIBYTE)) as running:
        yield running


@pytest.fixture(scope="module")
def ask(wide):
    with grpc.insecure_channel(wide.target) as channel:
        yield channel.unary_unary(
            protocol.PREDICT,
            request_serializer=predict_pb2.PredictRequest.SerializeToString,
            response_deserializer=predict_pb2.PredictResponse.FromString,
        )


@pytest.fixture(scope="module")
def http(wide):
    with httpx.Client(base_url=wide.rest_url, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("alias", "shape", "strings", "words"),
    [
        (names.EXCLUDE, [1, 1 << 24], [b"x" * 8192], "16777216 long, at most 16384"),
        (names.EXCLUDE, [1024, 10_000], [b"x" * 8192], "one by one"),
        (names.EXCLUDE, [1, 16_000], [b"x" * 8192], "one by one"),
        (names.EXCLUDE, [1, 1000], [], "one by one"),
        (names.HISTORY, [1024, 1000], [b"x" * 8192], "one by one"),
        (names.HISTORY, [1024, 1001], [b""], "1001 long, at most 1000"),
        (names.ALLOW_CATEGORIES, [1, 16_385], [b""], "16385 long, at most 16384"),
        (names.EXCLUDE, [20, 10_000], [b""] * 200_000, "bytes decoded, at most 4194304"),
    ],
)
def test_strings_that_few_bytes_declare_over_grpc(ask, alias, shape, strings, words):
    request = request_for([["i1"]])
    request.inputs[alias].CopyFrom(declared(types_pb2.DT_STRING, shape, string_val=strings))
    code, details = refusal_of(ask, request)
    assert code is INVALID and words in details and alias in details


def test_inputs_are_counted_together(ask):
    """Either takes less than the limit, both take more."""
    request = request_for(None, k=None, signature=names.RANK_CANDIDATES)
    lists = declared(types_pb2.DT_STRING, [100, 1000], string_val=[b""] * 100_000)
    request.inputs[names.HISTORY].CopyFrom(lists)
    request.inputs[names.CANDIDATES].CopyFrom(declared(types_pb2.DT_STRING, [100, 1], string_val=[b""] * 100))
    assert len(ask(request).outputs[names.SCORES].float_val) == 100
    request.inputs[names.CANDIDATES].CopyFrom(lists)
    code, details = refusal_of(ask, request)
    assert code is INVALID and "takes 4800000 bytes decoded, at most 4194304" in details


def test_the_largest_batch_of_the_documentation_is_taken():
    signature = Signature("x", signatures.definitions(4, query_tower=True)[names.SERVING_DEFAULT], exported=True)
    history = np.full((LIMITS.batch_size, LIMITS.history_length), b"an id of 40 characters, as long as a hash", object)
    assert signature.feeds_of_arrays({names.HISTORY: history}, LIMITS).rows == LIMITS.batch_size


def test_strings_that_tensorflows_cpp_wrote_are_read(ask):
    """They come in one piece, `tensor_content`."""
    request = request_for([["i1", "i2"]], k=3)
    wanted = {alias: tf.make_ndarray(proto).tolist() for alias, proto in ask(request).outputs.items()}
    history = declared(types_pb2.DT_STRING, [1, 2], tensor_content=b"\2\2i1i2")
    assert tf.io.parse_tensor(history.SerializeToString(), tf.string).numpy().tolist() == [[b"i1", b"i2"]]
    request.inputs[names.HISTORY].CopyFrom(history)
    assert {alias: tf.make_ndarray(proto).tolist() for alias, proto in ask(request).outputs.items()} == wanted
    request.inputs[names.HISTORY].tensor_content = b"\2\3i1i2"
    code, details = refusal_of(ask, request)
    assert code is INVALID and "6 bytes of content are not the strings of shape [1, 2]" in details


def ragged(longest, rows):
    return [["i1"] * longest, *([[]] * rows)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # Rows of different lengths are filled up to the longest.
        ({"inputs": {"history": ragged(1000, 2000)}}, "2001 rows, at most 1024"),
        ({"inputs": {"history": ragged(30_000, 1000)}}, "30000 long, at most 1000"),
        ({"inputs": {"history": [["i1"]] * 300, "exclude": ragged(16_000, 299)}}, "bytes decoded, at most 4194304"),
        ({"inputs": [{}] * 20_000}, "bytes parsed, at most 4194304"),
        ({"x": [[]] * 50_000}, "bytes parsed, at most 4194304"),
        ({"inputs": [0] * 200_000}, "bytes parsed, at most 4194304"),
    ],
)
def test_lists_that_few_bytes_declare_over_rest(http, body, words):
    answer = http.post(PREDICT, content=json.dumps(body, separators=(",", ":")).encode())
    assert answer.status_code == 400 and words in answer.json()["error"], answer.text


@pytest.mark.parametrize("part", ["{}", "[]", "0", "1.5", '"a"', '{"a":0}', "[[[]]]", "null"])
def test_what_json_takes_is_foreseen(part):
    """Not far off, by Python's own count of its memory."""
    body = f"[{','.join([part] * 50_000)}]".encode()
    tracemalloc.start()
    parsed = json.loads(body)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(parsed) == 50_000
    check_json_bytes(body, 5 * taken + 4 * len(body))
    with pytest.raises(RequestError, match="bytes parsed"):
        check_json_bytes(body, taken // 3)


def test_numbers_take_the_budget_and_no_more():
    """Images are batches like others: float32 `[N, 224, 224, 3]`."""
    image = 224 * 224 * 3
    number = 64 * MEBIBYTE // (4 * image)
    batch = declared(types_pb2.DT_FLOAT, [number, 224, 224, 3], tensor_content=bytes(4 * image * number))
    assert tensors.decode(batch, Budget(LIMITS.request_bytes)).shape == (number, 224, 224, 3)
    with pytest.raises(ValueError, match="at most 67108864"):
        tensors.decode(declared(types_pb2.DT_FLOAT, [number + 1, image], float_val=[0.0]), Budget(LIMITS.request_bytes))


def test_the_requests_of_a_server_are_held_to_a_sum():
    held = Held(Limits(held_bytes=100))
    # However large it is, one is taken.
    with held.hold(1000):
        pass
    with contextlib.ExitStack() as others:
        for size in (60, 40):
            others.enter_context(held.hold(size))
        with pytest.raises(RequestError, match="hold 100 of 100 bytes") as raised, held.hold(1):
            pass
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    with held.hold(100):
        pass


def test_a_server_is_told_its_limits_on_the_command_line():
    from serving.cli.serve import serve

    options = {option.name: option for option in serve.params}
    assert options["max_request_mib"].default == 64 and options["max_request_mib"].type.max == 2048
    assert options["max_list"].default == LIMITS.list_length


def test_a_client_is_not_at_the_mercy_of_what_a_server_declares():
    response = protocol.PredictResponse()
    response.outputs["x"].CopyFrom(
        protocol.TensorProto.FromString(declared(types_pb2.DT_FLOAT, [1 << 40], float_val=[1.0]).SerializeToString())
    )
    operation = operations.predict(operations.Model("h2rec"), "", {})
    for content, words in (
        (response.SerializeToString(), "bytes decoded, at most 536870912"),
        (b"\xff", "cannot be read"),
        (b"\x0c" + response.SerializeToString(), "bytes follow the end"),
    ):
        with pytest.raises(ServerError, match=words):
            operation.parse(content)
    for parse in (
        operations.metadata(operations.Model("h2rec")).parse,
        operations.status(operations.Model("h2rec")).parse,
    ):
        with pytest.raises(ServerError, match="cannot be read"):
            parse(b"\xff")
