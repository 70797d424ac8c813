"""An exported model as the evaluation sees it, through its public signatures."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.export.loaded import LoadedModel
from h2rec_tf.models.item_vectors import ItemVectors, without_seen


class ExportedRecommender:
    """Scores items with the `user_embedding` and `item_embedding` signatures of a SavedModel.

    Item indices are those of the model's own catalogue.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.

    Attributes:
        item_ids: `[N]` strings; row r is item index r + 1.
        num_items: N.
        max_length: items of history the model reads.
        seen: what it serves of seen items, as `serving.seen`.
        fallback: float32 `[N + 1]`, its answer to a user without a known item.
        table: float32 `[N + 1, D]`, the item vectors; row 0 is zero.
        learned_size: d, columns of the vectors before the seen part.

    Raises:
        InputError: no SavedModel there, or one without the signatures.
    """

    def __init__(self, directory: str) -> None:
        self._model = LoadedModel(directory)
        self.item_ids = self._model.item_ids
        self.num_items = self._model.num_items
        self.max_length = self._model.limits.max_length
        self.seen = self._model.limits.seen
        self.fallback = self._model.popularity.astype(np.float32)
        self._ids = np.concatenate([[""], self.item_ids]).astype(object)
        signatures = self._model.signatures
        for name in (names.USER_EMBEDDING, names.ITEM_EMBEDDING):
            if name not in signatures:
                raise InputError(f"{directory}: the model has no signature `{name}`; export it with this package")
            if names.LEARNED_EMBEDDING not in signatures[name].structured_outputs:
                raise InputError(f"{directory}: `{name}` gives no `{names.LEARNED_EMBEDDING}`; export the model anew")
        self._users = signatures[names.USER_EMBEDDING]
        table = signatures[names.ITEM_EMBEDDING](item_ids=tf.constant(self._ids[1:]))[names.EMBEDDING].numpy()
        self.table = np.concatenate([np.zeros((1, table.shape[1]), np.float32), table])
        self._vectors = ItemVectors(self.table)
        self.learned_size = int(self._users.structured_outputs[names.LEARNED_EMBEDDING].shape[1])

    @property
    def listed_size(self) -> int:
        """Columns of the vectors that lists are made with: the seen part has its say where seen items compete."""
        return self._model.listed_size

    def queries(self, histories: np.ndarray) -> np.ndarray:
        """int32 `[B, T]` left-padded histories -> float32 `[B, D]` user vectors."""
        used = np.flatnonzero(histories.any(axis=0))
        first = int(used[0]) if len(used) else histories.shape[1] - 1
        ids = tf.constant(self._ids[histories[:, first:]], tf.string)
        return self._users(history=ids)[names.EMBEDDING].numpy()

    def unseen_queries(self, queries: np.ndarray) -> np.ndarray:
        """float32 `[B, D]` user vectors -> the same without the seen part, for items that are not in the history."""
        return without_seen(queries, self.learned_size)

    def scores(self, queries: np.ndarray, start: int, stop: int) -> np.ndarray:
        """float32 `[B, D]` user vectors -> float32 `[B, stop - start]` scores of item indices start..stop - 1."""
        return self._vectors.scores(queries, start, stop)
