"""Runs operations for requests, searches and writes in threads of their own, in place of a model's signatures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np

from h2rec_tf import names
from serving.retrieval_service import signatures
from serving.retrieval_service.operations import Operations
from serving.server.access_log import loggable
from serving.server.errors import RequestError
from serving.server.held import Held
from serving.server.model_manager import State, VersionStatus
from serving.server.observer import Call, Observer
from serving.server.options import Limits
from serving.server.predictor import Answer
from serving.server.signature import Feeds, Signature


class RetrievalModels:
    """What `serving.server` asks of its models, for the one thing that is served here.

    Args:
        name: that requests give.
        version: of the model that the vectors belong to; 0 for none.
        width: D.
        query_tower: whether histories can be answered.
    """

    def __init__(self, name: str, version: int, *, width: int, query_tower: bool) -> None:
        self.name = name
        self.version = version
        self.definitions = signatures.definitions(width, query_tower=query_tower)
        self._signatures = {
            key: Signature(key, definition, exported=True) for key, definition in self.definitions.items()
        }

    @contextlib.contextmanager
    def lease(self, spec: Any) -> Iterator[RetrievalModels]:
        """What a ModelSpec names.

        Raises:
            RequestError: NOT_FOUND or INVALID_ARGUMENT; another name, version or a label.
        """
        self.statuses(spec)
        yield self

    def statuses(self, spec: Any) -> dict[int, VersionStatus]:
        """The one version. Raises as `lease`."""
        if spec.version_label:
            raise RequestError.invalid(f"Unrecognized servable version label: {spec.version_label}")
        if spec.name != self.name or (spec.HasField("version") and spec.version.value != self.version):
            raise RequestError.not_found(
                f"Servable not found for request: {spec.name}; `{self.name}` version {self.version} is served"
            )
        return {self.version: VersionStatus(State.AVAILABLE)}

    def all_statuses(self) -> dict[str, dict[int, VersionStatus]]:
        """The one version of the one name."""
        return {self.name: {self.version: VersionStatus(State.AVAILABLE)}}

    def signature(self, name: str) -> Signature:
        """The signature of that name.

        Raises:
            RequestError: FAILED_PRECONDITION; there is none.
        """
        if name not in self._signatures:
            raise RequestError.failed_precondition(f'Serving signature key "{name}" not found.')
        return self._signatures[name]


class RetrievalPredictor:
    """Answers predictions by operations. Its coroutines belong to one event loop.

    Args:
        operations: what is run.
        models: their signatures.
        limits: the largest request that is answered.
        observer: told of each request.
        readers: searches at a time.
        writers: writes at a time; they wait for the disk, so they have threads of their own.
        waiting_writes: writes that may wait for one of these; more are told to try again.
    """

    def __init__(
        self,
        operations: Operations,
        models: RetrievalModels,
        limits: Limits,
        observer: Observer,
        *,
        readers: int,
        writers: int,
        waiting_writes: int,
    ) -> None:
        self.models = models
        self.limits = limits
        self._operations = operations
        self._observer = observer
        self._held = Held(limits)
        self._most_writes = writers + waiting_writes
        self._writes = 0
        self._readers = futures.ThreadPoolExecutor(readers, thread_name_prefix="search")
        self._writers = futures.ThreadPoolExecutor(writers, thread_name_prefix="write")
        # Minutes may pass in here; one at a time anyway.
        self._maintenance = futures.ThreadPoolExecutor(1, thread_name_prefix="maintenance")

    async def predict(
        self, spec: Any, read: Callable[[Signature], tuple[Feeds, set[str]]], call: Call, deadline: float
    ) -> Answer:
        """One answer.

        Args:
            spec: the request's ModelSpec.
            read: reads the rest of the request for a signature: what to feed, and the outputs asked for.
            call: is told what was found out.
            deadline: `time.monotonic()` after which nobody waits any more. A write that has begun is made all the same;
                snapshots and rebalances take the time that they take.

        Raises:
            RequestError: the request cannot be answered.
        """
        with self.models.lease(spec):
            call.model, call.version = spec.name, self.models.version
            signature = self.models.signature(spec.signature_name or names.SERVING_DEFAULT)
            call.signature = signature.name
            feeds, chosen = read(signature)
            call.rows = feeds.rows
            arrays = dict(zip(signature.inputs, feeds.arrays, strict=True))
            if self._observer.log_inputs:
                call.inputs = {alias: loggable(array) for alias, array in arrays.items()}
        with self._held.hold(feeds.bytes):
            outputs = await self._run(signature.name, arrays, deadline)
        return Answer.of(self.models.version, signature.name, outputs, chosen, self.limits)

    def close(self) -> None:
        """Ends after the running operations."""
        for pool in (self._readers, self._writers, self._maintenance):
            pool.shutdown()

    async def _run(self, signature: str, arrays: dict[str, np.ndarray], deadline: float) -> dict[str, np.ndarray]:
        if signature in signatures.MAINTENANCE:
            return await asyncio.wrap_future(self._maintenance.submit(self._operations.run, signature, arrays))
        pool = self._readers
        if signature in signatures.WRITES:
            pool = self._begin_write()
        future = pool.submit(self._operations.run, signature, arrays)
        if pool is self._writers:
            future.add_done_callback(self._end_write)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), deadline - time.monotonic())
        except asyncio.TimeoutError as error:
            raise RequestError.deadline() from error

    def _begin_write(self) -> futures.ThreadPoolExecutor:
        if self._writes >= self._most_writes:
            raise RequestError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many writes wait: send them more slowly")
        self._writes += 1
        return self._writers

    def _end_write(self, future: futures.Future[Any]) -> None:
        self._writes -= 1
