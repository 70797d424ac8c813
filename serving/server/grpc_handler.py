"""Turns a coroutine that answers a request into a gRPC handler, and bytes into a request."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving import protocol
from serving.server.errors import RequestError
from serving.server.observer import Call, Observer


class Lenient:
    """Lets handlers answer for bytes that are no message; gRPC itself would log a trace and answer UNKNOWN.

    Stands for a server in the generated `add_...Servicer_to_server`. Not an interceptor, which would cost each call a
    coroutine.

    Args:
        server: where the handlers go, with readers that do not raise.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Registers handlers as `grpc.aio.Server` does."""
        self._server.add_generic_rpc_handlers([_LenientHandler(handler) for handler in handlers])


class _LenientHandler(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner

    def service(self, handler_call_details: Any) -> Any:
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        # The deserializer is the method `FromString` of a message's class.
        kind = handler.request_deserializer.__self__
        return handler._replace(request_deserializer=functools.partial(_read, kind))


def _read(kind: Any, content: bytes) -> Any:
    try:
        return protocol.parse(kind, content)
    except DecodeError:
        return RequestError.invalid("the request is not a message of this method")


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
            if isinstance(request, RequestError):
                raise request
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
