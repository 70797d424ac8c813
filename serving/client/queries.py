"""What both clients can ask: requests of bounded size, and how their answers become one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving.client import encoding, operations
from serving.client.operations import Model, Operation
from serving.client.results import ModelMetadata, RankedCandidate, Recommendation, VersionStatus

T = TypeVar("T")
Lists = Sequence[Sequence[str]]
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Query(Generic[T]):
    """Operations, and what their results in that order make together."""

    operations: Iterable[Operation[Any]]
    join: Callable[[list[Any]], T]


class Queries:
    """The questions to one model. Arguments and results are those of `Client`'s methods of the same names.

    Args:
        model: which model and version.
        batch_size: most rows of one request.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size

    def recommend(
        self, histories: Lists, k: int, exclude: Lists, allow_categories: Lists
    ) -> Query[list[list[Recommendation]]]:
        """`serving_default`."""
        beside = {names.EXCLUDE: exclude, names.ALLOW_CATEGORIES: allow_categories}
        for alias, lists in beside.items():
            _check_lists(alias, lists, len(histories))

        def inputs(rows: slice) -> Arrays:
            arrays = {names.HISTORY: encoding.string_matrix(histories[rows], at_end=True), names.K: _scalar(k)}
            for alias, lists in beside.items():
                if lists:
                    arrays[alias] = encoding.string_matrix(lists if len(lists) == 1 else lists[rows])
            return arrays

        parts = (
            self._operation(names.SERVING_DEFAULT, inputs(rows), encoding.recommendations)
            for rows in self._rows(histories)
        )
        return Query(parts, _chained)

    def similar_items(self, item_ids: Sequence[str], k: int) -> Query[list[list[Recommendation]]]:
        """`similar_items`."""

        def inputs(rows: slice) -> Arrays:
            return {names.ITEM_IDS: encoding.string_vector(item_ids[rows]), names.K: _scalar(k)}

        parts = (
            self._operation(names.SIMILAR_ITEMS, inputs(rows), encoding.recommendations)
            for rows in self._rows(item_ids)
        )
        return Query(parts, _chained)

    def rank_candidates(self, histories: Lists, candidates: Lists) -> Query[list[list[RankedCandidate]]]:
        """`rank_candidates`."""
        if not candidates and histories:
            raise InputError("`candidates` must have a list for each history, or one for all, got none")
        _check_lists(names.CANDIDATES, candidates, len(histories))
        lists = candidates if len(candidates) == len(histories) else [candidates[0]] * len(histories)

        def operation(rows: slice) -> Operation[list[list[RankedCandidate]]]:
            inputs = {
                names.HISTORY: encoding.string_matrix(histories[rows], at_end=True),
                names.CANDIDATES: encoding.string_matrix(lists[rows]),
            }
            return self._operation(names.RANK_CANDIDATES, inputs, lambda outputs: encoding.ranked(outputs, lists[rows]))

        return Query(map(operation, self._rows(histories)), _chained)

    def titles(self, item_ids: Sequence[str]) -> Query[list[str]]:
        """`item_titles`."""
        parts = (
            self._operation(
                names.ITEM_TITLES, {names.ITEM_IDS: encoding.string_vector(item_ids[rows])}, encoding.titles
            )
            for rows in self._rows(item_ids)
        )
        return Query(parts, _chained)

    def user_embedding(self, histories: Lists) -> Query[np.ndarray]:
        """`user_embedding`."""
        return self._embedding(
            names.USER_EMBEDDING,
            histories,
            lambda rows: {names.HISTORY: encoding.string_matrix(histories[rows], at_end=True)},
        )

    def item_embedding(self, item_ids: Sequence[str]) -> Query[np.ndarray]:
        """`item_embedding`."""
        return self._embedding(
            names.ITEM_EMBEDDING, item_ids, lambda rows: {names.ITEM_IDS: encoding.string_vector(item_ids[rows])}
        )

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Query[Arrays]:
        """Any signature, in one request."""
        return _one(operations.predict(self._model, signature, inputs))

    def metadata(self) -> Query[ModelMetadata]:
        """The served version and its signatures."""
        return _one(operations.metadata(self._model))

    def status(self) -> Query[list[VersionStatus]]:
        """The versions."""
        return _one(operations.status(self._model))

    def _embedding(self, signature: str, rows: Sequence[Any], inputs: Callable[[slice], Arrays]) -> Query[np.ndarray]:
        # No rows are a request too: its answer has the width.
        parts = (
            self._operation(signature, inputs(part), lambda outputs: outputs[names.EMBEDDING])
            for part in self._rows(rows) or [slice(0)]
        )
        return Query(parts, np.concatenate)

    def _operation(self, signature: str, inputs: Arrays, read: Callable[[Arrays], T]) -> Operation[T]:
        inner = operations.predict(self._model, signature, inputs)
        return Operation(inner.method, inner.request, lambda response: read(inner.parse(response)))

    def _rows(self, rows: Sequence[Any]) -> list[slice]:
        size = self._batch_size
        return [slice(start, start + size) for start in range(0, len(rows), size)]


def _check_lists(name: str, lists: Lists, rows: int) -> None:
    if len(lists) not in (0, 1, rows):
        raise InputError(f"`{name}` has {len(lists)} lists for {rows} histories; give one for each, or one for all")


def _scalar(k: int) -> np.ndarray:
    return np.array(k, np.int32)


def _chained(parts: list[list[T]]) -> list[T]:
    return list(itertools.chain.from_iterable(parts))


def _one(operation: Operation[T]) -> Query[T]:
    return Query([operation], lambda results: results[0])
