"""What the service answers, for server and client alike; light to import."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """A found item; `score` is its inner product with the query."""

    item_id: str
    title: str
    score: float


@dataclasses.dataclass(frozen=True)
class Written:
    """A durable write: its sequence number and, for each id, whether the item was there before."""

    sequence: int
    existed: list[bool]


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of a store.

    Attributes:
        items: how many there are.
        width: D.
        sequence: number of the last write.
        snapshot_sequence: number of the last write that is in the newest snapshot; 0 without one.
        log_bytes: what a restart would read again.
        kind: of the searcher: `brute`, `ah` or `tree_ah`.
        changed: items written since the searcher was built.
        model_version: the model that the vectors belong to.
    """

    items: int
    width: int
    sequence: int
    snapshot_sequence: int
    log_bytes: int
    kind: str
    changed: int
    model_version: str
