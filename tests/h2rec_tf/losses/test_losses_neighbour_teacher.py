"""The teacher against a NumPy oracle that writes the distribution out, and the neighbourhoods it is made of."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_sequences, tiny_model

from h2rec_tf.losses.neighbour_teacher import NeighbourTeacher
from h2rec_tf.models.item_knn import ItemKnn
from h2rec_tf.models.neighbours import cooccurrence_neighbours, joined, text_neighbours

COUNT, WIDTH, LAST, DECAY = 7, 4, 3, 0.5


def _lists() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    neighbours = np.zeros((COUNT + 1, WIDTH), np.int32)
    weights = np.zeros((COUNT + 1, WIDTH), np.float32)
    # The last item has no neighbours, and one list names an item twice.
    for item in range(1, COUNT):
        others = [other for other in range(1, COUNT + 1) if other != item]
        neighbours[item] = generator.choice(others, WIDTH, replace=item == 2)
        weights[item] = generator.dirichlet(np.ones(WIDTH))
    return neighbours, weights


NEIGHBOURS, WEIGHTS = _lists()
TABLE = np.random.default_rng(4).normal(size=(COUNT + 1, 5)).astype(np.float32)
TABLE[0] = 0.0
TEACHER = NeighbourTeacher(neighbours=NEIGHBOURS, weights=WEIGHTS, last=LAST, decay=DECAY)


def _expected(items: list[int], place: int) -> np.ndarray:
    """The distribution over items 0..N after position `place`, zeros where the teacher has none."""
    share = np.zeros(COUNT + 1)
    for age in range(min(LAST, place + 1)):
        item = items[place - age]
        for other, weight in zip(NEIGHBOURS[item], WEIGHTS[item], strict=True):
            share[other] += DECAY**age * weight
    share[items[: place + 1]] = 0.0
    share[0] = 0.0
    return share / share.sum() if share.sum() > 1e-3 else np.zeros(COUNT + 1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(items=st.lists(st.integers(1, COUNT), min_size=1, max_size=7), padding=st.integers(0, 3))
def test_expects_the_mean_vector_of_its_distribution(items: list[int], padding: int) -> None:
    vectors, known = TEACHER(tf.constant([[0] * padding + items]), tf.constant(TABLE))
    np.testing.assert_array_equal(vectors[0, :padding], 0.0)
    for place in range(len(items)):
        share = _expected(items, place)
        np.testing.assert_allclose(vectors[0, padding + place], share @ TABLE, atol=1e-4)
        assert known[0, padding + place] == float(share.sum() > 0)


def test_a_table_of_the_asked_items_gives_what_the_whole_one_gives() -> None:
    history = tf.constant([[0, 2, 5], [5, 5, 1]])
    edges = TEACHER.edges(history)
    rows = np.unique(np.concatenate([edges[0].numpy(), edges[1].numpy().ravel()]))
    for found, expected in zip(
        TEACHER(history, tf.constant(TABLE[rows]), rows=tf.constant(rows), edges=edges),
        TEACHER(history, tf.constant(TABLE)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_drawn_neighbours_expect_the_same_vector_in_the_mean() -> None:
    drawing = NeighbourTeacher(neighbours=NEIGHBOURS, weights=WEIGHTS, last=LAST, decay=DECAY, samples=3, seed=1)
    # Nothing of the history is a neighbour of its own, so that no draw is discarded.
    item = next(item for item in range(1, COUNT) if item not in NEIGHBOURS[item])
    history = tf.constant([[item]])
    assert drawing.edges(history)[1].shape == (1, 3)
    draws = np.stack([drawing(history, tf.constant(TABLE))[0].numpy()[0, 0] for _ in range(400)])
    exact = TEACHER(history, tf.constant(TABLE))[0].numpy()[0, 0]
    assert draws.std(axis=0).max() > 0.01, "each call draws anew"
    np.testing.assert_allclose(draws.mean(axis=0), exact, atol=5 * draws.std(axis=0).max() / 20)
    # Weights that are whole multiples of a sample's leave nothing to chance.
    even = NeighbourTeacher(neighbours=np.array([[0, 0], [2, 3]]), weights=np.array([[0, 0], [0.75, 0.25]]), samples=4)
    assert sorted(even.edges(tf.constant([[1]]))[1].numpy()[0]) == [2, 2, 2, 3]


def test_the_loss_is_the_cross_entropy_with_the_mixed_targets() -> None:
    """Next-item loss plus teacher loss is the softmax cross-entropy whose targets give the teacher its share."""
    model = tiny_model(
        **{"model.branches": "hid", "model.seen_slots": 0, "loss.teacher": 0.4, "loss.teacher_samples": 0}
    )
    items = np.array([[3, 9, 14, 21]], np.int32)
    table, teacher = model.item_table(), model.teacher
    users = model.encode(tf.constant(items[:, :-1]))["user"][0]
    log_shares = tf.nn.log_softmax(users @ tf.transpose(table[1:]) / model.next_item.temperature).numpy()
    one_hot = tf.eye(table.shape[0])
    shares, known = teacher(tf.constant(items[:, :-1]), one_hot)
    assert known.numpy().all()
    targets = 0.6 * one_hot.numpy()[items[0, 1:]] + 0.4 * shares.numpy()[0]
    np.testing.assert_allclose(
        model.compute_loss(tf.constant(items)), -(targets[:, 1:] * log_shares).sum(1).mean(), rtol=1e-4
    )


def test_a_mask_token_has_no_neighbours() -> None:
    vectors, known = TEACHER(tf.constant([[COUNT + 1]]), tf.constant(TABLE))
    assert not known.numpy().any()
    assert not vectors.numpy().any()


@pytest.mark.parametrize("changes", [{"weights": WEIGHTS[:, :2]}, {"last": 0}])
def test_bad_arguments_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(changes))}`"):
        NeighbourTeacher(**{"neighbours": NEIGHBOURS, "weights": WEIGHTS, **changes})  # type: ignore[arg-type]


def test_text_neighbours_are_the_nearest_by_cosine() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6))
    vectors[[4, 9]] = 0.0
    neighbours, weights = text_neighbours(vectors, np.zeros((50, 1), int), top=5, temperature=0.1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -9)
    cosines[:, [4, 9]] = -9
    for row in range(50):
        if row in (4, 9):
            assert not neighbours[row + 1].any()
            assert not weights[row + 1].any()
            continue
        nearest = np.argsort(-cosines[row])[:5]
        np.testing.assert_array_equal(neighbours[row + 1], nearest + 1)
        share = np.exp(cosines[row, nearest] / 0.1)
        np.testing.assert_allclose(weights[row + 1], share / share.sum(), rtol=1e-4)


def test_a_large_catalogue_looks_inside_a_coarse_code_only() -> None:
    generator = np.random.default_rng(0)
    vectors, codes = generator.normal(size=(60, 6)), generator.integers(0, 4, (60, 2))
    neighbours, weights = text_neighbours(vectors, codes, top=30, exact=10)
    for row in range(60):
        cell = set((np.flatnonzero(codes[:, 0] == codes[row, 0]) + 1).tolist()) - {row + 1}
        assert set(neighbours[row + 1][neighbours[row + 1] > 0].tolist()) == cell
        np.testing.assert_allclose(weights[row + 1].sum(), 1.0, rtol=1e-5)


def test_cooccurrence_neighbours_are_the_strongest_of_item_knn() -> None:
    train = random_sequences(40, 20)
    similarity = ItemKnn.fit(train, 20, shrink=30.0).similarity.toarray()
    neighbours, weights = cooccurrence_neighbours(train, 20, top=6)
    for item in range(1, 21):
        strongest = np.sort(similarity[item])[::-1][:6]
        found = similarity[item, neighbours[item]]
        np.testing.assert_allclose(found, strongest, rtol=1e-5)
        np.testing.assert_allclose(weights[item], strongest / strongest.sum(), rtol=1e-4)


def test_where_one_neighbourhood_is_empty_the_other_has_all_the_weight() -> None:
    first = (np.array([[0, 0], [2, 3], [0, 0]]), np.array([[0, 0], [0.5, 0.5], [0, 0]]))
    second = (np.array([[0], [4], [5]]), np.array([[0], [1.0], [1.0]]))
    neighbours, weights = joined(first, second, second_share=0.25)
    np.testing.assert_array_equal(neighbours[1:], [[2, 3, 4], [0, 0, 5]])
    np.testing.assert_allclose(weights, [[0, 0, 0], [0.375, 0.375, 0.25], [0, 0, 1.0]])
