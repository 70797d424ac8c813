"""Thousands of hostile requests to each server: it lives, is well, keeps to its memory, and answers as before."""

import contextlib
import os
import resource
import subprocess
import sys

import fuzzing
import grpc
import httpx
import numpy as np
import pytest
import toy_recommender
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.client import Client
from serving.retrieval_service.client import RetrievalClient
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer

ITEMS = [f"i{number}" for number in range(1, toy_recommender.ITEMS + 1)]
# What the fuzz may have written.
Z = ["z1", "z2", "z\u00e4\U0001f600"]
MIB = 1 << 20
# Beyond what the server takes before the first request: a few requests at their limit.
MOST_MIB = 768
# Of a whole process; what goes beyond it fails, and the machine of who runs this is spared.
ADDRESS_SPACE = 16 << 30


@pytest.fixture(scope="module")
def http():
    with httpx.Client(timeout=60) as client:
        yield client


def usual(target: str) -> list[object]:
    """What a server answers to requests that nothing of the fuzz may change."""
    with Client(target, timeout=60) as client:
        history = [["i1", "i2"]]
        return [
            client.item_embedding(ITEMS).tolist(),
            client.titles(ITEMS),
            *client.recommend(history, k=1, exclude=[Z]),
        ]


def assert_well(target: str, rest_url: str, http: httpx.Client) -> None:
    with grpc.insecure_channel(target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert check.status == health_pb2.HealthCheckResponse.SERVING
    assert http.get(f"{rest_url}/healthz").status_code == http.get(f"{rest_url}/readyz").status_code == 200


@contextlib.contextmanager
def process(*arguments: str):
    """A server in a process of its own, with a limit to its memory: its process, gRPC address and REST address."""
    code = "import sys; from h2rec_tf.cli.main import cli; cli(sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
    )
    try:
        assert child.stdout
        # One that ends instead gives "".
        lines = [child.stdout.readline(), child.stdout.readline()]
        assert all(lines), "the server did not start"
        yield child, *(line.split()[-1] for line in lines)
    finally:
        child.terminate()
        child.wait(60)


def attacked(child, target, rest_url, http, seed):
    before, start = usual(target), fuzzing.peak_kib(child.pid)
    codes = fuzzing.attack(target, rest_url, seed=seed, over_grpc=3000, over_rest=2000, http=http)
    assert child.poll() is None
    assert_well(target, rest_url, http)
    assert usual(target) == before
    assert (fuzzing.peak_kib(child.pid) - start) / 1024 < MOST_MIB
    # The requests are not so broken that none of them gets to the model.
    assert codes["OK"] > 100 and codes["200"] > 50 and codes["INVALID_ARGUMENT"] > 500, codes


@pytest.mark.slow
def test_ten_thousand_hostile_requests(saved_versions, tmp_path, http):
    """Half of them to the model server, half to the retrieval service."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "1").symlink_to(saved_versions / "1")
    with process("serve", "--model-dir", str(model)) as (child, target, rest_url):
        attacked(child, target, rest_url, http, seed=1)
    arguments = ("retrieval", "serve", "--model-dir", str(model), "--data-dir", str(tmp_path / "items"))
    with process(*arguments) as (child, target, rest_url):
        with RetrievalClient(target, timeout=60) as client:
            client.upsert(ITEMS)
        attacked(child, target, rest_url, http, seed=2)


def test_some_hostile_requests_to_the_model_server(server, http):
    before = usual(server.target)
    codes = fuzzing.attack(server.target, server.rest_url, seed=3, over_grpc=250, over_rest=150, http=http)
    assert_well(server.target, server.rest_url, http)
    assert usual(server.target) == before and codes["OK"] > 5 and codes["200"] > 5, codes


def test_some_hostile_requests_to_the_retrieval_service(saved_versions, tmp_path, http):
    options = RetrievalOptions(
        data_dir=str(tmp_path / "items"), model_dir=str(saved_versions / "1"), port=0, rest_port=0
    )
    with RetrievalServer(options) as running:
        with RetrievalClient(running.target, timeout=60) as client:
            client.upsert(ITEMS)
        before = usual(running.target)
        codes = fuzzing.attack(running.target, running.rest_url, seed=4, over_grpc=250, over_rest=150, http=http)
        assert_well(running.target, running.rest_url, http)
        assert usual(running.target) == before and codes["OK"] > 5 and codes["200"] > 5, codes


def test_a_compressed_message_takes_no_more_than_a_plain_one(server):
    """A megabyte of gzip stands for a gigabyte of zeros."""
    with grpc.insecure_channel(server.target, [("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict", request_serializer=None)
        with pytest.raises(grpc.RpcError) as raised:
            call(bytes(64 * MIB), timeout=60, compression=grpc.Compression.Gzip)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert np.isfinite(usual(server.target)[0]).all()
