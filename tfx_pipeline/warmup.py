"""Requests that TensorFlow Serving replays on a new version before it answers users with it."""

from __future__ import annotations

import logging
from typing import Any

import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.models.exported import absent_inputs

_LOG = logging.getLogger(__name__)
# Signatures of the pipeline's own Evaluator; no user calls them.
_INTERNAL = (names.TRANSFORM_FEATURES, names.EVALUATE)


def warmup_requests(saved_model_dir: str, item_ids: list[str], *, model_name: str = "h2rec") -> list[bytes]:
    """One serialized `PredictionLog` a serving signature, with a history of catalogue items.

    Each was answered by the model itself: TensorFlow Serving refuses a version whose warm-up fails.

    Args:
        saved_model_dir: the SavedModel.
        item_ids: some ids of its catalogue, at least one.
        model_name: name that the requests carry; servers ignore it when they replay.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    loaded = tf.saved_model.load(saved_model_dir)
    requests = []
    for name in sorted(loaded.signatures):
        if name in _INTERNAL or name.startswith("__"):
            continue
        signature = loaded.signatures[name]
        inputs = {key: _input(key, spec, item_ids) for key, spec in signature.structured_input_signature[1].items()}
        inputs |= absent_inputs(signature)
        try:
            signature(**inputs)
        except (tf.errors.OpError, ValueError) as error:
            _LOG.warning("no warm-up request for the signature `%s`: it refuses the sample (%s)", name, error)
            continue
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model_name
        request.model_spec.signature_name = name
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value.numpy(), dtype=value.dtype))
        log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
        requests.append(log.SerializeToString())
    return requests


def _input(name: str, spec: tf.TensorSpec, item_ids: list[str]) -> tf.Tensor:
    """A value that a user might send; of an input this package does not know, ones or empty strings."""
    if name == names.K:
        return tf.constant(1, spec.dtype)
    if name in (names.HISTORY, names.CANDIDATES):
        return tf.constant([item_ids])
    if name == names.ITEM_IDS:
        return tf.constant([item_ids] if spec.shape.rank == 2 else item_ids)
    if name == names.EXAMPLES:
        example = tf.train.Example()
        example.features.feature[names.HISTORY].bytes_list.value.extend(item_id.encode() for item_id in item_ids)
        return tf.constant([example.SerializeToString()])
    shape: list[Any] = [1 if size is None else size for size in spec.shape]
    return tf.fill(shape, "") if spec.dtype == tf.string else tf.ones(shape, spec.dtype)
