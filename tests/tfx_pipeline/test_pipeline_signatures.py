"""Signatures for the Evaluator: equal to the library's evaluation, also after saving."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from pipeline_support import ITEM_IDS, Transformed, example
from support import MAX_LENGTH, NUM_ITEMS, left_padded, random_sequences, tiny_model

from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.evaluation import Protocol, evaluate
from h2rec_tf.export import ServingModel, export_model
from h2rec_tf.models.vector_recommender import VectorRecommender
from tfx_pipeline.user_code.signatures import EvaluationSignatures

HISTORIES = [[3, 4, 5], [], [40], [7] * 12]
TARGETS = [6, 1, 2, 30]


@pytest.fixture(scope="module", params=["exclude", "include"])
def saved(
    request: pytest.FixtureRequest, transformed: Transformed, tmp_path_factory: pytest.TempPathFactory
) -> tuple[object, object, np.ndarray, str]:
    """A model, its loaded SavedModel, and the popularity and the policy on seen items that it was exported with."""
    # Codes alone: items of one code tuple have one vector, and so equal scores.
    model = tiny_model(**{"model.branches": "sid"})
    # As where users come back: seen items are worth recommending.
    model.seen.weight.assign(0.1)
    popularity = np.bincount(random_sequences().items, minlength=NUM_ITEMS + 1)
    ids = np.asarray(ITEM_IDS, dtype=object)
    serving = ServingModel(
        model, item_ids=ids, titles=ids, popularity=popularity, max_length=MAX_LENGTH, seen=request.param
    )
    directory = str(pathlib.Path(tmp_path_factory.mktemp("model")) / "saved")
    export_model(serving, directory, signatures=EvaluationSignatures(serving, transformed.graph, (5, 10)).signatures())
    return model, tf.saved_model.load(directory), popularity, request.param


def examples() -> tf.Tensor:
    rows = [
        example(
            user_id=[f"u{row}"],
            history=[ITEM_IDS[item - 1] for item in history],
            target=[ITEM_IDS[target - 1]],
        )
        for row, (history, target) in enumerate(zip(HISTORIES, TARGETS, strict=True))
    ]
    return tf.constant(rows)


def test_metrics_equal_the_librarys_evaluation(saved: tuple) -> None:
    model, loaded, popularity, seen = saved
    outputs = loaded.signatures["evaluate"](examples=examples())
    holdout = Holdout(Sequences.from_lists(HISTORIES), np.asarray(TARGETS, np.int32))
    recommender = VectorRecommender(model, max_length=MAX_LENGTH, popularity=popularity)
    expected = evaluate(recommender, holdout, popularity=popularity, ks=(5, 10), protocol=Protocol(seen))
    assert set(outputs) == {"hr_5", "hr_10", "ndcg_5", "ndcg_10", "mrr"}
    for name, value in outputs.items():
        assert value.shape == (4,)
        assert float(tf.reduce_mean(value)) == pytest.approx(expected.metric(name.replace("_", "@")), abs=1e-6)


def test_slices_equal_the_librarys_slices(saved: tuple) -> None:
    _, loaded, popularity, _ = saved
    features = loaded.signatures["transform_features"](examples=examples())
    head = set((np.argsort(-popularity[1:], kind="stable")[:8] + 1).tolist())
    assert features["popularity_slice"].numpy().tolist() == [b"head" if t in head else b"tail" for t in TARGETS]
    bounds = ((0, b"cold"), (9, b"1-9"), (29, b"10-29"), (59, b"30-59"), (99, b"60-99"), (10**9, b"100+"))
    groups = [next(label for high, label in bounds if popularity[t] <= high) for t in TARGETS]
    assert features["popularity_group"].numpy().tolist() == groups
    assert len(set(groups)) > 1
    assert features["history_slice"].numpy().tolist() == [b"1-4", b"0", b"1-4", b"10-19"]
    assert features["target_index"].numpy().tolist() == TARGETS


def test_saved_model_has_the_serving_signatures_too(saved: tuple) -> None:
    _, loaded, _, seen = saved
    answer = loaded.signatures["serving_default"](
        history=tf.constant([[ITEM_IDS[2]]]), k=tf.constant(3), exclude=tf.zeros([1, 0], tf.string)
    )
    assert answer["item_ids"].shape == (1, 3)
    if seen == "exclude":
        assert ITEM_IDS[2].encode() not in answer["item_ids"].numpy()[0]


def test_metrics_are_those_of_the_lists_that_are_served(saved: tuple) -> None:
    _, loaded, _, seen = saved
    generator = np.random.default_rng(5)
    names = [*ITEM_IDS, "nobody's"]
    histories = [generator.choice(names, generator.integers(0, 14)).tolist() for _ in range(80)]
    # Half of the targets are repeats, and some are unknown.
    targets = [
        str(generator.choice(history)) if history and row % 2 else str(generator.choice(names))
        for row, history in enumerate(histories)
    ]
    rows = [
        example(user_id=[f"u{row}"], history=history, target=[target])
        for row, (history, target) in enumerate(zip(histories, targets, strict=True))
    ]
    outputs = loaded.signatures["evaluate"](examples=tf.constant(rows))
    width = max(map(len, histories))
    answer = loaded.signatures["serving_default"](
        history=tf.constant([[*history, *[""] * (width - len(history))] for history in histories]),
        k=tf.constant(10),
        exclude=tf.zeros([1, 0], tf.string),
    )
    hits, gains = np.zeros(80), np.zeros(80)
    for row, items in enumerate(answer["item_ids"].numpy()):
        for place, item in enumerate(items, start=1):
            if item and item.decode() == targets[row]:
                hits[row], gains[row] = 1.0, 1 / np.log2(place + 1.0)
    np.testing.assert_array_equal(outputs["hr_10"], hits)
    np.testing.assert_array_equal(outputs["ndcg_10"], gains.astype(np.float32))
    repeated = np.asarray([target in history for target, history in zip(targets, histories, strict=True)])
    assert 0 < hits[~repeated].mean() < 1
    assert (hits[repeated].sum() > 0) == (seen == "include")


def test_serving_reads_histories_as_the_transform_graph_does(saved: tuple, transformed: Transformed) -> None:
    model, loaded, _, _ = saved
    history = [ITEM_IDS[4], "unknown", ITEM_IDS[39], ITEM_IDS[0]]
    layer = transformed.graph.transform_features_layer()
    parsed = tf.io.parse_example([example(user_id=["u"], history=history)], transformed.graph.raw_feature_spec())
    indices = tf.sparse.to_dense(layer(parsed)["history_index"]).numpy()[0].tolist()
    assert indices == [5, 40, 1]
    served = loaded.signatures["user_embedding"](history=tf.constant([history]))["embedding"]
    expected = model.user_vectors(left_padded([indices], MAX_LENGTH))
    np.testing.assert_allclose(served.numpy(), expected.numpy(), atol=1e-5)
