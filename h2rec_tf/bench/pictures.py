"""What the pictures of a trained model are drawn from: gate weights by popularity, use of codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from h2rec_tf.data.sequences import Sequences
from h2rec_tf.metrics.slices import POPULARITY_GROUPS, group_labels
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.quantizers.codebook_report import CodebookReport
from h2rec_tf.training.logs import gate_weights

# Histories a group, enough for a mean and few enough to take no time.
_SAMPLE = 512


def gate_by_popularity(
    model: H2Rec, histories: Sequences, popularity: np.ndarray, max_length: int
) -> dict[str, Any] | None:
    """Mean gate weights of histories whose last item is of a popularity group.

    Args:
        model: a trained model.
        histories: any users' histories.
        popularity: int `[N + 1]`, training interactions of each item index.
        max_length: items of history the model reads.

    Returns:
        `groups` (names) and `weights` (a list of L numbers for each); None for a model without a gate.
    """
    rows = np.flatnonzero(histories.lengths > 0)
    last = histories.items[histories.offsets[1:][rows] - 1]
    group = np.searchsorted(POPULARITY_GROUPS, popularity[last], side="right") - 1
    groups, weights = [], []
    for number, label in enumerate(group_labels(POPULARITY_GROUPS)):
        members = rows[group == number]
        if not len(members):
            continue
        spread = members[np.linspace(0, len(members) - 1, min(_SAMPLE, len(members))).astype(int)]
        mean = gate_weights(model, histories.padded(spread, max_length))
        if not len(mean):
            return None
        groups.append(label)
        weights.append(mean.tolist())
    return {"groups": groups, "weights": weights} if groups else None


def codebook_usage(report: CodebookReport) -> dict[str, Any]:
    """For each level the items of each used code, most used code first; dead codes and perplexity; collisions."""
    return {
        "codes": report.codes,
        "usage": [sorted((int(count) for count in level if count), reverse=True) for level in report.usage],
        "dead": [level.dead for level in report.levels],
        "perplexity": [round(level.perplexity, 2) for level in report.levels],
        "collision_rate": round(report.collision_rate, 6),
        "largest_tuple_share": round(report.largest_tuple_share, 6),
    }
