"""The open connections of one port: how many there may be, and which makes room for a new one."""

from __future__ import annotations

import contextlib
import resource
import socket
from typing import Any

# Of the files that this process may have open, the part that connections of one port may be.
_FILE_SHARE = 2


class Gate:
    """Counts connections from accepting to closing, encrypted or not, by peer.

    Where there are too many, the one that has been without a running request longest is ended, of the peer that has
    most. So callers that hold connections lose them, first of all their own, and one that asks gets in. A new
    connection is refused only where every other has a running request.

    All calls come from the thread of the event loop.

    Args:
        most: open at a time.
        most_of_peer: open at a time to one address.
    """

    def __init__(self, *, most: int, most_of_peer: int) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = most if files == resource.RLIM_INFINITY else min(most, files // _FILE_SHARE)
        self._most_of_peer = most_of_peer
        # Peer -> address -> connection, in the order in which they began to wait for a request.
        self._peers: dict[str, dict[Any, socket.socket]] = {}
        self._running: set[Any] = set()
        self._number = 0

    def admit(self, connection: socket.socket, address: Any) -> bool:
        """Whether a new connection may stay; ends another for it where there must be room."""
        own = self._peers.get(address[0], {})
        if len(own) >= self._most_of_peer:
            if not self._end_one(own):
                return False
        elif self._number >= self._most and not any(
            self._end_one(connections) for connections in sorted(self._peers.values(), key=len, reverse=True)
        ):
            return False
        self._peers.setdefault(address[0], {})[address] = connection
        self._number += 1
        return True

    def running(self, address: Any) -> None:
        """A request has begun on that connection."""
        self._running.add(address)

    def waiting(self, address: Any) -> None:
        """It has been answered."""
        self._running.discard(address)
        connections = self._peers.get(address[0], {})
        if address in connections:
            connections[address] = connections.pop(address)

    def left(self, address: Any) -> None:
        """The connection is closed."""
        self._running.discard(address)
        connections = self._peers.get(address[0], {})
        if connections.pop(address, None) is not None:
            self._number -= 1
        if not connections:
            self._peers.pop(address[0], None)

    def _end_one(self, connections: dict[Any, socket.socket]) -> bool:
        for address, connection in connections.items():
            if address not in self._running:
                self.left(address)
                # Whoever reads from it, the protocol or the handshake before it, sees its end and closes it.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return True
        return False


class GatedListener(socket.socket):
    """A listening socket whose connections a gate admits.

    Args:
        listener: what listens; it is taken over.
        gate: told of all connections.
    """

    def __init__(self, listener: socket.socket, gate: Gate) -> None:
        super().__init__(fileno=listener.detach())
        self._gate = gate

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that is admitted; those before it that are not are closed.

        Raises:
            BlockingIOError: there is none.
        """
        while True:
            raw, address = super().accept()
            connection = _Connection(raw, self._gate, address)
            if self._gate.admit(connection, address):
                return connection, address
            connection.close()


class _Connection(socket.socket):
    """Tells the gate when it is closed."""

    def __init__(self, raw: socket.socket, gate: Gate, address: Any) -> None:
        super().__init__(fileno=raw.detach())
        # asyncio does so too, but only for sockets that say TCP, which those that Python makes by default do not. With
        # Nagle's algorithm each answer waits some 40 ms for the caller's delayed acknowledgement.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gate = gate
        self._address = address

    def close(self) -> None:
        if self.fileno() >= 0:
            self._gate.left(self._address)
        super().close()
