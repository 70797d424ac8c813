"""Training batches: every interaction but a user's first is a target exactly once an epoch."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_sequences

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.data.sequences import Sequences

histories = st.lists(st.lists(st.just(0), max_size=14), max_size=12)


def _unique_items(rows: list[list[int]]) -> Sequences:
    """Every interaction is another item, so that it can be followed through the batches."""
    counter = iter(range(1, 10_000))
    return Sequences.from_lists([[next(counter) for _ in row] for row in rows])


def _sorted(batches: list[np.ndarray]) -> list[tuple[int, ...]]:
    return sorted(tuple(row[row > 0].tolist()) for batch in batches for row in batch)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=histories, max_length=st.integers(1, 6), batch_size=st.integers(1, 5), bucketed=st.booleans())
def test_each_interaction_but_the_first_is_a_target_once(
    rows: list[list[int]], max_length: int, batch_size: int, bucketed: bool
) -> None:
    sequences = _unique_items(rows)
    batches = TrainingBatches(sequences, max_length, batch_size, seed=3, bucketed=bucketed)
    produced = list(batches.epoch(0))
    assert len(produced) == len(batches)
    targets: collections.Counter[int] = collections.Counter()
    before = {}
    for row in range(len(sequences)):
        history = sequences.history(row).tolist()
        before.update(zip(history[1:], history, strict=False))
    for batch in produced:
        assert batch.dtype == np.int32
        assert 1 <= len(batch) <= batch_size
        assert 2 <= batch.shape[1] <= max_length + 1
        if not bucketed:
            assert batch.shape[1] == max_length + 1
        elif len(batch):
            assert batch[:, 0].any(), "no column of a bucketed batch is all padding"
        real = batch != 0
        assert (np.diff(real.astype(int), axis=1) >= 0).all(), "padding is on the left"
        assert real[:, -2:].all(), "every row has a history and a target"
        for row in batch:
            items = row[row > 0].tolist()
            targets.update(items[1:])
            assert [before[item] for item in items[1:]] == items[:-1], "neighbours in the history are neighbours here"
    assert targets == collections.Counter(before.keys())


def test_long_histories_are_cut_from_the_end_into_windows_that_share_one_item() -> None:
    batches = TrainingBatches(Sequences.from_lists([[1, 2, 3, 4, 5, 6, 7, 8], [9], []]), 3, 2)
    assert _sorted(list(batches.epoch(0))) == [(1, 2), (2, 3, 4, 5), (5, 6, 7, 8)]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    sequences = _unique_items([[0] * (2 + row % 7) for row in range(50)])

    def epoch(seed: int, number: int) -> list[bytes]:
        return [batch.tobytes() for batch in TrainingBatches(sequences, 6, 4, seed).epoch(number)]

    assert epoch(1, 2) == epoch(1, 2)
    assert epoch(1, 2) != epoch(1, 3)
    assert epoch(1, 2) != epoch(2, 2)
    assert epoch(1, 2) != epoch(2, 1)


@pytest.mark.parametrize("bucketed", [True, False])
def test_bucketing_changes_padding_but_not_the_windows(bucketed: bool) -> None:
    sequences = _unique_items([[0] * (2 + row % 7) for row in range(200)])
    batches = list(TrainingBatches(sequences, 8, 10, bucketed=bucketed).epoch(0))
    assert _sorted(batches) == _sorted(list(TrainingBatches(sequences, 8, 10).epoch(0)))
    share = np.mean(np.concatenate([batch.ravel() for batch in batches]) == 0)
    assert share < 0.1 if bucketed else share > 0.3


@pytest.mark.parametrize("bucketed", [True, False])
def test_long_histories_make_smaller_batches(bucketed: bool) -> None:
    sequences = _unique_items([[0] * (2 + row % 7) for row in range(200)])
    whole = TrainingBatches(sequences, 8, 10, bucketed=bucketed)
    bounded = TrainingBatches(sequences, 8, 10, bucketed=bucketed, max_positions=24)
    produced = list(bounded.epoch(0))
    assert _sorted(produced) == _sorted(list(whole.epoch(0)))
    assert max(batch.size for batch in produced) <= 24
    assert len(produced) == len(bounded) > len(whole)
    # Where even one window is too long, it comes alone.
    assert {len(batch) for batch in TrainingBatches(sequences, 8, 10, max_positions=1).epoch(0)} == {1}


def test_nothing_to_train_on_is_no_batch() -> None:
    for rows in ([], [[]], [[1], [2]]):
        batches = TrainingBatches(Sequences.from_lists(rows), 3, 2)
        assert len(batches) == 0
        assert list(batches.epoch(0)) == []


def test_small_data_is_passed_over_until_an_epoch_has_enough_steps() -> None:
    sequences = random_sequences(30)
    once = TrainingBatches(sequences, 8, 16, seed=1)
    often = TrainingBatches(sequences, 8, 16, seed=1, min_steps=2 * len(once) + 1)
    assert len(often) == 3 * len(once) == len(list(often.epoch(0)))
    passes = [list(once.epoch(number)) for number in range(6)]
    # Epoch 1 goes on where epoch 0 ended, so no order comes twice.
    for found, expected in zip(often.epoch(1), passes[3] + passes[4] + passes[5], strict=True):
        np.testing.assert_array_equal(found, expected)
