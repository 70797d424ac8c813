"""The HTTP port: uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

import uvicorn

from serving.server.options import HttpOptions, Limits
from serving.server.rest.admission import Admission
from serving.server.rest.connections import Gate, GatedListener
from serving.server.rest.timed_protocol import TimedProtocol, Times


class HttpServer:
    """Serves an ASGI application.

    Args:
        app: the application.
        listener: a listening socket, taken over; closed at the end.
        context: encryption; None for none.
        options: connections and their times.
        limits: requests at a time, and the time that one has.
        grace_seconds: time that running requests get to finish at the end.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        *,
        context: ssl.SSLContext | None,
        options: HttpOptions,
        limits: Limits,
        grace_seconds: float,
    ) -> None:
        config = uvicorn.Config(
            Admission(app, concurrent=limits.concurrent),
            http=TimedProtocol,
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            proxy_headers=False,
            # The protocol's own timers end a connection; this one would forget a head that has begun.
            timeout_keep_alive=round(2 * options.keep_alive_seconds) + 1,
            timeout_graceful_shutdown=max(1, round(grace_seconds)),
        )
        config.load()
        config.ssl = context
        gate = Gate(
            most=options.connections or 2 * limits.concurrent,
            most_of_peer=options.peer_connections or max(1, limits.concurrent // 2),
        )
        times = Times(
            head=options.head_seconds,
            # Two deadlines of the application: one for the body, one for a call that overruns.
            running=2 * limits.seconds + options.head_seconds,
            answer=limits.seconds,
            idle=options.keep_alive_seconds,
        )
        self._listener = GatedListener(listener, gate)
        self._server = _Server(config, self._listener, gate, times)
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


class _Server(uvicorn.Server):
    """uvicorn's server with this package's protocol, and a limit to the time of an encrypted connection's handshake."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, gate: Gate, times: Times) -> None:
        super().__init__(config)
        self._listener = listener
        self._gate = gate
        self._times = times

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes connections."""

        def protocol() -> TimedProtocol:
            return TimedProtocol(
                self._gate, self._times, config=self.config, server_state=self.server_state, app_state={}
            )

        encrypted: dict[str, Any] = (
            {"ssl": self.config.ssl, "ssl_handshake_timeout": self._times.head} if self.config.ssl else {}
        )
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(protocol, sock=self._listener, backlog=self.config.backlog, **encrypted)
        ]
        self.started = True
