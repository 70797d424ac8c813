"""What the service does for a request, apart from how the request came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np

from h2rec_tf import names, retrieval
from serving.retrieval_service.checks import check_vectors, checked_ids, decoded, encoded, lenient_text
from serving.retrieval_service.engine import Engine
from serving.retrieval_service.exclusions import Exclusions
from serving.retrieval_service.log import LogWriteError
from serving.retrieval_service.mutations import Delete, Mutation, Upsert
from serving.retrieval_service.results import Hit, Written
from serving.retrieval_service.signatures import (
    DELETE,
    EXISTED,
    PATH,
    REBALANCE,
    SEARCH,
    SEQUENCE,
    SNAPSHOT,
    STATUS,
    TEXT_VECTORS,
    TEXTS,
    UPSERT,
)
from serving.retrieval_service.towers import ItemTower, QueryTower
from serving.retrieval_service.write_thread import UnavailableError
from serving.server.errors import RequestError
from serving.server.options import Limits

_LONGEST_TITLE = 16 * 1024

Arrays = Mapping[str, np.ndarray]


class Operations:
    """The operations by signature name.

    Args:
        engine: where the items are.
        width: D.
        query_tower: for histories; None: searches by vector only.
        item_tower: for upserts without vectors; None: vectors only.
        search_rows: most rows of one search.
        answer_bytes: most bytes of an answer.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        width: int,
        query_tower: QueryTower | None = None,
        item_tower: ItemTower | None = None,
        search_rows: int = 1024,
        answer_bytes: int = Limits.message_bytes,
    ) -> None:
        self._engine = engine
        self._search_rows = search_rows
        self._answer_bytes = answer_bytes
        self._width = width
        self._query_tower = query_tower
        self._item_tower = item_tower
        self._handlers: dict[str, Callable[[Arrays], dict[str, np.ndarray]]] = {
            names.SERVING_DEFAULT: self._recommend,
            SEARCH: self._search,
            names.SIMILAR_ITEMS: self._similar_items,
            names.ITEM_EMBEDDING: self._item_embedding,
            names.ITEM_TITLES: self._item_titles,
            UPSERT: self._upsert,
            DELETE: self._delete,
            SNAPSHOT: lambda inputs: _done(self._engine.snapshot()),
            REBALANCE: lambda inputs: _done(self._engine.rebalance()),
            STATUS: self._status,
        }

    def run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            signature: a key of `signatures.definitions`.
            inputs: arrays of the types and ranks that it declares.

        Raises:
            RequestError: the request cannot be answered; nothing has changed.
        """
        if self._engine.failure:
            raise RequestError(grpc.StatusCode.UNAVAILABLE, self._engine.failure)
        try:
            return self._handlers[signature](inputs)
        except LogWriteError as error:
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if error.full else grpc.StatusCode.UNAVAILABLE
            raise RequestError(code, str(error)) from error
        except UnavailableError as error:
            raise RequestError(grpc.StatusCode.UNAVAILABLE, str(error)) from error

    def _recommend(self, inputs: Arrays) -> dict[str, np.ndarray]:
        histories = inputs[names.HISTORY]
        if not len(histories):
            return self._found([])
        if self._query_tower is None:
            raise RequestError.failed_precondition("the service has no model to turn histories into vectors")
        seen = histories if self._query_tower.seen_excluded else histories[:, :0]
        excluded = self._excluded(inputs, seen)
        users, k = self._query_tower.user_vectors(histories), int(inputs[names.K])
        known = users.any(axis=1)
        hits = self._hits(users, np.flatnonzero(known).tolist(), k, excluded)
        unknown = np.flatnonzero(~known)
        if len(unknown):
            # A zero vector would find any items at all.
            popular = self._query_tower.popular(k, excluded.of_rows(unknown.tolist()))
            for row, found in zip(unknown, popular, strict=True):
                hits[row] = self._held(found)
        return self._found(hits)

    def _hits(self, queries: np.ndarray, rows: Sequence[int], k: int, excluded: Exclusions) -> list[list[Hit]]:
        """A search for some rows of the queries; the others find nothing."""
        hits: list[list[Hit]] = [[] for _ in queries]
        if len(rows):
            found = self._engine.index.search(queries[rows], k, excluded.of_rows(rows))
            for row, entries in zip(rows, found, strict=True):
                hits[row] = entries
        return hits

    def _held(self, found: list[tuple[str, float]]) -> list[Hit]:
        """Those of a model's items that are in the index."""
        ids = [item_id for item_id, _ in found]
        vectors, titles = self._engine.index.vectors(ids), self._engine.index.titles(ids)
        return [
            Hit(item_id, title, score)
            for (item_id, score), vector, title in zip(found, vectors, titles, strict=True)
            if vector is not None
        ]

    def _search(self, inputs: Arrays) -> dict[str, np.ndarray]:
        vectors = inputs[names.VECTORS]
        check_vectors(vectors, names.VECTORS, self._width)
        excluded = self._excluded(inputs, np.empty((len(vectors), 0), object))
        return self._found(self._hits(vectors, range(len(vectors)), int(inputs[names.K]), excluded))

    def _similar_items(self, inputs: Arrays) -> dict[str, np.ndarray]:
        # An item is not similar to itself.
        excluded = self._excluded(inputs, inputs[names.ITEM_IDS][:, None])
        item_ids = [lenient_text(item_id) for item_id in inputs[names.ITEM_IDS]]
        vectors = np.zeros((len(item_ids), self._width), np.float32)
        known = []
        for row, vector in enumerate(self._engine.index.vectors(item_ids)):
            if vector is not None:
                vectors[row] = vector
                if self._query_tower is not None:
                    # That two items share a slot of the seen part does not make them alike.
                    vectors[row, self._query_tower.learned_width :] = 0.0
                known.append(row)
        return self._found(self._hits(vectors, known, int(inputs[names.K]), excluded))

    def _item_embedding(self, inputs: Arrays) -> dict[str, np.ndarray]:
        found = self._engine.index.vectors([lenient_text(item_id) for item_id in inputs[names.ITEM_IDS]])
        result = np.zeros((len(found), self._width), np.float32)
        for row, vector in zip(result, found, strict=True):
            row[:] = 0.0 if vector is None else vector
        return {names.EMBEDDING: result}

    def _item_titles(self, inputs: Arrays) -> dict[str, np.ndarray]:
        titles = self._engine.index.titles([lenient_text(item_id) for item_id in inputs[names.ITEM_IDS]])
        self._check_answer(sum(map(len, titles)))
        return {names.TITLES: encoded(titles)}

    def _upsert(self, inputs: Arrays) -> dict[str, np.ndarray]:
        item_ids = checked_ids(inputs[names.ITEM_IDS])
        titles = [decoded(title, f"`{names.TITLES}` row {row}") for row, title in enumerate(inputs[names.TITLES])]
        for row, title in enumerate(titles):
            if len(title.encode()) > _LONGEST_TITLE:
                raise RequestError.invalid(f"`{names.TITLES}` row {row}: longer than {_LONGEST_TITLE} bytes")
        for alias in (names.TITLES, names.VECTORS, TEXTS, TEXT_VECTORS):
            if len(inputs[alias]) not in (0, len(item_ids)):
                raise RequestError.invalid(f"`{alias}` has {len(inputs[alias])} rows for {len(item_ids)} item ids")
        if not item_ids:
            return self._nothing_written()
        vectors, found_titles = self._item_vectors(item_ids, inputs)
        check_vectors(vectors, names.VECTORS, self._width)
        # Of an id that stands there twice the last one counts, as if they had come one after the other.
        rows = list({item_id: row for row, item_id in enumerate(item_ids)}.values())
        kept = tuple(item_ids[row] for row in rows)
        titles = titles or found_titles
        return self._write(Upsert(kept, tuple(titles[row] for row in rows), vectors[rows]), item_ids)

    def _delete(self, inputs: Arrays) -> dict[str, np.ndarray]:
        item_ids = checked_ids(inputs[names.ITEM_IDS])
        if not item_ids:
            return self._nothing_written()
        return self._write(Delete(tuple(dict.fromkeys(item_ids))), item_ids)

    def _status(self, inputs: Arrays) -> dict[str, np.ndarray]:
        values = dataclasses.asdict(self._engine.status())
        return {
            key: np.asarray(value.encode(), object) if isinstance(value, str) else np.asarray(value, np.int64)
            for key, value in values.items()
        }

    def _write(self, mutation: Mutation, item_ids: Sequence[str]) -> dict[str, np.ndarray]:
        return _written(self._engine.write(mutation), item_ids, mutation.item_ids)

    def _nothing_written(self) -> dict[str, np.ndarray]:
        return _written(Written(self._engine.status().sequence, []), (), ())

    def _item_vectors(self, item_ids: list[str], inputs: Arrays) -> tuple[np.ndarray, list[str]]:
        """float32 `[B, D]` and titles, from whatever a request says of its items."""
        given = [alias for alias in (names.VECTORS, TEXTS, TEXT_VECTORS) if len(inputs[alias])]
        if len(given) > 1:
            raise RequestError.invalid(
                f"give one of `{names.VECTORS}`, `{TEXTS}` and `{TEXT_VECTORS}`, got {' and '.join(given)}"
            )
        titles = [""] * len(item_ids)
        if given == [names.VECTORS]:
            return inputs[names.VECTORS], titles
        tower = self._item_tower
        if tower is None:
            raise RequestError.failed_precondition(f"there is no model to make vectors with: give `{names.VECTORS}`")
        # What training found out about an item is better than what its text promises.
        vectors, known, titles = tower.trained(item_ids)
        new = [row for row in range(len(item_ids)) if not known[row]]
        if new and not given:
            raise RequestError.invalid(
                f"item `{item_ids[new[0]]}` is not in the model: give `{TEXTS}`, `{TEXT_VECTORS}` or `{names.VECTORS}`"
            )
        if new:
            vectors = vectors.copy()
            if given == [TEXTS]:
                texts = [decoded(inputs[TEXTS][row], f"`{TEXTS}` row {row}") for row in new]
                vectors[new] = tower.from_texts(texts)
            else:
                check_vectors(inputs[TEXT_VECTORS][new], TEXT_VECTORS, inputs[TEXT_VECTORS].shape[1])
                vectors[new] = tower.from_text_vectors(inputs[TEXT_VECTORS][new])
        return vectors, titles

    def _excluded(self, inputs: Arrays, own: np.ndarray) -> Exclusions:
        """A set of ids for each row of `own`, object `[B, T]`, which are among them; one list stands for all."""
        rows = len(own)
        if rows > self._search_rows:
            raise RequestError.invalid(f"the request has {rows} rows, at most {self._search_rows} are searched")
        lists = inputs[names.EXCLUDE]
        if len(lists) not in (1, rows):
            raise RequestError.invalid(f"input `{names.EXCLUDE}` has {len(lists)} rows for {rows} queries")
        return Exclusions(lists, own)

    def _found(self, hits: list[list[Hit]]) -> dict[str, np.ndarray]:
        """Rows of the longest length; "" and the lowest score where a row has fewer."""
        self._check_answer(sum(len(hit.item_id) + len(hit.title) for entries in hits for hit in entries))
        width = max(map(len, hits), default=0)
        ids, titles = np.full((len(hits), width), b"", object), np.full((len(hits), width), b"", object)
        scores = np.full((len(hits), width), retrieval.LOWEST, np.float32)
        for row, entries in enumerate(hits):
            for column, hit in enumerate(entries):
                ids[row, column], titles[row, column] = hit.item_id.encode(), hit.title.encode()
                scores[row, column] = hit.score
        counts = np.asarray([len(entries) for entries in hits], np.int32)
        return {names.ITEM_IDS: ids, names.TITLES: titles, names.SCORES: scores, names.COUNT: counts}

    def _check_answer(self, size: int) -> None:
        """Before the texts of an answer are copied: they have at least `size` bytes."""
        if size > self._answer_bytes:
            raise RequestError.answer_too_large(size, self._answer_bytes)


def _written(written: Written, asked: Sequence[str], changed: Sequence[str]) -> dict[str, np.ndarray]:
    existed = dict(zip(changed, written.existed, strict=True))
    return {
        SEQUENCE: np.asarray(written.sequence, np.int64),
        EXISTED: np.asarray([existed[item_id] for item_id in asked], bool),
    }


def _done(result: tuple[int, str]) -> dict[str, np.ndarray]:
    return {SEQUENCE: np.asarray(result[0], np.int64), PATH: np.asarray(result[1].encode(), object)}
