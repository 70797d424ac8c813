"""The server: models behind one gRPC port and one HTTP port."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import pathlib
import threading
from collections.abc import Sequence
from concurrent import futures

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from h2rec_tf.errors import InputError
from serving.server import config_files, security
from serving.server.access_log import AccessLog
from serving.server.address import joined, listen
from serving.server.errors import one_line
from serving.server.metrics import Metrics
from serving.server.model_manager import ModelManager
from serving.server.model_service import ModelService
from serving.server.models import Models
from serving.server.observer import Observer
from serving.server.options import ServerOptions
from serving.server.policy import ModelConfig
from serving.server.prediction_service import PredictionService
from serving.server.predictor import Predictor
from serving.server.rest.app import RestApp
from serving.server.rest.http_server import HttpServer
from serving.server.warmup import warm_up

logger = logging.getLogger("h2rec.serving")


class ModelServer:
    """Serves models over TensorFlow Serving's gRPC and REST APIs.

    gRPC runs on an event loop in a thread of its own, so that a caller who is slow to send or to read costs a
    coroutine and not a thread; the models' calls run in a pool of threads beside it.

    Example:
        with ModelServer(ServerOptions(model_dir="pushed", port=0)) as server:
            client = Client(server.target)

    Args:
        options: where and how to serve.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._metrics = Metrics()
        self.models = Models(self._manager)
        self._metrics.follow(self.models)
        self._undo = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._reload = threading.Thread(target=self._follow_config, name="model-config", daemon=True)
        self.port = 0
        self.rest_port: int | None = None

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

    def start(self) -> None:
        """Loads the models, then listens. Requests are answered when this returns.

        Raises:
            InputError: an option cannot be met, an address is not allowed or taken, or a model has nothing to serve.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._stopping.set)
            self._start(undo)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Takes no new request, lets running ones end within the grace time, and frees the models."""
        self._undo.close()

    def ready(self) -> bool:
        """Whether every model has a version that answers and the server is not on its way down."""
        served = self.models.served()
        return not self._stopping.is_set() and bool(served) and all(served.values())

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def _start(self, undo: contextlib.ExitStack) -> None:
        options = self._options
        security.check(options.security, options.host)
        credentials = security.grpc_credentials(options.security)
        context = security.ssl_context(options.security)
        tokens = security.Tokens(options.security.token_file) if options.security.token_file else None
        access_log = AccessLog(options.access_log) if options.access_log else None
        if access_log:
            undo.callback(access_log.close)
        observer = Observer(self._metrics, access_log, log_inputs=options.log_inputs)
        # Bound before the models load, so that a taken port is known at once.
        listener = None
        if options.rest_port is not None:
            listener = listen(options.host, options.rest_port, "--rest-port")
            undo.callback(listener.close)
            self.rest_port = listener.getsockname()[1]
        undo.callback(self.models.stop)
        self.models.configure(self._configs())
        if options.model_config_file and options.poll_seconds > 0:
            self._reload.start()
            undo.callback(self._reload.join)
        predictor = Predictor(self.models, options.limits, options.batching, observer)
        undo.callback(predictor.close)
        loop = _start_loop(undo)
        self.port = _on(loop, self._serve_grpc(predictor, observer, credentials, tokens, undo))
        if listener:
            app = RestApp(
                predictor=predictor,
                observer=observer,
                loop=loop,
                tokens=tokens,
                ready=self.ready,
                metrics_path=options.metrics_path,
            )
            http = HttpServer(
                app.asgi,
                listener,
                context=context,
                grace_seconds=options.grace_seconds,
                concurrent=options.limits.concurrent,
            )
            http.start()
            undo.callback(http.stop)
        # First of all on the way down: health checks see it while the running requests end.
        undo.callback(self._stopping.set)

    async def _serve_grpc(
        self,
        predictor: Predictor,
        observer: Observer,
        credentials: grpc.ServerCredentials | None,
        tokens: security.Tokens | None,
        undo: contextlib.ExitStack,
    ) -> int:
        options = self._options
        server = grpc.aio.server(
            interceptors=[security.TokenInterceptor(tokens, observer)] if tokens else [],
            options=[
                ("grpc.max_receive_message_length", options.limits.message_bytes),
                ("grpc.max_send_message_length", options.limits.message_bytes),
                # A second server on the same port must fail, not share its requests.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=options.limits.concurrent,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(predictor, observer), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self.models, self._configure, options.limits, observer), server
        )
        address = joined(options.host, options.port)
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise InputError(
                f"--port {options.port}: cannot listen on {address}; is it taken? --port 0 picks a free one"
            ) from error
        await server.start()
        loop = asyncio.get_running_loop()
        undo.callback(lambda: _on(loop, server.stop(options.grace_seconds)))
        return port

    def _configs(self) -> list[ModelConfig]:
        options = self._options
        if options.model_config_file:
            return config_files.read_models(options.model_config_file)
        return [ModelConfig(name=options.model_name, base_path=options.model_dir)]

    def _manager(self, config: ModelConfig) -> ModelManager:
        def on_load(succeeded: bool) -> None:
            self._metrics.loads.labels(config.name, "loaded" if succeeded else "failed").inc()

        return ModelManager(
            name=config.name,
            model_dir=config.base_path,
            poll_seconds=self._options.poll_seconds,
            policy=config.policy,
            warm_up=functools.partial(warm_up, limits=self._options.limits),
            on_load=on_load,
        )

    def _configure(self, configs: Sequence[ModelConfig]) -> None:
        try:
            self.models.configure(configs)
        except InputError:
            self._metrics.reloads.labels("failed").inc()
            raise
        self._metrics.reloads.labels("changed").inc()

    def _follow_config(self) -> None:
        path = pathlib.Path(self._options.model_config_file)
        known = _content(path)
        while not self._stopping.wait(self._options.poll_seconds):
            content = _content(path)
            if content in (known, None):
                continue
            known = content
            try:
                self._configure(config_files.read_models(str(path)))
                logger.info("%s: changed and in effect", path)
            except InputError as error:
                logger.warning("%s: changed and refused, what was served goes on: %s", path, one_line(error))


def _content(path: pathlib.Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


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


def _on(loop: asyncio.AbstractEventLoop, coroutine: object) -> int:
    future: futures.Future = asyncio.run_coroutine_threadsafe(coroutine, loop)  # type: ignore[arg-type]
    return future.result()
