"""The client for threads."""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np

from serving.client.base import AT_ONCE, BaseClient
from serving.client.operations import Operation
from serving.client.queries import Query
from serving.client.results import ModelMetadata, RankedCandidate, Recommendation, VersionStatus

T = TypeVar("T")


class Client(BaseClient):
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

    _channels = grpc

    def wait(self, seconds: float) -> bool:
        """Waits for a server that may be starting; whether there is one now."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=seconds)
        except grpc.FutureTimeoutError:
            return False
        return True

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] = (),
        allow_categories: Sequence[Sequence[str]] = (),
    ) -> list[list[Recommendation]]:
        """The k best items for each history, best first.

        Args:
            histories: item ids, oldest first, one list a user; an unknown id is passed over, an empty list is a new
                user.
            k: how many; fewer come back where fewer unseen items remain.
            exclude: ids that must not come back beside those of the history; a list for each user, or one for all.
            allow_categories: categories of which items may come back, all where a list is empty; a list for each user,
                or one for all. Only for models whose catalogue has categories.

        Raises:
            InputError: `exclude` or `allow_categories` has another number of lists.
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.recommend(histories, k, exclude, allow_categories))

    def similar_items(self, item_ids: Sequence[str], k: int = 10) -> list[list[Recommendation]]:
        """The k items most like each item, best first, itself left out; scores are cosines.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.similar_items(item_ids, k))

    def rank_candidates(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> list[list[RankedCandidate]]:
        """The given items for each history, best first, unknown ones last.

        Args:
            histories: as for `recommend`.
            candidates: item ids to rank; a list for each user, or one for all.

        Raises:
            InputError: `candidates` has another number of lists.
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.rank_candidates(histories, candidates))

    def user_embedding(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """float32 `[B, D]`, whose inner products with item embeddings are the scores of items.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.user_embedding(histories))

    def item_embedding(self, item_ids: Sequence[str]) -> np.ndarray:
        """float32 `[B, D]`; zeros for unknown ids.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.item_embedding(item_ids))

    def titles(self, item_ids: Sequence[str]) -> list[str]:
        """The title of each item; "" for an item without one or an unknown id.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """
        return self._ask(self._queries.titles(item_ids))

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
        return self._ask(self._queries.predict(signature, inputs))

    def metadata(self) -> ModelMetadata:
        """The served version and its signatures.

        Raises:
            ServerError: the server cannot be reached or serves no such model.
        """
        return self._ask(self._queries.metadata())

    def status(self) -> list[VersionStatus]:
        """State of the model's versions, newest first.

        Raises:
            ServerError: the server cannot be reached or serves no such model.
        """
        return self._ask(self._queries.status())

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _ask(self, query: Query[T]) -> T:
        operations = iter(query.operations)
        first_two = list(itertools.islice(operations, 2))
        if len(first_two) == 1:
            return query.join([self._call(*first_two)])
        return query.join(list(self._call_all(itertools.chain(first_two, operations))))

    def _call(self, operation: Operation[T]) -> T:
        """Waits in this thread: a future takes a thread of its own, which costs more than the rest of a small call."""
        try:
            response = self._method(operation)(operation.request, **self._options(time.monotonic() + self._timeout))
        except grpc.RpcError as error:
            raise self._connection.error(error, self._timeout) from error
        return operation.parse(response)

    def _call_all(self, wanted: Iterable[Operation[T]]) -> Iterator[T]:
        end = time.monotonic() + self._timeout
        waiting: collections.deque[tuple[Operation[T], Any]] = collections.deque()
        try:
            for operation in wanted:
                if len(waiting) == AT_ONCE:
                    yield self._result(*waiting.popleft())
                waiting.append((operation, self._send(operation, end)))
            while waiting:
                yield self._result(*waiting.popleft())
        finally:
            for _, sent in waiting:
                sent.cancel()

    def _send(self, operation: Operation[T], end: float) -> Any:
        return self._method(operation).future(operation.request, **self._options(end))

    def _result(self, operation: Operation[T], sent: Any) -> T:
        try:
            return operation.parse(sent.result())
        except grpc.RpcError as error:
            raise self._connection.error(error, self._timeout) from error
