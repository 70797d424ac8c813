"""The messages declared for clients beside TensorFlow Serving's own, and what a client imports."""

import pytest
import support
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2,
)

from serving import protocol

OFFICIAL = {
    "TensorProto": tensor_pb2.TensorProto,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
}
ENUM, INT32 = 14, 5


def differences(ours, theirs, path, seen):
    """Fields of ours that are another thing in theirs, all the way down."""
    if ours.full_name in seen:
        return
    seen.add(ours.full_name)
    for field in ours.fields:
        other = theirs.fields_by_name.get(field.name)
        if other is None:
            yield f"{path}.{field.name} is unknown"
        elif (field.number, field.label) != (other.number, other.label):
            yield f"{path}.{field.name} has number {field.number} for {other.number}"
        elif field.type != other.type and (field.type, other.type) != (INT32, ENUM):
            yield f"{path}.{field.name} has type {field.type} for {other.type}"
        elif field.message_type:
            yield from differences(field.message_type, other.message_type, f"{path}.{field.name}", seen)


@pytest.mark.parametrize("name", OFFICIAL)
def test_declared_messages_are_those_of_tensorflow_serving(name):
    ours = getattr(protocol, name).DESCRIPTOR
    assert list(differences(ours, OFFICIAL[name].DESCRIPTOR, name, set())) == []


def test_methods_and_states_are_those_of_tensorflow_serving():
    service = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]
    for path in (protocol.PREDICT, protocol.GET_MODEL_METADATA):
        assert path.split("/")[1] == service.full_name and path.split("/")[2] in service.methods_by_name
    state = get_model_status_pb2.ModelVersionStatus.State
    assert {state.Name(number): number for number in protocol.STATES} == {n: i for i, n in protocol.STATES.items()}


def test_a_client_does_not_import_tensorflow():
    code = "import sys, serving.client, serving.cli.recommend; print('tensorflow' in sys.modules)"
    assert support.run_python(code).stdout.strip() == "False"
