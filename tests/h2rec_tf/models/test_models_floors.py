"""The non-neural floors against dense oracles, and on real data."""

import itertools
import os
import pathlib

import numpy as np
import pytest

from h2rec_tf.config import DataConfig
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Protocol, evaluate
from h2rec_tf.models.blend import Blend
from h2rec_tf.models.item_knn import ItemKnn
from h2rec_tf.models.popularity import Popularity
from h2rec_tf.models.text_neighbours import TextNeighbours

BEAUTY = pathlib.Path(os.environ.get("H2REC_DATA", "../shared/data")) / "beauty"
NUM_ITEMS = 12


def whole(recommender, histories):
    """All scores, put together from blocks of 5 items."""
    queries = recommender.queries(histories[:, -recommender.max_length :])
    bounds = [*range(1, NUM_ITEMS + 1, 5), NUM_ITEMS + 1]
    blocks = [np.asarray(recommender.scores(queries, start, stop)) for start, stop in itertools.pairwise(bounds)]
    return np.concatenate(blocks, axis=1)


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    return Sequences.from_lists([rng.integers(1, NUM_ITEMS + 1, rng.integers(1, 8)).tolist() for _ in range(30)])


@pytest.fixture
def histories():
    return np.asarray([[0, 0, 0, 0], [0, 0, 0, 7], [2, 5, 2, 9], [0, 4, 4, 1]], np.int32)


def test_popularity_is_the_same_for_everyone(histories):
    popularity = np.arange(NUM_ITEMS + 1)[::-1] * 3
    scores = whole(Popularity(popularity), histories)
    np.testing.assert_array_equal(scores, np.tile(popularity[1:], (4, 1)))


@pytest.mark.parametrize("neighbours", [0, 2])
def test_item_knn_equals_a_dense_oracle(train, histories, neighbours):
    similarity = np.zeros((NUM_ITEMS + 1, NUM_ITEMS + 1))
    for user in range(len(train)):
        items = train.history(user)
        for i in range(len(items)):
            for j in range(len(items)):
                if 0 < abs(i - j) <= 2 and items[i] != items[j]:
                    similarity[items[i], items[j]] += 0.5 ** (abs(i - j) - 1)
    counts = np.bincount(train.items, minlength=NUM_ITEMS + 1)
    similarity /= np.sqrt(np.outer(counts + 4.0, counts + 4.0))
    if neighbours:
        # Ties keep the lower index, as a stable sort does.
        places = np.argsort(np.argsort(-similarity.astype(np.float32), axis=1, kind="stable"), axis=1)
        similarity[places >= neighbours] = 0.0
    recommender = ItemKnn.fit(
        train, NUM_ITEMS, window=2, distance_decay=0.5, shrink=4, last=3, decay=0.7, neighbours=neighbours
    )
    expected = np.zeros((4, NUM_ITEMS + 1))
    for row, history in enumerate(histories):
        for age, item in enumerate(history[::-1][:3]):
            if item:
                expected[row] += 0.7**age * similarity[item]
    np.testing.assert_allclose(whole(recommender, histories), expected[:, 1:], rtol=1e-5, atol=1e-7)


def test_item_knn_ignores_padding_in_front(train, histories):
    recommender = ItemKnn.fit(train, NUM_ITEMS)
    wider = np.pad(histories, ((0, 0), (6, 0)))
    np.testing.assert_array_equal(whole(recommender, histories), whole(recommender, wider))


def test_text_neighbours_equal_a_dense_oracle(histories):
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, 5))
    vectors[3] = 0.0
    unit = np.r_[np.zeros((1, 5)), vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)]
    for last in (1, 3):
        scores = whole(TextNeighbours(vectors, last=last, decay=0.5), histories)
        for row, history in enumerate(histories):
            used = [item for item in history[-last:] if item]
            user = sum((0.5**age * unit[item] for age, item in enumerate(history[::-1][:last])), np.zeros(5))
            user = user / max(np.linalg.norm(user), 1e-12)
            for item in range(1, NUM_ITEMS + 1):
                expected = -1.0 if item in used else user @ unit[item]
                assert scores[row, item - 1] == pytest.approx(expected, abs=1e-5)


