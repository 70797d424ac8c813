"""In-memory interaction data: ragged histories in two flat arrays, four bytes an interaction."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Histories of `U` users, oldest item first.

    Attributes:
        user_ids: `[U]` strings.
        items: int32 `[total]`, item indices 1..N, users one after the other.
        offsets: int64 `[U + 1]`; user `u` owns `items[offsets[u]:offsets[u + 1]]`.
        timestamps: int64 `[total]` nanoseconds since 1970 in UTC, non-decreasing within a user; None without times.
    """

    user_ids: np.ndarray
    items: np.ndarray
    offsets: np.ndarray
    timestamps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 `[U]`, items in each history."""
        return np.diff(self.offsets)

    def history(self, user: int) -> np.ndarray:
        """int32 `[length]`, the items of the user in row `user`."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def padded(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Left-padded matrix of the last `length` items: int32 `[len(rows), length]`, 0 pads."""
        ends = self.offsets[rows + 1]
        positions = ends[:, None] - np.arange(length, 0, -1)[None, :]
        real = positions >= self.offsets[rows][:, None]
        if not len(self.items):
            return np.zeros(real.shape, np.int32)
        return np.where(real, self.items[np.where(real, positions, 0)], 0).astype(np.int32)

    @classmethod
    def from_lists(cls, histories: list[list[int]], user_ids: list[str] | None = None) -> Sequences:
        """Builds sequences from Python lists (examples and tests)."""
        ids = user_ids if user_ids is not None else [f"user-{row}" for row in range(len(histories))]
        flat = [item for history in histories for item in history]
        offsets = np.cumsum([0] + [len(history) for history in histories])
        return cls(np.asarray(ids, dtype=object), np.asarray(flat, np.int32), offsets.astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Holdout:
    """Held-out interactions: for row `u`, `targets[u]` followed `histories.history(u)`.

    Attributes:
        histories: what the model may see; a row may be empty.
        targets: int32 `[U]`, item indices 1..N.
    """

    histories: Sequences
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, count: int, seed: int) -> Holdout:
        """`count` random rows in their order; all of them where `count` is 0 or too large."""
        if not count or count >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        histories = self.histories
        lengths = histories.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(histories.offsets[rows], lengths)
        return Holdout(Sequences(histories.user_ids[rows], histories.items[index], offsets), self.targets[rows])


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All items that may be recommended. Row `r` of every array here is item index `r + 1`; index 0 pads.

    The order is by hash of the id (see `catalogue_order`), so an index says nothing about time or popularity.

    Attributes:
        item_ids: `[N]` strings.
        titles: `[N]` strings, "" where the source has none.
        texts: `[N]` strings, all text columns joined; "" where the source has none.
        vectors: float32 `[N, D]` given by the user, or None.
        categories: `[N]` strings, names with "|" between them, "" for none; None where the source has no such column.
    """

    item_ids: np.ndarray
    titles: np.ndarray
    texts: np.ndarray
    vectors: np.ndarray | None = None
    categories: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    def index(self) -> dict[str, int]:
        """Item id -> item index (1..N)."""
        return {item_id: row + 1 for row, item_id in enumerate(self.item_ids.tolist())}


def catalogue_order(item_ids: list[str]) -> np.ndarray:
    """int64 `[N]`, the permutation that sorts item ids by their BLAKE2 hash."""
    keys = [hashlib.blake2b(item_id.encode("utf-8"), digest_size=8).digest() for item_id in item_ids]
    return np.asarray(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A catalogue and its interactions, split. Popularity is counted on `train` alone."""

    catalogue: Catalogue
    train: Sequences
    validation: Holdout
    test: Holdout

    @property
    def popularity(self) -> np.ndarray:
        """int64 `[N + 1]`, training interactions of each item index; entry 0 (padding) is 0."""
        return np.bincount(self.train.items, minlength=len(self.catalogue) + 1)
