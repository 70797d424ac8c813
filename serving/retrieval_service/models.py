"""The model whose towers give the vectors: a SavedModel in this process, or one behind a model server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from h2rec_tf.errors import InputError
from h2rec_tf.models.exported import newest_version
from serving import tensors
from serving.server.errors import RequestError
from serving.server.options import Limits
from serving.server.servable import Servable


class Model(Protocol):
    """One version of a model, called by signature."""

    # Names the version for good: vectors of two versions have nothing to do with each other.
    version: str

    def inputs(self, signature: str) -> set[str]:
        """Names of a signature's inputs; empty where the model has no such signature."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; strings as object arrays of bytes.

        Raises:
            RequestError: the model refuses the request or cannot be reached.
        """

    def close(self) -> None:
        """Gives back what it holds."""


class LocalModel:
    """A SavedModel loaded into this process.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.

    Raises:
        InputError: there is none.
    """

    def __init__(self, directory: str) -> None:
        path = newest_version(directory)
        number = int(path.name) if path.name.isdigit() else 0
        self._servable = Servable.load(number, str(path))
        self._limits = Limits(batch_size=1 << 20, history_length=1 << 20)
        self.path = path
        self.version = str(number)

    def inputs(self, signature: str) -> set[str]:
        """As `Model`."""
        definition = self._servable.definitions.get(signature)
        return set(definition.inputs) if definition else set()

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model`."""
        called = self._servable.signature(signature)
        protos = {alias: tensors.encode(array) for alias, array in inputs.items()}
        return self._servable.run(called, called.feeds(protos, self._limits))

    def close(self) -> None:
        """As `Model`."""
        self._servable.close()


class ServedModel:
    """One version of a model behind TensorFlow Serving's gRPC API; it stays with the version that it found first.

    Args:
        target: `host:port` of the model server.
        name: that the model is served under.
        timeout: seconds that one call may take.

    Raises:
        InputError: nothing answers there, or no such model.
    """

    def __init__(self, target: str, *, name: str, timeout: float) -> None:
        self._target, self._name, self._timeout = target, name, timeout
        self._channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = name
        try:
            response = self._stub.GetModelMetadata(request, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            self._channel.close()
            raise InputError(
                f"--model-server {target}: gives no model `{name}` ({error.details() or error.code().name}); "
                "start one with `h2rec serve`"
            ) from error
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        self._inputs = {key: set(definition.inputs) for key, definition in signatures.signature_def.items()}
        self._number = response.model_spec.version.value
        self.version = str(self._number)

    def inputs(self, signature: str) -> set[str]:
        """As `Model`."""
        return self._inputs.get(signature, set())

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model`."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.version.value = self._number
        request.model_spec.signature_name = signature
        for alias, array in inputs.items():
            tensors.encode_into(request.inputs[alias], array)
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._explained(error) from error
        return {alias: tensors.decode(proto) for alias, proto in response.outputs.items()}

    def close(self) -> None:
        """As `Model`."""
        self._channel.close()

    def _explained(self, error: Any) -> RequestError:
        code, details = error.code(), " ".join((error.details() or "").split())
        if code is grpc.StatusCode.NOT_FOUND:
            return RequestError.failed_precondition(
                f"the model server no longer has version {self.version}, whose item vectors are held here: "
                "load the items of the new version into a data folder of its own"
            )
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return RequestError(code, details)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return RequestError(code, f"the model server did not answer within {self._timeout:g} s")
        return RequestError(grpc.StatusCode.UNAVAILABLE, f"the model server failed ({code.name}): {details}")
