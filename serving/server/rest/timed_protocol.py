"""HTTP/1.1 on one connection, in which nothing may take for ever."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.server.rest.connections import Gate

# Drop what was not sent when the socket is closed.
_AT_ONCE = struct.pack("ii", 1, 0)


class _Phase(enum.Enum):
    HEAD = enum.auto()
    RUNNING = enum.auto()
    ANSWER = enum.auto()
    BODY = enum.auto()
    IDLE = enum.auto()
    CLOSING = enum.auto()


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds that a connection may spend on each part of a request.

    Attributes:
        head: until a request's head is complete, of the first request and of each later one.
        running: from there until the answer is written; the application has a shorter deadline of its own.
        answer: until the caller has taken the answer.
        idle: until the next request begins.
    """

    head: float
    running: float
    answer: float
    idle: float


class TimedProtocol(H11Protocol):
    """Ends a connection that stays in one part of a request too long.

    uvicorn itself waits for ever for the head of a request, for the rest of a body that the application did not want,
    and for a caller to read.

    Args:
        gate: told when requests run.
        times: of each part.
        uvicorn: what uvicorn's protocol takes.
    """

    def __init__(self, gate: Gate, times: Times, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._gate = gate
        self._seconds = {
            _Phase.HEAD: times.head,
            _Phase.RUNNING: times.running,
            _Phase.ANSWER: times.answer,
            _Phase.BODY: times.head,
            _Phase.IDLE: times.idle,
            _Phase.CLOSING: times.head,
        }
        self._phase: _Phase | None = None
        self._request: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._address: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._address = transport.get_extra_info("peername")
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._phase = _Phase.CLOSING
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The transport may close a moment after this; a connection that is closing has a limit too.
        self._look()

    def _look(self) -> None:
        """Sets the timer anew where another part has begun."""
        if self._phase is _Phase.CLOSING:
            return
        phase = self._current_phase()
        # A request that was sent ahead begins when the one before it ends.
        if phase is self._phase and self._request is self.cycle:
            return
        self._request = self.cycle
        if phase is _Phase.RUNNING:
            self._gate.running(self._address)
        elif self._phase is _Phase.RUNNING:
            self._gate.waiting(self._address)
        self._phase = phase
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(self._seconds[phase], self._time_is_up)

    def _time_is_up(self) -> None:
        phase = self._phase
        self._look()
        if self._phase is not phase:
            return
        if phase in (_Phase.HEAD, _Phase.IDLE):
            self.transport.close()
            self._look()
        else:
            # Closing would wait for the caller to read, here and then in the kernel.
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()

    def _current_phase(self) -> _Phase:
        if self.transport.is_closing():
            return _Phase.CLOSING
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.RUNNING
        if self.transport.get_write_buffer_size():
            return _Phase.ANSWER
        if self.conn.their_state is h11.SEND_BODY:
            return _Phase.BODY
        if self.cycle is None or self.conn.trailing_data[0]:
            return _Phase.HEAD
        return _Phase.IDLE
