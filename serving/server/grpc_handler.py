"""Turns a coroutine that answers a request into a gRPC handler, and bytes into a request."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving import protocol
from serving.server.errors import RequestError
from serving.server.grpc_places import Place, Places
from serving.server.observer import Call, Observer


class Lenient:
    """Lets handlers answer for bytes that are no message, where gRPC itself would log a trace and answer UNKNOWN, and
    holds them to a number of calls at a time.

    Stands for a server in the generated `add_...Servicer_to_server`. Not an interceptor, which would cost each call a
    coroutine.

    Args:
        server: where the handlers go, with readers that do not raise.
        places: for their calls.
        refusals: handlers by method for calls that find no place; they must not read what is sent. Others are
            RESOURCE_EXHAUSTED.
    """

    def __init__(
        self, server: grpc.aio.Server, places: Places, refusals: Mapping[str, grpc.RpcMethodHandler] | None = None
    ) -> None:
        self._server = server
        self._places = places
        self._refusals = refusals or {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Registers handlers as `grpc.aio.Server` does."""
        self._server.add_generic_rpc_handlers(
            [_LenientHandler(handler, self._places, self._refusals) for handler in handlers]
        )


class _LenientHandler(grpc.GenericRpcHandler):
    def __init__(
        self, inner: grpc.GenericRpcHandler, places: Places, refusals: Mapping[str, grpc.RpcMethodHandler]
    ) -> None:
        self._inner = inner
        self._places = places
        self._refusals = refusals

    def service(self, handler_call_details: Any) -> Any:
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        place = self._places.take()
        if place is None:
            return self._refusals.get(handler_call_details.method, _NO_PLACE)
        # The deserializer is the method `FromString` of a message's class.
        parse = functools.partial(_read, handler.request_deserializer.__self__)
        if handler.response_streaming:
            make, behavior = grpc.stream_stream_rpc_method_handler, handler.unary_stream
        else:
            make, behavior = grpc.stream_unary_rpc_method_handler, handler.unary_unary
        return make(_reading(behavior, place), parse, handler.response_serializer)


def _reading(behavior: Callable[..., Awaitable[Any]], place: Place) -> Callable[..., Awaitable[Any]]:
    """A handler that reads the one message itself: gRPC would wait for it without limit, before it calls a handler."""

    async def handler(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> Any:
        try:
            request = await requests.__anext__()
        except StopAsyncIteration:
            request = RequestError.invalid("the request has no message")
        except asyncio.CancelledError:
            if not place.lost:
                raise
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the request's message did not arrive in time")
        place.arrived()
        return await behavior(request, context)

    return handler


async def _refuse(requests: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests at a time; try again")


# As a stream that is not read: gRPC would hold the whole message of a unary call before it calls a handler.
_NO_PLACE = grpc.stream_unary_rpc_method_handler(_refuse)


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
