"""TensorProto <-> NumPy, for server and client, without TensorFlow.

`tf.make_ndarray` and `tf.make_tensor_proto` take most of a small request's time and trust the sender. These take the
same messages, cost a fraction, and check the declared shape before any memory is set aside for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from serving import protocol

# A few bytes can declare a huge tensor, as one value stands for all that follow. No signature needs one this large.
MAX_ELEMENTS = 1 << 24

# DataType number -> its name, the field of a TensorProto that holds its values, NumPy's type.
_TYPES = {
    1: ("float32", "float_val", np.float32),
    2: ("float64", "double_val", np.float64),
    3: ("int32", "int_val", np.int32),
    4: ("uint8", "int_val", np.uint8),
    5: ("int16", "int_val", np.int16),
    6: ("int8", "int_val", np.int8),
    7: ("string", "string_val", object),
    9: ("int64", "int64_val", np.int64),
    10: ("bool", "bool_val", np.bool_),
    17: ("uint16", "int_val", np.uint16),
    22: ("uint32", "uint32_val", np.uint32),
    23: ("uint64", "uint64_val", np.uint64),
}
# Names of the others, for messages.
_OTHER_NAMES = {
    0: "invalid",
    8: "complex64",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
}
SUPPORTED = frozenset(_TYPES)
STRING = 7
INT32 = 3
_FIELDS = {dtype: field for dtype, (_, field, _) in _TYPES.items()}
_NUMPY = {dtype: np.dtype(numpy) for dtype, (_, _, numpy) in _TYPES.items()}
_ENUM = {numpy: dtype for dtype, numpy in _NUMPY.items()}


def dtype_name(dtype: int) -> str:
    """`string`, `float32`, ... for a DataType number; `type 99` for one without a name."""
    return _TYPES[dtype][0] if dtype in _TYPES else _OTHER_NAMES.get(dtype, f"type {dtype}")


def numpy_dtype(dtype: int) -> np.dtype:
    """NumPy's type for a DataType number; strings are objects.

    Raises:
        KeyError: the type is not supported.
    """
    return _NUMPY[dtype]


def decode(proto: Any) -> np.ndarray:
    """The array that a TensorProto (TensorFlow's or `protocol`'s) stands for; strings become an object array of bytes.

    As in TensorFlow, the last given value fills the rest of the shape and no value at all means zeros or "".

    Raises:
        ValueError: the type is not supported, or the shape is not known, too large or does not fit the values.
    """
    field = _FIELDS.get(proto.dtype)
    if field is None:
        raise ValueError(f"type {dtype_name(proto.dtype).removeprefix('type ')} is not supported")
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


def encode(array: np.ndarray) -> Any:
    """The TensorProto of an array, as `encode_into` writes it."""
    proto = protocol.TensorProto()
    encode_into(proto, array)
    return proto


def encode_into(proto: Any, array: np.ndarray) -> None:
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
