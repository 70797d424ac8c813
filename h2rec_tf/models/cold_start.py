"""HID rows for items that were never trained on (design: beyond the paper)."""

from __future__ import annotations

import numpy as np


def cold_rows(rows: np.ndarray, codes: np.ndarray, popularity: np.ndarray, *, share: float = 1.0) -> np.ndarray:
    """Gives each cold item the weighted mean HID row of trained items that share its longest code prefix.

    Weights are training interactions. An item that shares not even the first code gets the mean of all trained items.
    With a `share` below 1 the row's direction is `share` times the mean's plus `1 - share` times that of the row as it
    stands, which training knows as a negative only; its length is the mean's.

    Args:
        rows: float `[N, d]` HID rows; row r is item index r + 1.
        codes: int `[N, L]`.
        popularity: int `[N + 1]` training interactions by item index.
        share: of the mean, 0..1; 0 changes nothing.

    Returns:
        float `[N, d]`: a copy with the rows of cold items (popularity 0) replaced.
    """
    weight = popularity[1:].astype(np.float64)
    cold = weight == 0
    if not cold.any() or cold.all() or not share:
        return rows.copy()
    result = rows.copy()
    result[cold] = (rows * weight[:, None]).sum(axis=0) / weight.sum()
    # Coarse to fine, so that the longest shared prefix writes last.
    for length in range(1, codes.shape[1] + 1):
        _, group = np.unique(codes[:, :length], axis=0, return_inverse=True)
        group = group.reshape(-1)
        mass = np.bincount(group, weights=weight)
        shared = cold & (mass[group] > 0)
        if not shared.any():
            break
        wanted, place = np.unique(group[shared], return_inverse=True)
        slot = np.full(len(mass), -1)
        slot[wanted] = np.arange(len(wanted))
        used = (slot[group] >= 0) & ~cold
        sums = np.zeros((len(wanted), rows.shape[1]))
        np.add.at(sums, slot[group[used]], rows[used] * weight[used, None])
        result[shared] = (sums / mass[wanted, None])[place]
    result[cold] = turned(rows[cold], result[cold], share)
    return result


def turned(rows: np.ndarray, towards: np.ndarray, share: float) -> np.ndarray:
    """Float `[n, d]` rows, `share` of their direction and all of their length that of `towards`; 0 changes nothing."""
    if share in (0.0, 1.0):
        return towards.copy() if share else rows.copy()
    length = np.linalg.norm(towards, axis=1, keepdims=True)
    return _unit(share * _unit(towards) + (1.0 - share) * _unit(rows)) * length


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
