"""Requests that share a call of a model, beside what each gets alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serving import tensors
from serving.server.batching import Batcher
from serving.server.options import Batching, Limits
from serving.server.servable import Servable
from serving.server.signature import Feeds, Signature
from serving.server.workers import Workers

Arrays = Mapping[str, np.ndarray]
LIMITS = Limits()


class _Gate:
    """Runs a model; the first call waits until it is let go, so that the others have to queue behind it."""

    def __init__(self, run: Callable[[Sequence[np.ndarray]], dict[str, np.ndarray]]) -> None:
        self._run = run
        self.entered, self.go = threading.Event(), threading.Event()
        self.failed: list[Exception] = []

    def __call__(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        self.entered.set()
        assert self.go.wait(60)
        try:
            return self._run(arrays)
        except Exception as error:
            self.failed.append(error)
            raise


def answers_together(servable: Servable, name: str, requests: Sequence[Arrays]) -> tuple[list[Arrays], list[int]]:
    """What a signature answers to requests that all wait while another runs.

    Returns:
        The answers, and the number of requests in each call after the first, which is of the first request alone.
    """
    signature = servable.signature(name)
    feeds = [_feeds(signature, request) for request in [requests[0], *requests]]
    gate, sizes = _Gate(lambda arrays: servable.run(signature, arrays)), []
    workers = Workers(2, "test")
    batching = Batching(parallel=1, max_rows=1000)

    async def ask_all() -> list[Any]:
        batcher = Batcher(gate, batching, workers, lambda number, rows: sizes.append(number))

        async def ask(feed: Feeds) -> Any:
            return await batcher(feed)

        waiting = [asyncio.ensure_future(ask(feeds[0]))]
        await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait)
        waiting += [asyncio.ensure_future(ask(feed)) for feed in feeds[1:]]
        await asyncio.sleep(0)
        gate.go.set()
        return await asyncio.gather(*waiting)

    try:
        answers = asyncio.run(ask_all())
    finally:
        workers.close()
    # A call that fails is made again request by request, which would hide that they do not belong together.
    assert not gate.failed, gate.failed
    return answers[1:], sizes[1:]


def alone(servable: Servable, name: str, request: Arrays) -> Arrays:
    """What a signature answers to one request, in a call of the model with nothing but it."""
    signature = servable.signature(name)
    return servable.run(signature, _feeds(signature, request).arrays)


def _feeds(signature: Signature, request: Arrays) -> Feeds:
    return signature.feeds({key: tensors.encode(array) for key, array in request.items()}, LIMITS)


def check(servable: Servable, name: str, requests: Sequence[Arrays], *, tolerance: float = 0.0) -> list[int]:
    """Asserts that each request is answered as it is alone.

    Args:
        servable: the model.
        name: of a signature.
        requests: inputs by name.
        tolerance: relative and absolute, of floats; 0 asks for the same bits. A product of matrices may round
            differently with another number of rows.

    Returns:
        The number of requests in each call.
    """
    answers, sizes = answers_together(servable, name, requests)
    for request, answer in zip(requests, answers, strict=True):
        wanted = alone(servable, name, request)
        assert answer.keys() == wanted.keys()
        for key, array in wanted.items():
            found = answer[key]
            assert (found.shape, found.dtype) == (array.shape, array.dtype), (name, key, request)
            if tolerance and array.dtype.kind == "f":
                np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance, err_msg=f"{name} {key}")
            else:
                assert found.tolist() == array.tolist(), (name, key, request)
    return sizes
