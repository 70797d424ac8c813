"""Metrics of recommended lists as a whole: share of the catalogue, evenness, distance from the hits."""

from __future__ import annotations

import numpy as np


def coverage(counts: np.ndarray) -> float:
    """Share of the catalogue that is recommended to anyone.

    Args:
        counts: int `[N + 1]`, how often each item index was recommended; entry 0 pads.
    """
    return float(np.count_nonzero(counts[1:]) / max(len(counts) - 1, 1))


def gini(counts: np.ndarray) -> float:
    """Gini index of recommendations over the catalogue: 0 all items equally often, towards 1 few items take all.

    Args:
        counts: int `[N + 1]`, how often each item index was recommended; entry 0 pads.
    """
    ordered = np.sort(counts[1:].astype(np.float64))
    total = ordered.sum()
    if total == 0:
        return 0.0
    size = len(ordered)
    return float(((2 * np.arange(1, size + 1) - size - 1) * ordered).sum() / (size * total))


def novelty(counts: np.ndarray, popularity: np.ndarray) -> float:
    """Mean self-information of the recommended items, in bits: `-log2 p(item)`.

    `p` is the item's share of training interactions with one added to each item, so an item that was never trained on
    is the most novel and stays finite.

    Args:
        counts: int `[N + 1]`, how often each item index was recommended; entry 0 pads.
        popularity: int `[N + 1]`, training interactions of each item index.
    """
    shares = (popularity[1:] + 1.0) / (popularity[1:].sum() + len(popularity) - 1)
    recommended = counts[1:].astype(np.float64)
    return float(-(recommended * np.log2(shares)).sum() / max(recommended.sum(), 1.0))
