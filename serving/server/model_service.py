"""TensorFlow Serving's ModelService: GetModelStatus and HandleReloadConfigRequest."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from h2rec_tf.errors import InputError
from serving.server.config_files import models_of
from serving.server.errors import RequestError, one_line
from serving.server.grpc_handler import answering
from serving.server.models import Models
from serving.server.observer import Call, Observer
from serving.server.options import Limits
from serving.server.policy import ModelConfig


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells which versions are served, on their way in or out, or broken and why; and takes other models.

    Args:
        models: the served models.
        configure: serves other models; raises InputError where it cannot. None: callers cannot ask for that.
        limits: the longest time for an answer.
        observer: told of each request.
    """

    def __init__(
        self,
        models: Models,
        configure: Callable[[Sequence[ModelConfig]], None] | None,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self.observer = observer
        self.longest_seconds = limits.seconds
        self._models = models
        self._configure = configure

    @answering
    async def GetModelStatus(
        self, request: Any, call: Call, deadline: float
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """State of one version, or of all, newest first."""
        if not request.HasField("model_spec"):
            raise RequestError.invalid("Missing ModelSpec")
        return status(self._models, request.model_spec, call)

    @answering
    async def HandleReloadConfigRequest(
        self, request: Any, call: Call, deadline: float
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the given models instead, all of them or, where one cannot be loaded, those before."""
        if self._configure is None:
            raise RequestError(
                grpc.StatusCode.PERMISSION_DENIED, "this server's models cannot be changed by requests; see its options"
            )
        try:
            configs = models_of(request.config)
        except InputError as error:
            raise RequestError.invalid(f"config {error}") from error
        try:
            # Not bounded by the deadline: half a change would be worse than a late answer.
            await asyncio.get_running_loop().run_in_executor(None, self._configure, configs)
        except InputError as error:
            raise RequestError.failed_precondition(f"nothing was changed: {one_line(error)}") from error
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = grpc.StatusCode.OK.value[0]
        return response


# A URI or what begins with a slash, to its last character that words have no use for.
_PATHS = re.compile(r"(?:\w+:)?/[^\s:;,)'\"`]*(?::(?=/)//?[^\s:;,)'\"`]*)?")


def _without_paths(error: str) -> str:
    """Why a version cannot be loaded, without the places on the server's disk; its log has them."""
    return _PATHS.sub("[path]", error)


def status(models: Models, spec: Any, call: Call) -> get_model_status_pb2.GetModelStatusResponse:
    """State of the versions that a ModelSpec names.

    Raises:
        RequestError: there is none.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, found in models.statuses(spec).items():
        entry = response.model_version_status.add(version=version, state=found.state.value)
        # An empty message would be left out on the wire; TensorFlow Serving always sends one.
        entry.status.error_code = grpc.StatusCode.UNKNOWN.value[0] if found.error else grpc.StatusCode.OK.value[0]
        entry.status.error_message = _without_paths(found.error)
    call.model = spec.name
    return response
