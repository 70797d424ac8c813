"""Seen slots: what is marked, that nothing later is read, and that the weight learns whether users come back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.models.slots import assign_slots

SLOTS = np.array([0, 1, 2, 1, 0, 3])
LAYER = SeenSlots(SLOTS, 4, start=-0.5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(1, 9).flatmap(
        lambda length: st.lists(st.lists(st.integers(0, 7), min_size=length, max_size=length), min_size=1, max_size=3)
    )
)
def test_marks_the_slots_of_what_was_seen_so_far(rows: list[list[int]]) -> None:
    marks = LAYER(tf.constant(rows, tf.int32)).numpy()
    for row, items in enumerate(rows):
        for place in range(len(items)):
            seen = {int(SLOTS[item - 1]) for item in items[: place + 1] if 1 <= item <= 6}
            np.testing.assert_array_equal(marks[row, place], [-0.5 if slot in seen else 0.0 for slot in range(4)])


def test_without_causality_all_items_of_the_row_count_at_every_place() -> None:
    marks = LAYER(tf.constant([[0, 2, 7, 6]]), causal=False).numpy()
    np.testing.assert_array_equal(marks, np.tile([0.0, -0.5, 0.0, -0.5], (1, 4, 1)))


def test_the_table_and_the_marks_meet_in_the_inner_product() -> None:
    table = LAYER.table().numpy()
    np.testing.assert_array_equal(table[0], 0.0)
    scores = LAYER(tf.constant([[3, 6]])).numpy()[0, -1] @ table.T
    np.testing.assert_array_equal(scores, [0.0, 0.0, 0.0, -0.5, 0.0, 0.0, -0.5])


@pytest.mark.parametrize(("comes_back", "sign"), [(True, 1.0), (False, -1.0)])
def test_the_weight_learns_whether_users_come_back(comes_back: bool, sign: float) -> None:
    layer = SeenSlots(np.arange(6), 6, start=0.0)
    layer.table()
    optimizer = keras.optimizers.Adam(0.1)
    history = tf.constant([[1, 2], [3, 4], [5, 6]])
    targets = tf.constant([1, 3, 5] if comes_back else [3, 5, 1])
    for _ in range(20):
        with tf.GradientTape() as tape:
            logits = tf.matmul(layer(history)[:, -1], layer.table()[1:], transpose_b=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets - 1, logits))
        optimizer.apply_gradients(zip(tape.gradient(loss, [layer.weight]), [layer.weight], strict=True))
    assert sign * float(layer.weight) > 0.5


def test_the_slots_are_saved_with_the_weights() -> None:
    other = SeenSlots(np.zeros(6, int), 4)
    other.table()
    other.set_weights(LAYER.get_weights())
    np.testing.assert_array_equal(other.table(), LAYER.table())


@pytest.mark.parametrize(("slots", "message"), [([[0]], "shape"), ([0, 4], "0..3"), ([-1], "0..3")])
def test_bad_slots_are_named(slots: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=f"`slots`.*{message}"):
        SeenSlots(np.array(slots), 4)


def test_neighbours_get_different_slots_and_slots_fill_evenly() -> None:
    generator = np.random.default_rng(0)
    neighbours = np.zeros((301, 6), np.int64)
    # Rings of ten items that all compete.
    for item in range(1, 301):
        ring = (item - 1) // 10 * 10 + 1 + np.arange(10)
        neighbours[item] = generator.permutation(ring[ring != item])[:6]
    popularity = np.concatenate([[0], generator.integers(0, 50, 300)])
    slots = assign_slots(neighbours, popularity, num_slots=16)
    for item in range(1, 301):
        assert slots[item - 1] not in slots[neighbours[item] - 1]
    load = np.bincount(slots, minlength=16)
    assert load.max() - load.min() <= 3
    np.testing.assert_array_equal(slots, assign_slots(neighbours, popularity, num_slots=16))
