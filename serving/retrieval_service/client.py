"""A client for a retrieval service."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from h2rec_tf import names
from serving.client import Client, Connection, Recommendation, ServerError
from serving.client.encoding import recommendations, string_matrix, string_vector
from serving.retrieval_service import signatures
from serving.retrieval_service.results import Status, Written


class RetrievalClient:
    """Asks a retrieval service. One client holds one connection and may be used by many threads.

    A call that finds the service unavailable is sent again until its time is over. That is safe for writes too: a
    write that arrives twice changes nothing more.

    Example:
        with RetrievalClient("127.0.0.1:8510") as client:
            client.upsert(["B00NEW"], texts=["Red running shoes"])
            for hit in client.recommend([["B00AE0790U", "B0009V1YR8"]], k=5)[0]:
                print(hit.item_id, hit.title, hit.score)

    Args:
        connection: `host:port`, or a `Connection` with encryption, a token or other retries.
        name: the name that the service answers to.
        timeout: seconds that one call may take.

    Every method raises `ServerError` when the service refuses or cannot be reached.
    """

    def __init__(self, connection: str | Connection, *, name: str = "h2rec", timeout: float = 30.0) -> None:
        self._target = connection if isinstance(connection, str) else connection.target
        self._client = Client(connection, model_name=name, timeout=timeout)

    def wait(self, seconds: float) -> bool:
        """Waits for a service that may be starting; whether there is one now."""
        return self._client.wait(seconds)

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, *, exclude: Sequence[Sequence[str]] = ()
    ) -> list[list[Recommendation]]:
        """The k best items for each history (item ids, oldest first), without those in it or in its `exclude` list."""
        inputs = {names.HISTORY: string_matrix(histories, at_end=True), **_listing(k, exclude)}
        return recommendations(self._call(names.SERVING_DEFAULT, inputs))

    def search(
        self, vectors: np.ndarray, k: int = 10, *, exclude: Sequence[Sequence[str]] = ()
    ) -> list[list[Recommendation]]:
        """The k items with the largest inner products with each of `[B, D]` vectors."""
        inputs = {names.VECTORS: np.asarray(vectors, np.float32), **_listing(k, exclude)}
        return recommendations(self._call(signatures.SEARCH, inputs))

    def similar_items(
        self, item_ids: Sequence[str], k: int = 10, *, exclude: Sequence[Sequence[str]] = ()
    ) -> list[list[Recommendation]]:
        """The k items with the largest inner products with each item, itself left out; none for an unknown id."""
        inputs = {names.ITEM_IDS: string_vector(item_ids), **_listing(k, exclude)}
        return recommendations(self._call(names.SIMILAR_ITEMS, inputs))

    def item_vectors(self, item_ids: Sequence[str]) -> np.ndarray:
        """float32 `[B, D]`; zeros for unknown ids."""
        return self._call(names.ITEM_EMBEDDING, {names.ITEM_IDS: string_vector(item_ids)})[names.EMBEDDING]

    def upsert(
        self,
        item_ids: Sequence[str],
        *,
        vectors: np.ndarray | None = None,
        texts: Sequence[str] | None = None,
        text_vectors: np.ndarray | None = None,
        titles: Sequence[str] | None = None,
    ) -> Written:
        """Adds items or replaces them; durable and searched when this returns.

        Args:
            item_ids: B ids.
            vectors: `[B, D]` item vectors.
            texts: B texts, from which the vectors of items that the model was not trained on are made.
            text_vectors: `[B, D_x]` vectors of such texts, instead.
            titles: B titles; those that the model knows where absent.
        """
        inputs = {names.ITEM_IDS: string_vector(item_ids)}
        for alias, array in ((names.VECTORS, vectors), (signatures.TEXT_VECTORS, text_vectors)):
            if array is not None:
                inputs[alias] = np.asarray(array, np.float32)
        for alias, strings in ((signatures.TEXTS, texts), (names.TITLES, titles)):
            if strings is not None:
                inputs[alias] = string_vector(strings)
        return _written(self._call(signatures.UPSERT, inputs))

    def delete(self, item_ids: Sequence[str]) -> Written:
        """Takes items out; ids that are not there change nothing."""
        return _written(self._call(signatures.DELETE, {names.ITEM_IDS: string_vector(item_ids)}))

    def snapshot(self) -> tuple[int, str]:
        """Has all items written to disk; the last write in it, and the folder on the service's machine."""
        return _done(self._call(signatures.SNAPSHOT, {}))

    def rebalance(self) -> tuple[int, str]:
        """Has the index built anew, by way of a snapshot, which is returned as by `snapshot`."""
        return _done(self._call(signatures.REBALANCE, {}))

    def status(self) -> Status:
        """What the service holds now."""
        outputs = self._call(signatures.STATUS, {})
        values: dict[str, Any] = {}
        for field in dataclasses.fields(Status):
            value = outputs[field.name].item()
            values[field.name] = value.decode() if isinstance(value, bytes) else value
        return Status(**values)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def __enter__(self) -> RetrievalClient:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._client.predict(signature, inputs)
        except ServerError as error:
            cause = error.__cause__
            details = " ".join(((cause.details() if isinstance(cause, grpc.Call) else "") or str(error)).split())
            message = f"the retrieval service at {self._target} refused the request ({error.code.name}): {details}"
            if error.code is grpc.StatusCode.UNAVAILABLE:
                message = (
                    f"no retrieval service answers at {self._target} ({details}); start one with "
                    "`h2rec retrieval serve` or give its address with --target HOST:PORT"
                )
            raise ServerError(error.code, message) from error


def _listing(k: int, exclude: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    result = {names.K: np.asarray(k, np.int32)}
    if exclude:
        result[names.EXCLUDE] = string_matrix(exclude)
    return result


def _written(outputs: Mapping[str, np.ndarray]) -> Written:
    return Written(int(outputs[signatures.SEQUENCE]), outputs[signatures.EXISTED].tolist())


def _done(outputs: Mapping[str, np.ndarray]) -> tuple[int, str]:
    return int(outputs[signatures.SEQUENCE]), outputs[signatures.PATH].item().decode()
