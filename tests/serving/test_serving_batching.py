"""Requests that share calls: who shares, what comes back, and what one bad request does to the others."""

import asyncio
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import toy_recommender

from h2rec_tf import names
from serving.client import Client
from serving.server.batching import Batcher, merge, split
from serving.server.errors import RequestError
from serving.server.model_server import ModelServer
from serving.server.options import Batching, ServerOptions
from serving.server.signature import Feeds
from serving.server.workers import Workers


def texts(rows):
    array = np.empty((len(rows), len(rows[0])), object)
    array[:] = rows
    return array


def request(rows, key="same", k=3):
    return Feeds([texts(rows), np.array(k)], len(rows), key, frozenset({0}))


class Model:
    """Echoes its rows; the first call waits until it is let go, so that others have to queue behind it."""

    def __init__(self):
        self.calls = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, arrays):
        self.calls.append(arrays[0].tolist())
        self.entered.set()
        assert self.go.wait(20)
        if any(b"bad" in row for row in arrays[0].tolist()):
            raise RequestError.invalid("a bad row")
        return {"rows": arrays[0]}


def run(scenario, **options):
    """Runs `scenario(batcher, model)` in an event loop."""
    model = Model()

    async def main():
        return await scenario(Batcher(model, Batching(parallel=1, **options), workers), model)

    workers = Workers(2, "test")
    try:
        return asyncio.run(main()), model
    finally:
        workers.close()


async def behind_a_running_call(batcher, model, requests, **arguments):
    """Answers, or errors, of requests that arrived while a first one ran."""
    first = asyncio.ensure_future(batcher(request([[b"first"]], key="first")))
    await asyncio.get_running_loop().run_in_executor(None, model.entered.wait)
    waiting = [asyncio.ensure_future(batcher(one, **arguments)) for one in requests]
    await asyncio.sleep(0)
    model.go.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_queued_requests_of_one_kind_share_a_call_and_get_their_own_rows():
    requests = [request([[b"a", b"b"]]), request([[b"c", b"d"], [b"e", b"f"]]), request([[b"x", b"y"]], key="other")]
    answers, model = run(lambda batcher, model: behind_a_running_call(batcher, model, requests))
    assert [answer["rows"].tolist() for answer in answers] == [one.arrays[0].tolist() for one in requests]
    assert model.calls[1:] == [[[b"a", b"b"], [b"c", b"d"], [b"e", b"f"]], [[b"x", b"y"]]]


@pytest.mark.parametrize(("options", "sizes"), [({"max_rows": 2}, [2, 2, 1]), ({"enabled": False}, [1] * 5), ({}, [5])])
def test_size_of_calls_is_bounded(options, sizes):
    requests = [request([[b"%d" % number]]) for number in range(5)]
    _, model = run(lambda batcher, model: behind_a_running_call(batcher, model, requests), **options)
    assert [len(call) for call in model.calls[1:]] == sizes


def test_requests_without_a_key_run_alone():
    requests = [request([[b"a"]], key=None), request([[b"b"]], key=None)]
    _, model = run(lambda batcher, model: behind_a_running_call(batcher, model, requests))
    assert [len(call) for call in model.calls[1:]] == [1, 1]


def test_a_bad_request_does_not_hurt_those_it_shared_a_call_with():
    requests = [request([[b"good"]]), request([[b"bad"]]), request([[b"fine"]])]
    answers, _ = run(lambda batcher, model: behind_a_running_call(batcher, model, requests))
    assert answers[0]["rows"].tolist() == [[b"good"]] and answers[2]["rows"].tolist() == [[b"fine"]]
    assert answers[1].message == "a bad row"


def test_a_request_whose_deadline_passes_in_the_queue_is_answered_and_not_run():
    async def scenario(batcher, model):
        first = asyncio.ensure_future(batcher(request([[b"first"]])))
        await asyncio.get_running_loop().run_in_executor(None, model.entered.wait)
        with pytest.raises(RequestError) as raised:
            await batcher(request([[b"late"]]), time.monotonic() + 0.02)
        with pytest.raises(RequestError):
            await batcher(request([[b"over"]]), time.monotonic() - 1)
        model.go.set()
        await first
        return raised.value.code

    code, model = run(scenario)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED and model.calls == [[[b"first"]]]


def test_a_full_queue_is_unavailable():
    async def scenario(batcher, model):
        waiting = [asyncio.ensure_future(batcher(request([[b"r"]]))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as raised:
            await batcher(request([[b"too many"]]))
        model.go.set()
        await asyncio.gather(*waiting)
        return raised.value.code

    code, _ = run(scenario, max_queued=2)
    assert code is grpc.StatusCode.UNAVAILABLE


def test_an_idle_server_does_not_wait_for_the_timeout():
    async def scenario(batcher, model):
        model.go.set()
        return await asyncio.wait_for(batcher(request([[b"now"]])), 20)

    answer, _ = run(scenario, timeout_seconds=3600.0)
    assert answer["rows"].tolist() == [[b"now"]]


def test_a_call_that_outlives_its_event_loop_does_not_end_its_thread():
    model, workers, ran = Model(), Workers(1, "test"), threading.Event()

    async def leave_while_it_runs():
        left = asyncio.ensure_future(Batcher(model, Batching(), workers)(request([[b"late"]])))
        await asyncio.get_running_loop().run_in_executor(None, model.entered.wait)
        assert not left.done()

    asyncio.run(leave_while_it_runs())
    model.go.set()
    workers.put(ran.set)
    assert ran.wait(20)
    workers.close()


def test_histories_of_different_widths_are_padded_on_the_left():
    merged = merge([request([[b"a"]]), request([[b"b", b"c", b"d"]])])
    assert merged[0].tolist() == [[b"", b"", b"a"], [b"b", b"c", b"d"]] and merged[1] == 3


def test_outputs_without_the_rows_are_not_dealt_out():
    with pytest.raises(RequestError, match="rows"):
        split({"total": np.zeros(3)}, [request([[b"a"]]), request([[b"b"]])])


def test_many_callers_get_the_answers_they_would_get_alone(model_dir):
    """Whatever they shared: lengths of histories and k differ, the answers are those of NumPy."""
    generator = np.random.default_rng(0)
    cases = [
        ([f"i{n}" for n in generator.choice(np.arange(1, 13), generator.integers(1, 8), replace=False)], int(k))
        for k in generator.integers(1, 4, 80)
    ]
    options = ServerOptions(model_dir=str(model_dir), port=0, rest_port=0, poll_seconds=0)
    with ModelServer(options) as server, Client(server.target) as client, futures.ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda case: client.recommend([case[0]], case[1])[0], cases))
        page = server._metrics.page().decode()
    for (history, k), answer in zip(cases, answers, strict=True):
        want = toy_recommender.expected(1, history, k)
        assert [item.item_id for item in answer] == [item for item, _ in want]
        assert [item.score for item in answer] == pytest.approx([score for _, score in want], rel=1e-4, abs=1e-5)
    found = {line.split()[0]: float(line.split()[1]) for line in page.splitlines() if line[0] != "#"}
    label = f'{{model="h2rec",signature="{names.SERVING_DEFAULT}"}}'
    assert found[f"h2rec_batch_requests_sum{label}"] == len(cases)
    assert found[f"h2rec_batch_requests_count{label}"] < len(cases), "no two requests shared a call"
