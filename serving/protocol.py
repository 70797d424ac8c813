"""Messages of TensorFlow Serving's API, declared by field number for callers that must not import TensorFlow.

The generated modules of `tensorflow-serving-api` import all of TensorFlow, seconds that a client has no use for, and
leave out two messages of configuration files. What is declared here is the same on the wire and in text format; a
test compares it with the generated descriptors. Enums are declared as int32, which is what they are on the wire.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "h2rec.serving"
# One message a line: `Name: type field = number; ...`; `map Type field` has string keys, `[Type] field` repeats.
_SCHEMA = """
Int64Value: int64 value = 1
BoolValue: bool value = 1
Any: string type_url = 1; bytes value = 2
Dim: int64 size = 1; string name = 2
TensorShapeProto: [Dim] dim = 2; bool unknown_rank = 3
TensorProto: int32 dtype = 1; TensorShapeProto tensor_shape = 2; int32 version_number = 3; bytes tensor_content = 4;\
 [float] float_val = 5; [double] double_val = 6; [int32] int_val = 7; [bytes] string_val = 8; [int64] int64_val = 10;\
 [bool] bool_val = 11; [uint32] uint32_val = 16; [uint64] uint64_val = 17
TensorInfo: string name = 1; int32 dtype = 2; TensorShapeProto tensor_shape = 3
SignatureDef: map TensorInfo inputs = 1; map TensorInfo outputs = 2; string method_name = 3;\
 map TensorProto defaults = 4
SignatureDefMap: map SignatureDef signature_def = 1
ModelSpec: string name = 1; Int64Value version = 2; string signature_name = 3; string version_label = 4
PredictRequest: ModelSpec model_spec = 1; map TensorProto inputs = 2; [string] output_filter = 3
PredictResponse: map TensorProto outputs = 1; ModelSpec model_spec = 2
GetModelMetadataRequest: ModelSpec model_spec = 1; [string] metadata_field = 2
GetModelMetadataResponse: ModelSpec model_spec = 1; map Any metadata = 2
GetModelStatusRequest: ModelSpec model_spec = 1
StatusProto: int32 error_code = 1; string error_message = 2
ModelVersionStatus: int64 version = 1; int32 state = 2; StatusProto status = 3
GetModelStatusResponse: [ModelVersionStatus] model_version_status = 1
PrometheusConfig: bool enable = 1; string path = 2
MonitoringConfig: PrometheusConfig prometheus_config = 1
BatchingParameters: Int64Value max_batch_size = 1; Int64Value batch_timeout_micros = 2;\
 Int64Value max_enqueued_batches = 3; Int64Value num_batch_threads = 4; string thread_pool_name = 5;\
 [int64] allowed_batch_sizes = 6; bool pad_variable_length_inputs = 7; BoolValue enable_large_batch_splitting = 8
"""

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

# ModelVersionStatus.State.
STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


def parse(kind: Any, content: bytes) -> Any:
    """The message that bytes hold, all of them: `FromString` passes over what follows a stray end of a group.

    Raises:
        DecodeError: they hold none.
    """
    message = kind()
    if message.MergeFromString(content) != len(content):
        raise DecodeError("bytes follow the end of the message")
    return message


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="h2rec/serving.proto", package=_PACKAGE, syntax="proto3")
    field_type = descriptor_pb2.FieldDescriptorProto
    for line in _SCHEMA.strip().splitlines():
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        for declaration in fields.split(";"):
            found = re.fullmatch(r"\s*(map )?\[?(\w+)\]? (\w+) = (\d+)\s*", declaration)
            assert found, declaration
            is_map, kind, field, number = found.groups()
            owner, repeated = message, is_map or "[" in declaration
            entry = message.field.add(name=field, number=int(number))
            entry.label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            if is_map:
                nested = f"{field.title().replace('_', '')}Entry"
                entry.type, entry.type_name = field_type.TYPE_MESSAGE, f".{_PACKAGE}.{name}.{nested}"
                owner = message.nested_type.add(name=nested)
                owner.options.map_entry = True
                owner.field.add(name="key", number=1, label=field_type.LABEL_OPTIONAL, type=field_type.TYPE_STRING)
                entry = owner.field.add(name="value", number=2, label=field_type.LABEL_OPTIONAL)
            if kind[0].isupper():
                entry.type, entry.type_name = field_type.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                entry.type = field_type.Type.Value(f"TYPE_{kind.upper()}")
    # A pool of its own: the default one may hold, or come to hold, TensorFlow's messages.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {
        message.name: factory.GetPrototype(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for message in file.message_type
    }


_CLASSES = _messages()
TensorProto = _CLASSES["TensorProto"]
ModelSpec = _CLASSES["ModelSpec"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
GetModelMetadataRequest = _CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse = _CLASSES["GetModelMetadataResponse"]
SignatureDefMap = _CLASSES["SignatureDefMap"]
GetModelStatusRequest = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = _CLASSES["GetModelStatusResponse"]
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
