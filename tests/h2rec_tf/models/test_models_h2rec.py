"""Properties of the whole model: no leak, padding without effect, permutation, edge inputs, half precision."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import oracles
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DIMENSIONS, LEVELS, MAX_LENGTH, NUM_ITEMS, left_padded, tiny_model

from h2rec_tf.models.h2rec import H2Rec

# Every place where a position could read another one: two branches, views, shared weights, one branch.
CAUSAL = {
    "dual sasrec": {},
    "dual sasrec shared": {"model.shared_backbone": True, "model.gate": "static"},
    "dual sasrec no views": {"model.views": False},
    "dual gru4rec": {"model.backbone": "gru4rec"},
    "concat sasrec": {"model.branches": "concat"},
    "sum gru4rec": {"model.branches": "sum", "model.backbone": "gru4rec"},
    "hid sasrec": {"model.branches": "hid"},
    "sid sasrec concat": {"model.branches": "sid", "model.sid_fusion": "concat"},
}
BIDIRECTIONAL = {
    "dual bert4rec": {"model.backbone": "bert4rec"},
    "hid bert4rec": {"model.branches": "hid", "model.backbone": "bert4rec"},
}
ALL = {**CAUSAL, **BIDIRECTIONAL}


@functools.cache
def _model(name: str) -> H2Rec:
    model = tiny_model(**ALL[name])
    # Away from the start values (zero gate logits, zero biases), so that every path carries something.
    generator = np.random.default_rng(1)
    weights = model.get_weights()
    # Integers are slots, not parameters.
    model.set_weights([w if w.dtype.kind == "i" else w + generator.normal(0.0, 0.1, w.shape) for w in weights])
    return model


@functools.cache
def _encoder(name: str) -> Any:
    """The model's vectors at every position, traced once for all batch shapes."""
    model = _model(name)
    with_masked = model.user_alignment is not None

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def encode(items: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model.encode(items, with_masked=with_masked)
        return {**outputs, "next": outputs["user"][:, -1] if model.encoder.causal else model(items)}

    return encode


def _encode(name: str, items: np.ndarray) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in _encoder(name)(tf.constant(items, tf.int32)).items()}


histories = st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=MAX_LENGTH)


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(items=histories.filter(lambda items: len(items) > 1), data=st.data())
def test_a_later_item_moves_nothing_before_it(name: str, items: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(items) - 1))
    other = list(items)
    # Another item of another code tuple, so that both ID spaces change.
    codes = _codes(name)
    other[place] = next(item for item in range(1, NUM_ITEMS + 1) if (codes[item - 1] != codes[items[place] - 1]).all())
    before = _encode(name, left_padded([items], MAX_LENGTH))
    after = _encode(name, left_padded([other], MAX_LENGTH))
    cut = MAX_LENGTH - len(items) + place
    for key in set(before) - {"next"}:
        np.testing.assert_array_equal(before[key][:, :cut], after[key][:, :cut], err_msg=key)
    assert np.abs(before["user"][:, cut:] - after["user"][:, cut:]).max() > 1e-4, "the item itself is read"


def _codes(name: str) -> np.ndarray:
    layer = _model(name).semantic_ids
    return np.arange(NUM_ITEMS)[:, None] if layer is None else layer.codes


