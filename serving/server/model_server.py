"""The server: models behind one gRPC port and one HTTP port."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
import threading
from collections.abc import Sequence

from h2rec_tf.errors import InputError
from serving.server import config_files, security
from serving.server.errors import RequestError, one_line
from serving.server.metrics import Metrics
from serving.server.model_manager import ModelManager
from serving.server.models import Models
from serving.server.options import ServerOptions
from serving.server.policy import ModelConfig
from serving.server.predictor import Predictor
from serving.server.roots import Roots
from serving.server.servable import Servable
from serving.server.transport import Transport
from serving.server.warmup import warm_up

logger = logging.getLogger("h2rec.serving")


class ModelServer:
    """Serves models over TensorFlow Serving's gRPC and REST APIs.

    The models' calls run in a pool of threads beside the event loop of the transport.

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
        self._transport: Transport | None = None

    @property
    def port(self) -> int:
        """Of gRPC; known after `start`."""
        return self._transport.port if self._transport else 0

    @property
    def target(self) -> str:
        """`host:port` of gRPC; known after `start`."""
        return self._transport.target if self._transport else ""

    @property
    def rest_port(self) -> int | None:
        """Of REST; known after `start`, None without REST."""
        return self._transport.rest_port if self._transport else None

    @property
    def health_port(self) -> int | None:
        """Of health alone; known after `start`, None without it."""
        return self._transport.health_port if self._transport else None

    @property
    def rest_url(self) -> str:
        """`http://host:port` or `https://host:port`; "" without REST."""
        return self._transport.rest_url if self._transport else ""

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

    def ready(self, model: str = "") -> bool:
        """Whether a model, or for "" every model, has a version that answers and the server is not on its way down.

        Raises:
            RequestError: NOT_FOUND; no such model.
        """
        served = self.models.served()
        if model and model not in served:
            raise RequestError.not_found(f"Servable not found for request: Latest({model})")
        answering = bool(served[model]) if model else bool(served) and all(served.values())
        return answering and not self._stopping.is_set()

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def _start(self, undo: contextlib.ExitStack) -> None:
        options = self._options
        if options.allow_reload:
            security.check_reload(options.security, options.host)
        # Bound before the models load, so that a taken port is known at once.
        transport = Transport(options, self._metrics, undo)
        undo.callback(self.models.stop)
        configs = self._configs()
        self.models.configure(configs)
        self._roots = Roots(options.model_roots or [config.base_path for config in configs])
        if options.model_config_file and options.poll_seconds > 0:
            self._reload.start()
            undo.callback(self._reload.join)
        predictor = Predictor(self.models, options.limits, options.batching, transport.observer)
        undo.callback(predictor.close)
        transport.start(
            predictor, configure=self._configure_for_caller if options.allow_reload else None, ready=self.ready
        )
        self._transport = transport
        # First of all on the way down: health checks see it while the running requests end.
        undo.callback(self._stopping.set)

    def _configs(self) -> list[ModelConfig]:
        options = self._options
        if options.model_config_file:
            return config_files.read_models(options.model_config_file)
        return [ModelConfig(name=options.model_name, base_path=options.model_dir)]

    def _manager(self, config: ModelConfig) -> ModelManager:
        options = self._options

        def confine(path: str) -> None:
            if config.confined:
                # A version may be a link, and may have come after the configuration.
                self._roots.check(path)

        def check(path: str) -> None:
            confine(path)
            Servable.check(path, allow_ops=options.allow_ops)

        def load(version: int, path: str) -> Servable:
            confine(path)
            return Servable.load(version, path, op_threads=options.op_threads, allow_ops=options.allow_ops)

        def on_load(succeeded: bool) -> None:
            self._metrics.loads.labels(config.name, "loaded" if succeeded else "failed").inc()

        return ModelManager(
            name=config.name,
            model_dir=config.base_path,
            poll_seconds=options.poll_seconds,
            policy=config.policy,
            check=check,
            load=load,
            warm_up=functools.partial(warm_up, limits=options.limits),
            on_load=on_load,
        )

    def _configure_for_caller(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            try:
                self._roots.check(config.base_path)
            except InputError as error:
                self._metrics.reloads.labels("failed").inc()
                raise InputError(f"model {config.name}: {error}") from error
        self._configure([dataclasses.replace(config, confined=True) for config in configs])

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
