"""Contrastive building blocks, item alignment and user alignment against NumPy."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.losses.contrastive import soft_cross_entropy, weighted_info_nce
from h2rec_tf.losses.item_alignment import ItemAlignment, code_groups, code_order, positive_weights
from h2rec_tf.losses.user_alignment import UserAlignment, user_alignment

N, P, D = 14, 3, 6
GENERATOR = np.random.default_rng(0)
CODES = GENERATOR.integers(0, 2, (N, 3))
HID = GENERATOR.normal(size=(N + 1, D)).astype(np.float32)
SID = GENERATOR.normal(size=(N + 1, D)).astype(np.float32)


def _lists(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    neighbours = np.zeros((N + 1, P), np.int32)
    weights = np.zeros((N + 1, P), np.float32)
    for item in range(1, N + 1):
        others = generator.permutation([other for other in range(1, N + 1) if other != item])
        count = generator.integers(0, P + 1)
        neighbours[item, :count] = others[:count]
        weights[item, :count] = np.sort(generator.uniform(0.3, 1.0, count))[::-1]
    return neighbours, weights


def _naive_positives(items: list[int], neighbours: np.ndarray, weights: np.ndarray, codes: bool) -> np.ndarray:
    tables = [dict(zip(neighbours[i].tolist(), weights[i].tolist(), strict=True)) for i in range(N + 1)]
    result = np.zeros((len(items), len(items)))
    for row, left in enumerate(items):
        for column, right in enumerate(items):
            same_code = codes and (CODES[left - 1] == CODES[right - 1]).all()
            result[row, column] = 1.0 if left == right or same_code else tables[left].get(right, 0.0)
    return result


@settings(max_examples=25, deadline=None, derandomize=True)
@given(items=st.sets(st.integers(1, N)), seed=st.integers(0, 5), codes=st.booleans())
def test_positive_weights_equal_the_naive_table(items: set[int], seed: int, codes: bool) -> None:
    neighbours, weights = _lists(seed)
    groups = tf.constant(code_groups(CODES)) if codes else None
    batch = tf.constant(sorted(items), tf.int32)
    found = positive_weights(batch, tf.constant(neighbours), tf.constant(weights), groups)
    np.testing.assert_allclose(found, _naive_positives(sorted(items), neighbours, weights, codes), atol=1e-6)


def test_code_groups_and_order() -> None:
    codes = np.asarray([[1, 0], [0, 2], [1, 0], [0, 1]])
    groups = code_groups(codes)
    assert groups[1] == groups[3] and len({groups[0], groups[1], groups[2], groups[4]}) == 4
    np.testing.assert_array_equal(code_order(codes), [4, 2, 1, 3])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 100), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_weighted_info_nce(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, columns)).astype(np.float32)
    weights = (generator.random((rows, columns)) * (generator.random((rows, columns)) < 0.5)).astype(np.float32)
    np.testing.assert_allclose(weighted_info_nce(logits, weights), oracles.info_nce(logits, weights), atol=1e-4)


def test_info_nce_with_one_positive_is_cross_entropy() -> None:
    logits = GENERATOR.normal(size=(5, 5)).astype(np.float32)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(5), logits)
    np.testing.assert_allclose(
        weighted_info_nce(logits, np.eye(5, dtype=np.float32)), tf.reduce_mean(expected), rtol=1e-5
    )


@pytest.mark.parametrize("size", [1e4, 1e12, 1e30])
def test_info_nce_is_right_for_huge_logits(size: float) -> None:
    logits = tf.Variable(np.asarray([[-size, -2 * size], [size, -size], [0.0, size]], np.float32))
    weights = np.asarray([[0.0, 0.5], [1.0, 0.0], [0.0, 0.0]], np.float32)
    with tf.GradientTape() as tape:
        loss = weighted_info_nce(logits, weights)
    # Row 0: its positive is `size` below the other; row 1: certain; row 2: no positive, does not count.
    np.testing.assert_allclose(loss, size / 2, rtol=1e-3)
    gradient = tape.gradient(loss, logits).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[2], 0.0)


def test_rows_without_positives_have_no_loss_and_no_gradient() -> None:
    logits = tf.Variable(GENERATOR.normal(size=(3, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = weighted_info_nce(logits, tf.zeros([3, 4]))
    assert loss.numpy() == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, logits), 0.0)
    assert weighted_info_nce(tf.zeros([0, 0]), tf.zeros([0, 0])).numpy() == 0.0


def test_soft_cross_entropy_means_over_the_rows_that_count() -> None:
    logits = GENERATOR.normal(size=(3, 3))
    targets = GENERATOR.dirichlet(np.ones(3), size=3)
    expected = -(targets * np.log(oracles.softmax(logits))).sum(axis=1)[[0, 2]].mean()
    found = soft_cross_entropy(np.float32(logits), np.float32(targets), np.float32([1, 0, 1]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def _alignment(**changes: object) -> ItemAlignment:
    neighbours, weights = _lists()
    arguments = {"neighbours": neighbours, "weights": weights, "groups": code_groups(CODES), **changes}
    return ItemAlignment(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.5, 0.1])
@pytest.mark.parametrize("codes", [True, False])
def test_item_alignment(temperature: float, codes: bool) -> None:
    layer = _alignment(temperature=temperature, groups=code_groups(CODES) if codes else None)
    batch = np.asarray([[0, 0, 3, 7], [3, 9, 14, 1]], np.int32)
    found = layer(batch, hid=lambda i: tf.gather(HID, i), sid=lambda i: tf.gather(SID, i))
    items = [1, 3, 7, 9, 14]
    weights = _naive_positives(items, *_lists(), codes)
    logits = oracles.normalised(HID[items]) @ oracles.normalised(SID[items]).T / temperature
    expected = 0.5 * (oracles.info_nce(logits, weights) + oracles.info_nce(logits.T, weights.T))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_item_alignment_ignores_padding_order_and_repeats() -> None:
    layer = _alignment()
    look_up = {"hid": lambda i: tf.gather(HID, i), "sid": lambda i: tf.gather(SID, i)}
    expected = layer(np.asarray([[1, 3, 9]], np.int32), **look_up).numpy()
    for batch in ([[0, 0, 9], [0, 1, 3]], [[3, 3, 1], [9, 1, 0]]):
        np.testing.assert_allclose(layer(np.asarray(batch, np.int32), **look_up), expected, rtol=1e-5)
    assert layer(np.zeros((2, 3), np.int32), **look_up).numpy() == 0.0
    assert abs(layer(np.asarray([[5]], np.int32), **look_up).numpy()) < 1e-6, "one item has nothing to stand out from"


def test_item_alignment_padding_gradient_is_exactly_zero() -> None:
    layer, table = _alignment(), tf.Variable(HID)
    with tf.GradientTape() as tape:
        loss = layer(
            np.asarray([[0, 1, 3]], np.int32), hid=lambda i: tf.gather(table, i), sid=lambda i: tf.gather(SID, i)
        )
    gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    np.testing.assert_array_equal(np.flatnonzero(gradient.any(axis=1)), [1, 3])


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_hard_negatives_share_the_longest_prefixes(count: int) -> None:
    order = code_order(CODES)
    layer = _alignment(hard_negatives=count, code_order=order)
    found = layer.batch_items(np.asarray([[0, 5, 8]], np.int32)).numpy()
    assert (np.diff(found) > 0).all() and {5, 8} <= set(found.tolist()) <= set(range(1, N + 1))
    assert len(found) <= 2 + 2 * count
    place = {item: spot for spot, item in enumerate(order.tolist())}
    for item in found:
        gaps = [min(abs(place[item] - place[own]), N - abs(place[item] - place[own])) for own in (5, 8)]
        assert min(gaps) <= (count + 1) // 2
    if count == 40:
        assert len(found) == N


def test_item_alignment_bounds_its_memory() -> None:
    layer = _alignment(max_items=4, seed=1)
    draws = [tuple(layer.batch_items(np.arange(N + 1, dtype=np.int32)).numpy()) for _ in range(5)]
    assert all(len(draw) == 4 and list(draw) == sorted(set(draw)) and 0 not in draw for draw in draws)
    assert len(set(draws)) > 1


def test_item_alignment_names_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="`weights`"):
        _alignment(weights=np.zeros((N + 1, P + 1)))
    with pytest.raises(ValueError, match="`hard_negatives` needs `code_order`"):
        _alignment(hard_negatives=1)


def _naive_user_alignment(full: np.ndarray, masked: np.ndarray, temperature: float) -> float:
    a, b = oracles.normalised(full), oracles.normalised(masked)

    def direction(x: np.ndarray, y: np.ndarray) -> float:
        targets = oracles.softmax(x @ x.T / temperature)
        return float(-(targets * np.log(oracles.softmax(x @ y.T / temperature))).sum(axis=1).mean())

    return 0.5 * (direction(a, b) + direction(b, a))


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_user_alignment(temperature: float) -> None:
    full, masked = GENERATOR.normal(size=(2, 5, D)).astype(np.float32)
    found = user_alignment(tf.constant(full), tf.constant(masked), tf.ones([5], tf.bool), temperature=temperature)
    np.testing.assert_allclose(found, _naive_user_alignment(full, masked, temperature), rtol=1e-4)
    np.testing.assert_allclose(UserAlignment(temperature=temperature)(full, masked, real=tf.ones([5], tf.bool)), found)


def test_user_alignment_leaves_empty_rows_out_entirely() -> None:
    full, masked = (tf.Variable(values.astype(np.float32)) for values in GENERATOR.normal(size=(2, 5, D)))
    real = tf.constant([True, False, True, True, False])
    keep = np.flatnonzero(real)
    with tf.GradientTape() as tape:
        loss = user_alignment(full, masked, real, temperature=0.5)
    np.testing.assert_allclose(loss, _naive_user_alignment(full.numpy()[keep], masked.numpy()[keep], 0.5), rtol=1e-4)
    for gradient in tape.gradient(loss, [full, masked]):
        np.testing.assert_array_equal(gradient.numpy()[[1, 4]], 0.0)
    assert user_alignment(full, masked, tf.zeros([5], tf.bool), temperature=0.5).numpy() == 0.0


def test_user_alignment_zero_vectors_are_finite() -> None:
    full = tf.Variable(tf.zeros([3, D]))
    with tf.GradientTape() as tape:
        loss = user_alignment(full, tf.zeros([3, D]), tf.ones([3], tf.bool), temperature=0.01)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, full)).all()


def test_user_alignment_no_gradient_through_targets() -> None:
    """Equal views are a minimum: were targets trained too, the loss could fall further by collapsing them."""
    vectors = tf.Variable(GENERATOR.normal(size=(4, D)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = user_alignment(vectors, tf.stop_gradient(vectors), tf.ones([4], tf.bool), temperature=0.5)
    np.testing.assert_allclose(tape.gradient(loss, vectors), 0.0, atol=1e-6)
