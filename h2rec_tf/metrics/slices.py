"""Slices of users by their target's training popularity and by history length: one definition for all packages."""

from __future__ import annotations

import numpy as np

from h2rec_tf import names

# Lower bounds; the last group is open. A target that training never saw belongs to `names.COLD`, not to a group.
POPULARITY_GROUPS = (1, 10, 30, 60, 100)
HISTORY_GROUPS = (0, 1, 5, 10, 20, 50)


def head_mask(popularity: np.ndarray, head_fraction: float = 0.2) -> np.ndarray:
    """The head: the `round(head_fraction * N)` most popular items; the rest is the tail.

    Ties go to the lower index, which is a hash order and says nothing. An item without training interactions is never
    head.

    Args:
        popularity: int `[N + 1]`, training interactions of each item index; entry 0 pads.
        head_fraction: share of the catalogue, 0..1.

    Returns:
        bool `[N + 1]`; entry 0 is False.
    """
    head = np.zeros(len(popularity), bool)
    order = np.argsort(-popularity[1:].astype(np.int64), kind="stable") + 1
    head[order[: round(head_fraction * (len(popularity) - 1))]] = True
    return head & (popularity > 0)


def popularity_labels(popularity: np.ndarray, head_fraction: float = 0.2) -> np.ndarray:
    """The label of each item for the feature `names.POPULARITY_SLICE`: object `[N + 1]`, head or tail; "" at 0."""
    labels = np.where(head_mask(popularity, head_fraction), names.HEAD, names.TAIL).astype(object)
    labels[0] = ""
    return labels


def popularity_group_labels(popularity: np.ndarray) -> np.ndarray:
    """The label of each item for `names.POPULARITY_GROUP`: object `[N + 1]`, as "10-29", or cold; "" at 0."""
    labels = np.asarray([names.COLD, *group_labels(POPULARITY_GROUPS)], dtype=object)
    found = labels[np.searchsorted(POPULARITY_GROUPS, popularity, side="right")]
    found[0] = ""
    return found


def history_labels(lengths: np.ndarray) -> np.ndarray:
    """The label of each history length for the feature `names.HISTORY_SLICE`: object, shape of `lengths`, as "5-9"."""
    labels = np.asarray(group_labels(HISTORY_GROUPS), dtype=object)
    return labels[np.searchsorted(HISTORY_GROUPS, lengths, side="right") - 1]


def group_labels(bounds: tuple[int, ...]) -> list[str]:
    """Names of the groups that start at `bounds`: (0, 1, 5) gives ["0", "1-4", "5+"]."""
    labels = []
    for low, high in zip(bounds, (*bounds[1:], None), strict=True):
        if high is None:
            labels.append(f"{low}+")
        else:
            labels.append(str(low) if high == low + 1 else f"{low}-{high - 1}")
    return labels


def user_slices(
    targets: np.ndarray, lengths: np.ndarray, popularity: np.ndarray, head_fraction: float = 0.2
) -> dict[str, np.ndarray]:
    """Which users belong to which slice.

    Args:
        targets: int `[U]`, item indices 1..N; 0, an unknown item, belongs to no slice of the target.
        lengths: int `[U]`, items in each whole history.
        popularity: int `[N + 1]`, training interactions of each item index.
        head_fraction: share of the catalogue that is head.

    Returns:
        Slice name -> bool `[U]`: overall, head, tail, cold (also tail), `popularity 1-9` ..., `history 1-4` ...
    """
    head = head_mask(popularity, head_fraction)[targets]
    target_popularity = popularity[targets]
    slices = {
        names.OVERALL: np.ones(len(targets), bool),
        names.HEAD: head,
        names.TAIL: ~head & (targets > 0),
        names.COLD: (target_popularity == 0) & (targets > 0),
    }
    slices.update(_groups("popularity", target_popularity, POPULARITY_GROUPS))
    slices.update(_groups("history", lengths, HISTORY_GROUPS))
    return slices


def _groups(prefix: str, values: np.ndarray, bounds: tuple[int, ...]) -> dict[str, np.ndarray]:
    group = np.searchsorted(bounds, values, side="right") - 1
    return {f"{prefix} {label}": group == index for index, label in enumerate(group_labels(bounds))}
