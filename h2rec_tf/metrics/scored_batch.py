"""The scores of one batch of users, and the ranks and lists that all protocols read off them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf import retrieval
from h2rec_tf.data.sequences import Holdout
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import negatives
from h2rec_tf.metrics.protocol import EXCLUDE, INCLUDE, Protocol, Recommender


def measure(
    recommender: Recommender,
    holdout: Holdout,
    rows: np.ndarray,
    protocols: Sequence[Protocol],
    *,
    item_block: int,
    k: int,
    seed: int,
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Ranks and lists of some of the held-out users.

    Args:
        recommender: what scores.
        holdout: all held-out users.
        rows: int `[B]`, which of them.
        protocols: how they are ranked.
        item_block: items scored at once.
        k: length of the lists; 0 leaves them out.
        seed: of the negatives.

    Returns:
        For each protocol the targets' ranks, int64 `[B]`, and where it has lists the items, int32 `[B, k]`; a rank of
        N + 1 is a target that no list can hold.
    """
    queries = recommender.queries(holdout.histories.padded(rows, recommender.max_length))
    unseen: Callable[[Any], Any] | None = getattr(recommender, "unseen_queries", None)
    groups: dict[bool, list[Protocol]] = {}
    for protocol in protocols:
        groups.setdefault(unseen is not None and not protocol.seen_compete, []).append(protocol)
    measured: dict[Protocol, tuple[np.ndarray, np.ndarray | None]] = {}
    for without_seen, group in groups.items():
        asked = unseen(queries) if unseen and without_seen else queries
        batch = ScoredBatch(recommender, asked, holdout, rows, item_block)
        measured.update(zip(group, batch.measure(group, k, seed), strict=True))
    return [measured[protocol] for protocol in protocols]


