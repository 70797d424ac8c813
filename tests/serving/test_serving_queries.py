"""Every signature through the typed clients, against NumPy; both clients give the same."""

import asyncio
import inspect
import socket

import numpy as np
import pytest
import toy_recommender

from h2rec_tf.errors import InputError
from serving.client import AsyncClient, Client

HISTORIES = [["i1", "i2"], [], ["i7", "nobody"], ["i3"], ["i4"]]


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request, server):
    """`ask(method, ...)` through either client, which sends at most two rows in one request."""

    def blocking(method, *arguments, **named):
        with Client(server.target, batch_size=2, timeout=20) as client:
            return getattr(client, method)(*arguments, **named)

    def asynchronous(method, *arguments, **named):
        async def main():
            async with AsyncClient(server.target, batch_size=2, timeout=20) as client:
                return await getattr(client, method)(*arguments, **named)

        return asyncio.run(main())

    return blocking if request.param == "Client" else asynchronous


@pytest.fixture
def closed_port():
    """An address where nobody listens: bound, so that no one else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def ids(rows):
    return [[item.item_id for item in row] for row in rows]


def wanted(history, k, hidden=()):
    return [item for item, _ in toy_recommender.expected(1, history, k, tuple(hidden))]


def test_both_clients_have_the_same_methods():
    def methods(cls):
        return {
            name: [(p.name, p.kind, p.default) for p in inspect.signature(value).parameters.values()]
            for name, value in vars(cls).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_whether_a_server_is_there_is_waited_for(ask):
    assert ask("wait", 20)


def test_waiting_for_nobody_ends(closed_port):
    async def asked():
        async with AsyncClient(closed_port) as client:
            return await client.wait(0.05)

    assert not asyncio.run(asked())
    with Client(closed_port) as client:
        assert not client.wait(0.05)


@pytest.mark.parametrize(
    "exclude", [[], [["i5", "i6", "i8"]], [["i5"], ["i6", "nobody"], [], ["i7", "i8", "i9"], ["i4"]]]
)
def test_excluded_items_do_not_come_back(ask, exclude):
    answers = ask("recommend", HISTORIES, 12, exclude=exclude)
    lists = exclude * len(HISTORIES) if len(exclude) == 1 else exclude or [[]] * len(HISTORIES)
    assert ids(answers) == [wanted(history, 12, out) for history, out in zip(HISTORIES, lists, strict=True)]


def test_allowed_categories_alone_come_back(ask):
    odd = [f"i{n}" for n in range(1, 13, 2)]
    even = [f"i{n}" for n in range(2, 13, 2)]
    answers = ask("recommend", HISTORIES, 4, allow_categories=[["odd"]], exclude=[["i9"]])
    assert ids(answers) == [wanted(history, 4, [*even, "i9"]) for history in HISTORIES]
    per_user = [["even"], ["odd", "even"], [], ["odd"], ["nothing"]]
    hidden = [odd, [], [], even, odd + even]
    answers = ask("recommend", HISTORIES, 3, allow_categories=per_user)
    assert ids(answers) == [wanted(history, 3, out) for history, out in zip(HISTORIES, hidden, strict=True)]


def test_similar_items_are_those_of_the_largest_cosine(ask):
    vectors = toy_recommender.vectors_of(1)[1:]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = ask("similar_items", ["i3", "i1", "i12"], k=4)
    for number, answer in zip((3, 1, 12), answers, strict=True):
        cosines = unit @ unit[number - 1]
        best = [n for n in np.argsort(-cosines) if n != number - 1][:4]
        assert [item.item_id for item in answer] == [f"i{n + 1}" for n in best]
        assert [item.score for item in answer] == pytest.approx(cosines[best], rel=1e-5, abs=1e-6)
        assert answer[0].title == f"Title {best[0] + 1} of v1"


def test_candidates_are_ranked_and_nothing_else(ask):
    candidates = [["i5", "i9", "nobody", "i6"], ["i2"], [], ["i1", "i2", "i4"], ["i8", "i7"]]
    answers = ask("rank_candidates", HISTORIES, candidates)
    vectors = toy_recommender.vectors_of(1)
    for history, given, answer in zip(HISTORIES, candidates, answers, strict=True):
        user = vectors[[int(item[1:]) for item in history if item != "nobody"]].sum(axis=0)
        scores = {item: float(vectors[int(item[1:])] @ user) for item in given if item != "nobody"}
        assert [item.item_id for item in answer if item.known] == sorted(scores, key=lambda item: -scores[item])
        # The absolute part is for scores near 0: processors differ in the order of a sum.
        expected = pytest.approx(sorted(scores.values(), reverse=True), abs=1e-6)
        assert [item.score for item in answer if item.known] == expected
        assert [item.item_id for item in answer if not item.known] == [item for item in given if item == "nobody"]
        assert [item.known for item in answer] == sorted((item.known for item in answer), reverse=True)
    for_all = ask("rank_candidates", HISTORIES, [["i5", "i9"]])
    assert for_all == ask("rank_candidates", HISTORIES, [["i5", "i9"]] * 5)


def test_embeddings(ask):
    vectors = toy_recommender.vectors_of(1)
    users = ask("user_embedding", [*HISTORIES, ["i1"]])
    assert users.dtype == np.float32 and users.shape == (6, toy_recommender.SIZE)
    np.testing.assert_allclose(users[0], vectors[1] + vectors[2], rtol=1e-6)
    np.testing.assert_array_equal(users[[1, 5]], [np.zeros(toy_recommender.SIZE), vectors[1]])
    items = ask("item_embedding", ["i3", "nobody", "i1"])
    np.testing.assert_array_equal(items, [vectors[3], np.zeros(toy_recommender.SIZE), vectors[1]])


def test_no_rows(ask):
    assert ask("recommend", []) == ask("similar_items", []) == ask("rank_candidates", [], []) == ask("titles", []) == []
    assert ask("user_embedding", []).shape == ask("item_embedding", []).shape == (0, toy_recommender.SIZE)


@pytest.mark.parametrize(
    ("method", "arguments", "named", "words"),
    [
        ("recommend", [HISTORIES], {"exclude": [["i1"], ["i2"]]}, "`exclude` has 2 lists for 5 histories"),
        ("recommend", [HISTORIES], {"allow_categories": [[]] * 6}, "`allow_categories` has 6 lists for 5 histories"),
        ("rank_candidates", [HISTORIES, []], {}, "`candidates` must have a list for each history"),
        ("rank_candidates", [HISTORIES, [["i1"]] * 2], {}, "`candidates` has 2 lists for 5"),
        ("recommend", [["i1", "i2"]], {}, "must be a list of strings, got the string 'i1'"),
    ],
)
def test_lists_that_do_not_fit_are_refused_before_anything_is_sent(ask, method, arguments, named, words):
    with pytest.raises(InputError, match=words):
        ask(method, *arguments, **named)
