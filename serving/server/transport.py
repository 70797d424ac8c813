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
from serving.server.health import Health
from serving.server.metrics import Metrics
from serving.server.model_service import ModelService
from serving.server.observer import Observer
from serving.server.options import Limits, Security
from serving.server.policy import ModelConfig
from serving.server.prediction_service import PredictionService
from serving.server.rest.app import RestApp
from serving.server.rest.http_server import HttpServer

_T = TypeVar("_T")
# One in so many of the requests at a time may be a health watcher.
_WATCHER_SHARE = 4


class Listening(Protocol):
    """The options that say where and to whom a server answers; see `ServerOptions`."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def rest_port(self) -> int | None: ...
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
        InputError: an address is not allowed or the HTTP port taken, or options do not fit each other. Known at once,
            before anything is loaded.
    """

    def __init__(self, options: Listening, metrics: Metrics, undo: contextlib.ExitStack) -> None:
        self._options = options
        self._undo = undo
        security.check(options.security, options.host)
        self._credentials = security.grpc_credentials(options.security)
        self._context = security.ssl_context(options.security)
        self._tokens = security.Tokens(options.security.token_file) if options.security.token_file else None
        access_log = AccessLog(options.access_log) if options.access_log else None
        if access_log:
            undo.callback(access_log.close)
        self.observer = Observer(metrics, access_log, log_inputs=options.log_inputs)
        self.port = 0
        self.rest_port: int | None = None
        self._listener: socket.socket | None = None
        if options.rest_port is not None:
            self._listener = listen(options.host, options.rest_port, "--rest-port")
            undo.callback(self._listener.close)
            self.rest_port = self._listener.getsockname()[1]

    @property
    def target(self) -> str:
        """`host:port` of gRPC; the port is known after `start`."""
        return joined(self._options.host, self.port)

    @property
    def rest_url(self) -> str:
        """`http://host:port` or `https://host:port`; "" without REST."""
        if self.rest_port is None:
            return ""
        scheme = "https" if self._options.security.certificate else "http"
        return f"{scheme}://{joined(self._options.host, self.rest_port)}"

    def start(
        self, predictor: Any, *, configure: Callable[[Sequence[ModelConfig]], None], ready: Callable[[str], bool]
    ) -> None:
        """Listens. Requests are answered when this returns.

        Args:
            predictor: a `Predictor`, or what has its `predict`, `limits` and `models`.
            configure: serves other models; raises InputError where it cannot.
            ready: whether requests to a model are taken, or for "" to all models; raises RequestError for an unknown
                name.

        Raises:
            InputError: the port is taken.
        """
        options = self._options
        loop = _start_loop(self._undo)
        self.port = _on(loop, self._serve_grpc(predictor, configure, ready))
        if self._listener:
            app = RestApp(
                predictor=predictor,
                observer=self.observer,
                loop=loop,
                tokens=self._tokens,
                ready=lambda: ready(""),
                metrics_path=options.metrics_path,
            )
            http = HttpServer(
                app.asgi,
                self._listener,
                context=self._context,
                grace_seconds=options.grace_seconds,
                concurrent=options.limits.concurrent,
            )
            http.start()
            self._undo.callback(http.stop)

    async def _serve_grpc(
        self, predictor: Any, configure: Callable[[Sequence[ModelConfig]], None], ready: Callable[[str], bool]
    ) -> int:
        options = self._options
        health = Health(ready, watchers=max(1, options.limits.concurrent // _WATCHER_SHARE))
        interceptors = None
        if self._tokens:
            interceptors = [security.TokenInterceptor(self._tokens, self.observer, health.without_token())]
        server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.max_receive_message_length", options.limits.message_bytes),
                ("grpc.max_send_message_length", options.limits.message_bytes),
                # A second server on the same port must fail, not share its requests.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=options.limits.concurrent,
        )
        services = Lenient(server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(predictor, self.observer), services
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(predictor.models, configure, options.limits, self.observer), services
        )
        health_pb2_grpc.add_HealthServicer_to_server(health, services)
        address = joined(options.host, options.port)
        try:
            if self._credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise InputError(
                f"--port {options.port}: cannot listen on {address}; is it taken? --port 0 picks a free one"
            ) from error
        await server.start()
        loop = asyncio.get_running_loop()

        async def stop() -> None:
            health.end()
            await server.stop(options.grace_seconds)

        self._undo.callback(lambda: _on(loop, stop()))
        return port


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
