"""What the client for threads and the client for asyncio hold and send alike."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from serving.client.connection import Connection
from serving.client.operations import Model, Operation
from serving.client.queries import Queries

# Chunks of one call that are on their way at the same time: one is answered while the next travels.
AT_ONCE = 4


class BaseClient:
    """One connection and the questions that may be asked over it; arguments are those of `Client`."""

    # `grpc` or `grpc.aio`: whose channels are opened.
    _channels: ClassVar[Any]

    def __init__(
        self,
        connection: str | Connection,
        *,
        model_name: str = "h2rec",
        version: int | None = None,
        label: str = "",
        timeout: float = 10.0,
        batch_size: int = 256,
    ) -> None:
        self._connection = Connection(connection) if isinstance(connection, str) else connection
        self._queries = Queries(Model(model_name, version, label), batch_size)
        self._timeout = timeout
        self._channel = self._connection.open(self._channels)
        self._methods: dict[str, Any] = {}

    def _method(self, operation: Operation[Any]) -> Any:
        if operation.method not in self._methods:
            self._methods[operation.method] = self._channel.unary_unary(operation.method)
        return self._methods[operation.method]

    def _options(self, end: float) -> dict[str, Any]:
        """Of a call that must be over at `end` on the monotonic clock."""
        return {"timeout": max(0.0, end - time.monotonic()), "metadata": self._connection.metadata()}
