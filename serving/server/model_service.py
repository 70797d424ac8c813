"""TensorFlow Serving's ModelService: GetModelStatus."""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.server.errors import RequestError, answering
from serving.server.model_manager import ModelManager


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells which versions are served, on their way in or out, or broken and why.

    Args:
        models: served models by name.
    """

    def __init__(self, models: dict[str, ModelManager]) -> None:
        self._models = models

    @answering
    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """State of one version, or of all, newest first."""
        if not request.HasField("model_spec"):
            raise RequestError.invalid("Missing ModelSpec")
        name = request.model_spec.name
        statuses = self._models[name].statuses() if name in self._models else {}
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
            if version not in statuses:
                raise RequestError.not_found(f"Could not find version {version} of model {name}")
            statuses = {version: statuses[version]}
        if not statuses:
            raise RequestError.not_found(f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in sorted(statuses, reverse=True):
            status = statuses[version]
            entry = response.model_version_status.add(version=version, state=status.state.value)
            # An empty message would be left out on the wire; TensorFlow Serving always sends one.
            entry.status.error_code = grpc.StatusCode.UNKNOWN.value[0] if status.error else grpc.StatusCode.OK.value[0]
            entry.status.error_message = status.error
        return response

    @answering
    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """This server's models are those of its command line."""
        raise RequestError.unimplemented(
            "HandleReloadConfigRequest is not served: new versions are found without it, another model needs a restart"
        )
