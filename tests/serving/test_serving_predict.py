"""The gRPC surface of PredictionService, asked as any TensorFlow Serving client asks it."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
import toy_recommender
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from h2rec_tf import names

TIMEOUT = 20


def request_for(history=(("i1", "i2"),), k=3, signature="", name="h2rec", version=None, **inputs):
    """A PredictRequest built with TensorFlow's own helpers, as the official client examples do."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if history is not None:
        request.inputs[names.HISTORY].CopyFrom(tf.make_tensor_proto(np.array(history, object), tf.string))
    if k is not None:
        request.inputs[names.K].CopyFrom(tf.make_tensor_proto(k, tf.int32))
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def outputs_of(predictions, request):
    response = predictions.Predict(request, timeout=TIMEOUT)
    return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}


def refusal_of(call, request):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=TIMEOUT)
    details = raised.value.details()
    assert "\n" not in details and "Traceback" not in details
    return raised.value.code(), details


def test_predict_ranks_unseen_items_and_names_the_version(predictions):
    response = predictions.Predict(request_for([["i1", "i2"], ["i5", ""]], k=4), timeout=TIMEOUT)
    assert (response.model_spec.name, response.model_spec.version.value) == ("h2rec", 1)
    assert response.model_spec.signature_name == names.SERVING_DEFAULT
    outputs = {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}
    for row, history in enumerate([["i1", "i2"], ["i5"]]):
        want = toy_recommender.expected(1, history, 4)
        assert [item.decode() for item in outputs[names.ITEM_IDS][row]] == [item for item, _ in want]
        np.testing.assert_allclose(outputs[names.SCORES][row], [score for _, score in want], rtol=1e-5)
        assert [t.decode() for t in outputs[names.TITLES][row]] == [f"Title {item[1:]} of v1" for item, _ in want]


def test_scores_are_in_the_typed_field_that_client_examples_read(predictions):
    response = predictions.Predict(request_for(k=3), timeout=TIMEOUT)
    assert len(response.outputs[names.SCORES].float_val) == 3


def test_missing_k_takes_the_default_of_the_signature(predictions):
    assert outputs_of(predictions, request_for(k=None))[names.ITEM_IDS].shape == (1, 10)


def test_version_given_by_number_and_signature_by_name(predictions):
    request = request_for(k=None, signature=names.USER_EMBEDDING, version=1)
    embedding = outputs_of(predictions, request)[names.EMBEDDING]
    assert embedding.shape == (1, toy_recommender.SIZE) and embedding.dtype == np.float32


@pytest.mark.parametrize("history", [np.zeros((1, 0), object), [[""]], [["", "nobody knows it"]], [[b"\xff\xfe\x00x"]]])
def test_history_without_known_items_is_answered(predictions, history):
    ids = outputs_of(predictions, request_for(history, k=5))[names.ITEM_IDS]
    assert ids.shape == (1, 5) and all(ids[0])


def test_unknown_ids_change_nothing(predictions):
    plain = outputs_of(predictions, request_for([["i1", "i2"]]))
    mixed = outputs_of(predictions, request_for([["gone", "i1", "", "i2", "new"]]))
    np.testing.assert_array_equal(plain[names.ITEM_IDS], mixed[names.ITEM_IDS])


def test_no_rows_gives_no_rows(predictions):
    assert outputs_of(predictions, request_for(np.zeros((0, 3), object), k=2))[names.SCORES].shape == (0, 2)


def test_output_filter_selects(predictions):
    request = request_for()
    request.output_filter.extend([names.TITLES, names.SCORES])
    assert set(outputs_of(predictions, request)) == {names.TITLES, names.SCORES}


INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"name": "other"}, NOT_FOUND, "Servable not found for request: Latest(other)"),
        ({"name": "other", "version": 3}, NOT_FOUND, "Servable not found for request: Specific(other, 3)"),
        ({"version": 7}, NOT_FOUND, "Servable not found for request: Specific(h2rec, 7)"),
        ({"name": ""}, INVALID, "ModelSpec has no name specified."),
        ({"signature": "no"}, grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "no" not found.'),
        ({"signature": "__saved_model_init_op"}, grpc.StatusCode.FAILED_PRECONDITION, "not found"),
        ({"history": None}, INVALID, "Missing but required: {history}"),
        ({"more": 1}, INVALID, "Sent extra: {more}"),
        ({"history": ["i1"]}, INVALID, "input `history` must be of rank 2 and shape [?, ?], got [1]"),
        ({"k": [3]}, INVALID, "input `k` must be of rank 0 and shape [], got [1]"),
        ({"k": 0}, INVALID, "input `k` must be at least 1, got 0"),
        ({"k": -5}, INVALID, "input `k` must be at least 1, got -5"),
        ({"k": 1000}, INVALID, "`k` is at most 12"),
        ({"history": [["i1"] * 21]}, INVALID, "input `history` is 21 long, at most 20 are taken"),
        ({"history": [["i1"]] * 17}, INVALID, "input `history` has 17 rows, at most 16 are taken"),
    ],
)
def test_bad_requests_get_the_right_code_and_one_line(predictions, change, code, words):
    got, details = refusal_of(predictions.Predict, request_for(**change))
    assert got is code and words in details


