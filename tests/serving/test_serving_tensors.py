"""TensorProto conversion beside TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving import tensors
from serving.budget import Budget, size_of

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
SHAPES = st.sampled_from([(), (0,), (3,), (2, 3), (2, 0, 4), (1, 1, 1)])
STRINGS = st.binary(max_size=5) | st.sampled_from([b"x" * 200, b"\xff\x00", b""])
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)
MIB = 1 << 20


def decode(proto, most=MIB):
    return tensors.decode(proto, Budget(most))


def same(found, wanted):
    """Bit for bit, shape and type."""
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    assert found.tolist() == wanted.tolist() if found.dtype == object else found.tobytes() == wanted.tobytes()


def shaped(proto, sizes):
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def by_tensorflow(proto):
    """What TensorFlow's C++ makes of a TensorProto, as an op that gets it in a request does; None: it refuses."""
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except tf.errors.InvalidArgumentError:
        return None


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def content_of(strings):
    """As TensorFlow's C++ writes strings in `tensor_content`: lengths, then bytes."""
    return b"".join(varint(len(one)) for one in strings) + b"".join(strings)


@st.composite
def any_array(draw):
    shape = draw(SHAPES)
    dtype = draw(st.sampled_from([*NUMERIC, object]))
    if dtype is not object:
        return draw(arrays.arrays(dtype, shape))
    array = np.empty(shape, object)
    array.reshape(-1)[:] = draw(st.lists(STRINGS, min_size=array.size, max_size=array.size))
    return array


@SETTINGS
@given(array=any_array(), way=st.sampled_from(["python", "c++", "content", "ours"]))
def test_every_way_of_writing_a_tensor_is_read_as_tensorflow_reads_it(array, way):
    kind = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    if way == "python":
        proto = tf.make_tensor_proto(array, kind)
    elif way == "c++":
        proto = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tf.constant(array, kind)).numpy())
    elif way == "ours":
        proto = tensors.encode(array)
        np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    else:
        content = content_of(array.ravel().tolist()) if array.dtype == object else array.tobytes()
        proto = shaped(tensor_pb2.TensorProto(dtype=kind.as_datatype_enum, tensor_content=content), array.shape)
    wanted = by_tensorflow(proto)
    same(decode(proto), np.asarray(wanted, object) if array.dtype == object else np.asarray(wanted))
    same(decode(proto), array)
    budget = Budget(MIB)
    tensors.decode(proto, budget)
    assert budget.used >= size_of(array)


@SETTINGS
@given(
    kind=st.sampled_from(NUMERIC),
    values=st.lists(st.integers(0, 1), max_size=4),
    size=st.integers(0, 6),
)
def test_numbers_that_are_left_out_are_as_tensorflow_has_them(kind, values, size):
    dtype = tf.as_dtype(kind).as_datatype_enum
    proto = shaped(tensor_pb2.TensorProto(dtype=dtype), [size])
    getattr(proto, tensors._FIELDS[dtype]).extend(values)
    if len(values) > size:
        with pytest.raises(ValueError, match="values for shape"):
            decode(proto)
    else:
        same(decode(proto), by_tensorflow(proto))


@SETTINGS
@given(
    content=st.binary(max_size=12) | st.lists(STRINGS, max_size=4).map(content_of),
    size=st.integers(0, 4),
    cut=st.integers(0, 3),
)
@example(content=b"\x80\x80\x80\x80\x80\x00", size=1, cut=0)
@example(content=b"\x00\x80", size=2, cut=0)
@example(content=b"\x05abc", size=1, cut=0)
def test_any_content_of_strings_is_what_tensorflow_reads_or_refused(content, size, cut):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_content=content[: len(content) - cut])
    wanted = by_tensorflow(shaped(proto, [size])) if size else None
    if not proto.tensor_content and size:
        # As if nothing was said of the strings.
        wanted = None
    try:
        found = decode(proto)
    except ValueError as error:
        assert wanted is None, error
    else:
        assert wanted is None if size == 0 else found.tolist() == wanted.tolist()


def proto_of(dtype, sizes, **fields):
    return shaped(tensor_pb2.TensorProto(dtype=dtype, **fields), sizes)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (proto_of(types_pb2.DT_STRING, [1 << 40, 1 << 40], tensor_content=b"x"), "decoded, at most 1048576 are taken"),
        (proto_of(types_pb2.DT_STRING, [1, 1 << 24], string_val=[b"x"]), "1 values .* must be given one by one"),
        (proto_of(types_pb2.DT_STRING, [2]), "0 values .* must be given one by one"),
        (proto_of(types_pb2.DT_STRING, [50_000], string_val=[b""] * 50_000), "takes 1200000 bytes decoded"),
        (proto_of(types_pb2.DT_STRING, [1], string_val=[b"x" * MIB]), "decoded, at most"),
        (proto_of(types_pb2.DT_STRING, [9], tensor_content=b"\1a"), "2 bytes of content are not the strings"),
        (proto_of(types_pb2.DT_FLOAT, [1 << 19], float_val=[1.0]), "takes 2097152 bytes decoded"),
        (proto_of(types_pb2.DT_UINT8, [1], int_val=[0] * MIB), "takes 4194304 bytes decoded"),
        (proto_of(types_pb2.DT_UINT8, [1], int_val=[256]), "does not fit type uint8"),
        (proto_of(types_pb2.DT_INT8, [2], int_val=[1, -129]), "does not fit type int8"),
        (proto_of(types_pb2.DT_BOOL, [2], tensor_content=b"\1\2"), "neither 0 nor 1"),
        (proto_of(types_pb2.DT_FLOAT, [-1], float_val=[1.0]), "fully known"),
        (proto_of(types_pb2.DT_FLOAT, [1] * 300), "300 dimensions"),
        (proto_of(types_pb2.DT_FLOAT, [2], tensor_content=b"abc"), "3 bytes of content"),
        (proto_of(types_pb2.DT_FLOAT, [1], float_val=[1.0, 2.0]), "2 values for shape"),
        (proto_of(types_pb2.DT_HALF, [1], half_val=[1]), "type float16 is not supported"),
        (proto_of(types_pb2.DT_BFLOAT16, [1], half_val=[1]), "type bfloat16 is not supported"),
        (proto_of(types_pb2.DT_COMPLEX64, [1], scomplex_val=[1, 0]), "type complex64 is not supported"),
        (proto_of(types_pb2.DT_RESOURCE, [1]), "type resource is not supported"),
        (proto_of(9999, [1]), "type 9999 is not supported"),
    ],
)
def test_messages_that_lie_or_ask_too_much_are_refused(proto, words):
    with pytest.raises(ValueError, match=words):
        decode(proto)


def test_a_budget_is_for_all_tensors_of_a_message():
    budget = Budget(MIB)
    proto = proto_of(types_pb2.DT_FLOAT, [150_000], float_val=[1.0])
    assert len(tensors.decode(proto, budget)) == 150_000
    with pytest.raises(ValueError, match="takes 1200000 bytes"):
        tensors.decode(proto, budget)
