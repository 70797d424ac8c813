"""Blocked top-k against a full sort, eagerly, in graphs of unknown shapes, and from a SavedModel."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf import retrieval
from h2rec_tf.errors import InputError


def oracle(scores, k, excluded):
    """Python sort by (-score, index) without the excluded items."""
    width = min(k, scores.shape[1])
    items, values = (
        np.zeros((len(scores), width), np.int32),
        np.full((len(scores), width), retrieval.LOWEST, np.float32),
    )
    for place, (row, barred) in enumerate(zip(scores.tolist(), excluded.tolist(), strict=True)):
        ranked = sorted((-score, index + 1) for index, score in enumerate(row) if index + 1 not in barred)
        for column, (negative, item) in enumerate(ranked[:k]):
            items[place, column], values[place, column] = item, -negative
    return items, values


def found(scores, k, excluded, block):
    table = tf.constant(scores)
    items, values = retrieval.top_k(
        lambda start, stop: table[:, start - 1 : stop - 1],
        num_items=scores.shape[1],
        k=k,
        excluded=None if excluded is None else tf.constant(excluded),
        block=block,
    )
    return items.numpy(), values.numpy()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 4),
    st.integers(1, 25),
    st.integers(0, 30),
    st.integers(0, 12),
    st.integers(1, 30),
    st.integers(0, 999),
)
def test_equals_a_full_sort(batch, num_items, k, exclusions, block, seed):
    rng = np.random.default_rng(seed)
    # Few distinct values: ties everywhere.
    scores = rng.integers(-2, 3, (batch, num_items)).astype(np.float32)
    excluded = rng.integers(0, num_items + 3, (batch, exclusions)).astype(np.int32)
    items, values = found(scores, k, excluded, block)
    expected_items, expected_values = oracle(scores, k, excluded)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected_values)
    assert items.dtype == np.int32 and values.dtype == np.float32


def test_without_exclusions_and_k_above_the_catalogue():
    scores = np.asarray([[0.5, 2.0, 2.0, -1.0]], np.float32)
    items, values = found(scores, 9, None, 3)
    np.testing.assert_array_equal(items, [[2, 3, 1, 4]])
    np.testing.assert_array_equal(values, [[2.0, 2.0, 0.5, -1.0]])


def test_everything_excluded_gives_padding():
    items, values = found(np.ones((1, 3), np.float32), 2, np.asarray([[3, 1, 2, 2]]), 2)
    np.testing.assert_array_equal(items, [[0, 0]])
    np.testing.assert_array_equal(values, np.full((1, 2), retrieval.LOWEST, np.float32))


def test_items_at_minus_infinity_are_absent():
    items, values = found(np.asarray([[-np.inf, 1.0, -np.inf, -3.0]], np.float32), 4, None, 3)
    np.testing.assert_array_equal(items, [[2, 4, 0, 0]])
    assert np.isfinite(values).all()


def test_half_precision_scores_come_back_as_float32():
    table = tf.constant([[1.0, 3.0, 2.0]], tf.float16)
    items, values = retrieval.top_k(lambda start, stop: table[:, start - 1 : stop - 1], num_items=3, k=2)
    assert values.dtype == tf.float32
    np.testing.assert_array_equal(items, [[2, 3]])


@pytest.mark.parametrize("arguments", [{"num_items": 0}, {"num_items": 3, "block": 0}])
def test_bad_sizes_are_refused(arguments):
    with pytest.raises(InputError, match="num_items >= 1 and block >= 1"):
        retrieval.top_k(lambda start, stop: tf.zeros([1, stop - start]), k=1, **arguments)


def test_fixed_k_gives_a_static_width_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, 20], tf.float32)])
    def best(scores):
        items, _ = retrieval.top_k(lambda start, stop: scores[:, start - 1 : stop - 1], num_items=20, k=3, block=7)
        assert items.shape.as_list() == [None, 3]
        return items

    assert best(tf.zeros([2, 20])).shape == (2, 3)


class Index(tf.Module):
    """Inner-product search with every shape unknown."""

    def __init__(self, vectors, block):
        super().__init__()
        self.vectors = tf.Variable(vectors)
        self.num_items = len(vectors) - 1
        self.block = block

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([None, None], tf.int64),
        ]
    )
    def search(self, queries, k, excluded):
        return retrieval.top_k(
            lambda start, stop: tf.matmul(queries, self.vectors[start:stop], transpose_b=True),
            num_items=self.num_items,
            k=k,
            excluded=excluded,
            block=self.block,
        )


@pytest.mark.parametrize("block", [1000, 16])
def test_graph_and_saved_model_with_unknown_shapes(tmp_path, block):
    rng = np.random.default_rng(0)
    index = Index(rng.integers(-3, 4, (51, 4)).astype(np.float32), block)
    tf.saved_model.save(index, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch, k, exclusions in ((1, 5, 0), (3, 50, 7), (2, 80, 60), (4, 0, 2), (0, 3, 1)):
        queries = rng.integers(-2, 3, (batch, 4)).astype(np.float32)
        excluded = rng.integers(0, 51, (batch, exclusions))
        expected_items, expected_scores = oracle(queries @ index.vectors.numpy()[1:].T, k, excluded)
        for searcher in (index, loaded):
            items, scores = searcher.search(tf.constant(queries), tf.constant(k), tf.constant(excluded, tf.int64))
            np.testing.assert_array_equal(items, expected_items)
            np.testing.assert_array_equal(scores, expected_scores)


def test_negative_k_in_a_graph_gives_no_columns():
    index = Index(np.ones((5, 2), np.float32), 3)
    items, _ = index.search(tf.ones([2, 2]), tf.constant(-4), tf.zeros([2, 0], tf.int64))
    assert items.shape == (2, 0)


def test_the_graph_holds_stock_operations_only():
    index = Index(np.ones((5, 2), np.float32), 3)
    kinds = {operation.type for operation in index.search.get_concrete_function().graph.get_operations()}
    assert not kinds & {"PyFunc", "EagerPyFunc", "While", "StatelessWhile"}