def test_wrong_dtype(predictions):
    request = request_for(history=None)
    request.inputs[names.HISTORY].CopyFrom(tf.make_tensor_proto([[1, 2]], tf.int32))
    assert refusal_of(predictions.Predict, request) == (INVALID, "input `history` must be of type string, got int32")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ("dtype: DT_STRING tensor_shape { dim { size: 1 } dim { size: -1 } }", "must be fully known"),
        ("dtype: DT_STRING tensor_shape { dim { size: 1 } dim { size: 1 } } string_val: ['a', 'b']", "2 values for"),
        ("dtype: DT_STRING tensor_shape { unknown_rank: true }", "rank 2"),
        ("dtype: DT_STRING", "rank 2"),
        ("tensor_shape { dim { size: 1 } dim { size: 1 } }", "must be of type string, got invalid"),
        ("dtype: DT_RESOURCE tensor_shape { dim { size: 1 } dim { size: 1 } }", "got resource"),
    ],
)
def test_malformed_tensors(predictions, tensor, words):
    request = request_for(history=None)
    text_format.Parse(tensor, request.inputs[names.HISTORY])
    code, details = refusal_of(predictions.Predict, request)
    assert code is INVALID and words in details


def test_output_filter_refuses_unknown_and_repeated_names(predictions):
    request = request_for()
    request.output_filter.append("nothing")
    assert "output tensor alias not found in signature: nothing" in refusal_of(predictions.Predict, request)[1]
    request.output_filter[:] = [names.SCORES, names.SCORES]
    assert refusal_of(predictions.Predict, request) == (INVALID, f"duplicate output tensor alias: {names.SCORES}")


def test_absent_model_spec_and_unknown_label(predictions):
    assert refusal_of(predictions.Predict, predict_pb2.PredictRequest()) == (INVALID, "Missing ModelSpec")
    request = request_for()
    request.model_spec.version_label = "canary"
    assert refusal_of(predictions.Predict, request) == (INVALID, "Unrecognized servable version label: canary")


def test_too_large_a_message(predictions):
    code, _ = refusal_of(predictions.Predict, request_for([["i" * 100_000]]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_other_methods_are_unimplemented(predictions):
    unimplemented = grpc.StatusCode.UNIMPLEMENTED
    assert refusal_of(predictions.Classify, classification_pb2.ClassificationRequest())[0] is unimplemented
    assert refusal_of(predictions.Regress, regression_pb2.RegressionRequest())[0] is unimplemented
    assert refusal_of(predictions.MultiInference, inference_pb2.MultiInferenceRequest())[0] is unimplemented


def metadata_request(name="h2rec", fields=("signature_def",)):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


def test_metadata_shows_signatures_and_defaults_but_not_the_internal_one(predictions):
    response = predictions.GetModelMetadata(metadata_request(), timeout=TIMEOUT)
    assert response.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {
        names.SERVING_DEFAULT,
        names.SIMILAR_ITEMS,
        names.RANK_CANDIDATES,
        names.USER_EMBEDDING,
        names.ITEM_EMBEDDING,
        names.ITEM_TITLES,
    }
    default = signatures.signature_def[names.SERVING_DEFAULT]
    assert set(default.inputs) == {names.HISTORY, names.K, names.EXCLUDE, names.ALLOW_CATEGORIES}
    assert set(default.defaults) == {names.K, names.EXCLUDE, names.ALLOW_CATEGORIES}
    assert int(tf.make_ndarray(default.defaults[names.K])) == 10


def test_metadata_refusals(predictions):
    call = predictions.GetModelMetadata
    assert refusal_of(call, metadata_request(name="other"))[0] is NOT_FOUND
    assert "must specify at least one metadata_field" in refusal_of(call, metadata_request(fields=()))[1]
    assert refusal_of(call, metadata_request(fields=("x",))) == (INVALID, "Metadata field x is not supported")
    empty = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert refusal_of(call, empty) == (INVALID, "Missing ModelSpec")
