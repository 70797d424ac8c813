"""Sets by validation what training cannot size: the seen part's weight, and how far cold items may rise."""

from __future__ import annotations

from collections.abc import Callable

# The learned weight times each of these is tried. Training remembers its own users' next items, so the seen ones never
# stand in their way there, and the learned weight comes out too small for users it has not fitted.
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def calibrate_seen(weight: float, quality: Callable[[float], float]) -> float:
    """The best weight among multiples of the learned one.

    Args:
        weight: as training left it.
        quality: weight -> what is to be large, on data that training did not see.

    Returns:
        The multiple of highest quality; among equals the one nearest to the learned weight.
    """
    tried = {factor * weight: quality(factor * weight) for factor in FACTORS}
    return max(tried, key=lambda value: (tried[value], -abs(value - weight)))


# Shares of their code neighbours' direction that are tried for cold items, and the relative loss of quality that a
# larger share may cost: retrieving cold items is worth a little, not much.
COLD_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
COLD_COST = 0.005


def calibrate_cold(quality: Callable[[float], float]) -> float:
    """The largest of `COLD_SHARES` whose quality lies at most `COLD_COST` below the best one's.

    Cold items that stand exactly where the popular items of their code stand would fill the lists beside these, though
    hardly anyone takes them next.

    Args:
        quality: share -> what is to be large, on data that training did not see.
    """
    tried = {share: quality(share) for share in COLD_SHARES}
    enough = max(tried.values()) * (1.0 - COLD_COST)
    return max(share for share, value in tried.items() if value >= enough)
