"""The HTTP port: uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

# Time that a connection has to send a request's head; uvicorn itself would wait for ever.
_HEAD_SECONDS = 10.0


class _TimedProtocol(H11Protocol):
    """Ends a connection that sends no complete request head in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_SECONDS, self._end_if_headless)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _end_if_headless(self) -> None:
        if self.cycle is None:
            self.transport.close()


class HttpServer:
    """Serves an ASGI application.

    Args:
        app: the application.
        listener: a listening socket; closed at the end.
        context: encryption; None for none.
        grace_seconds: time that running requests get to finish at the end.
        concurrent: connections and requests at a time; more are answered 503.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        *,
        context: ssl.SSLContext | None,
        grace_seconds: float,
        concurrent: int,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=_TimedProtocol,
            loop="asyncio",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=concurrent,
            timeout_graceful_shutdown=max(1, round(grace_seconds)),
        )
        config.load()
        config.ssl = context
        self._listener = listener
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Connections wait in the socket until the thread takes them."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no new connection and lets running requests end within the grace time."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._listener):
            self._server.run(sockets=[self._listener])
