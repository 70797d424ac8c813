"""Ranks and metrics of the exported model agree with the evaluation, however items are blocked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_support import DATA, noisy_model, serving_of
from support import MAX_LENGTH, NUM_ITEMS

from h2rec_tf import names
from h2rec_tf.evaluation import Protocol, evaluate
from h2rec_tf.export import ServingModel
from h2rec_tf.models.vector_recommender import VectorRecommender


@pytest.mark.parametrize("item_block", [7, 1, NUM_ITEMS])
def test_blocks_of_items_change_nothing(model: Any, module: ServingModel, item_block: int) -> None:
    blocked = serving_of(model, item_block=item_block)
    items = tf.constant(DATA.test.histories.padded(np.arange(8), 12))
    for key, value in blocked.recommend(items, tf.constant(15)).items():
        expected = module.recommend(items, tf.constant(15))[key]
        if value.dtype == tf.string:
            np.testing.assert_array_equal(value, expected)
        else:
            np.testing.assert_allclose(value, expected, atol=1e-5)
    targets = tf.constant(DATA.test.targets[:8])
    np.testing.assert_array_equal(blocked.ranks(items, targets), module.ranks(items, targets))


@pytest.mark.parametrize("seen", ["exclude", "include"])
@pytest.mark.parametrize("changes", [{}, {"model.branches": "hid", "model.backbone": "bert4rec"}])
def test_ranks_and_metrics_agree_with_the_evaluation(model: Any, changes: dict[str, Any], seen: str) -> None:
    model = noisy_model(**changes) if changes else model
    module = serving_of(model, item_block=16, seen=seen)
    recommender = VectorRecommender(model, max_length=MAX_LENGTH, popularity=DATA.popularity)
    expected = evaluate(recommender, DATA.test, popularity=DATA.popularity, protocol=Protocol(seen))
    items = tf.constant(DATA.test.histories.padded(np.arange(len(DATA.test)), 12))
    targets = tf.constant(DATA.test.targets)
    np.testing.assert_array_equal(module.ranks(items, targets), expected.ranks)
    for name, values in module.metrics(items, targets).items():
        np.testing.assert_allclose(
            tf.reduce_mean(values), expected.metric(name.replace("_", "@")), rtol=1e-5, err_msg=name
        )
    labels = module.popularity_slices(targets).numpy().astype(str)
    np.testing.assert_array_equal(labels == names.HEAD, expected.slices[names.HEAD])
    np.testing.assert_array_equal(labels == names.TAIL, expected.slices[names.TAIL])
    assert (module.ranks(items, tf.zeros_like(targets)).numpy() == NUM_ITEMS + 1).all()


def test_scores_that_are_not_numbers_are_never_good_ones(model: Any) -> None:
    broken = serving_of(model, item_block=16)
    table = broken._table.numpy()
    table[5] = np.nan
    broken._table.assign(table)
    items, targets = tf.constant([[1, 2], [1, 2]]), tf.constant([5, 6])
    sound = serving_of(model, item_block=16).ranks(items, targets).numpy()
    # Nothing is known of the target; beside another target it may be the better one, and counts as such.
    assert broken.ranks(items, targets).numpy().tolist() in ([0, sound[1]], [0, sound[1] + 1])
    for name, values in broken.metrics(items, targets).items():
        assert np.isnan(values[0]) and np.isfinite(values[1]), name


@pytest.mark.parametrize("item_block", [7, NUM_ITEMS])
def test_equals_rank_in_the_order_of_their_indices(model: Any, item_block: int) -> None:
    flat = serving_of(model, item_block=item_block)
    flat._table.assign(tf.ones_like(flat._table))
    ranks = flat.ranks(tf.constant([[1, 2], [1, 2], [1, 2]]), tf.constant([5, 3, 2]))
    # The two of the history are not listed.
    np.testing.assert_array_equal(ranks, [3, 1, NUM_ITEMS + 1])


@pytest.mark.parametrize("item_block", [7, NUM_ITEMS])
def test_a_diverged_model_ranks_nothing_first(model: Any, item_block: int) -> None:
    diverged = serving_of(model, item_block=item_block)
    diverged._table.assign(tf.fill(diverged._table.shape, float("nan")))
    ranks = diverged.ranks(tf.constant([[1, 2]]), tf.constant([5]))
    # No rank, and no metric that could pass a threshold.
    np.testing.assert_array_equal(ranks, [0])
    metrics = diverged.metrics(tf.constant([[1, 2]]), tf.constant([5]))
    assert all(np.isnan(value.numpy()).all() for value in metrics.values())
