"""An exported model read back: its catalogue, its vectors, and its functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.export.categories import SEPARATOR
from h2rec_tf.export.saved import ServingLimits
from h2rec_tf.metrics.protocol import INCLUDE
from h2rec_tf.models.exported import newest_version


class LoadedModel:
    """What `export_model` wrote; takes the place of the trained model where another servable is made of it.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.

    Attributes:
        path: of the SavedModel.
        num_items: N.
        limits: what it was exported with.
        loaded: TensorFlow's object, which owns the variables.

    Raises:
        InputError: no SavedModel there, or not one of this package.
    """

    def __init__(self, directory: str) -> None:
        self.path = newest_version(directory)
        self.limits = ServingLimits.load(str(self.path))
        self.loaded = tf.saved_model.load(str(self.path))
        self.signatures: dict[str, Any] = dict(self.loaded.signatures)
        self.item_ids = _texts(self.loaded._item_ids)[1:]
        self.titles = _texts(self.loaded._titles)[1:]
        self.popularity = self.loaded._popularity.numpy()
        self.num_items = len(self.item_ids)
        self.seen_size = self.limits.seen_size
        self.user_vectors = self.loaded._encode
        # Owned by `loaded`.
        self.variables: list[tf.Variable] = []

    def learned_table(self) -> tf.Variable:
        """float32 `[N + 1, d]`, without the seen part; row 0 is zero."""
        return self.loaded._table

    def seen_slots(self) -> np.ndarray:
        """int32 `[N + 1]`, as the model it was made of gives it."""
        return self.loaded._slots.numpy()

    @property
    def listed_size(self) -> int:
        """Columns of the vectors that lists are made with: the seen part has its say where seen items compete."""
        return int(self.loaded._table.shape[1]) + (self.seen_size if self.limits.seen == INCLUDE else 0)

    def vectors(self) -> np.ndarray:
        """float32 `[N, listed_size]`, in the order of `item_ids`, as lists are scored."""
        learned: np.ndarray = self.loaded._table.numpy()[1:]
        if self.listed_size == learned.shape[1]:
            return learned
        # A slot of `seen_size` is outside: all zeros.
        marks = np.eye(self.seen_size + 1, self.seen_size, dtype=np.float32)[self.seen_slots()[1:]]
        return np.concatenate([learned, marks], axis=1)

    def categories(self) -> np.ndarray | None:
        """`[N]` strings as the catalogue has them; None without categories."""
        if getattr(self.loaded, "categories", None) is None:
            return None
        texts = _texts(self.loaded.categories._names)
        members = self.loaded.categories._members.numpy()[:, 1:].T
        return np.asarray([SEPARATOR.join(texts[number] for number in row if number) for row in members], object)

    def queries(self, histories: list[list[str]], *, batch: int = 256) -> np.ndarray:
        """Histories of item ids, oldest first -> float32 `[len(histories), listed_size]` user vectors for lists."""
        longest, known = self.limits.max_length, set(self.item_ids)
        parts = []
        for start in range(0, len(histories), batch):
            rows = [
                [item for item in history if item in known][-longest:] for history in histories[start : start + batch]
            ]
            width = max(map(len, rows), default=0)
            texts = tf.constant([[*row, *[""] * (width - len(row))] for row in rows], tf.string, [len(rows), width])
            parts.append(
                self.signatures[names.USER_EMBEDDING](history=texts)[names.EMBEDDING].numpy()[:, : self.listed_size]
            )
        return np.concatenate(parts)


def _texts(variable: tf.Variable) -> np.ndarray:
    return np.asarray([text.decode("utf-8") for text in variable.numpy().tolist()], object)
