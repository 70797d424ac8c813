"""Sampled negatives: distinct, unseen, uniform, and the same whatever the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.errors import InputError
from h2rec_tf.metrics.negatives import unseen_negatives


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(5, 60), st.integers(0, 4), st.integers(1, 60), st.integers(0, 1000))
def test_negatives_are_distinct_unseen_and_in_range(num_items, seen, count, seed):
    count = min(count, num_items - seen)
    rows = np.arange(6)
    forbidden = np.random.default_rng(seed).integers(0, num_items + 1, (6, seen))
    drawn = unseen_negatives(rows, forbidden, num_items=num_items, count=count, seed=seed)
    assert drawn.shape == (6, count) and drawn.dtype == np.int32
    for row in rows:
        assert len(set(drawn[row])) == count
        assert not set(drawn[row]) & set(forbidden[row])
        assert drawn[row].min() >= 1 and drawn[row].max() <= num_items


def test_a_row_draws_the_same_in_any_batch():
    forbidden = np.random.default_rng(0).integers(0, 1001, (40, 7))
    options = {"num_items": 1000, "count": 100, "seed": 3}
    whole = unseen_negatives(np.arange(40), forbidden, **options)
    shuffled = np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(unseen_negatives(shuffled, forbidden[shuffled], **options), whole[shuffled])
    np.testing.assert_array_equal(unseen_negatives(np.asarray([17]), forbidden[17:18], **options)[0], whole[17])


def test_seeds_and_rows_draw_differently():
    empty = np.zeros((2, 0), int)
    first = unseen_negatives(np.arange(2), empty, num_items=10_000, count=50, seed=0)
    second = unseen_negatives(np.arange(2), empty, num_items=10_000, count=50, seed=1)
    assert len(np.intersect1d(first[0], second[0])) < 10
    assert len(np.intersect1d(first[0], first[1])) < 10


@pytest.mark.parametrize(("num_items", "count"), [(50, 10), (12, 11)])
def test_draws_are_uniform(num_items, count):
    # The second case leaves the fast path: it takes all but one of the items.
    rows = np.arange(20_000 if count == 10 else 2_000)
    forbidden = np.full((len(rows), 1), 1)
    drawn = unseen_negatives(rows, forbidden, num_items=num_items, count=count, seed=5)
    counts = np.bincount(drawn.ravel(), minlength=num_items + 1)
    expected = len(rows) * count / (num_items - 1)
    assert counts[:2].sum() == 0
    chi_square = ((counts[2:] - expected) ** 2 / expected).sum()
    assert chi_square < 2 * num_items


def test_too_few_unseen_items_is_a_clear_error():
    with pytest.raises(InputError, match="row 4 has only 2 unseen items"):
        unseen_negatives(np.asarray([4]), np.asarray([[1, 2, 3]]), num_items=5, count=3, seed=0)
