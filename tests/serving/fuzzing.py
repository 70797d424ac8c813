"""Hostile requests by seed, sent over gRPC and REST, and what no server may answer to them."""

from __future__ import annotations

import gzip
import json
import math
import pathlib
import random

import grpc
import httpx
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from serving import protocol, tensors
from serving.client import Client, Connection
from serving.client.results import ModelMetadata

ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
SIZES = [
    0,
    1,
    1,
    2,
    2,
    3,
    16,
    63,
    65,
    1000,
    1001,
    1024,
    1025,
    16_384,
    1 << 20,
    1 << 24,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
]
NUMBERS = [0, 1, -1, 3, 12, 13, 1000, 1001, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.5, -1e38, 1e38, 1e-45, math.nan, math.inf, -math.inf]
# Ids that are written begin with z, so that what the servers know else stays as it is.
STRINGS = [
    b"", b"i1", b"i2", b"z1", b"z2", b"z\xff", b"nobody", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"z" * 1025,
    b"z" * 8192, "z\u00e4\U0001f600".encode(), b"\n\x00\x0a", b"odd", b"\x0a\x02\x0a\x00",
]  # fmt: skip
METHODS = [protocol.PREDICT] * 12 + [protocol.GET_MODEL_METADATA, protocol.GET_MODEL_STATUS, "/no.such/Method"]
# They take seconds, and what they do is not told by the request.
SLOW = {"snapshot", "rebalance"}
WRITES = {"upsert", "delete"}


class Fuzz:
    """Makes requests.

    Args:
        seed: of all of them.
        metadata: the signatures of the server.
    """

    def __init__(self, seed: int, metadata: ModelMetadata) -> None:
        self._random = random.Random(seed)
        self._strings = STRINGS
        self._signatures = {name: spec for name, spec in metadata.signatures.items() if name not in SLOW}

    def grpc_request(self) -> tuple[str, bytes, bool]:
        """A method, a message, and whether it goes out compressed."""
        chance, request = self._random.random, predict_pb2.PredictRequest()
        request.model_spec.name = "h2rec" if chance() < 0.95 else self._name()
        if chance() < 0.1:
            request.model_spec.version.value = self._random.choice([1, 0, 2, -1, 2**63 - 1])
        name = self._random.choice(sorted(self._signatures))
        request.model_spec.signature_name = name if chance() < 0.95 else self._name()
        inputs = self._signatures[name].inputs
        self._strings = [one for one in STRINGS if name not in WRITES or not one.startswith(b"i")]
        for alias, spec in inputs.items():
            if chance() < 0.85:
                self._fill(request.inputs[alias if chance() < 0.98 else self._name()], spec)
        if chance() < 0.05:
            request.output_filter.append(self._random.choice(["scores", "scores", "no", self._name()]))
        content = request.SerializeToString()
        if chance() < 0.2:
            content = self._broken(content)
        return self._random.choice(METHODS), content, chance() < 0.1

    def rest_request(self) -> tuple[str, dict[str, str], bytes]:
        """A path, headers and a body."""
        chance = self._random.random
        name = self._random.choice(sorted(self._signatures))
        spec = self._signatures[name]
        self._strings = [b"z1"] if name in WRITES else [b"i1", b"z1"]
        body: dict[str, object] = {}
        if chance() < 0.95:
            body["signature_name"] = name if chance() < 0.95 else self._random.choice(["\ud800", "no", 3, None, ["x"]])
        columns = {
            alias if chance() < 0.98 else self._random.choice(["\ud800", "", "x"]): self._column(item)
            for alias, item in spec.inputs.items()
            if chance() < 0.85
        }
        if chance() < 0.6:
            body["inputs"] = columns
        else:
            row = {alias: value[0] if isinstance(value, list) and value else value for alias, value in columns.items()}
            body["instances"] = [row] * self._random.choice([0, 1, 2, 3, 1025])
        if chance() < 0.05:
            body["inputs"] = self._json(0)
        text = json.dumps(body).encode(errors="replace")
        if chance() < 0.15:
            text = self._broken(text)
        if chance() < 0.05:
            text = self._random.choice([b"[" * 50_000, b'{"a":' * 5000, b"1" * 10_000, b'{"inputs": 1e999}', b"\xff"])
        headers = {}
        if chance() < 0.05:
            text, headers = gzip.compress(text), {"content-encoding": "gzip"}
        path = "h2rec:predict"
        if chance() < 0.1:
            wrong = ["x:predict", "h2rec", "h2rec/metadata", "h2rec/versions/9:predict", "%ED%A0%80:predict", "h2rec:x"]
            path = self._random.choice(wrong)
        return f"/v1/models/{path}", headers, text

    def _name(self) -> str:
        return self._random.choice(["", "x", "\x00", "a\nb", "\u00e4\U0001f600", "n" * 10_000])

    def _fill(self, proto: tensor_pb2.TensorProto, spec) -> None:
        chance = self._random.random
        proto.dtype = next(number for number in range(1, 30) if tensors.dtype_name(number) == spec.dtype)
        if chance() < 0.05:
            proto.dtype = self._random.choice([0, 1, 3, 6, 7, 9, 14, 19, 20, 21])
        shape = [size if size is not None and chance() < 0.95 else self._size() for size in spec.shape]
        if chance() < 0.08:
            shape = [self._size() for _ in range(self._random.choice([0, 1, 2, 3, 8, 255]))]
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        proto.tensor_shape.unknown_rank = chance() < 0.02
        count = math.prod(shape)
        if not 0 <= count <= 20_000 or chance() < 0.1:
            count = self._random.choice([0, 1, 2, 50])
        if chance() < 0.1:
            proto.tensor_content = self._random.randbytes(self._random.choice([1, 4, 8, count, 4 * count]))
        pick = self._random.choice
        if proto.dtype == tensors.STRING:
            strings = self._strings
            proto.string_val.extend([pick(strings)] * count if count > 100 else [pick(strings) for _ in range(count)])
        elif proto.dtype == 1:
            proto.float_val.extend(pick(FLOATS[:3] if chance() < 0.8 else FLOATS) for _ in range(count))
        elif proto.dtype == 9:
            proto.int64_val.extend(pick(NUMBERS) for _ in range(count))
        else:
            proto.int_val.extend(pick(NUMBERS[:5] if chance() < 0.6 else NUMBERS[:10]) for _ in range(count))

    def _size(self) -> int:
        return self._random.choice(SIZES[:7] if self._random.random() < 0.7 else [*SIZES, -1, -(1 << 63)])

    def _column(self, spec):
        if self._random.random() < 0.15:
            return self._json(0)
        return self._values(spec.dtype, len(spec.shape))

    def _values(self, dtype: str, rank: int):
        if rank:
            size = self._random.choice([0, 1, 2, 3, 16, 1001, 1025] if rank == 1 else [0, 1, 2, 3, 16])
            return [self._values(dtype, rank - 1) for _ in range(size)]
        if dtype == "string":
            return self._random.choice(
                [
                    "",
                    self._random.choice(self._strings).decode(),
                    "odd",
                    "\x00",
                    "\ud800",
                    {"b64": "/w=="},
                    {"b64": "?"},
                ]
            )
        return self._random.choice([1, 3, 0, -1, 1.5, 1e39, math.nan, math.inf, 2**70, True])

    def _json(self, depth: int):
        kind = self._random.randrange(8 if depth < 8 else 5)
        if kind >= 5:
            inner = [self._json(depth + 1) for _ in range(self._random.randrange(4))]
            return inner if kind < 7 else {self._random.choice(["b64", "k", "\ud800"]): one for one in inner}
        return [None, True, self._random.choice(NUMBERS), self._random.choice([1.5, math.nan, 1e308]), "\ud800z1"][kind]

    def _broken(self, content: bytes) -> bytes:
        place, kind = self._random.randrange(len(content) + 1), self._random.randrange(5)
        if kind == 0:
            return content[:place]
        if kind == 1:
            return content[:place] + self._random.randbytes(self._random.randrange(1, 9)) + content[place:]
        if kind == 2:
            return content + content
        if kind == 3:
            return b"\x0c" + content
        changed = bytearray(content)
        for _ in range(min(len(changed), 3)):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)