class ScoredBatch:
    """Scores of some of the held-out users by block of items, the last block remembered.

    Args:
        recommender: what scores.
        queries: its queries for their histories.
        holdout: all held-out users.
        rows: int `[B]`, which of them.
        item_block: items scored at once.
    """

    def __init__(
        self,
        recommender: Recommender,
        queries: Any,
        holdout: Holdout,
        rows: np.ndarray,
        item_block: int,
    ):
        self._recommender = recommender
        self._histories = holdout.histories
        self._rows = rows
        self._fallback: np.ndarray | None = getattr(recommender, "fallback", None)
        self._empty = np.flatnonzero(holdout.histories.lengths[rows] == 0)
        self._targets = holdout.targets[rows].astype(np.int64)
        self._queries = queries
        self._item_block = item_block
        self._blocks = retrieval.blocks(recommender.num_items, item_block)
        self._kept: tuple[int, np.ndarray] | None = None

    def measure(self, protocols: Sequence[Protocol], k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """As the function `measure`."""
        full = [protocol for protocol in protocols if not protocol.sampled_negatives]
        seen = {protocol: self._seen(protocol) for protocol in full if protocol.seen != INCLUDE}
        others = {
            protocol: negatives.unseen_negatives(
                self._rows,
                np.concatenate([self._seen(protocol), self._targets[:, None].astype(np.int32)], axis=1),
                num_items=self._recommender.num_items,
                count=protocol.sampled_negatives,
                seed=seed,
            )
            for protocol in protocols
            if protocol.sampled_negatives
        }
        picked = _Picked([self._targets[:, None], *others.values()])

        def visit(start: int, stop: int) -> tf.Tensor:
            scores = self._scores(start, stop)
            picked.take(scores, start, stop)
            return tf.convert_to_tensor(scores)

        items = {}
        for protocol in full if k else ():
            found, _ = retrieval.top_k(
                visit,
                num_items=self._recommender.num_items,
                k=k,
                excluded=seen.get(protocol),
                block=self._item_block,
            )
            items[protocol] = found.numpy()
        if not items:
            for start, stop in self._blocks:
                picked.take(self._scores(start, stop), start, stop)
        target_scores, *other_scores = picked.parts()
        ranks = dict(zip(full, self._full_ranks(full, seen, target_scores[:, 0]), strict=True))
        for protocol, scores in zip(others, other_scores, strict=True):
            ahead = np.count_nonzero(scores >= target_scores, axis=1)
            ranks[protocol] = 1 + np.where(self._targets > 0, ahead, protocol.sampled_negatives)
        return [(ranks[protocol], items.get(protocol)) for protocol in protocols]

    def _seen(self, protocol: Protocol) -> np.ndarray:
        """int32 `[B, E]`, distinct items of the whole histories, 0 elsewhere; without the target where it competes."""
        longest = int(self._histories.lengths[self._rows].max())
        items = np.sort(self._histories.padded(self._rows, longest), axis=1)
        items[:, 1:][items[:, 1:] == items[:, :-1]] = 0
        if protocol.seen != EXCLUDE:
            items[items == self._targets[:, None]] = 0
        return items

    def _full_ranks(
        self, protocols: list[Protocol], seen: dict[Protocol, np.ndarray], target_scores: np.ndarray
    ) -> np.ndarray:
        """int64 `[P, B]`: place of the target in the list of all items, equals in the order of their indices.

        N + 1 where it cannot be recommended: it was seen and is left out, or its score is the lowest there is.
        """
        result = np.ones((len(protocols), len(self._rows)), np.int64)
        own, targets = target_scores[:, None], self._targets[:, None]
        # Backwards: the last block is still at hand, and a catalogue of one block is scored once.
        for start, stop in reversed(self._blocks) if protocols else ():
            scores = self._scores(start, stop)
            ahead = (scores > own) | ((scores == own) & (np.arange(start, stop) < targets))
            result += np.count_nonzero(ahead, axis=1)
            for number, protocol in enumerate(protocols):
                if protocol in seen:
                    rows, columns = np.nonzero((seen[protocol] >= start) & (seen[protocol] < stop))
                    taken = ahead[rows, seen[protocol][rows, columns] - start]
                    result[number] -= np.bincount(rows[taken], minlength=len(self._rows))
        result[:, (target_scores <= retrieval.LOWEST) | (self._targets == 0)] = self._recommender.num_items + 1
        for number, protocol in enumerate(protocols):
            if protocol in seen:
                result[number, (seen[protocol] == targets).any(axis=1)] = self._recommender.num_items + 1
        return result

    def _scores(self, start: int, stop: int) -> np.ndarray:
        if self._kept is None or self._kept[0] != start:
            scores = np.asarray(self._recommender.scores(self._queries, start, stop), np.float32)
            if scores.shape != (len(self._rows), stop - start):
                raise InputError(
                    f"scores({start}, {stop}) of {type(self._recommender).__name__} has shape {scores.shape},"
                    f" expected {(len(self._rows), stop - start)}"
                )
            if self._fallback is not None and len(self._empty):
                scores = scores.copy()
                scores[self._empty] = self._fallback[start:stop]
            # The minimum is NaN where any score is.
            if np.isnan(scores.min()):
                raise InputError(
                    f"{type(self._recommender).__name__} gives NaN scores for items {start}..{stop - 1}:"
                    " the model diverged or its inputs hold NaN; train again with a lower learning rate or clipping"
                )
            self._kept = (start, scores)
        return self._kept[1]


class _Picked:
    """The scores of a few items of each row, collected block by block."""

    def __init__(self, parts: list[np.ndarray]):
        """`parts`: int `[B, n]` item indices each."""
        self._items = np.concatenate(parts, axis=1)
        self._cuts = np.cumsum([part.shape[1] for part in parts])[:-1]
        self._found = np.zeros(self._items.shape, np.float32)

    def take(self, scores: np.ndarray, start: int, stop: int) -> None:
        """Reads those that lie in the block `scores` `[B, stop - start]`."""
        rows, columns = np.nonzero((self._items >= start) & (self._items < stop))
        self._found[rows, columns] = scores[rows, self._items[rows, columns] - start]

    def parts(self) -> list[np.ndarray]:
        """float32 `[B, n]` each, in the order of the constructor."""
        return np.split(self._found, self._cuts, axis=1)
