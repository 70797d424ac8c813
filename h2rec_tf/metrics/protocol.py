"""What an evaluation asks of a recommender, and how it ranks."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np


class Recommender(typing.Protocol):
    """What can be evaluated.

    It may also have `unseen_queries(queries)`, which makes of `queries` those for items that are not in the history:
    where seen items do not compete, a score need not say what was seen.

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

    Attributes:
        exclude_seen: items of the user's whole history do not compete and are not recommended; the target always
            competes.
        sampled_negatives: above 0, ranks the target among that many uniform items that are not in the history; there
            are no recommended lists then.
    """

    exclude_seen: bool = False
    sampled_negatives: int = 0

    @property
    def name(self) -> str:
        """As tables show it."""
        if self.sampled_negatives:
            return f"{self.sampled_negatives} negatives"
        return "full, seen excluded" if self.exclude_seen else "full"