def attack(
    target: str, rest_url: str, *, seed: int, over_grpc: int, over_rest: int, http: httpx.Client
) -> dict[str, int]:
    """Sends requests and asserts that each is answered or refused as the caller's fault, in one line.

    Returns:
        How many of them had which code.
    """
    codes: dict[str, int] = {}
    with Client(Connection(target, attempts=1), timeout=60) as client:
        fuzz = Fuzz(seed, client.metadata())
    with grpc.insecure_channel(target) as channel:
        calls = {method: channel.unary_unary(method) for method in METHODS}
        for number in range(over_grpc):
            method, content, compressed = fuzz.grpc_request()
            compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
            try:
                calls[method](content, timeout=60, compression=compression)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
                assert error.code() in ALLOWED, (number, method, content[:300], error)
                assert "\n" not in error.details() and len(error.details()) < 500
            codes[code] = codes.get(code, 0) + 1
    for number in range(over_rest):
        path, headers, content = fuzz.rest_request()
        answer = http.post(rest_url + path, content=content, headers=headers)
        assert answer.status_code < 500 or answer.status_code == 501, (number, path, content[:300], answer.text)
        if answer.status_code != 200:
            message = answer.json()["error"]
            assert message and "\n" not in message and len(message) < 500
        codes[str(answer.status_code)] = codes.get(str(answer.status_code), 0) + 1
    return codes


def peak_kib(pid: int) -> int:
    """The most resident memory that a process has had."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the process has no memory")
