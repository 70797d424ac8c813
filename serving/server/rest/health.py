"""`/healthz` and `/readyz`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PATHS = frozenset({"/healthz", "/readyz"})


def health_routes(ready: Callable[[], bool]) -> list[Route]:
    """Routes that say whether the process lives, and whether it takes requests.

    Args:
        ready: whether the server takes requests.
    """

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def health_app(ready: Callable[[], bool]) -> Any:
    """An ASGI application that has these alone."""
    return Starlette(routes=health_routes(ready))
