"""Properties of matching, k-core and both splits."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tie_key

from h2rec_tf.data.dataset import build_dataset
from h2rec_tf.data.events import k_core, make_events
from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.sequences import Catalogue, catalogue_order
from h2rec_tf.errors import InputError

ITEM_IDS = [f"i{number}" for number in range(8)]
ORDERED = np.asarray(ITEM_IDS, object)[catalogue_order(ITEM_IDS)]
CATALOGUE = Catalogue(ORDERED, ORDERED, ORDERED)
INDEX = CATALOGUE.index()

EVENT = st.tuples(st.sampled_from(["a", "b", "c", "ab", "B"]), st.sampled_from(ITEM_IDS), st.integers(0, 9))
EVENTS = st.lists(EVENT, min_size=1, max_size=40)
SETTINGS = settings(max_examples=120, deadline=None, derandomize=True)


def interactions(events) -> Interactions:
    return Interactions.from_lists(*map(list, zip(*events, strict=True)))


def ordered(events) -> dict[str, list[tuple[int, int]]]:
    """Each user's distinct (time, item index), by user id."""
    users = collections.defaultdict(list)

    def place(event):
        user, item, time = event
        return user, time, tie_key(user, time, item), INDEX[item]

    for user, item, time in sorted(set(events), key=place):
        users[user].append((time, INDEX[item]))
    return dict(users)


def rows(sequences) -> list[tuple[str, list[tuple[int, int]]]]:
    result = []
    for row in range(len(sequences)):
        part = slice(sequences.offsets[row], sequences.offsets[row + 1])
        pairs = zip(sequences.timestamps[part].tolist(), sequences.items[part].tolist(), strict=True)
        result.append((sequences.user_ids[row], list(pairs)))
    return result


def same(first, second) -> bool:
    return (
        rows(first.train) == rows(second.train)
        and rows(first.validation.histories) == rows(second.validation.histories)
        and rows(first.test.histories) == rows(second.test.histories)
        and first.validation.targets.tolist() == second.validation.targets.tolist()
        and first.test.targets.tolist() == second.test.targets.tolist()
    )


@given(EVENTS)
@SETTINGS
def test_leave_one_out(events):
    users = ordered(events)
    long = [user for user, history in users.items() if len(history) >= 3]
    if not long:
        with pytest.raises(InputError, match="no user has 3 interactions"):
            build_dataset(interactions(events), CATALOGUE)
        return
    dataset = build_dataset(interactions(events), CATALOGUE)
    assert rows(dataset.train) == [
        (user, history[:-2] if len(history) >= 3 else history) for user, history in users.items()
    ]
    assert rows(dataset.validation.histories) == [(user, users[user][:-2]) for user in long]
    assert rows(dataset.test.histories) == [(user, users[user][:-1]) for user in long]
    assert dataset.validation.targets.tolist() == [users[user][-2][1] for user in long]
    assert dataset.test.targets.tolist() == [users[user][-1][1] for user in long]
    assert dataset.train.items.dtype == dataset.test.targets.dtype == np.int32
    assert dataset.popularity.sum() + 2 * len(long) == len(set(events))


@given(EVENTS, st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.2, 0.4]))
@SETTINGS
def test_temporal(events, validation_fraction, test_fraction):
    arguments = {"split": "temporal", "validation_fraction": validation_fraction, "test_fraction": test_fraction}
    try:
        dataset = build_dataset(interactions(events), CATALOGUE, **arguments)
    except InputError as error:
        assert "leave no interaction to train on" in str(error)
        return
    users = ordered(events)
    total = sum(map(len, users.values()))
    train = dict(rows(dataset.train))
    held_out = [(dataset.validation, []), (dataset.test, [])]
    for holdout, times in held_out:
        for (user, history), target in zip(rows(holdout.histories), holdout.targets.tolist(), strict=True):
            # The history is all that came before, and the target is what came then.
            place = len(history)
            assert users[user][:place] == history
            assert users[user][place][1] == target
            times.append((users[user][place][0], user, place))
    train_times = [time for history in train.values() for time, _ in history]
    validation_times, test_times = ([time for time, _, _ in times] for _, times in held_out)
    # Each interaction is in one part, and the parts follow one another in time.
    places = [(user, place) for user, history in train.items() for place in range(len(history))]
    places += [(user, place) for _, times in held_out for _, user, place in times]
    assert sorted(places) == sorted((user, place) for user, history in users.items() for place in range(len(history)))
    assert all(history == users[user][: len(history)] and history for user, history in train.items())
    for earlier, later in ((train_times, validation_times), (train_times, test_times), (validation_times, test_times)):
        assert not earlier or not later or max(earlier) < min(later)
    assert len(test_times) >= round(test_fraction * total) - 1
    assert bool(test_times) == (test_fraction > 0)
    assert not validation_times or validation_fraction


