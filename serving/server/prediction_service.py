"""TensorFlow Serving's PredictionService: Predict and GetModelMetadata."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import tensors
from serving.server.errors import RequestError
from serving.server.grpc_handler import answering
from serving.server.models import Models
from serving.server.observer import Call, Observer
from serving.server.predictor import Predictor
from serving.server.signature import Feeds, Signature

SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the codes, and where callers may depend on them the words, of TensorFlow Serving.

    Args:
        predictor: runs signatures.
        observer: told of each request.
    """

    def __init__(self, predictor: Predictor, observer: Observer) -> None:
        self.observer = observer
        self.longest_seconds = predictor.limits.seconds
        self._predictor = predictor

    @answering
    async def Predict(self, request: Any, call: Call, deadline: float) -> predict_pb2.PredictResponse:
        """Runs one signature on the given inputs."""
        if not request.HasField("model_spec"):
            raise RequestError.invalid("Missing ModelSpec")

        def read(signature: Signature) -> tuple[Feeds, set[str]]:
            chosen = signature.selected(request.output_filter)
            return signature.feeds(request.inputs, self._predictor.limits), chosen

        answer = await self._predictor.predict(request.model_spec, read, call, deadline)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = answer.version
        response.model_spec.signature_name = answer.signature
        for alias, array in answer.outputs.items():
            tensors.encode_into(response.outputs[alias], array)
        if response.ByteSize() > self._predictor.limits.message_bytes:
            raise RequestError.answer_too_large(response.ByteSize(), self._predictor.limits.message_bytes)
        return response

    @answering
    async def GetModelMetadata(
        self, request: Any, call: Call, deadline: float
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of the served version."""
        if not request.metadata_field:
            raise RequestError.invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise RequestError.invalid(f"Metadata field {field} is not supported")
        if not request.HasField("model_spec"):
            raise RequestError.invalid("Missing ModelSpec")
        return metadata(self._predictor.models, request.model_spec, call)

    @answering
    async def Classify(self, request: Any, call: Call, deadline: float) -> Any:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("Classify is not served; call Predict")

    @answering
    async def Regress(self, request: Any, call: Call, deadline: float) -> Any:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("Regress is not served; call Predict")

    @answering
    async def MultiInference(self, request: Any, call: Call, deadline: float) -> Any:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("MultiInference is not served; call Predict")


def metadata(models: Models, spec: Any, call: Call) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of the version that a ModelSpec names.

    Raises:
        RequestError: no such model or version.
    """
    with models.lease(spec) as servable:
        call.model, call.version = spec.name, servable.version
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.definitions.items():
            signatures.signature_def[name].CopyFrom(definition)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
