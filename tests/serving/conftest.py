"""A toy model saved once, copied for each test that changes its folder, and a server over it."""

import pathlib
import shutil

import grpc
import pytest
import toy_recommender
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.server.model_server import ModelServer
from serving.server.options import Limits, ServerOptions


@pytest.fixture(scope="session")
def saved_versions(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with versions 1 and 2, not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    for version in (1, 2):
        toy_recommender.save(folder, version)
    return folder


@pytest.fixture
def model_dir(saved_versions: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of this test's own with version 1."""
    folder = tmp_path / "model"
    shutil.copytree(saved_versions / "1", folder / "1")
    return folder


@pytest.fixture(scope="session")
def server(saved_versions: pathlib.Path, tmp_path_factory: pytest.TempPathFactory):
    """A running server of version 1, shared by tests that only ask it."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(saved_versions / "1", folder / "1")
    limits = Limits(message_bytes=64 * 1024, batch_size=16, history_length=20, k=5000)
    with ModelServer(
        ServerOptions(model_dir=str(folder), port=0, rest_port=0, poll_seconds=0, limits=limits)
    ) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: ModelServer):
    with grpc.insecure_channel(server.target) as opened:
        yield opened


@pytest.fixture(scope="session")
def predictions(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def models(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)
