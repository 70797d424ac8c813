"""Which HTTP requests reach the application."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from serving.server.rest.health import PATHS


class Admission:
    """An ASGI application before another: as many requests at a time as may be, health always, and none that two
    readers could understand in two ways.

    Args:
        app: the application.
        concurrent: requests in it at a time, health not counted.
    """

    def __init__(self, app: Any, *, concurrent: int) -> None:
        self._app = app
        self._free = concurrent

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        names = {name for name, _ in scope["headers"]}
        if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0"):
            # A proxy before this server may take the other length; what follows would be a request to one of the two.
            words = "transfer-encoding goes with neither content-length nor HTTP/1.0; send one length"
            await _refusal(words, 400)(scope, receive, send)
        elif scope["path"] in PATHS:
            await self._app(scope, receive, send)
        elif not self._free:
            await _refusal("too many requests at a time; try again", 503)(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._free += 1


def _refusal(words: str, code: int) -> Response:
    # Its body is not read, so the connection cannot be used again.
    return JSONResponse({"error": words}, code, headers={"Connection": "close"})
