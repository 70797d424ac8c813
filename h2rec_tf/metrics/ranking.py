"""Per-row ranking metrics for one target a row. With one target, recall@k equals the hit rate (HR@k)."""

from __future__ import annotations

import numpy as np


def hit(ranks: np.ndarray, k: int) -> np.ndarray:
    """HR@k: float64 `[U]`, 1.0 where the target is among the first `k`.

    Args:
        ranks: int `[U]`, the target's rank; 1 is best.
        k: length of the list, at least 1.
    """
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k: float64 `[U]`, `1 / log2(rank + 1)` inside the first `k`, else 0; the ideal list has gain 1.

    Args:
        ranks: int `[U]`, the target's rank; 1 is best.
        k: length of the list, at least 1.
    """
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: np.ndarray) -> np.ndarray:
    """MRR's summand: float64 `[U]`, `1 / rank`, over the whole ranking.

    Args:
        ranks: int `[U]`, the target's rank; 1 is best.
    """
    return 1.0 / np.asarray(ranks, np.float64)


def per_row(ranks: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """All metrics by name (`hr@5`, ..., `ndcg@5`, ..., `mrr`), each float64 `[U]`."""
    rows = {f"hr@{k}": hit(ranks, k) for k in ks}
    rows.update({f"ndcg@{k}": ndcg(ranks, k) for k in ks})
    rows["mrr"] = reciprocal_rank(ranks)
    return rows
