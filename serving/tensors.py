"""TensorProto <-> NumPy, for server and client, without TensorFlow.

`tf.make_ndarray` and `tf.make_tensor_proto` take most of a small request's time and trust the sender. These take the
same messages, cost a fraction, and count the bytes that a tensor takes before any memory is set aside for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from serving import protocol
from serving.budget import STRING_BYTES, Budget

# Dimensions of a tensor; TensorFlow has no more.
_MOST_DIMENSIONS = 254

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
# Types whose numbers travel as int32.
_NARROW = frozenset(_NUMPY[dtype] for dtype, (_, field, _) in _TYPES.items() if field == "int_val" and dtype != INT32)


def dtype_name(dtype: int) -> str:
    """`string`, `float32`, ... for a DataType number; `type 99` for one without a name."""
    return _TYPES[dtype][0] if dtype in _TYPES else _OTHER_NAMES.get(dtype, f"type {dtype}")


def numpy_dtype(dtype: int) -> np.dtype:
    """NumPy's type for a DataType number; strings are objects.

    Raises:
        KeyError: the type is not supported.
    """
    return _NUMPY[dtype]


def shape_of(proto: Any) -> tuple[int, ...] | None:
    """The shape that a TensorProto declares, -1 for a dimension that it does not know; None without a rank.

    Raises:
        ValueError: more dimensions than a tensor has.
    """
    if proto.tensor_shape.unknown_rank:
        return None
    # Before they are looked at: each takes two bytes in a message and many more in Python.
    if len(proto.tensor_shape.dim) > _MOST_DIMENSIONS:
        raise ValueError(f"{len(proto.tensor_shape.dim)} dimensions, a tensor has at most {_MOST_DIMENSIONS}")
    return tuple(dimension.size for dimension in proto.tensor_shape.dim)


def decode(proto: Any, budget: Budget) -> np.ndarray:
    """The array that a TensorProto (TensorFlow's or `protocol`'s) stands for; strings become an object array of bytes.

    As in TensorFlow, the last given number fills the rest of the shape and no number at all means zeros. Strings must
    be there one by one: a few bytes of them could stand for any amount of memory.

    Args:
        proto: it.
        budget: that the tensor is taken from.

    Raises:
        ValueError: the type is not supported, the shape is not known or does not fit the values, the values do not fit
            the type, or they are more than the budget has.
    """
    field = _FIELDS.get(proto.dtype)
    if field is None:
        raise ValueError(f"type {dtype_name(proto.dtype).removeprefix('type ')} is not supported")
    shape = shape_of(proto)
    if shape is None or min(shape, default=0) < 0:
        raise ValueError("the shape must be fully known")
    count = math.prod(shape)
    if proto.dtype == STRING:
        strings = _strings(proto, shape, count, budget)
        array = np.empty(count, object)
        # Into an empty array: NumPy would otherwise look inside the values for a dtype and shape.
        array[:] = strings
        return array.reshape(shape)
    dtype = _NUMPY[proto.dtype]
    if proto.tensor_content:
        budget.take(count * dtype.itemsize)
        if len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError(f"{len(proto.tensor_content)} bytes of content for shape {list(shape)}")
        if dtype == np.bool_ and proto.tensor_content.translate(None, b"\0\1"):
            raise ValueError("a byte of content for type bool is neither 0 nor 1")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    return _numbers(getattr(proto, field), dtype, shape, count, budget).reshape(shape)


def _numbers(values: Any, dtype: np.dtype, shape: tuple[int, ...], count: int, budget: Budget) -> np.ndarray:
    """`[count]` numbers of a typed field."""
    wire = np.dtype(np.int32) if dtype in _NARROW else dtype
    budget.take(max(count * dtype.itemsize, len(values) * wire.itemsize))
    if len(values) > count:
        raise ValueError(f"{len(values)} values for shape {list(shape)}")
    given = np.fromiter(values, wire, len(values))
    if wire is not dtype:
        narrow = given.astype(dtype)
        if (narrow != given).any():
            raise ValueError(f"a value does not fit type {dtype.name}")
        given = narrow
    if len(given) == count:
        return given
    filled = np.full(count, given[-1] if len(given) else 0, dtype)
    filled[: len(given)] = given
    return filled


def _strings(proto: Any, shape: tuple[int, ...], count: int, budget: Budget) -> list[bytes]:
    """`[count]` strings, from `tensor_content` where there is any."""
    content = proto.tensor_content
    if content:
        budget.take(STRING_BYTES * count + len(content))
        return _strings_of_content(content, shape, count)
    if len(proto.string_val) != count:
        raise ValueError(f"{len(proto.string_val)} values for shape {list(shape)}: strings must be given one by one")
    budget.take(STRING_BYTES * count)
    strings = list(proto.string_val)
    budget.take(sum(map(len, strings)))
    return strings


def _strings_of_content(content: bytes, shape: tuple[int, ...], count: int) -> list[bytes]:
    """Strings as TensorFlow's C++ puts them in one: the lengths of all as varints of 32 bits, then their bytes."""
    wrong = ValueError(f"{len(content)} bytes of content are not the strings of shape {list(shape)}")
    if count > len(content):
        raise wrong
    lengths = []
    place = 0
    for _ in range(count):
        length = shift = 0
        while True:
            if place == len(content) or shift > 28:
                raise wrong
            byte = content[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise wrong
    strings = []
    for length in lengths:
        strings.append(content[place : place + length])
        place += length
    return strings


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
