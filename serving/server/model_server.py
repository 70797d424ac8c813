"""The server: one model folder behind one gRPC port."""

from __future__ import annotations

from concurrent import futures

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from h2rec_tf.errors import InputError
from serving.server.address import check_address
from serving.server.model_manager import ModelManager
from serving.server.model_service import ModelService
from serving.server.options import ServerOptions
from serving.server.prediction_service import PredictionService
from serving.server.warmup import warm_up


class ModelServer:
    """Serves the newest version of a model over TensorFlow Serving's gRPC API.

    Example:
        with ModelServer(ServerOptions(model_dir="pushed", port=0)) as server:
            client = Client(server.target)

    Args:
        options: where and how to serve.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self.models = ModelManager(
            name=options.model_name,
            model_dir=options.model_dir,
            poll_seconds=options.poll_seconds,
            warm_up=warm_up,
        )
        self._grpc: grpc.Server | None = None
        self.port = 0
        self.version = 0

    @property
    def target(self) -> str:
        """`host:port` for clients; the port is known after `start`."""
        host = self._options.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def start(self) -> None:
        """Loads the model, then listens. Requests are answered when this returns.

        Raises:
            InputError: the address is not allowed or taken, or the model folder holds nothing that can be served.
        """
        options = self._options
        check_address(options.host, insecure=options.insecure)
        self.version = self.models.start()
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=options.threads, thread_name_prefix="request"),
            options=[
                ("grpc.max_receive_message_length", options.limits.message_bytes),
                ("grpc.max_send_message_length", options.limits.message_bytes),
                # A second server on the same port must fail, not share its requests.
                ("grpc.so_reuseport", 0),
            ],
        )
        models = {options.model_name: self.models}
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(models, options.limits), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
        self.port = options.port
        try:
            self.port = server.add_insecure_port(self.target)
        except RuntimeError as error:
            self.models.stop()
            raise InputError(
                f"--port {options.port}: cannot listen on {self.target}; is it taken? --port 0 picks a free one"
            ) from error
        server.start()
        self._grpc = server

    def stop(self) -> None:
        """Takes no new request, lets running ones end within the grace time, and frees the model."""
        if self._grpc is not None:
            self._grpc.stop(self._options.grace_seconds).wait()
            self._grpc = None
        self.models.stop()

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()