@pytest.mark.parametrize("name", CAUSAL)
def test_no_gradient_flows_from_a_position_to_a_later_item(name: str) -> None:
    """The same by gradients: the output at t depends on the tables only through items at or before t."""
    model = _model(name)
    items = np.asarray([[0, 0, 3, 9, 14, 21]], np.int32)
    variables = [part.embeddings for part in (model.hash_ids, model.semantic_ids) if part is not None]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.encode(tf.constant(items))["user"][:, 3] ** 3)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        touched = set(np.flatnonzero(tf.convert_to_tensor(gradient).numpy().any(axis=1)).tolist())
        if variable.shape[0] == NUM_ITEMS + 2:
            assert touched == {3, 9}
        else:
            codes = model.semantic_ids.codes[[2, 8]] + np.arange(LEVELS) * model.semantic_ids.num_codes
            assert touched == set(codes.ravel().tolist())


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_bidirectional_models_read_both_ways(name: str) -> None:
    before = _encode(name, np.asarray([[1, 2, 3, 4]]))["user"]
    after = _encode(name, np.asarray([[1, 2, 3, 20]]))["user"]
    assert np.abs(before - after)[0, :3].max() > 1e-4


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(rows=st.lists(histories, min_size=1, max_size=3), more=st.integers(1, 9))
def test_more_left_padding_changes_no_vector(name: str, rows: list[list[int]], more: int) -> None:
    before = _encode(name, left_padded(rows, MAX_LENGTH))
    after = _encode(name, left_padded(rows, MAX_LENGTH + more))
    np.testing.assert_allclose(after["next"], before["next"], atol=1e-5)
    for row, items in enumerate(rows):
        for key in set(before) - {"next"}:
            np.testing.assert_allclose(after[key][row, -len(items) :], before[key][row, -len(items) :], atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(rows=st.lists(histories, min_size=2, max_size=5), data=st.data())
def test_rows_of_a_batch_do_not_meet(name: str, rows: list[list[int]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    items = left_padded(rows, MAX_LENGTH)
    before = _encode(name, items)["next"]
    np.testing.assert_allclose(_encode(name, items[order])["next"], before[order], atol=1e-5)
    np.testing.assert_allclose(_encode(name, items[:1])["next"], before[:1], atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_empty_and_one_item_histories_are_finite(name: str) -> None:
    rows = left_padded([[], [7], [7, 8], []], 5)
    for key, value in _encode(name, rows).items():
        assert np.isfinite(value).all(), key
    for rows in (np.zeros((2, 1), np.int32), np.full((1, 1), 3, np.int32)):
        assert np.isfinite(_encode(name, rows)["next"]).all()


@pytest.mark.parametrize("name", ALL)
def test_item_table_holds_what_the_score_uses(name: str) -> None:
    model = _model(name)
    table = model.item_table().numpy()
    halves = {
        "hid": lambda: [model.hash_ids.table()],
        "sid": lambda: [model.semantic_ids.table()],
        "sum": lambda: [model.hash_ids.table() + model.semantic_ids.table()],
    }.get(model.branches, lambda: [model.hash_ids.table(), model.semantic_ids.table()])()
    length = len(halves) ** -0.5
    expected = [length * oracles.normalised(half.numpy()) for half in halves] + [model.seen.table().numpy()]
    np.testing.assert_allclose(table[1:], np.concatenate(expected, axis=1)[1:], atol=1e-5)
    np.testing.assert_array_equal(table[0], 0.0)
    users = _encode(name, np.asarray([[3, 4]]))["next"]
    learned = DIMENSIONS * len(halves)
    assert users.shape[1] == table.shape[1] == learned + model.seen.num_slots
    np.testing.assert_allclose(np.linalg.norm(users[:, :learned], axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_rows_of_the_table_are_computed_apart(name: str) -> None:
    model = _model(name)
    items = tf.constant([4, 0, 9, 4])
    np.testing.assert_allclose(model.learned_rows(items), model.learned_table().numpy()[items], atol=1e-6)
    np.testing.assert_array_equal(model.seen.table_rows(items), model.seen.table().numpy()[items])


def test_dot_scores_are_not_normalised() -> None:
    model = tiny_model(**{"model.score": "dot"})
    np.testing.assert_array_equal(model.item_table().numpy()[1:, :DIMENSIONS], model.hash_ids.table().numpy()[1:])
    outputs = model.encode(tf.constant([[3, 4]]))
    np.testing.assert_array_equal(outputs["learned"], np.concatenate([outputs["hid"], outputs["sid"]], axis=-1))


def test_without_a_seen_part_the_score_is_the_learned_one() -> None:
    model = tiny_model(**{"model.seen_slots": 0})
    outputs = model.encode(tf.constant([[3, 4]]))
    np.testing.assert_array_equal(outputs["user"], outputs["learned"])
    np.testing.assert_array_equal(model.item_table(), model.learned_table())


def _loss_and_gradients(model: H2Rec, items: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    with tf.GradientTape() as tape:
        loss = model.compute_loss(tf.constant(items, tf.int32))
    gradients = tape.gradient(loss, model.trainable_variables)
    return float(loss), {
        f"{index} {variable.name}": tf.convert_to_tensor(gradient).numpy()
        for index, (variable, gradient) in enumerate(zip(model.trainable_variables, gradients, strict=True))
        if gradient is not None
    }


@pytest.mark.parametrize("kind", ["full_softmax", "sampled_softmax", "bce", "in_batch"])
def test_rows_of_pure_padding_change_neither_loss_nor_gradient(kind: str) -> None:
    items = left_padded([[1, 2, 3, 4], [9, 8], [5]], 5)
    # A model each: its draws of negatives start at the same state.
    changes = {"loss.next_item": kind, "loss.teacher": 0.0 if kind == "bce" else 0.3}
    loss, gradients = _loss_and_gradients(tiny_model(**changes), items)
    padded = np.concatenate([np.zeros((2, 5), np.int32), items, np.zeros((1, 5), np.int32)])
    padded_loss, padded_gradients = _loss_and_gradients(tiny_model(**changes), padded)
    assert loss > 0
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-6)
    assert set(padded_gradients) == set(gradients)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(padded_gradients[name], gradient, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", ["dual sasrec", "dual gru4rec", "dual bert4rec", "concat sasrec", "sid sasrec concat"])
def test_a_batch_of_pure_padding_has_exactly_zero_loss_and_gradient(name: str) -> None:
    loss, gradients = _loss_and_gradients(_model(name), np.zeros((3, 5), np.int32))
    assert loss == 0.0
    for variable, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, 0.0, err_msg=variable)


def test_the_padding_rows_of_the_tables_get_exactly_zero_gradient() -> None:
    model = _model("dual sasrec")
    _, gradients = _loss_and_gradients(model, left_padded([[1, 2, 3], [9, 8]], 6))
    hid = next(value for name, value in gradients.items() if "hash_ids" in name)
    np.testing.assert_array_equal(hid[[0, NUM_ITEMS + 1]], 0.0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["dual sasrec", "dual gru4rec", "dual bert4rec"])
def test_half_precision_losses_and_vectors_are_finite(policy: str, name: str) -> None:
    exact = _model(name)
    keras.mixed_precision.set_global_policy(policy)
    model = tiny_model(**ALL[name])
    model.set_weights(exact.get_weights())
    items = left_padded([[1, 2, 3, 4, 5], [6], [], [7, 8]], 6)
    expected = _encode(name, items)["next"]
    found = model(tf.constant(items))
    assert found.dtype == model.item_table().dtype == tf.float32
    real = items.any(axis=1)
    np.testing.assert_allclose(found.numpy()[real], expected[real], atol=0.1)
    loss, gradients = _loss_and_gradients(model, items)
    assert np.isfinite(loss)
    assert gradients and all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_huge_embeddings_give_finite_losses() -> None:
    for score in ("cosine", "dot"):
        model = tiny_model(**{"model.score": score, "model.temperature": 1e-4})
        for weight in model.trainable_weights:
            weight.assign(weight * 1e4)
        loss, gradients = _loss_and_gradients(model, left_padded([[1, 2, 3], [4, 5]], 4))
        assert np.isfinite(loss), score
        assert all(np.isfinite(gradient).all() for gradient in gradients.values()), score


def test_the_cloze_hides_real_items_only_and_trains_the_last_position() -> None:
    model = _model("hid bert4rec")
    items = left_padded([[1, 2, 3, 4, 5, 6]] * 200 + [[]], 7)
    history, targets, chosen = (value.numpy() for value in model._cloze(tf.constant(items)))
    np.testing.assert_array_equal(targets, items)
    np.testing.assert_array_equal(history[chosen], model.mask_token)
    np.testing.assert_array_equal(history[~chosen], items[~chosen])
    assert not chosen[items == 0].any()
    last_only = (chosen.sum(axis=1) == 1) & chosen[:, -1]
    assert last_only[:200].mean() > 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branches": "both"}, "`branches`"),
        ({"hash_ids": None}, "`hash_ids` is needed"),
        ({"semantic_ids": None}, "`semantic_ids` is needed"),
        ({"branches": "sid", "hash_ids": None, "user_alignment": None}, "`item_alignment` needs"),
        ({"item_alignment": None, "encoder": keras.layers.Layer()}, "`user_alignment` needs"),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    model = _model("dual sasrec")
    names = ("encoder", "next_item", "branches", "hash_ids", "semantic_ids", "item_alignment", "user_alignment")
    parts = {name: getattr(model, name) for name in names}
    with pytest.raises(ValueError, match=message):
        H2Rec(**{**parts, **changes})
