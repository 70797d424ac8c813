"""What callers can do to the ports without asking anything: hold connections, send halves, read nothing."""

import contextlib
import gc
import http.client
import json
import select
import socket
import threading

import grpc
import httpx
import pytest
from test_serving_health import check, health
from test_serving_predict import request_for
from test_serving_reload import serving

from serving import protocol
from serving.client import Client
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.options import HttpOptions, Limits, Security
from serving.server.servable import Servable

PREDICT = "/v1/models/h2rec:predict"
BODY = json.dumps({"instances": [["i1"]]})
SECONDS = 30.0


@contextlib.contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
        yield raw


def answer_to(raw, request: str) -> int:
    """Status of the answer, which is read to its end."""
    raw.sendall(request.encode())
    with contextlib.closing(http.client.HTTPResponse(raw)) as response:
        response.begin()
        response.read()
        return response.status


def is_ended(raw) -> bool:
    """Waits for the other side to end the connection."""
    with contextlib.suppress(ConnectionError):
        while raw.recv(65536):
            pass
    return True


def get(path="/healthz", more=""):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n"


def post(body=BODY):
    return f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def answers(server, path="/healthz") -> int:
    return httpx.get(server.rest_url + path, timeout=SECONDS).status_code


def predicts(server) -> int:
    return httpx.post(server.rest_url + PREDICT, content=BODY, timeout=SECONDS).status_code


@pytest.fixture
def held(monkeypatch):
    """After its `begin`, calls of the model wait until this is set; `entered` counts them."""
    go, run = threading.Event(), Servable.run
    go.entered = threading.Semaphore(0)

    def waiting(self, *arguments):
        go.entered.release()
        assert go.wait(SECONDS)
        return run(self, *arguments)

    # A version is warmed up when it is loaded.
    go.begin = lambda: monkeypatch.setattr(Servable, "run", waiting)
    yield go
    go.set()


@pytest.mark.parametrize("kind", ["model", "retrieval"])
def test_answers_are_sent_without_waiting_for_acknowledgements(kind, model_dir, tmp_path):
    if kind == "model":
        server = serving(model_dir, rest_port=0, http=HttpOptions(health_port=0))
    else:
        items = str(tmp_path / "items")
        options = RetrievalOptions(data_dir=items, width=2, port=0, rest_port=0, http=HttpOptions(health_port=0))
        server = RetrievalServer(options)
    with server:
        for port in (int(server.rest_url.rpartition(":")[2]), server.health_port):
            with connected(port) as raw:
                assert answer_to(raw, get()) == 200
                accepted = [other for other in gc.get_objects() if is_other_end(other, raw)]
                assert len(accepted) == 1
                assert accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def is_other_end(other, raw) -> bool:
    if not isinstance(other, socket.socket):
        return False
    with contextlib.suppress(OSError):
        return other.getpeername() == raw.getsockname()
    return False


def test_every_head_has_a_limit_and_so_has_the_rest_of_a_refused_body(model_dir):
    short = HttpOptions(head_seconds=0.3)
    with serving(model_dir, rest_port=0, http=short) as server, contextlib.ExitStack() as stack:
        first, later, body, whole = (stack.enter_context(connected(server.rest_port)) for _ in range(4))
        first.sendall(b"GET /healthz HT")
        assert answer_to(later, get()) == 200
        later.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        refused = "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
        assert answer_to(body, refused) == 404
        assert answer_to(whole, get()) == 200
        assert is_ended(first) and is_ended(later) and is_ended(body)
        # One that is between requests has the longer time of keep-alive.
        assert answer_to(whole, get()) == 200


def test_a_connection_between_requests_is_kept_as_long_as_asked(model_dir):
    options = HttpOptions(keep_alive_seconds=0.3)
    with serving(model_dir, rest_port=0, http=options) as server, connected(server.rest_port) as raw:
        assert answer_to(raw, get()) == 200
        assert is_ended(raw)


def test_a_caller_that_reads_nothing_is_left(model_dir):
    options = {"limits": Limits(seconds=0.2), "http": HttpOptions(head_seconds=0.2)}
    with serving(model_dir, rest_port=0, **options) as server, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", server.rest_port))
        # Answers of more than the buffers on the way hold.
        raw.sendall(get("/v1/models/h2rec/metadata").encode() * 800)
        ended = select.poll()
        ended.register(raw, 0)
        assert ended.poll(SECONDS * 1e3) and answers(server) == 200


