"""TensorProto conversion beside TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving import tensors

NUMERIC = [
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    bool,
]
SHAPES = [(), (0,), (3,), (2, 3), (2, 0, 4), (1, 1, 1)]


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_agree_with_tensorflow_both_ways(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, size=shape).astype(dtype)
    # TensorFlow writes `tensor_content` for some and typed fields for other arrays; both have to be read.
    back = tensors.decode(tf.make_tensor_proto(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(tf.make_ndarray(tensors.encode(array)), array)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.binary(max_size=6), min_size=2, max_size=2), min_size=1, max_size=4))
def test_strings_survive_bytes_for_bytes(rows):
    array = np.empty((len(rows), 2), object)
    array[:] = rows
    proto = tensors.encode(array)
    assert tf.make_ndarray(proto).tolist() == rows
    assert tensors.decode(proto).tolist() == rows


def test_the_last_value_fills_the_shape_as_in_tensorflow():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=[1, 7])
    proto.tensor_shape.dim.add(size=4)
    assert tensors.decode(proto).tolist() == tf.make_ndarray(proto).tolist() == [1, 7, 7, 7]
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=2)
    assert tensors.decode(proto).tolist() == [b"", b""]


def _proto(dtype, sizes, **fields):
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (_proto(types_pb2.DT_STRING, [1 << 40, 1 << 40]), "elements declared"),
        (_proto(types_pb2.DT_FLOAT, [-1], float_val=[1.0]), "fully known"),
        (_proto(types_pb2.DT_FLOAT, [2], tensor_content=b"abc"), "3 bytes of content"),
        (_proto(types_pb2.DT_FLOAT, [1], float_val=[1.0, 2.0]), "2 values for shape"),
        (_proto(types_pb2.DT_RESOURCE, [1]), "type resource is not supported"),
        (_proto(9999, [1]), "type 9999 is not supported"),
    ],
)
def test_messages_that_lie_are_refused(proto, words):
    with pytest.raises(ValueError, match=words):
        tensors.decode(proto)
