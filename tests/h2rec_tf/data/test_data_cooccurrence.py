"""Pair counts and positive lists against dictionaries filled pair by pair."""

import collections
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.data.cooccurrence import cooccurrence, pair_counts
from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError


def random_sequences(seed, users=12, num_items=8):
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, rng.integers(0, 9)).tolist() for _ in range(users)]
    plain = Sequences.from_lists(histories)
    times = (
        np.concatenate([np.sort(rng.integers(0, 50, len(history))) for history in histories]).astype(np.int64) * 10**9
    )
    return Sequences(plain.user_ids, plain.items, plain.offsets, times)


def naive_counts(train, window, distance_decay=1.0, time_scale=0.0):
    counts = collections.Counter()
    for user in range(len(train)):
        begin = train.offsets[user]
        history = train.history(user)
        for i in range(len(history)):
            for j in range(i + 1, min(i + window + 1, len(history))):
                if history[i] == history[j]:
                    continue
                weight = distance_decay ** (j - i - 1)
                if time_scale:
                    seconds = (train.timestamps[begin + j] - train.timestamps[begin + i]) / 1e9
                    weight *= math.exp(-seconds / time_scale)
                counts[history[i], history[j]] += weight
                counts[history[j], history[i]] += weight
    return counts


def naive_ppmi(counts):
    """item -> {other item: PPMI}."""
    total = sum(counts.values())
    sums = collections.Counter()
    for (i, _), count in counts.items():
        sums[i] += count
    ppmi = collections.defaultdict(dict)
    for (i, j), count in counts.items():
        value = math.log(count * total / (sums[i] * sums[j]))
        if value > 1e-6:
            ppmi[i][j] = value
    return ppmi


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 999),
    st.integers(1, 5),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([0.0, 10.0]),
    st.integers(1, 70),
)
def test_pair_counts_equal_the_naive_ones(seed, window, distance_decay, time_scale, chunk):
    train = random_sequences(seed)
    options = {"window": window, "distance_decay": distance_decay, "time_scale": time_scale}
    counts = pair_counts(train, 8, **options, chunk=chunk)
    expected = np.zeros((9, 9))
    for pair, value in naive_counts(train, **options).items():
        expected[pair] = value
    np.testing.assert_allclose(counts.toarray(), expected, rtol=1e-5, atol=1e-6)
    assert counts.has_sorted_indices and counts.dtype == np.float32


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.integers(1, 4), st.sampled_from([0.0, 10.0]), st.integers(1, 9), st.integers(1, 70))
def test_positive_lists_equal_the_naive_ones(seed, window, time_scale, top, chunk):
    train = random_sequences(seed)
    lists = cooccurrence(train, 8, window=window, time_scale=time_scale, top=top, chunk=chunk)
    ppmi = naive_ppmi(naive_counts(train, window, time_scale=time_scale))
    assert lists.items.shape == lists.weights.shape == (9, top)
    for item in range(9):
        # Equal values may come in either order after rounding, so values are compared, not items.
        strongest = np.asarray(sorted(ppmi[item].values(), reverse=True)[:top])
        count = len(strongest)
        listed = lists.items[item, :count].tolist()
        np.testing.assert_allclose([ppmi[item][other] for other in listed], strongest, atol=1e-5)
        assert len(set(listed)) == count
        assert not lists.items[item, count:].any() and not lists.weights[item, count:].any()
        if count:
            spread = strongest[0] - strongest[-1]
            expected = 0.3 + 0.7 * (strongest - strongest[-1]) / spread if spread > 1e-4 else np.ones(count)
            if spread > 1e-4 or spread < 1e-12:
                np.testing.assert_allclose(lists.weights[item, :count], expected, atol=2e-3)


def test_positives_by_hand():
    # Pairs inside window 1: (1,2) three times, (1,3) once, (2,3) once, (3,4) once; total 12 in both directions.
    train = Sequences.from_lists([[1, 2], [2, 1], [3, 1, 2, 3], [4, 3]])
    lists = cooccurrence(train, 5, window=1, top=2)
    # Item 3: PMI with 4 is log(1*12/(3*1)) = log 4; with 1 and 2 log(1*12/(3*4)) = 0, which is dropped.
    np.testing.assert_array_equal(lists.items[1:], [[2, 0], [1, 0], [4, 0], [3, 0], [0, 0]])
    np.testing.assert_array_equal(lists.weights[1:], [[1, 0], [1, 0], [1, 0], [1, 0], [0, 0]])
    assert lists.items.dtype == np.int32 and lists.weights.dtype == np.float32


def test_weights_run_from_one_down_to_three_tenths():
    train = Sequences.from_lists(
        [[1, 2]] * 6 + [[1, 3]] * 3 + [[4, 3]] * 4 + [[4, 5]] * 5 + [[2, 6]] * 3 + [[1, 6]] * 2
    )
    lists = cooccurrence(train, 6, window=2, top=3)
    for item in range(1, 7):
        weights = lists.weights[item][lists.items[item] > 0]
        assert weights[0] == 1.0
        assert (np.diff(weights) <= 0).all()
        if len(weights) > 1 and weights[-1] < 1.0:
            assert weights[-1] == pytest.approx(0.3)


def test_pairs_never_cross_users_and_repeats_are_no_pairs():
    counts = pair_counts(Sequences.from_lists([[1, 1], [], [2], [3, 3, 3]]), 3, window=3)
    assert counts.nnz == 0
    lists = cooccurrence(Sequences.from_lists([]), 3, top=4)
    assert lists.items.shape == (4, 4) and not lists.items.any()
    assert cooccurrence(Sequences.from_lists([[1, 2]]), 3, top=0).items.shape == (4, 0)


def test_time_decay_prefers_items_bought_together():
    train = Sequences(
        np.asarray(["a", "b"], object),
        np.asarray([1, 2, 3, 1, 2, 3], np.int32),
        np.asarray([0, 3, 6]),
        np.asarray([0, 1, 100, 5, 6, 105], np.int64) * 10**9,
    )
    counts = pair_counts(train, 3, window=1, time_scale=10.0).toarray()
    assert counts[1, 2] == pytest.approx(2 * math.exp(-0.1), rel=1e-5)
    assert counts[2, 3] == pytest.approx(2 * math.exp(-9.9), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be at least 1"),
        ({"top": -1}, "top must be at least 0"),
        ({"time_scale": -1.0}, "time_scale must be at least 0"),
        ({"time_scale": 5.0}, "time_scale above 0 needs timestamps"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        cooccurrence(Sequences.from_lists([[1, 2]]), 2, **options)
