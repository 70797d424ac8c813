"""Order within a user: times, ties, a second key, the order of rows, and exact repeats."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tie_key

from h2rec_tf.config import DataConfig
from h2rec_tf.data.dataset import build_dataset
from h2rec_tf.data.events import make_events, ordered_events
from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.ordering import SecondKey, hash_ids
from h2rec_tf.data.sequences import Catalogue, catalogue_order
from h2rec_tf.errors import InputError
from h2rec_tf.index.queries import histories_of_users


def catalogue(item_ids):
    ids = np.asarray(list(item_ids), object)[catalogue_order(list(item_ids))]
    return Catalogue(ids, ids, ids)


def noise(users=2000, items=200, events=8, seed=0):
    """Users with one time each and items at random."""
    generator = np.random.default_rng(seed)
    taken = np.stack([generator.choice(items, events, replace=False) for _ in range(users)])
    names = [f"u{user}" for user in range(users) for _ in range(events)]
    times = np.repeat(generator.integers(10**18, 2 * 10**18, users), events)
    return Interactions.from_lists(names, [f"i{item}" for item in taken.ravel()], times.tolist())


def test_ties_favor_no_item_and_no_direction():
    """On noise with one time a user, targets lie in the highest and the lowest ten indices as often as by chance."""
    dataset = build_dataset(noise(), catalogue([f"i{item}" for item in range(200)]))
    targets = dataset.test.targets
    for extreme in (targets > 190, targets <= 10):
        # Chance is 10 of 200; the bound is five standard deviations of a share of 2000.
        assert abs(extreme.mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / len(targets))
    items, starts = dataset.train.items, dataset.train.offsets[1:-1]
    ascending = np.diff(items) > 0
    inside = np.delete(ascending, starts - 1)
    # Neighbors of a random permutation ascend in half the cases; the bound is five standard deviations and more.
    assert abs(inside.mean() - 0.5) < 5 * np.sqrt(0.25 / len(inside))


def test_order_of_two_items_differs_from_user_to_user_and_time_to_time():
    for events in ([(f"u{user}", 7) for user in range(400)], [("u", time) for time in range(400)]):
        users = [user for user, _ in events for _ in range(2)]
        times = [time for _, time in events for _ in range(2)]
        found, _, _ = make_events(Interactions.from_lists(users, ["a", "b"] * 400, times), catalogue("abc"))
        firsts = found.items[::2]
        assert 140 < np.sum(firsts == firsts[0]) < 260


def test_order_of_ties_stays_when_other_items_join_and_rows_come_otherwise():
    interactions = noise(users=50)
    small = [f"i{item}" for item in range(200)]
    first, second = catalogue(small), catalogue([*small, *(f"new{item}" for item in range(77))])
    shuffled = np.random.default_rng(1).permutation(len(interactions))
    other = Interactions(
        interactions.users[shuffled],
        interactions.items[shuffled],
        interactions.timestamps[shuffled],
        interactions.user_ids,
        interactions.item_ids,
    )
    histories = [
        [known.item_ids[data.train.history(user) - 1].tolist() for user in range(50)]
        for known, data in ((first, build_dataset(interactions, first)), (second, build_dataset(other, second)))
    ]
    assert histories[0] == histories[1]


def test_order_of_ties_is_the_same_in_every_process():
    code = (
        "import numpy as np;from h2rec_tf.data.events import ordered_events as o;"
        "from h2rec_tf.data.ordering import hash_ids as h;"
        "e,_=o(np.zeros(9,np.int32),np.arange(1,10,dtype=np.int32),np.full(9,10**18),np.asarray(['é'],object),"
        "item_hashes=h(np.asarray(list('abcdefghi'),object)));print(e.items.tolist())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == [
        ord(item) - 96 for item in sorted("abcdefghi", key=lambda item: tie_key("é", 10**18, item))
    ]


EVENT = st.tuples(
    st.sampled_from(["a", "B", "ab"]),
    st.sampled_from("wxyz"),
    st.sampled_from([0, 1, 10**9, 2 * 10**9, 2**62]),
    st.integers(-2, 2),
    st.sampled_from([0, 500_000_000]),
)


@given(st.lists(EVENT, min_size=1, max_size=30), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_sorting_equals_pythons(events, keep, keyed):
    """Python's sort by the keys in turn is the oracle."""
    user_ids, item_ids = np.asarray(["a", "B", "ab"], object), np.asarray(list("wxyz"), object)
    users = np.asarray([user_ids.tolist().index(event[0]) for event in events], np.int32)
    items = np.asarray([item_ids.tolist().index(event[1]) + 1 for event in events], np.int32)
    times = np.asarray([event[2] for event in events], np.int64)
    second = SecondKey(*(np.asarray([event[place] for event in events], np.int64) for place in (3, 4)))

    def ordered(rows):
        return ordered_events(
            users[rows],
            items[rows],
            times[rows],
            user_ids,
            item_hashes=hash_ids(item_ids),
            second=second.take(rows) if keyed else None,
            keep_repeats=keep,
        )

    found, repeats = ordered(np.arange(len(events)))
    assert repeats == len(events) - len({event[:3] for event in events})

    # Any order of rows gives the same.
    shuffled, _ = ordered(np.random.default_rng(len(events)).permutation(len(events)))
    for name in ("users", "items", "timestamps"):
        assert getattr(found, name).tolist() == getattr(shuffled, name).tolist()
    least = {event[:3]: min(other[3:] for other in events if other[:3] == event[:3]) for event in events}
    if not keyed:
        least = dict.fromkeys(least, (0, 0))
    kept = [(*event[:3], event[3:] if keyed else (0, 0)) for event in events]
    if not keep:
        kept = [(*event, key) for event, key in least.items()]
    kept.sort(key=lambda event: (event[0], event[2], event[3], tie_key(event[0], event[2], event[1]), event[1]))
    rows = zip(found.user_ids[found.users], item_ids[found.items - 1], found.timestamps.tolist(), strict=True)
    assert list(rows) == [event[:3] for event in kept]


