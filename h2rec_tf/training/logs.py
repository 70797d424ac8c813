"""TensorBoard: losses apart, validation metrics, gate weights by level, codebook drift."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.item_rows import item_rows


class TensorBoardLog:
    """Writes one point an epoch.

    Args:
        directory: log directory; None writes nothing.
        model: the model watched; its SID tables at this moment are what drift is measured against.
    """

    def __init__(self, directory: str | None, model: H2Rec) -> None:
        self._writer = tf.summary.create_file_writer(directory) if directory else None
        self._model = model
        self._start = _tables(model)

    def epoch(self, number: int, figures: dict[str, float], histories: np.ndarray) -> None:
        """Writes figures by name; gate weights are the mean over `histories` int32 `[B, T]` at the last position."""
        if self._writer is None:
            return
        with self._writer.as_default(step=number):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
            for level, weight in enumerate(gate_weights(self._model, histories)):
                tf.summary.scalar(f"gate/level_{level + 1}", weight)
            for level, drift in enumerate(_drift(self._start, _tables(self._model))):
                tf.summary.scalar(f"codebook_drift/level_{level + 1}", drift)
        self._writer.flush()


def gate_weights(model: H2Rec, histories: np.ndarray) -> np.ndarray:
    """float32 `[L]`, mean gate weight of each level at the last position of int32 `[B, T]` histories; `[0]` without."""
    outputs = model.encode(item_rows(histories), training=False)
    if "gate" not in outputs:
        return np.zeros(0, np.float32)
    return outputs["gate"][:, -1].numpy().astype(np.float32).mean(axis=0)


def _tables(model: H2Rec) -> np.ndarray | None:
    layer = model.semantic_ids
    if layer is None:
        return None
    return layer.embeddings.numpy()[: layer.levels * layer.num_codes].reshape(layer.levels, -1, layer.dimensions)


def _drift(start: np.ndarray | None, now: np.ndarray | None) -> np.ndarray:
    """float `[L]`: relative distance of each level's table from its start."""
    if start is None or now is None:
        return np.zeros(0)
    moved = np.linalg.norm(now - start, axis=(1, 2))
    return moved / np.maximum(np.linalg.norm(start, axis=(1, 2)), 1e-12)
