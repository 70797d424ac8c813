"""What an evaluation asks of a recommender, and how it ranks."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np

from h2rec_tf.errors import InputError

# Policies on items of the history. The first two are `serving.seen`, what a server may do.
EXCLUDE, INCLUDE, REPEATS = "exclude", "include", "repeats"
_NAMES = {
    EXCLUDE: "seen excluded",
    INCLUDE: "seen items compete",
    REPEATS: "seen excluded, repeats compete",
}


class Recommender(typing.Protocol):
    """What can be evaluated.

    It may also have `unseen_queries(queries)`, which makes of `queries` those for items that are not in the history:
    where seen items do not compete, a score need not say what was seen. And `fallback`, floating `[N + 1]`: the scores
    of all items for a user with an empty history, to whom a server answers with the most popular items.

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


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How targets are ranked; numbers of different protocols are not comparable.

    `EXCLUDE` and `INCLUDE` rank as a server with that policy (`serving.seen`) lists: HR@k and NDCG@k are those of the
    served lists.

    Attributes:
        seen: what becomes of items of the user's whole history. `EXCLUDE`: none is recommended, so a target that is
            one of them is missed, behind every item. `INCLUDE`: they compete. `REPEATS`: none competes but the target,
            be it one of them; no list can be served so.
        sampled_negatives: above 0, ranks the target among that many uniform items that are not in the history, ties
            against it; `seen` says nothing then, and there are no recommended lists.
    """

    seen: str = EXCLUDE
    sampled_negatives: int = 0

    def __post_init__(self) -> None:
        if self.seen not in _NAMES:
            raise InputError(f"protocol: `seen` must be one of {', '.join(_NAMES)}, got '{self.seen}'")

    @property
    def name(self) -> str:
        """As tables and records have it."""
        return f"{self.sampled_negatives} negatives" if self.sampled_negatives else _NAMES[self.seen]

    @property
    def seen_compete(self) -> bool:
        """Whether all seen items compete, so that scores must tell them from others."""
        return self.seen == INCLUDE and not self.sampled_negatives
