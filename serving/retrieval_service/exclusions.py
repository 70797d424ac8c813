"""Which ids must not come back, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from serving.retrieval_service.checks import lenient_text


class Exclusions(Sequence[set[str]]):
    """A set of ids for each query, made when it is asked for: one list may stand for all of a thousand queries.

    Args:
        lists: object `[B or 1, E]` of bytes; one list stands for all queries.
        own: object `[B, T]` of bytes, more ids of each query.
        rows: the queries that are wanted, all where absent.
    """

    def __init__(self, lists: np.ndarray, own: np.ndarray, rows: Sequence[int] | None = None) -> None:
        self._lists = lists
        self._own = own
        self._rows = range(len(own)) if rows is None else rows
        self._shared = _texts(lists[0]) if len(lists) == 1 else None

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> set[str]: ...
    @overload
    def __getitem__(self, place: slice) -> list[set[str]]: ...

    def __getitem__(self, place: int | slice) -> set[str] | list[set[str]]:
        if isinstance(place, slice):
            return [self._of(row) for row in self._rows[place]]
        return self._of(self._rows[place])

    def of_rows(self, rows: Sequence[int]) -> Exclusions:
        """Those of some of the queries."""
        return Exclusions(self._lists, self._own, rows)

    def _of(self, row: int) -> set[str]:
        listed = _texts(self._lists[row]) if self._shared is None else self._shared
        return listed | _texts(self._own[row])


def _texts(ids: np.ndarray) -> set[str]:
    return {lenient_text(item_id) for item_id in ids}
