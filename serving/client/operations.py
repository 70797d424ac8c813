"""The questions that both clients ask: bytes out, bytes in, typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from h2rec_tf import names
from serving import protocol, tensors
from serving.client.results import ModelMetadata, Recommendation, SignatureSpec, TensorSpec, VersionStatus

T = TypeVar("T")
Row = TypeVar("Row")


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


def recommend(model: Model, histories: Sequence[Sequence[str]], k: int) -> Operation[list[list[Recommendation]]]:
    """The k best items for each of one or more histories."""
    # At least one column, so that a model that looks at the last position has one; the latest item stands last.
    length = max(1, max(len(history) for history in histories))
    padded = np.full((len(histories), length), b"", object)
    for row, history in zip(padded, histories, strict=True):
        row[length - len(history) :] = _encoded(history)
    inner = predict(model, names.SERVING_DEFAULT, {names.HISTORY: padded, names.K: np.array(k, np.int32)})
    return Operation(inner.method, inner.request, lambda response: _recommendations(_outputs(response)))


def titles(model: Model, item_ids: Sequence[str]) -> Operation[list[str]]:
    """The title of each item."""
    inner = predict(model, names.ITEM_TITLES, {names.ITEM_IDS: np.array(_encoded(item_ids), object)})
    return Operation(
        inner.method,
        inner.request,
        lambda response: [title.decode(errors="replace") for title in _outputs(response)[names.TITLES]],
    )


def metadata(model: Model) -> Operation[ModelMetadata]:
    """The version and its signatures."""
    request = protocol.GetModelMetadataRequest(model_spec=model.spec(), metadata_field=["signature_def"])
    return Operation(protocol.GET_MODEL_METADATA, request.SerializeToString(), _metadata)


def status(model: Model) -> Operation[list[VersionStatus]]:
    """The versions, newest first."""
    request = protocol.GetModelStatusRequest(model_spec=model.spec())
    return Operation(protocol.GET_MODEL_STATUS, request.SerializeToString(), _statuses)


def chunks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    """Slices of at most `size` rows."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _encoded(item_ids: Sequence[str]) -> list[bytes]:
    # An id that came from bytes which are not UTF-8 (a shell argument) goes out as the same bytes.
    return [item.encode(errors="surrogateescape") for item in item_ids]


def _outputs(response: bytes) -> dict[str, np.ndarray]:
    message = protocol.PredictResponse.FromString(response)
    return {alias: tensors.decode(proto) for alias, proto in message.outputs.items()}


def _recommendations(outputs: Mapping[str, np.ndarray]) -> list[list[Recommendation]]:
    return [
        [
            Recommendation(item_id.decode(errors="replace"), title.decode(errors="replace"), float(score))
            for item_id, title, score in zip(*row, strict=True)
            if item_id
        ]
        for row in zip(outputs[names.ITEM_IDS], outputs[names.TITLES], outputs[names.SCORES], strict=True)
    ]


def _metadata(response: bytes) -> ModelMetadata:
    message = protocol.GetModelMetadataResponse.FromString(response)
    signatures = protocol.SignatureDefMap.FromString(message.metadata["signature_def"].value)
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
    message = protocol.GetModelStatusResponse.FromString(response)
    found = [
        VersionStatus(entry.version, protocol.STATES.get(entry.state, str(entry.state)), entry.status.error_message)
        for entry in message.model_version_status
    ]
    return sorted(found, key=lambda entry: -entry.version)


def _tensor_spec(info: Any) -> TensorSpec:
    shape = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
    return TensorSpec(tensors.dtype_name(info.dtype), shape)
