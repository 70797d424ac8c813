"""Ablations and baselines by configuration: every combination builds, takes a step and recommends."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support import DIMENSIONS, MAX_LENGTH, NUM_ITEMS, item_parts, left_padded, tiny_model

from h2rec_tf import retrieval
from h2rec_tf.errors import InputError
from h2rec_tf.layers.starts import codebook_tables, text_rows

BATCH = left_padded([[1, 2, 3, 4], [9, 8], [5, 6, 7]], 5)


def _steps_and_recommends(model: Any) -> None:
    """Eagerly: tracing a graph for each of many small models would take most of the time."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(tf.constant(BATCH), training=True)
    assert np.isfinite(loss)
    variables = model.trainable_variables
    pairs = [pair for pair in zip(tape.gradient(loss, variables), variables, strict=True) if pair[0] is not None]
    norm = tf.linalg.global_norm([gradient for gradient, _ in pairs])
    assert np.isfinite(norm) and norm > 0
    for gradient, variable in pairs:
        variable.assign_sub(0.01 / norm * tf.convert_to_tensor(gradient))
    users = model(tf.constant(left_padded([[1, 2], [], [5]], MAX_LENGTH)))
    table = model.item_table()
    items, scores = retrieval.top_k(
        lambda start, stop: tf.matmul(users, table[start:stop], transpose_b=True), num_items=NUM_ITEMS, k=5
    )
    assert items.shape == (3, 5) and items.numpy().min() >= 1
    assert np.isfinite(scores).all() and (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("branches", "backbone"),
    itertools.product(["dual", "hid", "sid", "sum", "concat"], ["sasrec", "gru4rec", "bert4rec"]),
)
def test_every_branch_with_every_backbone(branches: str, backbone: str) -> None:
    model = tiny_model(**{"model.branches": branches, "model.backbone": backbone})
    assert (model.item_alignment is None) == (branches in ("hid", "sid"))
    assert (model.user_alignment is None) == (branches != "dual")
    assert (model.hash_ids is None) == (branches == "sid")
    assert (model.semantic_ids is None) == (branches == "hid")
    _steps_and_recommends(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.views": False},
        {"model.gate": "mean"},
        {"model.gate": "static", "loss.mask_strategy": "highest"},
        {"loss.item_alignment": 0.0},
        {"loss.user_alignment": 0.0},
        {"loss.item_alignment": 0.0, "loss.user_alignment": 0.0, "model.shared_backbone": True},
        {"loss.mask_ratio": 0.0},
        {"loss.mask_ratio": 1.0, "loss.mask_strategy": "random"},
        {"loss.cooccurrence_positives": 0, "loss.code_positives": False, "loss.hard_negatives": 2},
        {"model.branches": "sum", "loss.item_alignment": 0.0},
        {
            "model.branches": "hid",
            "model.hid_start": "random",
            "loss.next_item": "bce",
            "loss.negatives": 1,
            "loss.teacher": 0,
        },
        {"model.branches": "hid", "model.hid_start": "text", "loss.next_item": "in_batch"},
        {"model.sid_start": "random", "model.sid_trainable": False, "model.sid_fusion": "sum"},
        {"model.sid_fusion": "concat", "model.score": "dot", "loss.next_item": "sampled_softmax"},
        {"model.max_length": 1, "model.hidden_size": 2, "model.heads": 1},
    ],
    ids=lambda changes: " ".join(f"{name.split('.')[-1]}={value}" for name, value in changes.items()),
)
def test_ablations(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    has_views = changes.get("model.branches", "dual") == "dual" and changes.get("model.views", True)
    assert (model.user_alignment is not None) == (has_views and changes.get("loss.user_alignment", 0.1) > 0)
    _steps_and_recommends(model)
    if changes.get("model.sid_trainable") is False:
        start = tiny_model(**changes).semantic_ids.embeddings
        np.testing.assert_array_equal(model.semantic_ids.embeddings, start)


def test_embeddings_start_from_text_and_codebooks() -> None:
    parts, model = item_parts(), tiny_model()
    # Six-wide vectors fill six of the eight dimensions.
    np.testing.assert_allclose(model.hash_ids.table()[1:], text_rows(parts["vectors"], DIMENSIONS), atol=1e-6)
    tables = codebook_tables(parts["codebooks"], DIMENSIONS, vectors=parts["vectors"])
    np.testing.assert_allclose(
        model.semantic_ids.embeddings[: tables.shape[0] * tables.shape[1]], tables.reshape(-1, DIMENSIONS), atol=1e-6
    )


def test_a_disambiguation_digit_gets_room_and_starts_at_zero() -> None:
    parts = item_parts()
    digit = np.arange(NUM_ITEMS) % 7
    parts["codes"] = np.concatenate([parts["codes"], digit[:, None]], axis=1)
    for codebooks in (parts["codebooks"], np.concatenate([parts["codebooks"], np.zeros_like(parts["codebooks"][:1])])):
        model = tiny_model(parts={**parts, "codebooks": codebooks})
        assert model.semantic_ids.num_codes == 7
        views = model.semantic_ids.views(tf.range(1, NUM_ITEMS + 1)).numpy()
        np.testing.assert_array_equal(views[:, -1], 0.0)
        assert np.abs(views[:, 0]).max() > 0


def test_the_same_seed_builds_the_same_model() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        return tiny_model(**{"training.seed": seed, "model.hid_start": "random"}).get_weights()

    for left, right in zip(weights(1), weights(1), strict=True):
        np.testing.assert_array_equal(left, right)
    assert any(not np.array_equal(left, right) for left, right in zip(weights(1), weights(2), strict=True))


def test_every_trainable_variable_of_h2rec_learns() -> None:
    model = tiny_model()
    with tf.GradientTape() as tape:
        loss = model.compute_loss(tf.constant(BATCH), training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert not [v.name for v, gradient in zip(model.trainable_variables, gradients, strict=True) if gradient is None]


def test_losses_are_reported_apart_and_add_up() -> None:
    model = tiny_model(**{"loss.item_alignment": 0.3, "loss.user_alignment": 0.7, "loss.teacher": 0.2})
    total = float(model.compute_loss(tf.constant(BATCH)))
    apart = {metric.name: float(metric.result()) for metric in model.metrics}
    parts = {"next_item_loss", "teacher_loss", "item_alignment_loss", "user_alignment_loss", "regularization_loss"}
    assert set(apart) == {"loss", *parts}
    expected = apart["next_item_loss"] + 0.2 * apart["teacher_loss"]
    expected += 0.3 * apart["item_alignment_loss"] + 0.7 * apart["user_alignment_loss"]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_a_teacher_for_a_loss_that_is_no_softmax_is_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"`loss.teacher` needs a softmax"):
        tiny_model(**{"loss.next_item": "bce"})


def test_heads_that_do_not_divide_the_hidden_size_are_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"`model.hidden_size` 8 .* `model.heads` 3"):
        tiny_model(**{"model.heads": 3})
