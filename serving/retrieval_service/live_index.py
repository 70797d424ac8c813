"""A ScaNN index that is searched while items come and go.

What ScaNN 1.3 does, and what follows from it:

- `upsert`, `delete` and `search` of the pybind searcher hold Python's interpreter lock and take microseconds an item.
  Nobody promises that they may run at once, so a lock of our own keeps them apart; writers take it for a few hundred
  items at a time and it is handed on in order, so a search waits milliseconds at most.
- `rebalance` holds the interpreter lock for the whole training and keeps the number of leaves of the first build, and
  `serialize` holds it for the time of the disk. Building a new searcher does neither: a rebalance is a new searcher,
  built beside the old one and put in its place (`Engine.rebalance`).
- Rows are numbered without gaps: `delete` moves the last one into the free place, a list with a repeated row deletes
  two items, an update of a row that is not there is passed over in silence, and NaN is taken in. `Rows` follows the
  numbering, and vectors are checked before they come here.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from h2rec_tf.config import IndexConfig
from h2rec_tf.index.scann_index import make_searcher
from h2rec_tf.index.settings import BRUTE, TREE_AH, IndexSettings
from serving.retrieval_service.fair_lock import FairLock
from serving.retrieval_service.mutations import Delete, Mutation, Upsert
from serving.retrieval_service.results import Hit
from serving.retrieval_service.rows import Rows

# Items written under one hold of the lock.
_STEP = 256
# Queries whose lists are made together, and rows fetched for them at a time: a query fetches as many more as it has
# excluded ids, thousands where k is ten.
_TOGETHER = 64
_FETCHED = 1 << 20
# A hash is learned from at least this many vectors; below, exact search is faster anyway.
_FEWEST_HASHED = 1000


class LiveIndex:
    """Items with vectors, searchable and changeable by many threads; `apply` by one at a time.

    Args:
        rows: the items to start with; the index takes them over.
        config: from which the number of items decides the kind of searcher.
    """

    def __init__(self, rows: Rows, config: IndexConfig) -> None:
        self.rows = rows
        self.lock = FairLock()
        self.settings = settings_for(config, len(rows))
        self._searcher: Any = make_searcher(rows.matrix(), self.settings).searcher
        self.changed = 0

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: np.ndarray, k: int, excluded: Sequence[Collection[str]]) -> list[list[Hit]]:
        """The best items that are not excluded, best first.

        More are fetched until a row has k, or all that are left.

        Args:
            queries: float32 `[B, D]`, finite.
            k: most items a row.
            excluded: for each query, ids that never come back.

        Returns:
            For each query up to k hits, fewer only where fewer items remain.
        """
        results: list[list[Hit]] = []
        for start in range(0, len(queries), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            results += self._search(queries[part], k, list(excluded[part]))
        return results

    def _search(self, queries: np.ndarray, k: int, excluded: Sequence[Collection[str]]) -> list[list[Hit]]:
        results: list[list[Hit]] = [[] for _ in queries]
        pending = list(range(len(queries)))
        breadth = 1
        while pending:
            with self.lock:
                total = len(self.rows)
                if not total:
                    break
                known = max(sum(item in self.rows for item in excluded[row]) for row in pending)
                fetched = min(total, (k + known) * breadth)
                for row, found in zip(pending, self._fetch(queries[pending], fetched, breadth), strict=True):
                    results[row] = self._best(*found, k, excluded[row])
            if fetched == total and self._leaves(breadth) in (-1, self.settings.leaves):
                break
            pending = [row for row in pending if len(results[row]) < k]
            breadth *= 4
        return results

    def vectors(self, item_ids: Sequence[str]) -> list[np.ndarray | None]:
        """float32 `[D]` copies; None for unknown ids."""
        with self.lock:
            rows = [self.rows.row(item_id) for item_id in item_ids]
            return [None if row is None else self.rows.vector(row).copy() for row in rows]

    def titles(self, item_ids: Sequence[str]) -> list[str]:
        """Titles; "" for unknown ids and items without one."""
        with self.lock:
            rows = [self.rows.row(item_id) for item_id in item_ids]
            return ["" if row is None else self.rows.titles[row] for row in rows]

    def apply(self, mutation: Mutation) -> list[bool]:
        """Makes a change.

        Returns:
            For each id, whether the item was there before.
        """
        existed: list[bool] = []
        for start in range(0, len(mutation.item_ids), _STEP):
            with self.lock:
                if isinstance(mutation, Upsert):
                    existed += self._upsert(mutation, start)
                else:
                    existed += self._delete(mutation, start)
        self.changed += len(existed)
        return existed

    def _upsert(self, mutation: Upsert, start: int) -> list[bool]:
        ids, titles = mutation.item_ids[start : start + _STEP], mutation.titles[start : start + _STEP]
        vectors = mutation.vectors[start : start + _STEP]
        before = len(self.rows)
        known = self.rows.upsert(ids, titles, vectors)
        places = self._searcher.upsert(known, vectors, len(ids))
        new = iter(range(before, len(self.rows)))
        if list(places) != [next(new) if row is None else row for row in known]:
            raise RuntimeError("ScaNN numbers its rows in another way than this version of it is known to")
        return [row is not None for row in known]

    def _delete(self, mutation: Delete, start: int) -> list[bool]:
        rows = [self.rows.delete(item_id) for item_id in mutation.item_ids[start : start + _STEP]]
        # One after the other, as the rows were worked out.
        self._searcher.delete([row for row in rows if row is not None])
        return [row is not None for row in rows]

    def _leaves(self, breadth: int) -> int:
        if self.settings.kind != TREE_AH:
            return -1
        return min(self.settings.leaves_to_search * breadth, self.settings.leaves)

    def _fetch(self, queries: np.ndarray, count: int, breadth: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the rows and the scores that are found for each query."""
        pre = -1 if self.settings.kind == BRUTE else self.settings.reorder + count
        leaves = self._leaves(breadth)
        if len(queries) == 1:
            yield self._searcher.search(queries[0], count, pre, leaves)
            return
        step = max(1, _FETCHED // max(count, 1))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            yield from zip(*self._searcher.search_batched(part, count, pre, leaves, True, 256), strict=True)

    def _best(self, rows: np.ndarray, scores: np.ndarray, k: int, excluded: Collection[str]) -> list[Hit]:
        ids, titles = self.rows.item_ids, self.rows.titles
        # A batched search fills what it did not find with NaN.
        hits = (
            Hit(ids[row], titles[row], score)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            if score == score and ids[row] not in excluded
        )
        return list(itertools.islice(hits, k))


def settings_for(config: IndexConfig, items: int) -> IndexSettings:
    """Settings for a number of items, exact search where they are too few to learn a hash from."""
    if items < _FEWEST_HASHED:
        config = dataclasses.replace(config, kind=BRUTE)
    return IndexSettings.derive(config, items=max(items, 1))
