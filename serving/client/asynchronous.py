"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

from serving.client.base import AT_ONCE, BaseClient
from serving.client.operations import Operation
from serving.client.queries import Query
from serving.client.results import ModelMetadata, RankedCandidate, Recommendation, VersionStatus

T = TypeVar("T")


class AsyncClient(BaseClient):
    """`Client` for coroutines: the same arguments, methods and errors. Make it inside the event loop that uses it.

    Example:
        async with AsyncClient("127.0.0.1:8500") as client:
            answers = await client.recommend([["B00AE0790U", "B0009V1YR8"]], k=5)
    """

    _channels = grpc.aio

    async def wait(self, seconds: float) -> bool:
        """As `Client.wait`."""
        try:
            await asyncio.wait_for(self._channel.channel_ready(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] = (),
        allow_categories: Sequence[Sequence[str]] = (),
    ) -> list[list[Recommendation]]:
        """As `Client.recommend`."""
        return await self._ask(self._queries.recommend(histories, k, exclude, allow_categories))

    async def similar_items(self, item_ids: Sequence[str], k: int = 10) -> list[list[Recommendation]]:
        """As `Client.similar_items`."""
        return await self._ask(self._queries.similar_items(item_ids, k))

    async def rank_candidates(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> list[list[RankedCandidate]]:
        """As `Client.rank_candidates`."""
        return await self._ask(self._queries.rank_candidates(histories, candidates))

    async def user_embedding(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """As `Client.user_embedding`."""
        return await self._ask(self._queries.user_embedding(histories))

    async def item_embedding(self, item_ids: Sequence[str]) -> np.ndarray:
        """As `Client.item_embedding`."""
        return await self._ask(self._queries.item_embedding(item_ids))

    async def titles(self, item_ids: Sequence[str]) -> list[str]:
        """As `Client.titles`."""
        return await self._ask(self._queries.titles(item_ids))

    async def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        return await self._ask(self._queries.predict(signature, inputs))

    async def metadata(self) -> ModelMetadata:
        """As `Client.metadata`."""
        return await self._ask(self._queries.metadata())

    async def status(self) -> list[VersionStatus]:
        """As `Client.status`."""
        return await self._ask(self._queries.status())

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *unused: object) -> None:
        await self.close()

    async def _ask(self, query: Query[T]) -> T:
        end = time.monotonic() + self._timeout
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(operation: Operation[Any]) -> Any:
            async with gate:
                return operation.parse(await self._send(operation, end))

        return query.join(await asyncio.gather(*map(ask, query.operations)))

    async def _send(self, operation: Operation[T], end: float) -> bytes:
        try:
            return await self._method(operation)(operation.request, **self._options(end))
        except grpc.RpcError as error:
            raise self._connection.error(error, self._timeout) from error
