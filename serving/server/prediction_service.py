"""TensorFlow Serving's PredictionService: Predict and GetModelMetadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from h2rec_tf import names
from serving import tensors
from serving.server.errors import RequestError, answering
from serving.server.model_manager import ModelManager
from serving.server.options import Limits
from serving.server.servable import Servable

SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the codes, and where callers may depend on them the words, of TensorFlow Serving.

    Args:
        models: served models by name.
        limits: the largest request that is answered.
    """

    def __init__(self, models: dict[str, ModelManager], limits: Limits) -> None:
        self._models = models
        self._limits = limits

    @answering
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Runs one signature on the given inputs."""
        with self._servable(request) as servable:
            signature = servable.signature(request.model_spec.signature_name or names.SERVING_DEFAULT)
            chosen = signature.selected(request.output_filter)
            outputs = servable.run(signature, signature.feeds(request.inputs, self._limits))
            response = predict_pb2.PredictResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = servable.version
            response.model_spec.signature_name = signature.name
        for alias, array in outputs.items():
            if alias in chosen:
                tensors.encode_into(response.outputs[alias], array)
        return response

    @answering
    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of the served version."""
        if not request.metadata_field:
            raise RequestError.invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise RequestError.invalid(f"Metadata field {field} is not supported")
        with self._servable(request) as servable:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = servable.version
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in servable.definitions.items():
                signatures.signature_def[name].CopyFrom(definition)
            response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    @answering
    def Classify(self, request: classification_pb2.ClassificationRequest) -> classification_pb2.ClassificationResponse:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("Classify is not served; call Predict")

    @answering
    def Regress(self, request: regression_pb2.RegressionRequest) -> regression_pb2.RegressionResponse:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("Regress is not served; call Predict")

    @answering
    def MultiInference(self, request: inference_pb2.MultiInferenceRequest) -> inference_pb2.MultiInferenceResponse:
        """A recommender has no such signature."""
        raise RequestError.unimplemented("MultiInference is not served; call Predict")

    @contextmanager
    def _servable(
        self, request: predict_pb2.PredictRequest | get_model_metadata_pb2.GetModelMetadataRequest
    ) -> Iterator[Servable]:
        if not request.HasField("model_spec"):
            raise RequestError.invalid("Missing ModelSpec")
        spec: model_pb2.ModelSpec = request.model_spec
        if not spec.name:
            raise RequestError.invalid("ModelSpec has no name specified.")
        if spec.version_label:
            raise RequestError.invalid(f"Unrecognized servable version label: {spec.version_label}")
        version = spec.version.value if spec.HasField("version") else None
        if spec.name not in self._models:
            wanted = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            raise RequestError.not_found(f"Servable not found for request: {wanted}")
        with self._models[spec.name].lease(version) as servable:
            yield servable
