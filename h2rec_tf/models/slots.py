"""Slots for the seen part of the score: likely competitors get different ones."""

from __future__ import annotations

import numpy as np


def assign_slots(neighbours: np.ndarray, popularity: np.ndarray, *, num_slots: int) -> np.ndarray:
    """Greedy balanced colouring of the neighbour graph, most popular items first.

    An item takes the slot that its neighbours, in either direction, use least; among equals the emptiest one, so that
    all slots end up nearly equally full. O(N * (P + m)) time.

    Args:
        neighbours: int `[N + 1, P]`, row i holds items that compete with item index i, 0 pads.
        popularity: int `[N + 1]` training interactions.
        num_slots: m.

    Returns:
        int32 `[N]` in 0..m - 1; row r is item index r + 1.
    """
    count = len(neighbours) - 1
    rows, columns = np.nonzero(neighbours[1:])
    sources = np.concatenate([rows + 1, neighbours[1:][rows, columns]])
    ends = np.concatenate([neighbours[1:][rows, columns], rows + 1])
    order = np.argsort(sources, kind="stable")
    ends = ends[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=count + 1))])
    # Slot m stands for "none yet"; its count is ignored.
    slots = np.full(count + 1, num_slots, np.int64)
    load = np.zeros(num_slots)
    for item in np.argsort(-popularity[1:], kind="stable") + 1:
        taken = np.bincount(slots[ends[offsets[item] : offsets[item + 1]]], minlength=num_slots + 1)[:num_slots]
        # Loads differ by less than the catalogue's size, so they only break ties.
        slot = int(np.argmin(taken + load / (count + 1)))
        slots[item] = slot
        load[slot] += 1
    return slots[1:].astype(np.int32)
