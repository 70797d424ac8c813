"""Whatever requests share a call, each is answered as it is alone."""

import dataclasses

import foreign_model
import numpy as np
import pytest
import sharing
from foreign_model import texts

from h2rec_tf import names
from serving.client import Client
from serving.server.errors import RequestError
from serving.server.model_server import ModelServer
from serving.server.options import Batching, Limits, ServerOptions
from serving.server.servable import Servable

ROUNDS = 25
REQUESTS = foreign_model.requests()
# Nobody can tell whose the rows of an input or output are: such requests run alone, whoever vouches for the model.
NEVER_SHARED = {"lengths", "two", "any_rank", "one_answer"}


@pytest.fixture(scope="module")
def foreign_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    foreign_model.save(folder)
    return folder


@pytest.fixture(scope="module")
def foreign(foreign_dir):
    servable = Servable.load(1, str(foreign_dir / "1"))
    yield servable
    servable.close()


@pytest.mark.parametrize("signature", REQUESTS)
def test_foreign_signatures_of_every_kind(foreign, signature):
    generator = np.random.default_rng(0)
    sizes = []
    for _ in range(ROUNDS):
        requests = [REQUESTS[signature](generator) for _ in range(int(generator.integers(2, 8)))]
        sizes += sharing.check(foreign, signature, requests)
    assert (max(sizes) > 1) == (signature not in NEVER_SHARED)


def test_calls_of_a_foreign_model_are_shared_only_where_somebody_vouches_for_it(foreign_dir, monkeypatch):
    """As in TensorFlow Serving, whose batching is off until it is asked for: rows may have to do with each other."""
    made = []

    def batcher(run, options, *rest):
        made.append(options)
        return _Alone(run)

    monkeypatch.setattr("serving.server.predictor.Batcher", batcher)
    for batching in (Batching(), Batching(any_model=True)):
        options = ServerOptions(model_dir=str(foreign_dir), port=0, poll_seconds=0, batching=batching)
        with ModelServer(options) as server, Client(server.target) as client:
            client.predict("vectors", {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.int64)})
    assert [options.enabled for options in made] == [False, True]


class _Alone:
    def __init__(self, run):
        self._run = run

    async def __call__(self, feeds, deadline):
        return self._run(feeds.arrays)


@pytest.mark.parametrize("limit", [{"max_bytes": 64 * 24 * 3 + 200}, {"max_rows": 3}])
def test_a_shared_call_is_bounded_in_bytes_with_its_filling(limit, saved_versions, monkeypatch):
    """One column takes as much as the 64 that it may be filled to."""
    servable = Servable.load(1, str(saved_versions / "1"))
    monkeypatch.setattr(sharing, "Batching", lambda **given: dataclasses.replace(Batching(**given), **limit))
    requests = [{names.HISTORY: texts([[b"i%d" % number]])} for number in range(1, 8)]
    assert sharing.check(servable, names.USER_EMBEDDING, requests, tolerance=1e-5) == [3, 3, 1]
    servable.close()


def test_one_long_example_is_not_the_length_of_all_rows(foreign):
    rows = [foreign_model.serialized([], [])] * 1000
    long = foreign_model.serialized([b""] * 10_000, [])
    signature = foreign.signature("examples")
    assert signature.feeds_of_arrays({"examples": texts(rows)}, Limits()).rows == 1000
    with pytest.raises(RequestError, match=r"takes 2\d{8} bytes decoded"):
        signature.feeds_of_arrays({"examples": texts([*rows, long])}, Limits())
    # Nor of those that it shares a call with.
    sizes = sharing.check(
        foreign, "examples", [{"examples": texts([row])} for row in (rows[0], long, rows[0], rows[0])]
    )
    assert sizes == [3, 1]
