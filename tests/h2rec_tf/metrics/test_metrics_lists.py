"""Coverage, Gini and novelty against values worked out by hand and a naive oracle."""

import math

import numpy as np
import pytest

from h2rec_tf.metrics import lists


def test_coverage_ignores_padding():
    assert lists.coverage(np.asarray([99, 1, 0, 3, 0])) == 0.5
    assert lists.coverage(np.asarray([99, 0, 0])) == 0.0


def test_gini_of_even_and_of_concentrated_lists():
    assert lists.gini(np.asarray([7, 5, 5, 5, 5])) == pytest.approx(0.0)
    assert lists.gini(np.asarray([7, 0, 0, 0, 8])) == pytest.approx(0.75)
    assert lists.gini(np.zeros(4, int)) == 0.0


def test_gini_is_half_the_relative_mean_difference():
    counts = np.random.default_rng(0).integers(0, 20, 31)
    values = counts[1:].tolist()
    differences = sum(abs(a - b) for a in values for b in values)
    assert lists.gini(counts) == pytest.approx(differences / (2 * len(values) ** 2 * np.mean(values)))


def test_novelty_by_hand():
    # Shares with one added to each item: 4/8, 2/8, 2/8, so 1, 2 and 2 bits.
    popularity = np.asarray([0, 3, 1, 1])
    assert lists.novelty(np.asarray([9, 1, 0, 1]), popularity) == pytest.approx(1.5)
    assert lists.novelty(np.asarray([0, 0, 1, 1]), popularity) == pytest.approx(2.0)


def test_novelty_of_an_untrained_item_is_finite_and_highest():
    popularity = np.asarray([0, 3, 0])
    cold = lists.novelty(np.asarray([0, 0, 1]), popularity)
    assert cold == pytest.approx(math.log2(5))
    assert cold > lists.novelty(np.asarray([0, 1, 0]), popularity)
