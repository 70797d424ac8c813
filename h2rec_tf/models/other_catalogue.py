"""A model that meets data of another catalogue: how much they share, and an evaluation that is fair to both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.evaluation import Evaluation, Protocol, Recommender, evaluate_protocols
from h2rec_tf.metrics import slices


@dataclasses.dataclass(frozen=True)
class CatalogueOverlap:
    """How two catalogues lie to each other.

    Attributes:
        data_items: items of the data.
        model_items: items of the model.
        shared: items of both.
    """

    data_items: int
    model_items: int
    shared: int

    @property
    def equal(self) -> bool:
        """Whether both have the same items."""
        return self.data_items == self.model_items == self.shared

    @property
    def words(self) -> str:
        """What is unknown on either side, for messages."""
        unknown, unused = self.data_items - self.shared, self.model_items - self.shared
        return (
            f"{_share(unknown, self.data_items)} of the data's items are unknown to the model, and"
            f" {_share(unused, self.model_items)} of the model's items are not in the data"
        )


def catalogue_overlap(data_ids: np.ndarray, model_ids: np.ndarray) -> CatalogueOverlap:
    """Compares the item ids, distinct strings, of data and of a model."""
    shared = len(set(data_ids.tolist()) & set(model_ids.tolist()))
    return CatalogueOverlap(len(data_ids), len(model_ids), shared)


def evaluate_on(
    recommender: Recommender,
    holdout: Holdout,
    protocols: Sequence[Protocol],
    *,
    data_ids: np.ndarray,
    model_ids: np.ndarray,
    popularity: np.ndarray,
    head_fraction: float,
    **options: Any,
) -> list[Evaluation]:
    """`evaluate_protocols` over the model's own catalogue, which alone it can recommend from, in the data's slices.

    Items of a history that the model does not know are passed over, as it does itself; a target that it does not know
    is missed.

    Args:
        recommender: over the indices of `model_ids`.
        holdout: over the indices of `data_ids`.
        protocols: how targets are ranked.
        data_ids: `[N]` item ids of the data.
        model_ids: those of the model.
        popularity: int `[N + 1]` training interactions over `data_ids`.
        head_fraction: share of the data's catalogue that is head.
        options: more of `evaluate_protocols`.

    Raises:
        InputError: as `evaluate_protocols`.
    """
    options |= {"head_fraction": head_fraction}
    if np.array_equal(data_ids, model_ids):
        return evaluate_protocols(recommender, holdout, protocols, popularity=popularity, **options)
    numbers = {item_id: index for index, item_id in enumerate(model_ids.tolist(), start=1)}
    index = np.asarray([0, *(numbers.get(item_id, 0) for item_id in data_ids.tolist())], np.int32)
    own_popularity = np.zeros(len(model_ids) + 1, popularity.dtype)
    own_popularity[index[1:]] = popularity[1:]
    own_popularity[0] = 0
    results = evaluate_protocols(
        recommender,
        Holdout(_renumbered(holdout.histories, index), index[holdout.targets]),
        protocols,
        popularity=own_popularity,
        **options,
    )
    members = slices.user_slices(holdout.targets, holdout.histories.lengths, popularity, head_fraction)
    return [dataclasses.replace(result, slices=members) for result in results]


def _renumbered(histories: Sequences, index: np.ndarray) -> Sequences:
    """Histories over other indices, without the items whose index is 0."""
    items = index[histories.items]
    kept = items > 0
    offsets = np.concatenate([[0], np.cumsum(kept)])[histories.offsets]
    timestamps = None if histories.timestamps is None else histories.timestamps[kept]
    return Sequences(histories.user_ids, items[kept], offsets, timestamps)


def _share(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.1%} ({part} of {whole})"
