"""A toy model saved once, copied for each test that changes its folder, a server over it, and certificates."""

import datetime
import ipaddress
import pathlib
import shutil

import grpc
import pytest
import toy_recommender
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
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


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    """Paths of `ca`, `server`, `client` certificates and keys, and of `other`, an authority that signed neither."""
    folder = tmp_path_factory.mktemp("pem")
    now = datetime.datetime.now(datetime.timezone.utc)

    def make(name, issuer=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer_name, signer_key = issuer or (subject, key)
        local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(local, critical=False)
            .sign(signer_key, hashes.SHA256())
        )
        (folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return subject, key

    authority = make("ca")
    make("other")
    make("server", authority)
    make("client", authority)
    return folder
