"""One gRPC port and one HTTP port before whatever answers predictions; shared by the model and the retrieval server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent import futures
from typing import Any, Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from h2rec_tf.errors import InputError
from serving.server import security
from serving.server.access_log import AccessLog
from serving.server.address import joined, listen
from serving.server.grpc_handler import Lenient
from serving.server.grpc_places import Places
from serving.server.health import Health
from serving.server.metrics import Metrics
from serving.server.model_service import ModelService
from serving.server.observer import Observer
from serving.server.options import HttpOptions, Limits, Security
from serving.server.policy import ModelConfig
from serving.server.prediction_service import PredictionService
from serving.server.rest.app import RestApp
from serving.server.rest.health import health_app
from serving.server.rest.http_server import HttpServer

_T = TypeVar("_T")
# For one in so many of the requests at a time there may be one health watcher more.
_WATCHER_SHARE = 4
# Health checks at a time whose message is waited for; more are answered for the whole server, unread.
_CHECKS = 64


class Listening(Protocol):
    """The options that say where and to whom a server answers; see `ServerOptions`."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def rest_port(self) -> int | None: ...
    @property
    def http(self) -> HttpOptions: ...
    @property
    def security(self) -> Security: ...
    @property
    def grace_seconds(self) -> float: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def metrics_path(self) -> str: ...
    @property
    def access_log(self) -> str: ...
    @property
    def log_inputs(self) -> bool: ...


class Transport:
    """Takes requests in over gRPC and REST.

    gRPC runs on an event loop in a thread of its own, so that a caller who is slow to send or to read costs a
    coroutine and not a thread.

    Args:
        options: where and to whom it answers.
        metrics: where requests are counted.
        undo: takes what has to be done at the end, last first.

    Raises:
        InputError: an address is not allowed or a port taken, or options do not fit each other. Known at once, before
            anything is loaded.
    """

    def __init__(self, options: Listening, metrics: Metrics, undo: contextlib.ExitStack) -> None:
        self._options = options
        self._undo = undo
        security.check(options.security, options.host)
        self._credentials = security.grpc_credentials(options.security)
        self._context = security.ssl_context(options.security)
        self._without_token: dict[str, grpc.RpcMethodHandler] = {}
        self._tokens, self._admin_tokens = security.read_tokens(options.security)
        access_log = AccessLog(options.access_log) if options.access_log else None
        if access_log:
            undo.callback(access_log.close)
        self.observer = Observer(metrics, access_log, log_inputs=options.log_inputs)
        self._listener = self._listen(options.rest_port, "--rest-port")
        self._health_listener = self._listen(options.http.health_port, "--health-port")
        self.rest_port = _port(self._listener)
        self.health_port = _port(self._health_listener)
        self._loop = _start_loop(undo)
        self._server: grpc.aio.Server | None = None
        self._health: Health | None = None
        undo.callback(lambda: _on(self._loop, self._stop_grpc()))
        self.port = _on(self._loop, self._bind_grpc())

    @property
    def target(self) -> str:
        """`host:port` of gRPC."""
        return joined(self._options.host, self.port)

    @property
    def rest_url(self) -> str:
        """`http://host:port` or `https://host:port`; "" without REST."""
        if self.rest_port is None:
            return ""
        scheme = "https" if self._options.security.certificate else "http"
        return f"{scheme}://{joined(self._options.host, self.rest_port)}"

    def start(
        self,
        predictor: Any,
        *,
        configure: Callable[[Sequence[ModelConfig]], None] | None,
        ready: Callable[[str], bool],
    ) -> None:
        """Listens. Requests are answered when this returns.

        Args:
            predictor: a `Predictor`, or what has its `predict`, `limits` and `models`.
            configure: serves other models; raises InputError where it cannot. None: callers cannot ask for that.
            ready: whether requests to a model are taken, or for "" to all models; raises RequestError for an unknown
                name.
        """
        options = self._options
        _on(self._loop, self._serve_grpc(predictor, configure, ready))
        for app, listener, context in (
            (self._rest_app(predictor, ready), self._listener, self._context),
            (health_app(lambda: ready("")), self._health_listener, None),
        ):
            if listener is None:
                continue
            http = HttpServer(
                app,
                listener,
                context=context,
                options=options.http,
                limits=options.limits,
                grace_seconds=options.grace_seconds,
            )
            http.start()
            self._undo.callback(http.stop)

    def _rest_app(self, predictor: Any, ready: Callable[[str], bool]) -> Any:
        return RestApp(
            predictor=predictor,
            observer=self.observer,
            loop=self._loop,
            tokens=self._tokens,
            ready=lambda: ready(""),
            metrics_path=self._options.metrics_path,
        ).asgi

    def _listen(self, port: int | None, option: str) -> socket.socket | None:
        if port is None:
            return None
        listener = listen(self._options.host, port, option)
        self._undo.callback(listener.close)
        return listener

    async def _bind_grpc(self) -> int:
        """Takes the gRPC port, in which connections wait until the server starts."""
        options = self._options
        interceptors = None
        if self._tokens or self._admin_tokens:
            interceptors = [
                security.TokenInterceptor(self._tokens, self._admin_tokens, self.observer, self._without_token)
            ]
        self._server = server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.max_receive_message_length", options.limits.message_bytes),
                ("grpc.max_send_message_length", options.limits.message_bytes),
                # A second server on the same port must fail, not share its requests.
                ("grpc.so_reuseport", 0),
                ("grpc.server_handshake_timeout_ms", round(options.http.head_seconds * 1e3)),
            ],
        )
        address = joined(options.host, options.port)
        try:
            if self._credentials is None:
                return int(server.add_insecure_port(address))
            return int(server.add_secure_port(address, self._credentials))
        except RuntimeError as error:
            raise InputError(
                f"--port {options.port}: cannot listen on {address}; is it taken? --port 0 picks a free one"
            ) from error

    async def _serve_grpc(
        self, predictor: Any, configure: Callable[[Sequence[ModelConfig]], None] | None, ready: Callable[[str], bool]
    ) -> None:
        limits, server = self._options.limits, self._server
        assert server is not None
        watchers = max(1, limits.concurrent // _WATCHER_SHARE)
        self._health = health = Health(ready, watchers=watchers)
        self._without_token.update(health.without_token())
        services = Lenient(server, Places(limits.concurrent, seconds=limits.seconds))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(predictor, self.observer), services
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(predictor.models, configure, limits, self.observer), services
        )
        # With places of its own, so that no other calls can take them.
        places = Places(watchers + _CHECKS, seconds=self._options.http.head_seconds)
        health_pb2_grpc.add_HealthServicer_to_server(health, Lenient(server, places, refusals=health.without_token()))
        await server.start()
        # Before what the requests need is closed; where this is not reached, the callback of the beginning does it.
        self._undo.callback(lambda: _on(self._loop, self._stop_grpc()))

    async def _stop_grpc(self) -> None:
        server, self._server = self._server, None
        if self._health:
            self._health.end()
        if server:
            await server.stop(self._options.grace_seconds)


def _port(listener: socket.socket | None) -> int | None:
    return listener.getsockname()[1] if listener else None


def _start_loop(undo: contextlib.ExitStack) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="grpc", daemon=True)
    thread.start()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    undo.callback(end)
    return loop


def _on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> _T:
    future: futures.Future[_T] = asyncio.run_coroutine_threadsafe(coroutine, loop)
    return future.result()