def write(tmp_path, lines, header="user_id,item_id,timestamp", name="a.csv"):
    (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{item},Item {item}\n" for item in "abcdefgh"))
    return str(tmp_path / name), str(tmp_path / "items.csv")


def load(files, **changes):
    return load_dataset(*files, config=DataConfig(**changes))


def history(dataset, user=0):
    """All items of a user, oldest first, as a string."""
    item_ids = dataset.catalogue.item_ids
    indices = [*dataset.test.histories.history(user), dataset.test.targets[user]]
    return "".join(item_ids[index - 1] for index in indices)


def test_fractions_of_a_second_order_and_tell_events_apart(tmp_path):
    lines = [f"u,{item},2014-04-07T10:51:09.{100 - place:03}Z" for place, item in enumerate("abcdefgh")]
    dataset, report = load(write(tmp_path, [*lines, "u,a,2014-04-07T10:51:09.000000001Z"]))
    assert history(dataset) == "ahgfedcba"
    assert (report.repeats, report.known.interactions) == (0, 9)
    dataset, _ = load(write(tmp_path, [f"u,{item},1500000000.{99 - place}" for place, item in enumerate("dbca")]))
    assert history(dataset) == "acbd"


@pytest.mark.parametrize(
    "column",
    [
        ["3", "1", "2", "0"],
        ["-1", "-3", "-2", "-4.5"],
        ["1.5", "1.2", "1.25", "1.1"],
        ["9223372036854775807", "9223372036854775805", "9223372036854775806", "5"],
        ["2014-01-01T00:00:03Z", "2014-01-01 00:00:01", "2014-01-01T00:00:01.5Z", "2013-12-31"],
    ],
)
def test_an_order_column_orders_events_at_one_time(tmp_path, column):
    lines = [f"u,{item},5,{value}" for item, value in zip("dbca", column, strict=True)]
    files = write(tmp_path, ["u,e,4,99", *lines], header="user_id,item_id,timestamp,step")
    dataset, _ = load(files, order_column="step")
    assert history(dataset) == "eabcd"
    assert histories_of_users(files[0], 5, DataConfig(order_column="step")) == [list("eabcd")]


def test_an_order_column_says_what_does_not_order(tmp_path):
    files = write(tmp_path, ["u,a,1,1", "u,b,2,x", "u,c,3,", "u,d,4,2"], header="user_id,item_id,timestamp,step")
    with pytest.raises(InputError, match=r"a\.csv:3: column `step`: 'x' orders nothing; .* \(2 bad rows in all"):
        load(files, order_column="step")
    with pytest.raises(InputError, match=r"missing column `place`.*--order-column"):
        load(files, order_column="place")


def test_rows_in_order_without_times(tmp_path):
    files = write(tmp_path, [f"{user},{item}" for item in "dbca" for user in "uv"], header="user_id,item_id")
    dataset, report = load(files, time="none")
    assert history(dataset) == history(dataset, 1) == "dbca"
    assert dataset.train.timestamps is None
    assert report.first_timestamp is None
    assert not report.warnings
    # Nothing is a repeat: each row is a place of its own.
    dataset, report = load(write(tmp_path, ["u,a", "u,a", "u,b", "u,a"], header="user_id,item_id"), time="none")
    assert (history(dataset), report.repeats) == ("aaba", 0)
    dataset, _ = load(files_of(tmp_path), time="none", split="temporal", validation_fraction=0.25, test_fraction=0.25)
    # The last rows of the file are the test.
    assert dataset.catalogue.item_ids[dataset.test.targets - 1].tolist() == ["g", "h"]
    assert dataset.catalogue.item_ids[dataset.validation.targets - 1].tolist() == ["e", "f"]


def files_of(tmp_path):
    return write(tmp_path, [f"{'uv'[place % 2]},{item}" for place, item in enumerate("abcdefgh")], "user_id,item_id")


def test_without_times_the_message_says_how_to_go_on(tmp_path):
    files = write(tmp_path, ["u,a,1", "u,b,1"], header="user_id,item_id,click")
    with pytest.raises(InputError, match=r"missing column `timestamp`.*--time none takes the order of rows"):
        load(files)
    with pytest.raises(InputError, match=r"--order-column click with --time none.*--timestamp-column click"):
        load(files, time="none", order_column="click")


def test_exact_repeats_are_dropped_or_kept_and_counted(tmp_path):
    files = write(tmp_path, ["u,a,1", "u,b,2", "u,b,2.0", "u,c,3", "u,b,2000000000000000000"])
    dataset, report = load(files)
    assert (history(dataset), report.repeats, report.repeats_kept) == ("abcb", 1, False)
    assert "1 exact repeats dropped" in "\n".join(report.lines())
    dataset, report = load(files, repeats="keep")
    assert (history(dataset), report.repeats, report.repeats_kept) == ("abbcb", 1, True)
    assert "1 exact repeats kept" in "\n".join(report.lines())


def test_the_unit_of_numbers_can_be_named(tmp_path):
    files = write(tmp_path, ["u,a,1500000000000", "u,b,1400000000", "u,c,1600000000000"])
    assert history(load(files)[0]) == "bac"
    files = write(tmp_path, ["u,a,50000000000", "u,b,1", "u,c,60000000000"])
    with pytest.raises(InputError, match=r"a\.csv:2: column `timestamp`: '50000000000' is too large .*--time-unit"):
        load(files)
    dataset, report = load(files, time_unit="us")
    assert history(dataset) == "bac"
    assert report.last_timestamp == 60_000 * 10**9


def test_times_out_of_range_are_rejected_rows(tmp_path):
    files = write(tmp_path, ["u,a,1", "u,b,2300-01-01", "u,c,1969-12-31", "u,d,03/04/2012", "u,a,2", "u,b,3"])
    _, report = load(files, max_bad_rows=3)
    assert [(problem.row, problem.kind) for problem in report.problems.ordered()] == [
        (3, "timestamp out of range"),
        (4, "negative timestamp"),
        (5, "unparsable timestamp"),
    ]
    assert "does not tell day and month apart" in report.problems.ordered()[2].message
