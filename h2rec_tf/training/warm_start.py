"""Warm start: a new model begins with the weights of an earlier one, item rows matched by item id."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from h2rec_tf.config import Config, ModelConfig
from h2rec_tf.errors import InputError
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.other_catalogue import catalogue_overlap
from h2rec_tf.models.store import CONFIG_FILE, SEMANTIC_IDS_DIR, read_weights
from h2rec_tf.semantic_ids import CODEBOOKS_FILE, SemanticIds, read_item_ids

# Of the smaller catalogue, the share of items that the other must have: below, it is a model of other items, whose
# weights say nothing. A catalogue that grew or was cleaned shares nearly all of it.
_LEAST_SHARED = 0.5
# Settings of the model that change neither its variables nor what they mean.
_FREE = ("dropout", "temperature", "hid_start", "sid_start")


def warm_start(model: H2Rec, *, config: Config, semantic_ids: SemanticIds, base: str) -> str:
    """Copies an earlier model's weights into a new one, or leaves it as it is where they do not fit.

    Rows of items that both catalogues have are matched by item id; other items keep their start rows. Semantic-ID
    tables are taken over only with equal codebooks, as a code means something else under others.

    Args:
        model: built, its values are replaced.
        config: what it was built with.
        semantic_ids: of the catalogue that it was built for.
        base: directory of a `TrainedModel`.

    Returns:
        One line for the log: what was taken over, or why nothing was.
    """
    try:
        weights = read_weights(base)
        earlier = Config.load(str(pathlib.Path(base) / CONFIG_FILE)).model
        item_ids = read_item_ids(str(pathlib.Path(base) / SEMANTIC_IDS_DIR))
        codebooks = np.load(pathlib.Path(base) / SEMANTIC_IDS_DIR / CODEBOOKS_FILE)
    except (InputError, OSError, ValueError) as error:
        return f"starts fresh: the earlier model cannot be read ({error})"
    different = _differences(earlier, config.model)
    if different:
        return f"starts fresh: the earlier model has other settings ({', '.join(different)})"
    if len(weights) != len(model.weights):
        return f"starts fresh: the earlier model has {len(weights)} variables, this one {len(model.weights)}"
    overlap = catalogue_overlap(semantic_ids.item_ids, item_ids)
    if overlap.shared < _LEAST_SHARED * min(overlap.data_items, overlap.model_items):
        return f"starts fresh: the earlier model has another catalogue: {overlap.words}"
    index = {item_id: row for row, item_id in enumerate(item_ids.tolist(), start=1)}
    rows = np.asarray([index.get(item_id, 0) for item_id in semantic_ids.item_ids.tolist()], np.int64)
    tables = _variables(model.semantic_ids)
    same_codes = codebooks.shape == semantic_ids.codebooks.shape and np.allclose(codebooks, semantic_ids.codebooks)
    values: list[np.ndarray | None] = []
    for variable, weight in zip(model.weights, weights, strict=True):
        if not variable.trainable or (not same_codes and id(variable) in tables):
            values.append(None)
        elif id(variable) in _variables(model.hash_ids):
            if weight.shape[1:] != tuple(variable.shape[1:]) or len(weight) != len(item_ids) + 2:
                return f"starts fresh: `{variable.name}` has shape {tuple(variable.shape)}, before {weight.shape}"
            values.append(_matched(variable.numpy(), weight, rows))
        elif weight.shape != tuple(variable.shape):
            return f"starts fresh: `{variable.name}` has shape {tuple(variable.shape)}, before {weight.shape}"
        else:
            values.append(weight)
    # All or nothing: nothing is assigned before every shape was looked at.
    for variable, value in zip(model.weights, values, strict=True):
        if value is not None:
            variable.assign(value)
    known = int(np.count_nonzero(rows))
    codes = (
        "" if same_codes or model.semantic_ids is None else "; semantic-ID tables start fresh, the codebooks changed"
    )
    return (
        f"warm start: {known} of {len(rows)} items were in the earlier model's catalogue, which has"
        f" {len(item_ids) - known} others{codes}"
    )


def _differences(earlier: ModelConfig, now: ModelConfig) -> list[str]:
    before, after = dataclasses.asdict(earlier), dataclasses.asdict(now)
    return [f"model.{key}" for key in after if key not in _FREE and before[key] != after[key]]


def _variables(layer: Any) -> set[int]:
    return set() if layer is None else {id(variable) for variable in layer.weights}


def _matched(start: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Item rows of `start` `[N + 2, d]` replaced where `rows` `[N]` names a row of `weight`; both ends as before."""
    result = start.copy()
    result[[0, -1]] = weight[[0, -1]]
    known = np.flatnonzero(rows)
    result[known + 1] = weight[rows[known]]
    return result
