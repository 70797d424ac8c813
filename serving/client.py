"""A client for a served model: this project's server or TensorFlow Serving, over the same gRPC API."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving import tensors

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """One recommended item; a higher score is better and says nothing across users."""

    item_id: str
    title: str
    score: float


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Type and shape of an input or output; None is a dimension of any size."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs of a signature by name; inputs in `optional` may be left out."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    optional: frozenset[str]


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The version that answers and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, SignatureSpec]


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version (`AVAILABLE`, `LOADING`, ...); `error` is empty unless it could not be loaded."""

    version: int
    state: str
    error: str


class Client:
    """Asks a model server. One client holds one connection and may be used by many threads.

    Example:
        with Client("127.0.0.1:8500") as client:
            for item in client.recommend([["B00AE0790U", "B0009V1YR8"]], k=5)[0]:
                print(item.title, item.score)

    Args:
        target: `host:port`.
        model_name: the name that the model is served under.
        timeout: seconds that one call may take.
    """

    def __init__(self, target: str, *, model_name: str = "h2rec", timeout: float = 10.0) -> None:
        self._target = target
        self._model_name = model_name
        self._timeout = timeout
        self._channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)])
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def recommend(self, histories: Sequence[Sequence[str]], k: int = 10) -> list[list[Recommendation]]:
        """The k best items for each history, best first.

        Args:
            histories: item ids, oldest first, one list a user; an unknown id is passed over, an empty list is a new
                user.
            k: how many; fewer come back where fewer unseen items remain.

        Raises:
            InputError: the server cannot be reached or refuses the request.
        """
        if not histories:
            return []
        # At least one column, so that a model that looks at the last position has one; the latest item stands last.
        length = max(1, max(len(history) for history in histories))
        padded = np.full((len(histories), length), b"", object)
        for row, history in zip(padded, histories, strict=True):
            row[length - len(history) :] = _encoded(history)
        outputs = self._predict(names.SERVING_DEFAULT, {names.HISTORY: padded, names.K: np.array(k, np.int32)})
        return [
            [
                Recommendation(item_id.decode(errors="replace"), title.decode(errors="replace"), float(score))
                for item_id, title, score in zip(*row, strict=True)
                if item_id
            ]
            for row in zip(outputs[names.ITEM_IDS], outputs[names.TITLES], outputs[names.SCORES], strict=True)
        ]

    def titles(self, item_ids: Sequence[str]) -> list[str]:
        """The title of each item; "" for an item without one or an unknown id.

        Raises:
            InputError: the server cannot be reached or refuses the request.
        """
        if not item_ids:
            return []
        outputs = self._predict(names.ITEM_TITLES, {names.ITEM_IDS: np.array(_encoded(item_ids), object)})
        return [title.decode(errors="replace") for title in outputs[names.TITLES]]

    def metadata(self) -> ModelMetadata:
        """The served version and its signatures.

        Raises:
            InputError: the server cannot be reached or serves no such model.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        response = self._call(self._predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return ModelMetadata(
            name=response.model_spec.name,
            version=response.model_spec.version.value,
            signatures={
                name: SignatureSpec(
                    inputs={alias: _tensor_spec(info) for alias, info in sorted(definition.inputs.items())},
                    outputs={alias: _tensor_spec(info) for alias, info in sorted(definition.outputs.items())},
                    optional=frozenset(definition.defaults),
                )
                for name, definition in sorted(signatures.signature_def.items())
            },
        )

    def status(self) -> list[VersionStatus]:
        """State of the model's versions, newest first.

        Raises:
            InputError: the server cannot be reached or serves no such model.
        """
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec())
        response = self._call(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return sorted(
            (
                VersionStatus(entry.version, states.Name(entry.state), entry.status.error_message)
                for entry in response.model_version_status
            ),
            key=lambda entry: -entry.version,
        )

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _spec(self, signature: str = "") -> model_pb2.ModelSpec:
        return model_pb2.ModelSpec(name=self._model_name, signature_name=signature)

    def _predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest(model_spec=self._spec(signature))
        for alias, array in inputs.items():
            tensors.encode_into(request.inputs[alias], array)
        response = self._call(self._predictions.Predict, request)
        return {alias: tensors.decode(proto) for alias, proto in response.outputs.items()}

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise InputError(self._explain(error.code(), error.details() or "")) from error

    def _explain(self, code: grpc.StatusCode, details: str) -> str:
        if code is grpc.StatusCode.UNAVAILABLE:
            return (
                f"no model server answers at {self._target}; start one with "
                "`h2rec serve --model-dir DIR` or give its address with --target HOST:PORT"
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the model server at {self._target} did not answer within {self._timeout:g} s; allow it more time"
        return f"the model server at {self._target} refused the request ({code.name}): {' '.join(details.split())}"


def _encoded(item_ids: Sequence[str]) -> list[bytes]:
    # An id that came from bytes which are not UTF-8 (a shell argument) goes out as the same bytes.
    return [item.encode(errors="surrogateescape") for item in item_ids]


def _tensor_spec(info: Any) -> TensorSpec:
    shape = tuple(None if dimension.size < 0 else dimension.size for dimension in info.tensor_shape.dim)
    return TensorSpec(types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower(), shape)
