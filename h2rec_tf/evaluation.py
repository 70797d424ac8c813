"""Evaluation of any recommender on held-out interactions: exact ranks in blocks of users and of items.

The default ranks the target among the whole catalogue, items that training never saw included, as a server lists it:
items of the history are left out (a target among them is missed), equals stand in the order of their indices, which is
that of a hash, and a user without history gets the most popular items. What a server with `serving.seen: include` lists
is `Protocol("include")`; the paper's protocol, the target among 100 uniform unseen items, is
`Protocol(sampled_negatives=100)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from h2rec_tf.data.sequences import Holdout
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import lists, slices
from h2rec_tf.metrics.protocol import Protocol, Recommender
from h2rec_tf.metrics.result import Evaluation, compare_table
from h2rec_tf.metrics.scored_batch import measure

__all__ = ["Evaluation", "Protocol", "Recommender", "compare_table", "evaluate", "evaluate_protocols"]

# What a server does by default.
_BY_DEFAULT = Protocol()


def evaluate(
    recommender: Recommender,
    holdout: Holdout,
    *,
    popularity: np.ndarray,
    ks: tuple[int, ...] = (5, 10, 20),
    head_fraction: float = 0.2,
    protocol: Protocol = _BY_DEFAULT,
    seed: int = 0,
    batch_size: int = 512,
    item_block: int = 65536,
    recommendation_k: int = 10,
    progress: bool = False,
) -> Evaluation:
    """`evaluate_protocols` for one protocol.

    Args:
        recommender: what is evaluated.
        holdout: histories and targets of `U` users.
        popularity: as for `evaluate_protocols`, like everything below that is not named here.
        ks: list lengths of HR and NDCG.
        head_fraction: share of the catalogue that is head.
        protocol: how targets are ranked; the default is what a server does by default.
        seed: of the negatives.
        batch_size: users at once.
        item_block: items scored at once.
        recommendation_k: length of the lists behind coverage, novelty and Gini; 0 leaves them out.
        progress: shows a bar on stderr.

    Raises:
        InputError: as `evaluate_protocols`.
    """
    return evaluate_protocols(
        recommender,
        holdout,
        [protocol],
        popularity=popularity,
        ks=ks,
        head_fraction=head_fraction,
        seed=seed,
        batch_size=batch_size,
        item_block=item_block,
        recommendation_k=recommendation_k,
        progress=progress,
    )[0]


def evaluate_protocols(
    recommender: Recommender,
    holdout: Holdout,
    protocols: Sequence[Protocol],
    *,
    popularity: np.ndarray,
    ks: tuple[int, ...] = (5, 10, 20),
    head_fraction: float = 0.2,
    seed: int = 0,
    batch_size: int = 512,
    item_block: int = 65536,
    recommendation_k: int = 10,
    progress: bool = False,
) -> list[Evaluation]:
    """Ranks every held-out target and measures the recommended lists under all protocols.

    Memory is O(batch_size * item_block + U). A catalogue of one block is scored once; a larger one is scored once
    for the lists of each protocol and once for the ranks. A recommender with `unseen_queries` is scored by them where
    seen items do not compete, and once more by `queries` where they do.

    Args:
        recommender: what is evaluated.
        holdout: histories and targets of `U` users; a target of 0 is an unknown item, which is missed.
        protocols: at least one.
        popularity: int `[N + 1]`, training interactions of each item index; for slices and novelty.
        ks: list lengths of HR and NDCG.
        head_fraction: share of the catalogue that is head.
        seed: of the negatives; they do not depend on the batch size.
        batch_size: users at once.
        item_block: items scored at once.
        recommendation_k: length of the lists behind coverage, novelty and Gini; 0 leaves them out, which saves about
            a third of the time.
        progress: shows a bar on stderr.

    Returns:
        For each protocol its ranks, slices and metrics.

    Raises:
        InputError: no held-out rows, shapes or indices that do not fit the recommender, or scores that are NaN.
    """
    _check(recommender, holdout, popularity, ks)
    if batch_size < 1 or item_block < 1:
        raise InputError(f"batch_size and item_block must be at least 1, got {batch_size} and {item_block}")
    lengths = holdout.histories.lengths
    ranks = np.zeros((len(protocols), len(holdout)), np.int64)
    counts = np.zeros((len(protocols), recommender.num_items + 1), np.int64)
    order = np.argsort(lengths, kind="stable")
    with tqdm(total=len(order), desc="evaluate", unit="user", disable=None if progress else True) as bar:
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            measured = measure(
                recommender, holdout, rows, protocols, item_block=item_block, k=recommendation_k, seed=seed
            )
            for number, (batch_ranks, items) in enumerate(measured):
                ranks[number, rows] = batch_ranks
                if items is not None:
                    counts[number] += np.bincount(items.ravel(), minlength=recommender.num_items + 1)
            bar.update(len(rows))
    members = slices.user_slices(holdout.targets, lengths, popularity, head_fraction)
    return [
        Evaluation(
            protocol=protocol.name,
            ranks=ranks[number],
            slices=members,
            ks=tuple(ks),
            lists=_lists(counts[number], popularity, 0 if protocol.sampled_negatives else recommendation_k),
        )
        for number, protocol in enumerate(protocols)
    ]


def _lists(counts: np.ndarray, popularity: np.ndarray, k: int) -> dict[str, float]:
    if not k:
        return {}
    return {
        f"coverage@{k}": lists.coverage(counts),
        f"novelty@{k}": lists.novelty(counts, popularity),
        f"gini@{k}": lists.gini(counts),
    }


def _check(recommender: Recommender, holdout: Holdout, popularity: np.ndarray, ks: tuple[int, ...]) -> None:
    if not len(holdout):
        raise InputError("nothing to evaluate: the held-out split has no rows; choose another split or hold out more")
    if len(holdout.histories) != len(holdout):
        raise InputError(f"holdout has {len(holdout)} targets but {len(holdout.histories)} histories")
    num_items = recommender.num_items
    if len(popularity) != num_items + 1:
        raise InputError(f"popularity has {len(popularity)} entries, expected {num_items + 1}: one an item and padding")
    low, high = int(holdout.targets.min()), int(holdout.targets.max())
    if low < 0 or high > num_items:
        raise InputError(
            f"targets must be item indices 1..{num_items}, or 0 for one that is unknown, found {low}..{high}"
        )
    if not ks or min(ks) < 1:
        raise InputError(f"ks must hold list lengths of at least 1, got {ks}")
