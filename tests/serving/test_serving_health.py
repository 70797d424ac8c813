"""grpc.health.v1 as probes and balancers ask it: through a channel, while models come and go and servers stop."""

import contextlib
import queue
import threading

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_serving_models import config_file, reload

from serving.client import Client, ServerError
from serving.retrieval_service.client import RetrievalClient
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.model_server import ModelServer
from serving.server.options import Limits, Security, ServerOptions
from serving.server.servable import Servable

SERVING, NOT_SERVING, UNKNOWN = "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"
SECONDS = 30.0


def name(response) -> str:
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


@contextlib.contextmanager
def health(server, credentials=None):
    with (
        grpc.secure_channel(server.target, credentials) if credentials else grpc.insecure_channel(server.target)
    ) as channel:
        yield health_pb2_grpc.HealthStub(channel)


def check(stub, service="", **settings) -> str:
    return name(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS, **settings))


def refusal(stub, service, **settings) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        check(stub, service, **settings)
    return raised.value.code()


class Watcher:
    """Reads one Watch in a thread; `next` is the next status, None at a clean end, or the code of another."""

    def __init__(self, stub, service="", **settings):
        self.call = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=2 * SECONDS, **settings)
        self._seen = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self.call:
                self._seen.put(name(response))
            self._seen.put(None)
        except grpc.RpcError as error:
            self._seen.put(error.code())

    def next(self):
        return self._seen.get(timeout=SECONDS)


def test_check_tells_of_the_server_and_of_each_model(server):
    with health(server) as stub:
        assert check(stub) == check(stub, "h2rec") == SERVING
        assert refusal(stub, "other") is refusal(stub, "h2rec/1") is grpc.StatusCode.NOT_FOUND
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff no message", timeout=SECONDS)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_watch_follows_a_model_that_comes_and_goes_and_the_shutdown(saved_versions, tmp_path):
    first, second = (f'name: "{key}" base_path: "{saved_versions}"' for key in ("first", "second"))
    path = config_file(tmp_path, first)
    server = ModelServer(ServerOptions(model_config_file=str(path), port=0, poll_seconds=0, allow_reload=True))
    server.start()
    with health(server) as stub:
        whole, model = Watcher(stub), Watcher(stub, "second")
        assert (whole.next(), model.next()) == (SERVING, UNKNOWN)
        reload(server, first, second)
        assert model.next() == SERVING and check(stub, "second") == SERVING
        # One that leaves takes nothing from the others.
        leaving = Watcher(stub, "second")
        assert leaving.next() == SERVING
        leaving.call.cancel()
        assert leaving.next() is grpc.StatusCode.CANCELLED
        reload(server, first)
        assert model.next() == UNKNOWN and refusal(stub, "second") is grpc.StatusCode.NOT_FOUND
        reload(server, first, second)
        assert model.next() == SERVING
        server.stop()
        assert (whole.next(), whole.next()) == (model.next(), model.next()) == (NOT_SERVING, None)


def test_all_is_not_serving_from_the_start_of_a_shutdown_while_requests_end(model_dir, monkeypatch):
    entered, go = threading.Event(), threading.Event()
    run = Servable.run

    def held(self, *arguments):
        entered.set()
        assert go.wait(SECONDS)
        return run(self, *arguments)

    with ModelServer(ServerOptions(model_dir=str(model_dir), port=0, rest_port=0, poll_seconds=0)) as server:
        monkeypatch.setattr(Servable, "run", held)
        with health(server) as stub, Client(server.target, timeout=SECONDS) as client:
            watchers = [Watcher(stub), Watcher(stub, "h2rec")]
            assert [watcher.next() for watcher in watchers] == [SERVING] * 2
            answers = []
            asking = threading.Thread(target=lambda: answers.append(client.recommend([["i1"]], k=2)))
            asking.start()
            assert entered.wait(SECONDS)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            assert [watcher.next() for watcher in watchers] == [NOT_SERVING] * 2
            assert not answers and stopping.is_alive()
            # Watchers leave by themselves; only the request holds the server.
            assert [watcher.next() for watcher in watchers] == [None] * 2
            go.set()
            asking.join()
            stopping.join()
            assert len(answers[0][0]) == 2


