"""Turns a coroutine that answers a request into a gRPC handler."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from serving.server.errors import RequestError
from serving.server.observer import Call, Observer


def answering(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Makes `method(self, request, call, deadline)` a handler: a `RequestError` becomes the call's status.

    `self` has `observer: Observer` and `longest_seconds: float`, the deadline of callers that give none or a later one.
    `deadline` is a `time.monotonic()`.
    """

    @functools.wraps(method)
    async def handler(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        observer: Observer = self.observer
        call: Call = observer.begin("grpc", method.__name__, context.peer())
        remaining = context.time_remaining()
        limit = self.longest_seconds
        deadline = time.monotonic() + (limit if remaining is None else min(limit, remaining))
        try:
            response = await method(self, request, call, deadline)
        except RequestError as error:
            refusal = error
        except asyncio.CancelledError:
            observer.end(call, grpc.StatusCode.CANCELLED, "the caller went away or its deadline passed")
            raise
        except Exception as error:
            refusal = observer.failed(call, error)
        else:
            observer.end(call)
            return response
        observer.end(call, refusal.code, refusal.message)
        await context.abort(refusal.code, refusal.message)

    return handler
