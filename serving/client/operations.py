"""One call of the API: bytes out, bytes in, typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from serving import protocol, tensors
from serving.budget import Budget
from serving.client.results import ModelMetadata, ServerError, SignatureSpec, TensorSpec, VersionStatus

T = TypeVar("T")
# What an answer may take decoded; eight times the largest message that is taken.
_MOST_DECODED = 1 << 29


@dataclasses.dataclass(frozen=True)
class Operation(Generic[T]):
    """One call: the gRPC method, the request, and what the response's bytes mean."""

    method: str
    request: bytes
    parse: Callable[[bytes], T]


@dataclasses.dataclass(frozen=True)
class Model:
    """Which model, and which version of it: a number, a label, or the newest."""

    name: str
    version: int | None = None
    label: str = ""

    def spec(self, signature: str = "") -> Any:
        """The ModelSpec of a request."""
        spec = protocol.ModelSpec(name=self.name, signature_name=signature, version_label=self.label)
        if self.version is not None:
            spec.version.value = self.version
        return spec


def predict(model: Model, signature: str, inputs: Mapping[str, np.ndarray]) -> Operation[dict[str, np.ndarray]]:
    """Runs any signature on arrays; strings are object arrays of bytes."""
    request = protocol.PredictRequest(model_spec=model.spec(signature))
    for alias, array in inputs.items():
        tensors.encode_into(request.inputs[alias], array)
    return Operation(protocol.PREDICT, request.SerializeToString(), _outputs)


def metadata(model: Model) -> Operation[ModelMetadata]:
    """The version and its signatures."""
    request = protocol.GetModelMetadataRequest(model_spec=model.spec(), metadata_field=["signature_def"])
    return Operation(protocol.GET_MODEL_METADATA, request.SerializeToString(), _metadata)


def status(model: Model) -> Operation[list[VersionStatus]]:
    """The versions, newest first."""
    request = protocol.GetModelStatusRequest(model_spec=model.spec())
    return Operation(protocol.GET_MODEL_STATUS, request.SerializeToString(), _statuses)


def _outputs(response: bytes) -> dict[str, np.ndarray]:
    budget = Budget(_MOST_DECODED)
    try:
        message = protocol.parse(protocol.PredictResponse, response)
        return {alias: tensors.decode(proto, budget) for alias, proto in message.outputs.items()}
    except (DecodeError, ValueError) as error:
        raise _unreadable(error) from error


def _metadata(response: bytes) -> ModelMetadata:
    try:
        message = protocol.parse(protocol.GetModelMetadataResponse, response)
        signatures = protocol.parse(protocol.SignatureDefMap, message.metadata["signature_def"].value)
    except DecodeError as error:
        raise _unreadable(error) from error
    return ModelMetadata(
        name=message.model_spec.name,
        version=message.model_spec.version.value,
        signatures={
            name: SignatureSpec(
                inputs={alias: _tensor_spec(info) for alias, info in sorted(definition.inputs.items())},
                outputs={alias: _tensor_spec(info) for alias, info in sorted(definition.outputs.items())},
                optional=frozenset(definition.defaults),
            )
            for name, definition in sorted(signatures.signature_def.items())
        },
    )


def _statuses(response: bytes) -> list[VersionStatus]:
    try:
        message = protocol.parse(protocol.GetModelStatusResponse, response)
    except DecodeError as error:
        raise _unreadable(error) from error
    found = [
        VersionStatus(entry.version, protocol.STATES.get(entry.state, str(entry.state)), entry.status.error_message)
        for entry in message.model_version_status
    ]
    return sorted(found, key=lambda entry: -entry.version)


def _unreadable(error: Exception) -> ServerError:
    return ServerError(
        grpc.StatusCode.DATA_LOSS, f"the server's answer cannot be read ({error}); is it a model server that answers?"
    )


def _tensor_spec(info: Any) -> TensorSpec:
    shape = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
    return TensorSpec(tensors.dtype_name(info.dtype), shape)
