"""The retrieval server: one data folder behind the ports of `serving.server`."""

from __future__ import annotations

import contextlib
import pathlib
import threading

from h2rec_tf.errors import InputError
from h2rec_tf.export.saved import ENCODER_DIR, EXTRA_DIR
from h2rec_tf.models.exported import newest_version
from serving.client import Connection
from serving.retrieval_service.engine import Engine
from serving.retrieval_service.models import LocalModel, Model, ServedModel
from serving.retrieval_service.operations import Operations
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.predictor import RetrievalModels, RetrievalPredictor
from serving.retrieval_service.store import Store
from serving.retrieval_service.towers import ModelTowers
from serving.server.errors import RequestError
from serving.server.metrics import Metrics
from serving.server.transport import Transport

# Seconds for the model server to come up beside this one, and for one call to it.
_MODEL_TIMEOUT = 10.0


class RetrievalServer:
    """Serves the items of a data folder over TensorFlow Serving's gRPC and REST APIs.

    Example:
        with RetrievalServer(RetrievalOptions(data_dir="items", model_dir="pushed", port=0)) as server:
            client = RetrievalClient(server.target)

    Args:
        options: where and how to serve.
    """

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        self._undo = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._transport: Transport | None = None

    @property
    def target(self) -> str:
        """`host:port` of gRPC; known after `start`."""
        return self._transport.target if self._transport else ""

    @property
    def health_port(self) -> int | None:
        """Of health alone; known after `start`, None without it."""
        return self._transport.health_port if self._transport else None

    @property
    def rest_url(self) -> str:
        """`http://host:port` or `https://host:port`; "" without REST."""
        return self._transport.rest_url if self._transport else ""

    def start(self) -> None:
        """Recovers the items, then listens. Requests are answered when this returns.

        Raises:
            InputError: an option cannot be met, an address is not allowed or taken, or the data folder is damaged.
        """
        with contextlib.ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Takes no new request, lets running ones end within the grace time, and lets go of the data folder."""
        self._undo.close()

    def ready(self, name: str = "") -> bool:
        """Whether requests are answered.

        Args:
            name: the one that requests give, or "".

        Raises:
            RequestError: NOT_FOUND; another name.
        """
        if name not in ("", self._options.name):
            raise RequestError.not_found(f"Servable not found for request: {name}; `{self._options.name}` is served")
        return not self._stopping.is_set() and not self.engine.failure

    def __enter__(self) -> RetrievalServer:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def _start(self, undo: contextlib.ExitStack) -> None:
        options = self._options
        metrics = Metrics()
        transport = Transport(options, metrics, undo)
        towers, width, version = None, options.width, 0
        model = _model(options)
        if model is not None:
            undo.callback(model.close)
            towers = ModelTowers(model, text_encoder=_encoder_folder(options, model))
            width, version = towers.width, model.version
        if width < 1:
            raise InputError("--dimensions: give the width of the vectors, or a model (--model-dir or --model-server)")
        self.engine = Engine(
            Store(options.data_dir, width=width, model_version=str(version) if model else ""), options.store
        )
        undo.callback(self.engine.close)
        models = RetrievalModels(options.name, version, width=width, query_tower=towers is not None)
        metrics.follow(models)
        operations = Operations(
            self.engine,
            width=width,
            query_tower=towers,
            item_tower=towers,
            search_rows=options.search_rows,
            answer_bytes=options.limits.message_bytes,
        )
        predictor = RetrievalPredictor(
            operations,
            models,
            options.limits,
            transport.observer,
            readers=options.readers,
            writers=options.writers,
            waiting_writes=options.waiting_writes,
        )
        undo.callback(predictor.close)
        transport.start(predictor, configure=None, ready=self.ready)
        self._transport = transport
        undo.callback(self._stopping.set)


def _model(options: RetrievalOptions) -> Model | None:
    if options.model_dir and options.model_server:
        raise InputError("--model-dir and --model-server: give one of them")
    if options.model_dir:
        return LocalModel(options.model_dir, allow_ops=options.allow_ops)
    if options.model_server:
        connection = Connection(options.model_server, ca=options.model_ca, token=options.model_token)
        return ServedModel(connection, name=options.model_name, timeout=_MODEL_TIMEOUT)
    return None


def _encoder_folder(options: RetrievalOptions, model: Model) -> str:
    """Folder of the text encoder: the one given, or the one exported with a model; "" without one."""
    if options.text_encoder:
        try:
            return str(newest_version(options.text_encoder) / EXTRA_DIR / ENCODER_DIR)
        except InputError:
            return options.text_encoder
    path = pathlib.Path(model.path) / EXTRA_DIR / ENCODER_DIR if isinstance(model, LocalModel) else None
    return str(path) if path and path.is_dir() else ""
