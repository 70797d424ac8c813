"""Encryption, client certificates and tokens, for gRPC and REST."""

import shutil
import ssl
import threading

import grpc
import httpx
import pytest

from h2rec_tf.errors import InputError
from serving import protocol
from serving.client import Client, Connection, ServerError
from serving.server import security
from serving.server.model_server import ModelServer
from serving.server.options import Security, ServerOptions

PREDICT = "/v1/models/h2rec:predict"
BODY = {"instances": [["i1"]]}


@pytest.fixture(scope="module")
def folder(saved_versions, tmp_path_factory):
    path = tmp_path_factory.mktemp("secured")
    shutil.copytree(saved_versions / "1", path / "1")
    return path


def serving(folder, **settings):
    options = ServerOptions(
        model_dir=str(folder), port=0, rest_port=0, poll_seconds=0, grace_seconds=1, security=Security(**settings)
    )
    return ModelServer(options)


def ask(server, **settings):
    with Client(Connection(server.target, attempts=1, **settings), timeout=20) as client:
        return len(client.recommend([["i1"]], k=2)[0])


def test_encryption(folder, pem):
    with serving(folder, certificate=str(pem / "server"), key=str(pem / "server.key")) as server:
        assert ask(server, ca=str(pem / "ca")) == 2
        with pytest.raises(ServerError, match="no model server answers"):
            ask(server)
        with pytest.raises(ServerError, match="no model server answers"):
            ask(server, ca=str(pem / "other"))
        trusting = ssl.create_default_context(cafile=str(pem / "ca"))
        assert server.rest_url.startswith("https://")
        assert httpx.post(server.rest_url + PREDICT, json=BODY, verify=trusting, timeout=20).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.rest_url + "/healthz", timeout=20)


def test_client_certificates(folder, pem):
    settings = {"certificate": str(pem / "server"), "key": str(pem / "server.key"), "client_ca": str(pem / "ca")}
    with serving(folder, **settings) as server:
        own = {"certificate": str(pem / "client"), "key": str(pem / "client.key")}
        assert ask(server, ca=str(pem / "ca"), **own) == 2
        with pytest.raises(ServerError):
            ask(server, ca=str(pem / "ca"))
        trusting = ssl.create_default_context(cafile=str(pem / "ca"))
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.rest_url + "/healthz", verify=trusting, timeout=20)
        trusting.load_cert_chain(own["certificate"], own["key"])
        assert httpx.get(server.rest_url + "/healthz", verify=trusting, timeout=20).status_code == 200


def test_tokens(folder, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("first-token\n\n  second-token \n")
    with serving(folder, token_file=str(tokens)) as server:
        assert ask(server, token="first-token") == ask(server, token="second-token") == 2
        for token in ("", "first", "first-token2"):
            with pytest.raises(ServerError) as raised:
                ask(server, token=token)
            assert raised.value.code is grpc.StatusCode.UNAUTHENTICATED
        url = server.rest_url + PREDICT
        assert httpx.post(url, json=BODY, headers={"Authorization": "bearer first-token"}, timeout=20).is_success
        for headers in ({}, {"Authorization": "Bearer nothing"}, {"Authorization": "Basic first-token"}):
            answer = httpx.post(url, json=BODY, headers=headers, timeout=20)
            assert answer.status_code == 401 and "bearer token" in answer.json()["error"]
        assert httpx.get(server.rest_url + "/monitoring/prometheus/metrics", timeout=20).status_code == 401
        assert httpx.get(server.rest_url + "/readyz", timeout=20).status_code == 200


def test_a_caller_without_a_token_is_refused_before_its_message_is_read(folder, tmp_path):
    (tmp_path / "tokens").write_text("first-token")
    forever = threading.Event()

    def nothing():
        forever.wait(60)
        yield from ()

    with (
        serving(folder, token_file=str(tmp_path / "tokens")) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        with pytest.raises(grpc.RpcError) as raised:
            channel.stream_unary(protocol.PREDICT)(nothing(), timeout=30)
        forever.set()
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"certificate": "{pem}/server"}, "go together"),
        ({"client_ca": "{pem}/ca"}, "needs --tls-certificate"),
        ({"certificate": "{pem}/none", "key": "{pem}/none"}, "--tls-certificate .*cannot be read"),
        ({"certificate": "{pem}/server", "key": "{pem}/client.key"}, "not a PEM certificate and its key"),
        ({"certificate": "{pem}/empty", "key": "{pem}/empty"}, "not a PEM certificate and its key"),
        ({"certificate": "{pem}/server", "key": "{pem}/server.key", "client_ca": "{pem}/empty"}, "--tls-client-ca"),
        ({"token_file": "{pem}/empty"}, "holds no token"),
        ({"token_file": "{pem}/none"}, "--token-file .*cannot be read"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_loaded(pem, settings, words):
    (pem / "empty").write_text("")
    filled = {name: value.format(pem=pem) for name, value in settings.items()}
    with pytest.raises(InputError, match=words):
        serving(pem / "no-model-here", **filled).start()


def test_a_public_address_is_allowed_with_any_protection(pem, tmp_path):
    (tmp_path / "tokens").write_text("x")
    for settings in (
        {"certificate": "c", "key": "k"},
        {"token_file": str(tmp_path / "tokens")},
        {"insecure_public": True},
    ):
        security.check(Security(**settings), "0.0.0.0")
    with pytest.raises(InputError, match="unprotected"):
        security.check(Security(), "0.0.0.0")
