"""Sets the seen part's weight by validation: training finds its sign, but not its size."""

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
