"""Evaluation against a naive oracle that sorts every score, and its invariances."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Protocol, evaluate, evaluate_protocols


class Table:
    """Scores out of a fixed table: a user is known by the item that opens the history (row 0 when it is empty)."""

    def __init__(self, table, max_length=100):
        self.table = table
        self.num_items = table.shape[1] - 1
        self.max_length = max_length

    def queries(self, histories):
        assert histories.dtype == np.int32 and histories.shape[1] == self.max_length
        first = (histories != 0).argmax(axis=1)
        return self.table[histories[np.arange(len(histories)), first]]

    def scores(self, queries, start, stop):
        return queries[:, start:stop]


def case(seed, users=30, num_items=20):
    """Random held-out rows, some histories empty, with repeats and with the target in the history."""
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, num_items + 1, rng.integers(0, 9)).tolist() for _ in range(users)]
    targets = rng.integers(1, num_items + 1, users).astype(np.int32)
    targets[0], histories[0] = 3, [3, 3, 5]
    popularity = np.r_[0, rng.integers(0, 120, num_items)]
    table = rng.integers(-3, 4, (num_items + 1, num_items + 1)).astype(np.float32)
    return Table(table), Holdout(Sequences.from_lists(histories), targets), popularity


def oracle_list(scores, barred):
    """All items that may be recommended, best first, as a stable sort has them."""
    return sorted((item for item in range(1, len(scores)) if item not in barred), key=lambda item: -scores[item])


def oracle_rank(scores, target, barred):
    found = oracle_list(scores, barred)
    return 1 + found.index(target) if target in found else len(scores)


# Without the explain phase: it takes minutes over many small evaluations once an example fails.
@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(st.integers(0, 999), st.sampled_from(["exclude", "include", "repeats"]), st.integers(1, 40), st.integers(1, 30))
def test_ranks_lists_and_slices_equal_the_oracle(seed, seen, batch_size, item_block):
    recommender, holdout, popularity = case(seed)
    result = evaluate(
        recommender,
        holdout,
        popularity=popularity,
        protocol=Protocol(seen),
        batch_size=batch_size,
        item_block=item_block,
        recommendation_k=4,
    )
    ranks, recommended = [], []
    for user, target in enumerate(holdout.targets):
        history = holdout.histories.history(user).tolist()
        scores = recommender.table[history[0] if history else 0]
        barred = {"exclude": set(history), "include": set(), "repeats": set(history) - {target}}[seen]
        ranks.append(oracle_rank(scores, target, barred))
        recommended += oracle_list(scores, barred)[:4]
    np.testing.assert_array_equal(result.ranks, ranks)
    assert result.ranks.dtype == np.int64
    assert result.metric("coverage@4") == len(set(recommended)) / 20
    assert result.metric("hr@5") == pytest.approx(np.mean([rank <= 5 for rank in ranks]))
    gains = [1 / np.log2(rank + 1) if rank <= 10 else 0.0 for rank in ranks]
    head = set((np.argsort(-popularity[1:], kind="stable") + 1)[:4])
    of_head = [gain for gain, target in zip(gains, holdout.targets, strict=True) if target in head]
    assert result.metric("users", "head") == len(of_head)
    if of_head:
        assert result.metric("ndcg@10", "head") == pytest.approx(np.mean(of_head))
    shares = (popularity + 1) / (popularity.sum() + 20)
    assert result.metric("novelty@4") == pytest.approx(np.mean([-np.log2(shares[item]) for item in recommended]))


def test_equals_stand_in_the_order_of_their_indices():
    holdout = Holdout(Sequences.from_lists([[1], [2]]), np.asarray([3, 4], np.int32))
    table = np.zeros((5, 5), np.float32)
    table[2, 4] = 1.0
    result = evaluate(Table(table), holdout, popularity=np.zeros(5, int), protocol=Protocol("include"))
    np.testing.assert_array_equal(result.ranks, [3, 1])


def test_a_seen_target_is_missed_where_no_list_can_hold_it():
    table = np.asarray([[9.0, 5.0, 4.0, 3.0, 2.0, 1.0]] * 6, np.float32)
    holdout = Holdout(Sequences.from_lists([[1, 2, 1], [4, 1, 4]]), np.asarray([3, 4], np.int32))
    protocols = [Protocol(), Protocol("include"), Protocol("repeats")]
    found = evaluate_protocols(Table(table), holdout, protocols, popularity=np.ones(6, int), recommendation_k=1)
    assert [result.ranks.tolist() for result in found] == [[1, 6], [3, 4], [1, 3]]
    assert [result.metric("coverage@1") for result in found] == [2 / 5, 1 / 5, 2 / 5]
    assert [result.protocol for result in found] == [
        "seen excluded",
        "seen items compete",
        "seen excluded, repeats compete",
    ]


def test_an_empty_history_is_answered_by_the_fallback():
    recommender, holdout, popularity = case(4)
    recommender.fallback = np.arange(21, dtype=np.float32)
    ranks = evaluate(recommender, holdout, popularity=popularity, item_block=7).ranks
    empty = holdout.histories.lengths == 0
    assert empty.any()
    np.testing.assert_array_equal(ranks[empty], 21 - holdout.targets[empty])


def test_an_unknown_target_is_missed_and_belongs_to_no_slice_of_targets():
    recommender, holdout, popularity = case(4)
    unknown = Holdout(holdout.histories, np.where(np.arange(30) < 10, 0, holdout.targets).astype(np.int32))
    for protocol in (Protocol(), Protocol("include"), Protocol("repeats"), Protocol(sampled_negatives=5)):
        result = evaluate(recommender, unknown, popularity=popularity, protocol=protocol)
        assert (result.ranks[:10] == (6 if protocol.sampled_negatives else 21)).all()
        assert result.metric("users") == 30
        assert result.metric("users", "head") + result.metric("users", "tail") == 20


def test_where_seen_items_do_not_compete_the_score_need_not_tell_them():
    class TwoFaced(Table):
        def unseen_queries(self, queries):
            return -queries

    table = np.asarray([[0.0, 9.0, 7.0, 5.0, 3.0, 1.0]] * 6, np.float32)
    holdout = Holdout(Sequences.from_lists([[1, 1]]), np.asarray([2], np.int32))
    protocols = [Protocol(), Protocol("include"), Protocol(sampled_negatives=3)]
    results = evaluate_protocols(TwoFaced(table), holdout, protocols, popularity=np.ones(6, int))
    # Upside down, the target is the last of the four that are left, and of the target and its three negatives.
    assert [result.ranks.tolist() for result in results] == [[4], [2], [4]]
    assert [result.protocol for result in results] == [protocol.name for protocol in protocols]


def test_the_whole_history_is_excluded_though_the_model_reads_less():
    table = np.asarray([[0.0, 5.0, 4.0, 3.0]] * 4, np.float32)
    holdout = Holdout(Sequences.from_lists([[1, 2, 2]]), np.asarray([3], np.int32))
    result = evaluate(Table(table, max_length=1), holdout, popularity=np.ones(4, int))
    np.testing.assert_array_equal(result.ranks, [1])


def test_minus_infinity_is_never_listed():
    table = np.full((4, 4), -np.inf, np.float32)
    table[:, 1] = 0.0
    holdout = Holdout(Sequences.from_lists([[1], [1]]), np.asarray([2, 1], np.int32))
    result = evaluate(
        Table(table), holdout, popularity=np.ones(4, int), protocol=Protocol("include"), recommendation_k=3
    )
    np.testing.assert_array_equal(result.ranks, [4, 1])
    assert result.metric("coverage@3") == pytest.approx(1 / 3)


def test_order_of_users_does_not_matter():
    recommender, holdout, popularity = case(5)
    order = np.random.default_rng(0).permutation(len(holdout))
    histories = Sequences.from_lists([holdout.histories.history(user).tolist() for user in order])
    shuffled = evaluate(recommender, Holdout(histories, holdout.targets[order]), popularity=popularity, batch_size=7)
    straight = evaluate(recommender, holdout, popularity=popularity)
    np.testing.assert_array_equal(shuffled.ranks, straight.ranks[order])
    for metric in (*straight.metrics, *straight.lists):
        assert shuffled.metric(metric) == pytest.approx(straight.metric(metric)), metric


def test_sampled_protocol_ranks_among_unseen_negatives():
    rng = np.random.default_rng(0)
    num_items = 150
    recommender = Table(rng.normal(size=(num_items + 1, num_items + 1)).astype(np.float32))
    histories = [rng.integers(1, num_items + 1, 6).tolist() for _ in range(40)]
    holdout = Holdout(Sequences.from_lists(histories), rng.integers(1, num_items + 1, 40).astype(np.int32))
    popularity = np.ones(num_items + 1, int)
    options = {"popularity": popularity, "protocol": Protocol(sampled_negatives=100)}
    result = evaluate(recommender, holdout, **options, seed=1)
    assert result.protocol == "100 negatives"
    assert not result.lists
    np.testing.assert_array_equal(
        evaluate(recommender, holdout, **options, seed=1, batch_size=3, item_block=11).ranks, result.ranks
    )
    assert (evaluate(recommender, holdout, **options, seed=2).ranks != result.ranks).any()
    full = evaluate(recommender, holdout, popularity=popularity, protocol=Protocol("repeats")).ranks
    assert (result.ranks <= full).all() and (result.ranks <= 101).all()
    # 100 of about 143 competitors: the expected share of those ahead is the same.
    assert (result.ranks - 1).sum() == pytest.approx((full - 1).sum() * 100 / 143.5, rel=0.05)


@pytest.mark.parametrize("item_block", [7, 1000])
@pytest.mark.parametrize("k", [0, 4])
def test_protocols_of_one_pass_equal_those_of_their_own(item_block, k):
    recommender, holdout, popularity = case(11, num_items=40)
    protocols = [Protocol(seen) for seen in ("exclude", "include", "repeats")]
    protocols += [Protocol(sampled_negatives=9), Protocol(sampled_negatives=3)]
    calls = []

    class Counting(Table):
        def scores(self, queries, start, stop):
            calls.append(start)
            return super().scores(queries, start, stop)

    options = {"popularity": popularity, "item_block": item_block, "recommendation_k": k, "seed": 5}
    together = evaluate_protocols(Counting(recommender.table), holdout, protocols, **options)
    for protocol, result in zip(protocols, together, strict=True):
        alone = evaluate(recommender, holdout, protocol=protocol, **options)
        np.testing.assert_array_equal(result.ranks, alone.ranks)
        assert (result.protocol, result.lists) == (alone.protocol, alone.lists)
        assert bool(result.lists) == (k > 0 and not protocol.sampled_negatives)
    if item_block > 40:
        assert calls == [1]


def test_all_unseen_items_as_negatives_give_the_full_ranking():
    _, _, popularity = case(3)
    # Without equals, which count against the target among negatives alone.
    recommender = Table(np.random.default_rng(3).normal(size=(21, 21)).astype(np.float32))
    histories = [[1 + user, 12] for user in range(10)]
    targets = np.full(10, 19, np.int32)
    holdout = Holdout(Sequences.from_lists(histories), targets)
    sampled = evaluate(recommender, holdout, popularity=popularity, protocol=Protocol(sampled_negatives=17))
    full = evaluate(recommender, holdout, popularity=popularity)
    np.testing.assert_array_equal(sampled.ranks, full.ranks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": np.full((21, 21), np.nan, np.float32)}, "Table gives NaN scores for items 1..20"),
        (
            {"targets": np.full(30, 21, np.int32)},
            "targets must be item indices 1..20, or 0 for one that is unknown, found 21..21",
        ),
        ({"targets": np.full(30, -1, np.int32)}, "found -1..-1"),
        ({"popularity": np.ones(20, int)}, "popularity has 20 entries, expected 21"),
        ({"ks": ()}, "ks must hold"),
        ({"protocol": Protocol(sampled_negatives=19)}, "lower it or rank all items"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_errors_say_what_is_wrong(change, message):
    recommender, holdout, popularity = case(0)
    recommender = Table(change.pop("table", recommender.table))
    holdout = Holdout(holdout.histories, change.pop("targets", holdout.targets))
    with pytest.raises(InputError, match=message):
        evaluate(recommender, holdout, **{"popularity": popularity, **change})


def test_no_rows_and_wrong_shapes_are_refused():
    recommender, _, popularity = case(0)
    empty = Holdout(Sequences.from_lists([]), np.zeros(0, np.int32))
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(recommender, empty, popularity=popularity)
    with pytest.raises(InputError, match="2 targets but 1 histories"):
        evaluate(recommender, Holdout(Sequences.from_lists([[1]]), np.ones(2, np.int32)), popularity=popularity)

    class Narrow(Table):
        def scores(self, queries, start, stop):
            return queries[:, start : stop - 1]

    narrow = Narrow(recommender.table)
    with pytest.raises(InputError, match=r"scores\(1, 21\) of Narrow has shape \(1, 19\), expected \(1, 20\)"):
        evaluate(narrow, Holdout(Sequences.from_lists([[1]]), np.ones(1, np.int32)), popularity=popularity)


def test_progress_is_silent_without_a_terminal(capsys):
    recommender, holdout, popularity = case(0)
    evaluate(recommender, holdout, popularity=popularity, progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""
