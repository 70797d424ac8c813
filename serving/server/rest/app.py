"""The HTTP side: TensorFlow Serving's REST API, health and metrics."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis import model_pb2

from serving.server.errors import RequestError
from serving.server.metrics import CONTENT_TYPE
from serving.server.model_service import status
from serving.server.observer import Call, Observer
from serving.server.prediction_service import metadata
from serving.server.predictor import Predictor
from serving.server.rest.health import health_routes
from serving.server.rest.json_tensors import check_json_bytes, inputs_of, outputs_of, predictions_of
from serving.server.security import Tokens
from serving.server.signature import Feeds, Signature

_PATH = re.compile(
    r"(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?:(?P<metadata>/metadata)|:(?P<verb>predict|classify|regress))?"
)
# As TensorFlow Serving maps them; others are 500.
_HTTP = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


class _BodyError(RequestError):
    """A body with an HTTP status of its own."""

    def __init__(self, http: int, code: grpc.StatusCode, message: str) -> None:
        super().__init__(code, message)
        self.http = http


class RestApp:
    """The HTTP application of a server.

    Args:
        predictor: runs signatures.
        observer: told of each request to a model; has the metrics.
        loop: the event loop that the predictor belongs to; this application runs in another.
        tokens: the bearer tokens that callers need for all but health; None needs none.
        ready: whether the server takes requests.
        metrics_path: where the metrics are; "" for nowhere.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        observer: Observer,
        loop: asyncio.AbstractEventLoop,
        tokens: Tokens | None,
        ready: Callable[[], bool],
        metrics_path: str,
    ) -> None:
        self._predictor = predictor
        self._observer = observer
        self._loop = loop
        self._tokens = tokens
        routes = [
            *health_routes(ready),
            Route("/v1/models/{path:path}", self._model, methods=["GET", "POST"]),
        ]
        if metrics_path:
            routes.append(Route(metrics_path, self._metrics))
        self.asgi = Starlette(routes=routes, exception_handlers={HTTPException: _http_exception})
        # A path that is not served is an error, not a redirect to one that is not served either.
        self.asgi.router.redirect_slashes = False

    async def _metrics(self, request: Request) -> Response:
        try:
            self._check_token(request)
        except RequestError as error:
            return _error(error)
        return Response(self._observer.metrics.page(), media_type=CONTENT_TYPE)

    async def _model(self, request: Request) -> Response:
        found = _PATH.fullmatch(request.path_params["path"])
        parts = found.groupdict() if found else {}
        method = str(parts.get("verb") or ("metadata" if parts.get("metadata") else "status"))
        peer = f"{request.client.host}:{request.client.port}" if request.client else ""
        call = self._observer.begin("rest", method, peer)
        try:
            response = await self._answer(request, parts, method, call)
        except RequestError as error:
            self._observer.end(call, error.code, error.message)
            return _error(error)
        except (asyncio.CancelledError, ClientDisconnect):
            self._observer.end(call, grpc.StatusCode.CANCELLED, "the caller went away")
            raise
        except Exception as error:
            refusal = self._observer.failed(call, error)
            self._observer.end(call, refusal.code, refusal.message)
            return _error(refusal)
        self._observer.end(call)
        return response

    async def _answer(self, request: Request, parts: dict[str, str], method: str, call: Call) -> Response:
        self._check_token(request)
        if not parts:
            raise RequestError.invalid(f"Malformed request: {request.method} {request.url.path}")
        wanted = "POST" if parts["verb"] else "GET"
        if request.method != wanted:
            raise _BodyError(405, grpc.StatusCode.UNIMPLEMENTED, f"use {wanted} for {method}")
        spec = model_pb2.ModelSpec(name=parts["name"])
        if parts["version"]:
            spec.version.value = int(parts["version"])
        if parts["label"]:
            spec.version_label = parts["label"]
        if method == "predict":
            return await self._predict(request, spec, call)
        if method == "metadata":
            return Response(_message_json(metadata(self._predictor.models, spec, call)), media_type=_JSON)
        if method == "status":
            message = status(self._predictor.models, spec, call)
            return Response(_message_json(message), media_type=_JSON)
        raise RequestError.unimplemented(f"{method} is not served; use predict")

    async def _predict(self, request: Request, spec: Any, call: Call) -> Response:
        deadline = time.monotonic() + self._predictor.limits.seconds
        body = await self._within(deadline, self._body(request))
        limits = self._predictor.limits
        check_json_bytes(body, limits.request_bytes)
        fields = _parsed(body)
        signature_name = fields.get("signature_name", "")
        if not isinstance(signature_name, str) or not _is_unicode(signature_name):
            raise RequestError.invalid("`signature_name` must be a string of Unicode")
        spec.signature_name = signature_name

        def read(signature: Signature) -> tuple[Feeds, set[str]]:
            chosen = signature.selected(())
            return signature.feeds_of_arrays(inputs_of(fields, signature, limits), limits), chosen

        answer = await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._predictor.predict(spec, read, call, deadline), self._loop)
        )
        if "instances" in fields:
            content: dict[str, Any] = {"predictions": predictions_of(answer.outputs)}
        else:
            content = {"outputs": outputs_of(answer.outputs)}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > self._predictor.limits.message_bytes:
            raise RequestError.answer_too_large(len(text), self._predictor.limits.message_bytes)
        return Response(text, media_type=_JSON)

    async def _within(self, deadline: float, body: Awaitable[bytes]) -> bytes:
        try:
            return await asyncio.wait_for(body, deadline - time.monotonic())
        except asyncio.TimeoutError as error:
            raise _BodyError(
                408, grpc.StatusCode.DEADLINE_EXCEEDED, "the request's body did not arrive in time"
            ) from error

    async def _body(self, request: Request) -> bytes:
        most = self._predictor.limits.message_bytes
        refusal = _BodyError(413, grpc.StatusCode.RESOURCE_EXHAUSTED, f"a request has at most {most} bytes")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise refusal
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise refusal
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_token(self, request: Request) -> None:
        if self._tokens:
            self._tokens.check(request.headers.get("authorization"))


_JSON = "application/json"


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError.invalid(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise RequestError.invalid(
            f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise RequestError.invalid("the body is nested too deep or holds a number with too many digits") from error
    if not isinstance(fields, dict):
        raise RequestError.invalid("the body must be a JSON object with `instances` or `inputs`")
    return fields


def _is_unicode(text: str) -> bool:
    """Whether a text from JSON is one; half a surrogate pair is none."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _message_json(message: Any) -> str:
    return json_format.MessageToJson(message, including_default_value_fields=True, preserving_proto_field_name=True)


def _error(error: RequestError) -> Response:
    http = error.http if isinstance(error, _BodyError) else _HTTP.get(error.code, 500)
    headers = {"WWW-Authenticate": "Bearer"} if http == 401 else None
    # After a body that was not read to its end, the connection cannot be used again.
    if http in (408, 413):
        headers = {"Connection": "close"}
    return JSONResponse({"error": error.message}, http, headers=headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{error.detail}: {request.method} {request.url.path}"}, error.status_code)