def test_blend_adds_weighted_scores(train, histories):
    knn = ItemKnn.fit(train, NUM_ITEMS, last=4)
    popularity = Popularity(np.arange(NUM_ITEMS + 1))
    blend = Blend([(knn, 2.0), (popularity, 0.5)])
    assert (blend.max_length, blend.num_items) == (4, NUM_ITEMS)
    expected = 2.0 * whole(knn, histories) + 0.5 * whole(popularity, histories)
    np.testing.assert_allclose(whole(blend, histories), expected, rtol=1e-6)


def test_bad_arguments_are_refused(train):
    with pytest.raises(InputError, match="one catalogue"):
        Blend([(Popularity(np.ones(4)), 1.0), (Popularity(np.ones(5)), 1.0)])
    with pytest.raises(InputError, match="one catalogue"):
        Blend([])
    with pytest.raises(InputError, match="last must be at least 1"):
        ItemKnn.fit(train, NUM_ITEMS, last=0)
    with pytest.raises(InputError, match="last must be at least 1"):
        TextNeighbours(np.ones((3, 2)), last=0)


@pytest.fixture(scope="module")
def beauty():
    if not BEAUTY.is_dir():
        pytest.skip(f"real data is absent: {BEAUTY} (set H2REC_DATA)")
    dataset, _ = load_dataset(
        str(BEAUTY / "interactions.csv.gz"),
        str(BEAUTY / "items.jsonl"),
        embeddings_path=str(BEAUTY / "text_embeddings.npz"),
        config=DataConfig(),
    )
    return dataset


def check(result, expected):
    """Within what the order of equals moves: the figures were counted with equals against the target."""
    for name, value in expected.items():
        slice_name, _, metric = name.rpartition(" ")
        assert result.metric(metric, slice_name or "overall") == pytest.approx(value, abs=1.5e-3), name


def test_popularity_on_beauty(beauty):
    result = evaluate(
        Popularity(beauty.popularity), beauty.test, popularity=beauty.popularity, protocol=Protocol("include")
    )
    check(
        result,
        {"users": 22363, "hr@10": 0.0106, "ndcg@10": 0.0051, "mrr": 0.0054, "head hr@10": 0.0245, "tail hr@10": 0},
    )
    assert result.metric("coverage@10") == pytest.approx(10 / 12101)


def test_item_knn_on_beauty(beauty):
    recommender = ItemKnn.fit(beauty.train, 12101, distance_decay=1.0)
    result = evaluate(recommender, beauty.test, popularity=beauty.popularity, protocol=Protocol("include"))
    check(result, {"hr@10": 0.0695, "ndcg@10": 0.0408, "mrr": 0.0364, "head hr@10": 0.1007, "tail hr@10": 0.0455})


def test_item_knn_and_text_on_beauty(beauty):
    knn = ItemKnn.fit(beauty.train, 12101, distance_decay=1.0, shrink=30)
    blend = Blend([(knn, 1.0), (TextNeighbours(beauty.catalogue.vectors), 0.1)])
    result = evaluate(blend, beauty.test, popularity=beauty.popularity, protocol=Protocol("include"))
    check(result, {"hr@10": 0.0896, "ndcg@10": 0.0516, "hr@20": 0.1231, "head hr@10": 0.115, "tail hr@10": 0.0701})


@pytest.mark.slow
def test_other_protocols_on_beauty(beauty):
    text = TextNeighbours(beauty.catalogue.vectors)
    result = evaluate(text, beauty.test, popularity=beauty.popularity, protocol=Protocol("include"))
    check(result, {"hr@10": 0.0565, "ndcg@10": 0.0342, "head hr@10": 0.0457, "tail hr@10": 0.0647})
    knn = ItemKnn.fit(beauty.train, 12101, distance_decay=1.0)
    unseen = evaluate(knn, beauty.test, popularity=beauty.popularity, protocol=Protocol("repeats"))
    check(unseen, {"hr@10": 0.0758, "ndcg@10": 0.0474})
    sampled = evaluate(knn, beauty.test, popularity=beauty.popularity, protocol=Protocol(sampled_negatives=100))
    assert sampled.metric("hr@10") == pytest.approx(0.326, abs=0.005)
    assert sampled.metric("ndcg@10") == pytest.approx(0.246, abs=0.005)
