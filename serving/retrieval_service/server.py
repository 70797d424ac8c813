"""The retrieval server: one data folder behind one gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from h2rec_tf.errors import InputError
from serving import tensors
from serving.retrieval_service.engine import Engine
from serving.retrieval_service.models import LocalModel, Model, ServedModel
from serving.retrieval_service.operations import Operations
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.predictor import RetrievalPredictor
from serving.retrieval_service.store import Store
from serving.retrieval_service.towers import ModelTowers
from serving.server.address import check_address
from serving.server.errors import RequestError

# Seconds for the model server to come up beside this one, and for one call to it.
_MODEL_TIMEOUT = 10.0


class RetrievalServer:
    """Serves the items of a data folder over TensorFlow Serving's gRPC API.

    Example:
        with RetrievalServer(RetrievalOptions(data_dir="items", model_dir="pushed", port=0)) as server:
            client = RetrievalClient(server.target)

    Args:
        options: where and how to serve.
    """

    def __init__(self, options: RetrievalOptions) -> None:
        self._options = options
        self._undo = contextlib.ExitStack()
        self.port = 0

    @property
    def target(self) -> str:
        """`host:port` for clients; the port is known after `start`."""
        host = self._options.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def start(self) -> None:
        """Recovers the items, then listens. Requests are answered when this returns.

        Raises:
            InputError: an option cannot be met, the address is not allowed or taken, or the data folder is damaged.
        """
        with contextlib.ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Takes no new request, lets running ones end within the grace time, and lets go of the data folder."""
        self._undo.close()

    def __enter__(self) -> RetrievalServer:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def _start(self, undo: contextlib.ExitStack) -> None:
        options = self._options
        check_address(options.host, insecure=options.insecure)
        towers, width, version = None, options.width, ""
        model = _model(options)
        if model is not None:
            undo.callback(model.close)
            towers = ModelTowers(model, text_encoder=options.text_encoder)
            width, version = towers.width, model.version
        if width < 1:
            raise InputError(
                "--dimensions: say how wide the vectors are, or name a model with --model-dir or --model-server"
            )
        self.engine = Engine(Store(options.data_dir, width=width, model_version=version), options.store)
        undo.callback(self.engine.close)
        operations = Operations(self.engine, options.limits, width=width, query_tower=towers, item_tower=towers)
        predictor = RetrievalPredictor(
            operations, options.limits, width=width, query_tower=towers is not None, readers=options.readers
        )
        undo.callback(predictor.close)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="grpc", daemon=True)
        thread.start()
        undo.callback(thread.join)
        undo.callback(lambda: loop.call_soon_threadsafe(loop.stop))
        servicer = _PredictionService(predictor, options.name, int(version or 0))
        server = asyncio.run_coroutine_threadsafe(self._listen(servicer), loop).result()
        undo.callback(lambda: asyncio.run_coroutine_threadsafe(server.stop(options.grace_seconds), loop).result())

    async def _listen(self, servicer: _PredictionService) -> grpc.aio.Server:
        options = self._options
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.limits.message_bytes),
                ("grpc.max_send_message_length", options.limits.message_bytes),
                # A second server on the same port must fail, not share its requests.
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
        self.port = options.port
        try:
            self.port = server.add_insecure_port(self.target)
        except RuntimeError as error:
            raise InputError(
                f"--port {options.port}: cannot listen on {self.target}; is it taken? --port 0 picks a free one"
            ) from error
        await server.start()
        return server


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, predictor: RetrievalPredictor, name: str, version: int) -> None:
        self._predictor = predictor
        self._name = name
        self._version = version

    async def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:
        try:
            self._check(request.model_spec)
            signature = self._predictor.signature(request.model_spec.signature_name)
            chosen = signature.selected(request.output_filter)
            future = self._predictor.submit(signature, self._predictor.arrays(signature, request.inputs))
            outputs = await asyncio.wrap_future(future)
        except RequestError as error:
            await context.abort(error.code, error.message)
        response = predict_pb2.PredictResponse()
        self._describe(response.model_spec)
        response.model_spec.signature_name = signature.name
        for alias, array in outputs.items():
            if alias in chosen:
                tensors.encode_into(response.outputs[alias], array)
        return response

    async def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Any
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        try:
            self._check(request.model_spec)
        except RequestError as error:
            await context.abort(error.code, error.message)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._describe(response.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self._predictor.definitions.items():
            signatures.signature_def[name].CopyFrom(definition)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def _check(self, spec: Any) -> None:
        if spec.name != self._name or (spec.HasField("version") and spec.version.value != self._version):
            raise RequestError.not_found(f"Servable not found for request: {spec.name}")

    def _describe(self, spec: Any) -> None:
        spec.name = self._name
        spec.version.value = self._version


def _model(options: RetrievalOptions) -> Model | None:
    if options.model_dir and options.model_server:
        raise InputError("--model-dir and --model-server: give one of them")
    if options.model_dir:
        return LocalModel(options.model_dir)
    if options.model_server:
        return ServedModel(options.model_server, name=options.model_name, timeout=_MODEL_TIMEOUT)
    return None