def test_a_handshake_has_a_limit(model_dir, pem):
    options = {
        "security": Security(certificate=str(pem / "server"), key=str(pem / "server.key")),
        "http": HttpOptions(head_seconds=0.3),
    }
    with serving(model_dir, rest_port=0, **options) as server, connected(server.rest_port) as raw:
        assert is_ended(raw)


def test_two_hundred_stuck_connections_take_no_room_from_callers(model_dir):
    """All from one address and more than there may be at a time, each after a first request that was answered."""
    options = HttpOptions(connections=48, peer_connections=40)
    with serving(model_dir, rest_port=0, http=options) as server, contextlib.ExitStack() as stack:
        stuck = []
        for _ in range(200):
            raw = stack.enter_context(connected(server.rest_port))
            assert answer_to(raw, get()) == 200
            raw.sendall(b"POST /v1/models/h2rec:predict HTTP/1.1\r\nHo")
            stuck.append(raw)
            if len(stuck) % 40 == 0:
                assert (answers(server), answers(server, "/readyz"), predicts(server)) == (200, 200, 200)
        # The oldest made room for the newest.
        assert all(is_ended(raw) for raw in stuck[:150])


def test_health_answers_where_no_request_is_taken_any_more(model_dir, held):
    options = {"limits": Limits(concurrent=4), "http": HttpOptions(peer_connections=8, health_port=0)}
    with serving(model_dir, rest_port=0, **options) as server, contextlib.ExitStack() as stack:
        held.begin()
        for _ in range(4):
            stack.enter_context(connected(server.rest_port)).sendall(post().encode())
        # One of them calls the model; that all four are in shows in the refusal of others.
        assert held.entered.acquire(timeout=SECONDS)
        while predicts_or_not(server) != 503:
            pass
        assert answers(server) == answers(server, "/readyz") == 200
        own = f"http://127.0.0.1:{server.health_port}"
        assert httpx.get(own + "/readyz", timeout=SECONDS).status_code == 200
        assert httpx.get(own + PREDICT, timeout=SECONDS).status_code == 404


def predicts_or_not(server) -> int:
    try:
        return httpx.post(server.rest_url + PREDICT, content=b"{}", timeout=SECONDS).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.parametrize(
    "request_head",
    [
        f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"POST {PREDICT} HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_with_what_follows_it(server, request_head):
    with connected(server.rest_port) as raw:
        raw.sendall(f"{request_head}0\r\n\r\n{get()}".encode())
        received = b""
        while part := raw.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 400") and b"send one length" in received
    assert received.count(b"HTTP/1.1 ") == 1 and b"connection: close" in received.lower()


def test_stuck_grpc_calls_take_no_room_from_callers_and_from_health(model_dir):
    limits = Limits(concurrent=8)
    with serving(model_dir, limits=limits) as server, stuck_calls(server, 40, protocol.PREDICT) as predicting:
        with stuck_calls(server, 80, "/grpc.health.v1.Health/Check"), health(server) as stub:
            assert check(stub) == check(stub, "h2rec") == "SERVING"
            with Client(server.target, timeout=SECONDS) as client:
                assert len(client.recommend([["i1"]], k=2)[0]) == 2
        # The oldest made room for the newest.
        assert predicting[0].code() is grpc.StatusCode.DEADLINE_EXCEEDED


@contextlib.contextmanager
def stuck_calls(server, number, method):
    """Calls whose message never comes, on a connection of their own."""
    forever = threading.Event()

    def nothing():
        forever.wait(2 * SECONDS)
        yield from ()

    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield [channel.stream_unary(method).future(nothing()) for _ in range(number)]
        forever.set()


def test_a_grpc_message_has_a_limit_and_running_calls_keep_their_places(model_dir, held):
    with (
        serving(model_dir, limits=Limits(concurrent=2, seconds=2.0)) as server,
        grpc.insecure_channel(server.target) as channel,
        health(server) as stub,
    ):
        with stuck_calls(server, 1, protocol.PREDICT) as (waiting,):
            assert waiting.exception(timeout=SECONDS).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "did not arrive" in waiting.details()
        held.begin()
        predict = channel.unary_unary(protocol.PREDICT)
        content = request_for().SerializeToString()
        running = [predict.future(content, timeout=SECONDS) for _ in range(2)]
        assert held.entered.acquire(timeout=SECONDS)
        codes = set()
        while grpc.StatusCode.RESOURCE_EXHAUSTED not in codes:
            codes.add(predict.future(content, timeout=SECONDS).exception(timeout=SECONDS).code())
        assert check(stub) == "SERVING"
        held.set()
        assert all(call.exception(timeout=SECONDS) is None or call.code() for call in running)
