"""Ranking metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from h2rec_tf.metrics import ranking

RANKS = np.asarray([1, 2, 3, 5, 6, 100])


def test_hit_counts_ranks_up_to_k():
    np.testing.assert_array_equal(ranking.hit(RANKS, 5), [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(ranking.hit(RANKS, 1), [1, 0, 0, 0, 0, 0])


def test_ndcg_discounts_by_log2_of_rank_plus_one():
    expected = [1.0, 1 / math.log2(3), 0.5, 1 / math.log2(6), 0.0, 0.0]
    np.testing.assert_allclose(ranking.ndcg(RANKS, 5), expected)


def test_reciprocal_rank_covers_the_whole_ranking():
    np.testing.assert_allclose(ranking.reciprocal_rank(RANKS), [1, 1 / 2, 1 / 3, 1 / 5, 1 / 6, 1 / 100])


def test_metrics_agree_with_a_walk_down_a_ranked_list():
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 30, 50)
    for k in (1, 7, 40):
        gains = [[1.0 if place == rank else 0.0 for place in range(1, k + 1)] for rank in ranks]
        dcg = [sum(gain / math.log2(place + 2) for place, gain in enumerate(row)) for row in gains]
        np.testing.assert_allclose(ranking.ndcg(ranks, k), dcg)
        np.testing.assert_allclose(ranking.hit(ranks, k), [sum(row) for row in gains])


def test_per_row_names_every_metric():
    rows = ranking.per_row(RANKS, (5, 10))
    assert list(rows) == ["hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr"]
    assert rows["ndcg@10"].mean() == pytest.approx(ranking.ndcg(RANKS, 10).mean())
