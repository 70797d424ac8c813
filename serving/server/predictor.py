"""Answers a prediction: finds the version, checks the request, runs the signature. Shared by gRPC and REST."""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np

from h2rec_tf import names
from serving.budget import fewest_sent
from serving.server.access_log import loggable
from serving.server.batching import Batcher
from serving.server.errors import RequestError
from serving.server.held import Held
from serving.server.models import Models
from serving.server.observer import Call, Observer
from serving.server.options import Batching, Limits
from serving.server.servable import Servable
from serving.server.signature import Feeds, Signature
from serving.server.workers import Workers


@dataclasses.dataclass(frozen=True)
class Answer:
    """Outputs by name, and the version and signature that they come from."""

    version: int
    signature: str
    outputs: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, version: int, signature: str, outputs: Mapping[str, np.ndarray], chosen: Set[str], limits: Limits
    ) -> Answer:
        """Of the chosen outputs alone.

        Raises:
            RequestError: RESOURCE_EXHAUSTED; no message holds them. Before they are copied into one.
        """
        kept = {alias: array for alias, array in outputs.items() if alias in chosen}
        size = sum(map(fewest_sent, kept.values()))
        if size > limits.message_bytes:
            raise RequestError.answer_too_large(size, limits.message_bytes)
        return cls(version, signature, kept)


class Predictor:
    """Runs signatures. Its coroutines belong to one event loop.

    Args:
        models: the served models.
        limits: the largest request that is answered.
        batching: how requests share calls.
        observer: told of models, rows and batches.
    """

    def __init__(self, models: Models, limits: Limits, batching: Batching, observer: Observer) -> None:
        self.models = models
        self.limits = limits
        self._held = Held(limits)
        self._batching = batching
        self._observer = observer
        self._workers = Workers(2 * batching.parallel, "model-call")
        # A batcher goes with its version.
        self._batchers: weakref.WeakKeyDictionary[Servable, dict[str, Batcher]] = weakref.WeakKeyDictionary()

    async def predict(
        self, spec: Any, read: Callable[[Signature], tuple[Feeds, set[str]]], call: Call, deadline: float
    ) -> Answer:
        """One answer.

        Args:
            spec: the request's ModelSpec.
            read: reads the rest of the request for a signature: what to feed, and the outputs asked for.
            call: is told what was found out.
            deadline: `time.monotonic()` after which nobody waits any more.

        Raises:
            RequestError: the request cannot be answered.
        """
        with self.models.lease(spec) as servable:
            call.model, call.version = spec.name, servable.version
            signature = servable.signature(spec.signature_name or names.SERVING_DEFAULT)
            call.signature = signature.name
            feeds, chosen = read(signature)
            call.rows = feeds.rows
            if self._observer.log_inputs:
                call.inputs = {
                    alias: loggable(array) for alias, array in zip(signature.inputs, feeds.arrays, strict=True)
                }
            with self._held.hold(feeds.bytes):
                outputs = await self._batcher(servable, signature, spec.name)(feeds, deadline)
        return Answer.of(servable.version, signature.name, outputs, chosen, self.limits)

    def close(self) -> None:
        """Ends the threads of the calls."""
        self._workers.close()

    def _batcher(self, servable: Servable, signature: Signature, model: str) -> Batcher:
        batchers = self._batchers.setdefault(servable, {})
        if signature.name not in batchers:
            metrics = self._observer.metrics
            requests = metrics.batch_requests.labels(model, signature.name)
            rows = metrics.batch_rows.labels(model, signature.name)

            def observe(number: int, size: int) -> None:
                requests.observe(number)
                rows.observe(size)

            # Through a weak reference: the batcher must not keep the version that it is the value of.
            batching = self._batching
            if not servable.exported and not batching.any_model:
                batching = dataclasses.replace(batching, enabled=False)
            batchers[signature.name] = Batcher(
                functools.partial(_run, weakref.ref(servable), signature), batching, self._workers, observe
            )
        return batchers[signature.name]


def _run(servable: weakref.ref[Servable], signature: Signature, arrays: Any) -> dict[str, np.ndarray]:
    loaded = servable()
    # Requests hold their version until they are answered.
    assert loaded is not None
    return loaded.run(signature, arrays)
