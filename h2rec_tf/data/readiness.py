"""What later steps refuse for the data's sake, found before any of them runs."""

from __future__ import annotations

import numpy as np

from h2rec_tf.config import DataConfig, TextConfig, ValidationConfig
from h2rec_tf.data.events import Events
from h2rec_tf.data.sequences import Dataset
from h2rec_tf.data.splits import empty_split, nobody_to_train_on
from h2rec_tf.errors import InputError
from h2rec_tf.names import TEST, VALIDATION


def refused_later(
    dataset: Dataset,
    matched: Events,
    *,
    source: str,
    items: str,
    data: DataConfig,
    text: TextConfig,
    validation: ValidationConfig,
) -> str:
    """The text of the first error that training or the pipeline would raise; "" if none.

    Args:
        dataset: that could be split.
        matched: events before the k-core.
        source: path of the interactions, for messages.
        items: path of the items, likewise.
        data: filters and split.
        text: how items get vectors.
        validation: limits of the pipeline's data validation.
    """
    if len(dataset.catalogue) < 2:
        return str(nothing_to_choose(items))
    if text.encoder == "vectors" and dataset.catalogue.vectors is None:
        return f"{items}: text.encoder is vectors, and the items have none; give them, or set text.encoder to tfidf"
    if not k_core_settles(matched, data):
        return str(unsettled(data.k_core_rounds))
    if not (dataset.train.lengths > 1).any():
        return str(nobody_to_train_on())
    for split, holdout in ((VALIDATION, dataset.validation), (TEST, dataset.test)):
        if not len(holdout):
            return str(empty_split(source, split))
    if validation.max_history:
        parts = (dataset.train, dataset.validation.histories, dataset.test.histories)
        longest = max(int(part.lengths.max(initial=0)) for part in parts)
        if longest > validation.max_history:
            return (
                f"{source}: the longest history has {longest:,} items, and validation.max_history allows "
                f"{validation.max_history:,}; see the rows behind it, or raise the limit"
            )
    return ""


def k_core_settles(events: Events, data: DataConfig) -> bool:
    """Whether the pipeline's rounds of dropping, one pass over the data each, are enough."""
    if data.min_item_interactions <= 1:
        return True
    dropped = np.zeros(int(events.items.max(initial=0)) + 1, bool)
    for _ in range(data.k_core_rounds):
        kept = events.where(~dropped[events.items])
        if len(kept):
            kept = kept.where(np.bincount(kept.users)[kept.users] >= data.min_user_interactions)
        counts = np.bincount(kept.items, minlength=len(dropped))
        few = (counts > 0) & (counts < data.min_item_interactions)
        if not few.any():
            return True
        dropped |= few
    return False


def unsettled(rounds: int) -> InputError:
    """The pipeline's error where they are not."""
    return InputError(
        f"k-core: {rounds} rounds of dropping did not come to rest; raise data.k_core_rounds, or lower "
        "--min-user-interactions and --min-item-interactions"
    )


def nothing_to_choose(items: str) -> InputError:
    """The pipeline's error on a catalogue of one item."""
    return InputError(f"{items}: the catalogue has one item, so there is nothing to recommend; add items")
