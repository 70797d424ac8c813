"""Sets by validation what training cannot size: the seen part's weight, and how far cold items may rise."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.models.cold_start import cold_rows, turned
from h2rec_tf.models.h2rec import H2Rec

_LOG = logging.getLogger(__name__)

# The learned weight times each of these is tried. Training remembers its own users' next items, so the seen ones never
# stand in their way there, and the learned weight comes out too small for users it has not fitted.
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)

# Shares of their code neighbours' direction that are tried for cold items, and the relative loss of quality that a
# larger share may cost: retrieving cold items is worth a little, not much.
COLD_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
COLD_COST = 0.005


def calibrate(
    model: H2Rec,
    quality: Callable[[], float],
    *,
    popularity: np.ndarray,
    codes: np.ndarray | None = None,
    seen_competes: bool = True,
) -> bool:
    """Sets the seen part's weight, then the HID rows of cold items, where the model has them.

    Args:
        model: trained; changed in place.
        quality: the model's as it stands, on data that training did not see.
        popularity: int `[N + 1]` training interactions by item index.
        codes: int `[N, L]`; None leaves the HID rows of cold items as they are.
        seen_competes: seen items compete in `quality`. Where they do not, the seen part has no say in it, and its
            weight stays as it was learned.

    Returns:
        Whether there was something to set.
    """
    seen = model.seen if seen_competes else None
    if seen is not None:
        _set_seen_weight(seen, quality)
    cold = np.flatnonzero(popularity[1:] == 0) + 1
    if codes is None or model.hash_ids is None or not len(cold):
        return seen is not None
    _set_cold_rows(model, quality, cold, popularity, codes)
    return True


def _set_seen_weight(seen: SeenSlots, quality: Callable[[], float]) -> None:
    weight = seen.weight

    def quality_with(value: float) -> float:
        weight.assign(value)
        return quality()

    weight.assign(calibrate_seen(float(weight.numpy()), quality_with))


def _set_cold_rows(
    model: H2Rec, quality: Callable[[], float], cold: np.ndarray, popularity: np.ndarray, codes: np.ndarray
) -> None:
    """`cold`: int `[n]`, item indices."""
    table, trained = model.hash_ids.embeddings, model.hash_ids.embeddings.numpy()
    means = cold_rows(trained[1:-1], codes, popularity)[cold - 1]

    def place(share: float) -> None:
        rows = trained.copy()
        rows[cold] = turned(trained[cold], means, share)
        table.assign(rows)

    def quality_with(share: float) -> float:
        place(share)
        return quality()

    share = calibrate_cold(quality_with)
    place(share)
    _LOG.info("cold items: %.0f %% of their code neighbours' direction", 100 * share)


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