def test_watchers_beyond_their_share_are_refused_and_leave_room_for_requests(model_dir):
    options = ServerOptions(model_dir=str(model_dir), port=0, poll_seconds=0, limits=Limits(concurrent=8))
    with ModelServer(options) as server, health(server) as stub:
        watchers = [Watcher(stub) for _ in range(2)]
        assert [watcher.next() for watcher in watchers] == [SERVING] * 2
        assert Watcher(stub).next() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert check(stub) == SERVING
        watchers[0].call.cancel()
        assert watchers[0].next() is grpc.StatusCode.CANCELLED
        # The server learns of it a moment later.
        again = Watcher(stub)
        while (status := again.next()) is grpc.StatusCode.RESOURCE_EXHAUSTED:
            again = Watcher(stub)
        assert status == SERVING


def test_without_a_token_only_the_whole_server_is_told_and_nothing_is_read(model_dir, tmp_path):
    (tmp_path / "tokens").write_text("secret")
    security = Security(token_file=str(tmp_path / "tokens"))
    with ModelServer(ServerOptions(model_dir=str(model_dir), port=0, poll_seconds=0, security=security)) as server:
        with health(server) as stub:
            known = [("authorization", "Bearer secret")]
            assert check(stub, "h2rec", metadata=known) == SERVING
            assert refusal(stub, "other", metadata=known) is grpc.StatusCode.NOT_FOUND
            # The same answer to any name: nobody learns which models there are.
            for metadata in (None, [("authorization", "Bearer wrong")]):
                assert [check(stub, service, metadata=metadata) for service in ("", "h2rec", "other")] == [SERVING] * 3
                watchers = [Watcher(stub, service, metadata=metadata) for service in ("", "other")]
                assert [watcher.next() for watcher in watchers] == [SERVING] * 2
                for watcher in watchers:
                    watcher.call.cancel()
        forever = threading.Event()

        def nothing():
            forever.wait(2 * SECONDS)
            yield from ()

        with grpc.insecure_channel(server.target) as channel:
            call = channel.stream_unary("/grpc.health.v1.Health/Check")
            assert call(nothing(), timeout=SECONDS) == health_pb2.HealthCheckResponse(status=1).SerializeToString()
        forever.set()


def test_over_tls(model_dir, pem):
    security = Security(certificate=str(pem / "server"), key=str(pem / "server.key"))
    with ModelServer(ServerOptions(model_dir=str(model_dir), port=0, poll_seconds=0, security=security)) as server:
        trusting = grpc.ssl_channel_credentials((pem / "ca").read_bytes())
        with health(server, trusting) as stub:
            assert check(stub) == SERVING
        with health(server) as stub:
            assert refusal(stub, "") is grpc.StatusCode.UNAVAILABLE


def test_the_retrieval_service_answers_for_its_name_and_until_it_fails(tmp_path, monkeypatch):
    server = RetrievalServer(RetrievalOptions(data_dir=str(tmp_path / "items"), width=2, port=0, name="shop"))
    with server, health(server) as stub, RetrievalClient(server.target, name="shop") as client:
        assert check(stub) == check(stub, "shop") == SERVING
        assert refusal(stub, "h2rec") is grpc.StatusCode.NOT_FOUND
        watcher = Watcher(stub, "shop")
        assert watcher.next() == SERVING

        def fail(mutation):
            raise RuntimeError("half-way")

        monkeypatch.setattr(server.engine.index, "apply", fail)
        with pytest.raises(ServerError, match="restart the service"):
            client.upsert(["a"], vectors=np.ones((1, 2), np.float32))
        assert watcher.next() == NOT_SERVING == check(stub) == check(stub, "shop")
        server.stop()
        assert watcher.next() is None
