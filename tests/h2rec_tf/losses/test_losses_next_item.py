"""Next-item losses against NumPy, and what padding and huge scores do to them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.losses.next_item import KINDS, NextItemLoss, binary_cross_entropy, full_softmax, sampled_softmax

N, D, M = 12, 6, 7
GENERATOR = np.random.default_rng(0)
TABLE = np.concatenate([np.zeros((1, D)), GENERATOR.normal(size=(N, D))]).astype(np.float32)
USERS = GENERATOR.normal(size=(M, D)).astype(np.float32)
# Item 3 is the target of two rows: an accidental hit inside the batch.
TARGETS = np.asarray([3, 5, 3, 1, 12, 7, 2], np.int32)
FREQUENCIES = np.asarray([0, 9, 4, 6, 0, 2, 1, 1, 3, 0, 5, 8, 7])


def _loss(kind: str, **changes: object) -> NextItemLoss:
    arguments = {"negatives": 5, "temperature": 0.5, "seed": 1, **changes}
    return NextItemLoss(kind, frequencies=FREQUENCIES, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_full_softmax(temperature: float) -> None:
    scores = USERS @ TABLE[1:].T / temperature
    expected = special.logsumexp(scores, axis=1) - scores[np.arange(M), TARGETS - 1]
    np.testing.assert_allclose(full_softmax(USERS, TARGETS, TABLE, temperature=temperature), expected, rtol=1e-4)
    np.testing.assert_allclose(
        _loss("full_softmax", temperature=temperature)(USERS, TARGETS, TABLE), expected.mean(), rtol=1e-4
    )


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_sampled_softmax_corrects_each_score_by_its_expected_draws(temperature: float) -> None:
    negatives = np.asarray([3, 3, 8, 1, 10], np.int32)
    log_q = np.log(np.linspace(0.1, 2.0, N + 1)).astype(np.float32)
    scores = USERS @ TABLE.T / temperature - log_q
    expected = []
    for row, target in enumerate(TARGETS):
        others = [scores[row, item] for item in negatives if item != target]
        expected.append(special.logsumexp([scores[row, target], *others]) - scores[row, target])
    found = sampled_softmax(
        USERS, TARGETS, TABLE, negatives=tf.constant(negatives), log_q=tf.constant(log_q), temperature=temperature
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "full_softmax"])
def test_a_table_of_the_asked_items_gives_the_loss_of_the_whole_one(kind: str) -> None:
    loss = _loss(kind, negatives=1)
    negatives = loss.draw(tf.constant(TARGETS))
    asked = [TARGETS] if negatives is None else [TARGETS, negatives.numpy().ravel()]
    items = np.unique(np.concatenate(asked))
    assert len(items) < N
    found = loss(USERS, TARGETS, TABLE[items], items=tf.constant(items), negatives=negatives)
    np.testing.assert_allclose(found, loss(USERS, TARGETS, TABLE, negatives=negatives), rtol=1e-5)


def test_sampled_softmax_equals_tensorflows() -> None:
    negatives = np.asarray([3, 8, 1, 10], np.int64)
    count = np.linspace(0.1, 0.9, N + 1).astype(np.float32)
    expected = tf.nn.sampled_softmax_loss(
        weights=TABLE,
        biases=np.zeros(N + 1, np.float32),
        labels=TARGETS[:, None].astype(np.int64),
        inputs=USERS,
        num_sampled=len(negatives),
        num_classes=N + 1,
        sampled_values=(negatives, count[TARGETS][:, None], count[negatives]),
    )
    found = sampled_softmax(
        USERS,
        TARGETS,
        TABLE,
        negatives=tf.constant(negatives, tf.int32),
        log_q=tf.constant(np.log(count)),
        temperature=1.0,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_sampled_softmax_draws_by_smoothed_popularity() -> None:
    probe = np.zeros((N + 1, N), np.float32)
    probe[1:] = np.eye(N)
    loss = _loss("sampled_softmax", negatives=40_000, temperature=1.0)
    # With user vector 0 all scores are -log q: exp(loss) counts draws / expected draws, item by item.
    users = tf.Variable(np.zeros((1, N), np.float32))
    with tf.GradientTape() as tape:
        value = loss(users, np.asarray([1], np.int32), probe)
    gradient = tape.gradient(value, users).numpy()[0]
    # Corrected draws make every negative equally likely, however popular: 1 / N each.
    np.testing.assert_allclose(gradient[1:], 1 / N, rtol=0.15)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_binary_cross_entropy(temperature: float) -> None:
    negatives = np.random.default_rng(4).integers(1, N + 1, (M, 3)).astype(np.int32)
    negatives[0] = [3, 4, 5]
    negatives[2] = [3, 3, 3]
    scores = USERS @ TABLE.T / temperature
    expected = []
    for row, target in enumerate(TARGETS):
        others = [np.log1p(np.exp(scores[row, item])) for item in negatives[row] if item != target]
        expected.append(np.log1p(np.exp(-scores[row, target])) + (np.mean(others) if others else 0.0))
    found = binary_cross_entropy(USERS, TARGETS, TABLE, negatives=tf.constant(negatives), temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_bce_draws_uniformly_over_the_catalogue() -> None:
    loss = _loss("bce", negatives=200, temperature=1.0)
    table = tf.Variable(np.zeros((N + 1, D), np.float32))
    with tf.GradientTape() as tape:
        value = loss(np.ones((500, D), np.float32), np.ones(500, np.int32), table)
    gradient = tf.convert_to_tensor(tape.gradient(value, table)).numpy()[:, 0]
    # Each negative pulls with sigmoid(0) = 1/2, shared by N - 1 items; padding is never drawn.
    assert gradient[0] == 0.0
    np.testing.assert_allclose(gradient[2:], 0.5 / (N - 1), rtol=0.05)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_in_batch_removes_accidental_hits_and_corrects_for_popularity(temperature: float) -> None:
    share = np.maximum(FREQUENCIES, 1) / FREQUENCIES.sum()
    scores = USERS @ TABLE[TARGETS].T / temperature - np.log(share[TARGETS])[None, :]
    expected = []
    for row, target in enumerate(TARGETS):
        others = [scores[row, other] for other in range(M) if TARGETS[other] != target]
        expected.append(special.logsumexp([scores[row, row], *others]) - scores[row, row])
    found = _loss("in_batch", temperature=temperature)(USERS, TARGETS, TABLE)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-4)


@pytest.mark.parametrize("asked_alone", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_seen_scores_equal_those_of_longer_vectors(kind: str, asked_alone: bool) -> None:
    slots = SeenSlots(np.arange(N) % 4, 4, start=-0.7)
    table, users = tf.Variable(TABLE), tf.Variable(USERS)
    # The last history has nothing real.
    history = tf.constant([[3, 9], [0, 5], [2, 4], [1, 12], [6, 6], [8, 11], [0, 0]])
    loss, items = _loss(kind), None
    drawn = loss.draw(tf.constant(TARGETS))
    if asked_alone:
        names = [[0], TARGETS] + ([] if drawn is None else [drawn.numpy().ravel()])
        items = tf.constant(np.arange(N + 1) if kind == "full_softmax" else np.unique(np.concatenate(names)), tf.int32)

    def by_look_up() -> tf.Tensor:
        seen = slots.scores(slots.marks(history)[:, -1], items)
        rows = table if items is None else tf.gather(table, items)
        return loss(users, TARGETS, rows, items=items, negatives=drawn, seen=seen)

    def by_vectors() -> tf.Tensor:
        longer = tf.concat([users, slots(history)[:, -1]], axis=1)
        rows = tf.concat([table, slots.table()], axis=1)
        return loss(longer, TARGETS, rows if items is None else tf.gather(rows, items), items=items, negatives=drawn)

    found = []
    for value in (by_look_up, by_vectors):
        slots.table()
        variables = [users, table, slots.weight]
        with tf.GradientTape() as tape:
            total = value()
        gradients = tape.gradient(total, variables)
        found.append([total, *map(tf.convert_to_tensor, gradients)])
    assert abs(float(found[0][3])) > 1e-4
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_positions_no_loss_no_gradient(kind: str) -> None:
    table = tf.Variable(TABLE)
    with tf.GradientTape() as tape:
        loss = _loss(kind)(tf.zeros([0, D]), tf.zeros([0], tf.int32), table)
    assert loss.numpy() == 0.0
    gradient = tape.gradient(loss, table)
    assert gradient is None or not tf.convert_to_tensor(gradient).numpy().any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e4, 1e15])
def test_huge_scores_stay_finite(kind: str, size: float) -> None:
    users, table = tf.Variable(USERS * size), tf.Variable(TABLE * size)
    loss_layer = _loss(kind)
    with tf.GradientTape() as tape:
        loss = loss_layer(users, TARGETS, table)
    assert np.isfinite(loss)
    for gradient in tape.gradient(loss, [users, table]):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_towards_the_target_lowers_the_loss(kind: str) -> None:
    users = tf.Variable(USERS)
    losses = []
    for _ in range(2):
        layer = _loss(kind)
        with tf.GradientTape() as tape:
            loss = layer(users, TARGETS, TABLE)
        losses.append(loss.numpy())
        users.assign_sub(0.1 * tape.gradient(loss, users))
    assert losses[1] < losses[0]


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of full_softmax"):
        _loss("hinge")
