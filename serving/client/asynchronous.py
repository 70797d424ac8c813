"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

from serving.client import operations
from serving.client.connection import Connection
from serving.client.operations import Operation
from serving.client.results import ModelMetadata, Recommendation, VersionStatus

T = TypeVar("T")
_AT_ONCE = 4


class AsyncClient:
    """`Client` for coroutines: the same arguments, methods and errors. Make it inside the event loop that uses it.

    Example:
        async with AsyncClient("127.0.0.1:8500") as client:
            answers = await client.recommend([["B00AE0790U", "B0009V1YR8"]], k=5)
    """

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
        self._model = operations.Model(model_name, version, label)
        self._timeout = timeout
        self._batch_size = batch_size
        options, credentials = self._connection.channel_options(), self._connection.credentials()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(self._connection.target, options)
        else:
            self._channel = grpc.aio.secure_channel(self._connection.target, credentials, options)
        self._methods: dict[str, Any] = {}

    async def recommend(self, histories: Sequence[Sequence[str]], k: int = 10) -> list[list[Recommendation]]:
        """As `Client.recommend`."""
        parts = operations.chunks(histories, self._batch_size)
        answers = await self._call_all(operations.recommend(self._model, part, k) for part in parts)
        return [row for answer in answers for row in answer]

    async def titles(self, item_ids: Sequence[str]) -> list[str]:
        """As `Client.titles`."""
        parts = operations.chunks(item_ids, self._batch_size)
        answers = await self._call_all(operations.titles(self._model, part) for part in parts)
        return [title for answer in answers for title in answer]

    async def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        return await self._call(operations.predict(self._model, signature, inputs))

    async def metadata(self) -> ModelMetadata:
        """As `Client.metadata`."""
        return await self._call(operations.metadata(self._model))

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`."""
        return await self._call(operations.status(self._model))

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *unused: object) -> None:
        await self.close()

    async def _call(self, operation: Operation[T]) -> T:
        return (await self._call_all([operation]))[0]

    async def _call_all(self, wanted: Iterable[Operation[T]]) -> list[T]:
        end = time.monotonic() + self._timeout
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(operation: Operation[T]) -> T:
            async with gate:
                return operation.parse(await self._send(operation, end))

        return list(await asyncio.gather(*(ask(operation) for operation in wanted)))

    async def _send(self, operation: Operation[T], end: float) -> bytes:
        if operation.method not in self._methods:
            self._methods[operation.method] = self._channel.unary_unary(operation.method)
        try:
            return await self._methods[operation.method](
                operation.request, timeout=max(0.0, end - time.monotonic()), metadata=self._connection.metadata()
            )
        except grpc.RpcError as error:
            raise self._connection.error(error, self._timeout) from error
