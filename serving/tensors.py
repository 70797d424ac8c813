"""TensorProto <-> NumPy, for server and client.

`tf.make_ndarray` and `tf.make_tensor_proto` take most of a small request's time and trust the sender. These take the
same messages, cost a fraction, and check the declared shape before any memory is set aside for it.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

# A few bytes can declare a huge tensor, as one value stands for all that follow. No signature needs one this large.
MAX_ELEMENTS = 1 << 24

_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
}
_NUMPY = {dtype: np.dtype(tf.as_dtype(dtype).as_numpy_dtype) for dtype in _FIELDS}
_ENUM = {numpy: dtype for dtype, numpy in _NUMPY.items()}


def dtype_name(dtype: int) -> str:
    """`string`, `float32`, ... for a DataType number."""
    return tf.as_dtype(dtype).name if dtype in _FIELDS else types_pb2.DataType.Name(dtype)


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The array that a TensorProto stands for; strings become an object array of bytes.

    As in TensorFlow, the last given value fills the rest of the shape and no value at all means zeros or "".

    Raises:
        ValueError: the type is not supported, or the shape is not known, too large or does not fit the values.
    """
    field = _FIELDS.get(proto.dtype)
    if field is None:
        given = types_pb2.DataType.Name(proto.dtype) if proto.dtype in types_pb2.DataType.values() else proto.dtype
        raise ValueError(f"type {given} is not supported")
    shape = tuple(dimension.size for dimension in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError("the shape must be fully known")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise ValueError(f"{count} elements declared, at most {MAX_ELEMENTS} taken")
    dtype = _NUMPY[proto.dtype]
    if proto.tensor_content and field != "string_val":
        if len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError(f"{len(proto.tensor_content)} bytes of content for shape {list(shape)}")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, field)
    if len(values) > count:
        raise ValueError(f"{len(values)} values for shape {list(shape)}")
    if len(values) == count:
        # Through an empty array: NumPy would otherwise look inside the values for a dtype and shape.
        array = np.empty(count, dtype)
        array[:] = values
        return array.reshape(shape)
    if values:
        filled = np.full(count, values[-1], dtype)
        filled[: len(values)] = values
        return filled.reshape(shape)
    return np.full(shape, b"" if field == "string_val" else 0, dtype)


def encode(array: np.ndarray) -> tensor_pb2.TensorProto:
    """The TensorProto of an array, as `encode_into` writes it."""
    proto = tensor_pb2.TensorProto()
    encode_into(proto, array)
    return proto


def encode_into(proto: tensor_pb2.TensorProto, array: np.ndarray) -> None:
    """Writes an array in the typed fields (`float_val`, ...) that TensorFlow Serving answers with.

    Args:
        proto: an empty message.
        array: numbers, or an object array of bytes.
    """
    proto.dtype = _ENUM[array.dtype]
    # An empty shape has to be on the wire too: it means a scalar, an absent one means nothing was said.
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[proto.dtype]).extend(array.ravel().tolist())
