"""gRPC's health checking protocol, grpc.health.v1.Health: Check and Watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from serving.server.errors import RequestError

_CHECK, _WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
# Seconds between a watcher's looks. What makes a server ready changes in threads that load, read configurations or
# write to a disk; a look costs microseconds, and there is no change that somebody could forget to announce.
_LOOK_SECONDS = 0.2


class Health(HealthServicer):
    """Answers whether the server (service "") or a model (its name) takes requests.

    Neither counted nor logged, as `/healthz` and `/readyz` are not. It does without the package's own servicer, in
    which a watcher that leaves takes the notifications of the others with it.

    Made on the event loop that it answers on.

    Args:
        ready: whether a model takes requests, or the whole server for ""; raises RequestError for an unknown name.
        watchers: calls of Watch at a time; more are refused.
    """

    def __init__(self, ready: Callable[[str], bool], *, watchers: int) -> None:
        self._ready = ready
        self._watchers = watchers
        self._ended = asyncio.Event()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> HealthCheckResponse:
        """SERVING or NOT_SERVING; NOT_FOUND for an unknown name."""
        try:
            return HealthCheckResponse(status=self._status(request))
        except RequestError as error:
            refusal = error
        await context.abort(refusal.code, refusal.message)

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        """The same at once and after each change, SERVICE_UNKNOWN for an unknown name, until the server stops."""
        if not self._watchers:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls of Watch; call Check")
        self._watchers -= 1
        try:
            await self._watch(request, context)
        finally:
            self._watchers += 1

    def end(self) -> None:
        """Has watchers look once more and leave, so that the server's end need not wait for them."""
        self._ended.set()

    def without_token(self) -> dict[str, grpc.RpcMethodHandler]:
        """Handlers by method for callers without a valid token: whatever they ask, they are told of the whole server.

        That is what `/readyz` tells anybody. Their messages are not read, which would take as much memory as they like
        to send, and names of models are not theirs to try.
        """
        whole = HealthCheckRequest()

        async def check(requests: Any, context: Any) -> HealthCheckResponse:
            return await self.Check(whole, context)

        async def watch(requests: Any, context: Any) -> None:
            await self.Watch(whole, context)

        serialize = HealthCheckResponse.SerializeToString
        return {
            _CHECK: grpc.stream_unary_rpc_method_handler(check, response_serializer=serialize),
            _WATCH: grpc.stream_stream_rpc_method_handler(watch, response_serializer=serialize),
        }

    async def _watch(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        told = None
        last = False
        while not last:
            last = self._ended.is_set()
            try:
                status = self._status(request)
            except RequestError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    await context.abort(error.code, error.message)
                status = HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                told = status
                await context.write(HealthCheckResponse(status=status))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _LOOK_SECONDS)

    def _status(self, request: Any) -> int:
        if isinstance(request, RequestError):
            raise request
        return HealthCheckResponse.SERVING if self._ready(request.service) else HealthCheckResponse.NOT_SERVING