@given(EVENTS, st.randoms(use_true_random=False), st.sampled_from(["leave_one_out", "temporal"]))
@SETTINGS
def test_order_of_rows_does_not_matter(events, random, split):
    shuffled = list(events)
    random.shuffle(shuffled)
    try:
        first = build_dataset(interactions(events), CATALOGUE, split=split)
    except InputError:
        return
    codes = interactions(shuffled)
    # Codes by first appearance, as reading gives them.
    users = list(dict.fromkeys(event[0] for event in shuffled))
    appearing = Interactions(
        np.asarray([users.index(event[0]) for event in shuffled], np.int32),
        codes.items,
        codes.timestamps,
        np.asarray(users, object),
        codes.item_ids,
    )
    assert same(first, build_dataset(appearing, CATALOGUE, split=split))
    assert same(first, build_dataset(codes, CATALOGUE, split=split))


@given(EVENTS)
@SETTINGS
def test_times_too_large_for_one_sorting_key(events):
    """Far-apart times take the other way of sorting, with the same outcome."""
    stretched = [(user, item, 2**62 if time == 9 else time) for user, item, time in events]
    found, _, _ = make_events(interactions(stretched), CATALOGUE)
    rows = zip(found.user_ids[found.users], found.timestamps.tolist(), found.items.tolist(), strict=True)
    assert list(rows) == [(user, *row) for user, history in ordered(stretched).items() for row in history]
    assert found.users.dtype == found.items.dtype == np.int32


def naive_core(events, of_users, of_items):
    while True:
        users = collections.Counter(user for user, _, _ in events)
        items = collections.Counter(item for _, item, _ in events)
        kept = [(u, i, t) for u, i, t in events if users[u] >= of_users and items[i] >= of_items]
        if len(kept) == len(events):
            return kept
        events = kept


@given(EVENTS, st.integers(0, 5), st.integers(0, 5))
@SETTINGS
def test_k_core(events, of_users, of_items):
    matched, repeats, _ = make_events(interactions(events), CATALOGUE)
    assert len(matched) + repeats == len(events)
    core = k_core(matched, min_user_interactions=of_users, min_item_interactions=of_items)
    found = zip(core.user_ids[core.users], CATALOGUE.item_ids[core.items - 1], core.timestamps.tolist(), strict=True)
    assert sorted(found) == sorted(naive_core(set(events), of_users, of_items))


def test_k_core_keeps_the_catalogue():
    events = [("a", item, time) for time, item in enumerate(ITEM_IDS[:4])] * 2 + [("b", "i7", 3)]
    dataset = build_dataset(interactions(events), CATALOGUE, min_user_interactions=2)
    assert len(dataset.catalogue) == len(ITEM_IDS)
    assert dataset.popularity[INDEX["i7"]] == 0
    assert dataset.train.user_ids.tolist() == ["a"]


def test_arguments():
    events = interactions([("a", "i1", time) for time in range(4)])
    with pytest.raises(InputError, match="split must be leave_one_out or temporal, got 'random'"):
        build_dataset(events, CATALOGUE, split="random")
    with pytest.raises(InputError, match=r"validation_fraction 0\.6 and test_fraction 0\.6 leave no interaction"):
        build_dataset(events, CATALOGUE, split="temporal", validation_fraction=0.6, test_fraction=0.6)
    with pytest.raises(InputError, match="k-core drops all"):
        build_dataset(events, CATALOGUE, min_user_interactions=5)
    with pytest.raises(InputError, match="item 'ghost' is not in the items file"):
        build_dataset(interactions([("a", "ghost", 1)]), CATALOGUE)
