"""Slices: who is head, tail and cold, and the labels that the pipeline shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.metrics import slices


def test_head_takes_the_most_popular_share_and_breaks_ties_by_index():
    popularity = np.asarray([0, 3, 9, 3, 3, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(slices.head_mask(popularity, 0.2)), [2, 1][::-1])
    np.testing.assert_array_equal(np.flatnonzero(slices.head_mask(popularity, 0.3)), [1, 2, 3])


def test_items_without_interactions_are_never_head():
    popularity = np.asarray([0, 0, 2, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(slices.head_mask(popularity, 1.0)), [2])
    assert not slices.head_mask(popularity, 0.0).any()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.floats(0, 1))
def test_no_tail_item_is_more_popular_than_a_head_item(counts, fraction):
    popularity = np.asarray([0, *counts])
    head = slices.head_mask(popularity, fraction)
    assert not head[0]
    assert head.sum() == min(round(fraction * len(counts)), np.count_nonzero(popularity))
    tail = popularity[1:][~head[1:]]
    if head.any() and len(tail):
        assert popularity[head].min() >= tail.max()


def test_group_labels_name_closed_and_open_ranges():
    assert slices.group_labels((1, 10, 30, 60, 100)) == ["1-9", "10-29", "30-59", "60-99", "100+"]
    assert slices.group_labels(slices.HISTORY_GROUPS) == ["0", "1-4", "5-9", "10-19", "20-49", "50+"]


def test_labels_for_features():
    popularity = np.asarray([0, 5, 1, 0, 2])
    assert slices.popularity_labels(popularity, 0.25).tolist() == ["", "head", "tail", "tail", "tail"]
    lengths = np.asarray([0, 1, 4, 5, 49, 50, 999])
    assert slices.history_labels(lengths).tolist() == ["0", "1-4", "1-4", "5-9", "20-49", "50+", "50+"]


def test_user_slices_by_hand():
    popularity = np.asarray([0, 150, 9, 10, 0, 65])
    masks = slices.user_slices(np.asarray([1, 2, 3, 4, 5]), np.asarray([0, 3, 5, 60, 12]), popularity, 0.4)
    members = {name: (np.flatnonzero(mask) + 1).tolist() for name, mask in masks.items()}
    assert members == {
        "overall": [1, 2, 3, 4, 5],
        "head": [1, 5],
        "tail": [2, 3, 4],
        "cold": [4],
        "popularity 1-9": [2],
        "popularity 10-29": [3],
        "popularity 30-59": [],
        "popularity 60-99": [5],
        "popularity 100+": [1],
        "history 0": [1],
        "history 1-4": [2],
        "history 5-9": [3],
        "history 10-19": [5],
        "history 20-49": [],
        "history 50+": [4],
    }


def test_groups_partition_the_users():
    rng = np.random.default_rng(1)
    popularity = np.r_[0, rng.integers(0, 200, 80)]
    targets, lengths = rng.integers(1, 81, 300), rng.integers(0, 90, 300)
    masks = slices.user_slices(targets, lengths, popularity)
    np.testing.assert_array_equal(masks["head"] ^ masks["tail"], True)
    assert not (masks["cold"] & masks["head"]).any()
    for prefix, extra in (("popularity ", ["cold"]), ("history ", [])):
        groups = [mask for name, mask in masks.items() if name.startswith(prefix) or name in extra]
        np.testing.assert_array_equal(np.sum(groups, axis=0), 1)


def test_history_labels_agree_with_the_slices():
    lengths = np.arange(70)
    masks = slices.user_slices(np.ones(70, int), lengths, np.asarray([0, 1]))
    for length, label in zip(lengths, slices.history_labels(lengths), strict=True):
        assert masks[f"history {label}"][length]


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_popularity_labels_agree_with_the_slices(fraction):
    popularity = np.asarray([0, 4, 4, 0, 7, 1])
    masks = slices.user_slices(np.arange(1, 6), np.ones(5, int), popularity, fraction)
    labels = slices.popularity_labels(popularity, fraction)
    assert [label == "head" for label in labels[1:]] == masks["head"].tolist()
