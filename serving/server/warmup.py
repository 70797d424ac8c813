"""The first call of a signature optimizes its graph; that belongs before the first request, not into it."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving import tensors
from serving.server.errors import RequestError
from serving.server.options import Limits
from serving.server.servable import Servable
from serving.server.signature import InputSpec

logger = logging.getLogger("h2rec.serving")

# Where TensorFlow Serving looks for a model's recorded requests, and how many it replays at most.
RECORDS = "assets.extra/tf_serving_warmup_requests"
_MOST_RECORDS = 1000


def warm_up(servable: Servable, path: str, limits: Limits) -> None:
    """Replays the requests that the model brings along; without any, calls each signature once with a made-up row.

    Args:
        servable: a loaded version that takes no requests yet.
        path: its folder; may hold `assets.extra/tf_serving_warmup_requests`, a TFRecord file of PredictionLog messages.
        limits: the largest request that is answered.

    Raises:
        InputError: a recorded request cannot be read or answered, so the version is not fit to serve.
    """
    file = f"{path.rstrip('/')}/{RECORDS}"
    if tf.io.gfile.exists(file):
        _replay(servable, file, limits)
    else:
        _call_each(servable, limits)


def _replay(servable: Servable, file: str, limits: Limits) -> None:
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(file):
            if count == _MOST_RECORDS:
                break
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                continue
            request = log.predict_log.request
            signature = servable.signature(request.model_spec.signature_name or names.SERVING_DEFAULT)
            servable.run(signature, signature.feeds(request.inputs, limits).arrays)
            count += 1
    except (tf.errors.DataLossError, DecodeError) as error:
        raise InputError(f"{file}: record {count} cannot be read; write the file again") from error
    except RequestError as error:
        raise InputError(f"{file}: record {count} is refused ({error.message}); correct the record") from error
    logger.info("version %d: %d recorded requests replayed", servable.version, count)


def _call_each(servable: Servable, limits: Limits) -> None:
    for name in servable.definitions:
        signature = servable.signature(name)
        if not all(spec.dtype in (tensors.STRING, tensors.INT32) for spec in signature.inputs.values()):
            continue
        try:
            inputs = {alias: _neutral(spec) for alias, spec in signature.inputs.items() if alias in signature.required}
            servable.run(signature, signature.feeds_of_arrays(inputs, limits).arrays)
        except RequestError as error:
            # A signature may well refuse such a row; real requests then pay for the first call.
            logger.info("signature %s of version %d was not warmed up: %s", name, servable.version, error.message)


def _neutral(spec: InputSpec) -> np.ndarray:
    size = [1 if dimension is None else dimension for dimension in spec.shape or ()]
    return np.full(size, b"", object) if spec.dtype == tensors.STRING else np.ones(size, np.int32)
