"""The first call of a signature optimizes its graph; that belongs before the first request, not into it."""

from __future__ import annotations

import logging

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from h2rec_tf import names
from serving import tensors
from serving.server.errors import RequestError
from serving.server.options import Limits
from serving.server.servable import Servable

logger = logging.getLogger("h2rec.serving")

# What users call; the others (evaluation, transformation) may take their time once.
_SIGNATURES = (names.SERVING_DEFAULT, names.ITEM_TITLES)


def warm_up(servable: Servable) -> None:
    """Calls the signatures that users call once, with one row of empty strings or ones."""
    for name in _SIGNATURES:
        if name not in servable.definitions:
            continue
        signature = servable.signature(name)
        inputs = {
            alias: _neutral(spec.dtype, spec.shape or ())
            for alias, spec in signature.inputs.items()
            if spec.dtype in (types_pb2.DT_STRING, types_pb2.DT_INT32, types_pb2.DT_INT64)
        }
        try:
            servable.run(signature, signature.feeds(inputs, Limits()))
        except RequestError as error:
            # A signature may well refuse such a row; real requests then pay for the first call.
            logger.info("signature %s of version %d was not warmed up: %s", name, servable.version, error.message)


def _neutral(dtype: int, shape: tuple[int | None, ...]) -> tensor_pb2.TensorProto:
    size = [1 if dimension is None else dimension for dimension in shape]
    return tensors.encode(np.full(size, b"", object) if dtype == types_pb2.DT_STRING else np.ones(size, np.int32))
