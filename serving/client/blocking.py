"""The client for threads."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

from serving.client import operations
from serving.client.connection import Connection
from serving.client.operations import Operation
from serving.client.results import ModelMetadata, Recommendation, VersionStatus

T = TypeVar("T")
# Chunks of one call that are on their way at the same time: one is answered while the next travels.
_AT_ONCE = 4


class Client:
    """Asks a model server. One client holds one connection and may be used by many threads.

    A call that finds the server unavailable is sent again, with growing time between, until its time is over.

    Example:
        with Client("127.0.0.1:8500") as client:
            for item in client.recommend([["B00AE0790U", "B0009V1YR8"]], k=5)[0]:
                print(item.title, item.score)

    Args:
        connection: `host:port`, or a `Connection` with encryption, a token or other retries.
        model_name: the name that the model is served under.
        version: the version to ask; None asks the newest.
        label: the version by its label instead.
        timeout: seconds that one call of a method may take, all attempts together.
        batch_size: most rows that are sent in one request; longer lists go out in several.
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
            self._channel = grpc.insecure_channel(self._connection.target, options)
        else:
            self._channel = grpc.secure_channel(self._connection.target, credentials, options)
        self._methods: dict[str, Any] = {}

    def recommend(self, histories: Sequence[Sequence[str]], k: int = 10) -> list[list[Recommendation]]:
        """The k best items for each history, best first.

        Args:
            histories: item ids, oldest first, one list a user; an unknown id is passed over, an empty list is a new
                user.
            k: how many; fewer come back where fewer unseen items remain.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        parts = operations.chunks(histories, self._batch_size)
        answers = self._call_all(operations.recommend(self._model, part, k) for part in parts)
        return [row for answer in answers for row in answer]

    def titles(self, item_ids: Sequence[str]) -> list[str]:
        """The title of each item; "" for an item without one or an unknown id.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        parts = operations.chunks(item_ids, self._batch_size)
        answers = self._call_all(operations.titles(self._model, part) for part in parts)
        return [title for answer in answers for title in answer]

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs any signature, in one request.

        Args:
            signature: its name.
            inputs: arrays by name; strings as object arrays of bytes.

        Returns:
            Arrays by name.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._call(operations.predict(self._model, signature, inputs))

    def metadata(self) -> ModelMetadata:
        """The served version and its signatures.

        Raises:
            ServerError: the server cannot be reached or serves no such model.
        """
        return self._call(operations.metadata(self._model))

    def status(self) -> list[VersionStatus]:
        """State of the model's versions, newest first.

        Raises:
            ServerError: the server cannot be reached or serves no such model.
        """
        return self._call(operations.status(self._model))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _call(self, operation: Operation[T]) -> T:
        return next(iter(self._call_all([operation])))

    def _call_all(self, wanted: Iterable[Operation[T]]) -> Iterator[T]:
        end = time.monotonic() + self._timeout
        waiting: collections.deque[tuple[Operation[T], Any]] = collections.deque()
        try:
            for operation in wanted:
                if len(waiting) == _AT_ONCE:
                    yield self._result(*waiting.popleft())
                waiting.append((operation, self._send(operation, end)))
            while waiting:
                yield self._result(*waiting.popleft())
        finally:
            for _, sent in waiting:
                sent.cancel()

    def _send(self, operation: Operation[T], end: float) -> Any:
        if operation.method not in self._methods:
            self._methods[operation.method] = self._channel.unary_unary(operation.method)
        method = self._methods[operation.method]
        return method.future(
            operation.request, timeout=max(0.0, end - time.monotonic()), metadata=self._connection.metadata()
        )

    def _result(self, operation: Operation[T], sent: Any) -> T:
        try:
            return operation.parse(sent.result())
        except grpc.RpcError as error:
            raise self._connection.error(error, self._timeout) from error
