"""Evaluation of any recommender on held-out interactions: exact ranks in blocks of users and of items.

The default ranks the target among the whole catalogue, items that training never saw included. Ties count against the
target. The paper's protocol, the target among 100 uniform unseen items, is `sampled_negatives=100`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from h2rec_tf import retrieval
from h2rec_tf.data.sequences import Holdout
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import lists, negatives, slices
from h2rec_tf.metrics.result import Evaluation, compare_table

__all__ = ["Evaluation", "Recommender", "compare_table", "evaluate"]


class Recommender(Protocol):
    """What can be evaluated.

    Attributes:
        num_items: N; item indices 1..N are scored.
        max_length: items of history it reads.
    """

    num_items: int
    max_length: int

    def queries(self, histories: np.ndarray) -> Any:
        """State of a batch of users that `scores` reads.

        Args:
            histories: int32 `[B, max_length]`, left padded with 0. Batches come in order of history length, so leading
                columns may be all padding.
        """

    def scores(self, queries: Any, start: int, stop: int) -> np.ndarray:
        """Floating `[B, stop - start]`, the scores of item indices start..stop-1, the same at every call."""


def evaluate(
    recommender: Recommender,
    holdout: Holdout,
    *,
    popularity: np.ndarray,
    ks: tuple[int, ...] = (5, 10, 20),
    head_fraction: float = 0.2,
    exclude_seen: bool = False,
    sampled_negatives: int = 0,
    seed: int = 0,
    batch_size: int = 512,
    item_block: int = 65536,
    recommendation_k: int = 10,
    progress: bool = False,
) -> Evaluation:
    """Ranks every held-out target and measures the recommended lists.

    Memory is O(batch_size * item_block + U); a catalogue of more than one block is scored twice.

    Args:
        recommender: what is evaluated.
        holdout: histories and targets of `U` users.
        popularity: int `[N + 1]`, training interactions of each item index; for slices and novelty.
        ks: list lengths of HR and NDCG.
        head_fraction: share of the catalogue that is head.
        exclude_seen: items of the user's whole history do not compete and are not recommended; the target always
            competes.
        sampled_negatives: above 0, ranks the target among that many uniform items that are not in the history; there
            are no recommended lists then.
        seed: of the negatives; they do not depend on the batch size.
        batch_size: users at once.
        item_block: items scored at once.
        recommendation_k: length of the lists behind coverage, novelty and Gini.
        progress: shows a bar on stderr.

    Returns:
        Ranks, slices and metrics.

    Raises:
        InputError: no held-out rows, shapes or indices that do not fit the recommender, or scores that are NaN.
    """
    _check(recommender, holdout, popularity, ks)
    if batch_size < 1 or item_block < 1:
        raise InputError(f"batch_size and item_block must be at least 1, got {batch_size} and {item_block}")
    num_items, targets, lengths = recommender.num_items, holdout.targets, holdout.histories.lengths
    ranks = np.zeros(len(holdout), np.int64)
    counts = np.zeros(num_items + 1, np.int64)
    order = np.argsort(lengths, kind="stable")
    with tqdm(total=len(order), desc="evaluate", unit="user", disable=None if progress else True) as bar:
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            batch = _Batch(recommender, holdout, rows, item_block)
            if sampled_negatives:
                others = negatives.unseen_negatives(
                    rows, batch.seen(target_too=True), num_items=num_items, count=sampled_negatives, seed=seed
                )
                ranks[rows] = batch.ranks_among(others)
            else:
                seen = batch.seen(target_too=False) if exclude_seen else None
                items, ranks[rows] = batch.recommend_and_rank(seen, recommendation_k)
                counts += np.bincount(items.ravel(), minlength=num_items + 1)
            bar.update(len(rows))
    measured = {}
    if not sampled_negatives:
        measured[f"coverage@{recommendation_k}"] = lists.coverage(counts)
        measured[f"novelty@{recommendation_k}"] = lists.novelty(counts, popularity)
        measured[f"gini@{recommendation_k}"] = lists.gini(counts)
    protocol = (
        f"{sampled_negatives} negatives" if sampled_negatives else "full, seen excluded" if exclude_seen else "full"
    )
    return Evaluation(
        protocol=protocol,
        ranks=ranks,
        slices=slices.user_slices(targets, lengths, popularity, head_fraction),
        ks=tuple(ks),
        lists=measured,
    )


class _Batch:
    """One batch of users: their scores by block, the last block remembered."""

    def __init__(self, recommender: Recommender, holdout: Holdout, rows: np.ndarray, item_block: int):
        self._recommender = recommender
        self._histories = holdout.histories
        self._rows = rows
        self._targets = holdout.targets[rows].astype(np.int64)
        self._queries = recommender.queries(holdout.histories.padded(rows, recommender.max_length))
        self._item_block = item_block
        self._blocks = retrieval.blocks(recommender.num_items, item_block)
        self._kept: tuple[int, np.ndarray] | None = None

    def seen(self, *, target_too: bool) -> np.ndarray:
        """int32 `[B, E]`, distinct items of the whole histories, 0 elsewhere; the target added or taken out."""
        longest = int(self._histories.lengths[self._rows].max())
        items = np.sort(self._histories.padded(self._rows, longest), axis=1)
        items[:, 1:][items[:, 1:] == items[:, :-1]] = 0
        if target_too:
            return np.concatenate([items, self._targets[:, None].astype(np.int32)], axis=1)
        items[items == self._targets[:, None]] = 0
        return items

    def ranks_among(self, others: np.ndarray) -> np.ndarray:
        """int64 `[B]`, the target's rank among itself and `others` `[B, n]`."""
        candidates = np.concatenate([self._targets[:, None], others], axis=1)
        scores = np.zeros(candidates.shape, np.float32)
        for start, stop in self._blocks:
            rows, columns = np.nonzero((candidates >= start) & (candidates < stop))
            scores[rows, columns] = self._scores(start, stop)[rows, candidates[rows, columns] - start]
        return 1 + np.count_nonzero(scores[:, 1:] >= scores[:, :1], axis=1)

    def recommend_and_rank(self, seen: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The lists, int32 `[B, k]` with 0 where nothing is left, and the targets' ranks, int64 `[B]`."""
        target_scores = np.zeros(len(self._rows), np.float32)

        def visit(start: int, stop: int) -> tf.Tensor:
            scores = self._scores(start, stop)
            inside = np.flatnonzero((self._targets >= start) & (self._targets < stop))
            target_scores[inside] = scores[inside, self._targets[inside] - start]
            return tf.convert_to_tensor(scores)

        items, _ = retrieval.top_k(
            visit, num_items=self._recommender.num_items, k=k, excluded=seen, block=self._item_block
        )
        not_worse = np.zeros(len(self._rows), np.int64)
        # Backwards: the last block is still at hand, and a catalogue of one block is scored once.
        for start, stop in reversed(self._blocks):
            scores = self._scores(start, stop)
            not_worse += np.count_nonzero(scores >= target_scores[:, None], axis=1)
            if seen is not None:
                rows, columns = np.nonzero((seen >= start) & (seen < stop))
                taken = scores[rows, seen[rows, columns] - start] >= target_scores[rows]
                not_worse -= np.bincount(rows[taken], minlength=len(self._rows))
        # The target is not worse than itself, so the count is already its rank.
        return items.numpy(), not_worse

    def _scores(self, start: int, stop: int) -> np.ndarray:
        if self._kept is None or self._kept[0] != start:
            scores = np.asarray(self._recommender.scores(self._queries, start, stop), np.float32)
            if scores.shape != (len(self._rows), stop - start):
                raise InputError(
                    f"scores({start}, {stop}) of {type(self._recommender).__name__} has shape {scores.shape},"
                    f" expected {(len(self._rows), stop - start)}"
                )
            # The minimum is NaN where any score is.
            if np.isnan(scores.min()):
                raise InputError(
                    f"{type(self._recommender).__name__} gives NaN scores for items {start}..{stop - 1}:"
                    " the model diverged or its inputs hold NaN; train again with a lower learning rate or clipping"
                )
            self._kept = (start, scores)
        return self._kept[1]


def _check(recommender: Recommender, holdout: Holdout, popularity: np.ndarray, ks: tuple[int, ...]) -> None:
    if not len(holdout):
        raise InputError("nothing to evaluate: the held-out split has no rows; choose another split or hold out more")
    if len(holdout.histories) != len(holdout):
        raise InputError(f"holdout has {len(holdout)} targets but {len(holdout.histories)} histories")
    num_items = recommender.num_items
    if len(popularity) != num_items + 1:
        raise InputError(f"popularity has {len(popularity)} entries, expected {num_items + 1}: one an item and padding")
    low, high = int(holdout.targets.min()), int(holdout.targets.max())
    if low < 1 or high > num_items:
        raise InputError(f"targets must be item indices 1..{num_items}, found {low}..{high}")
    if not ks or min(ks) < 1:
        raise InputError(f"ks must hold list lengths of at least 1, got {ks}")
