"""An exported model as the evaluation sees it, through its public signatures."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.models.item_vectors import ItemVectors, without_seen


class ExportedRecommender:
    """Scores items with the `user_embedding` and `item_embedding` signatures of a SavedModel.

    Args:
        directory: the SavedModel, or a folder of numbered versions of which the newest is taken.
        item_ids: `[N]` strings; row r is item index r + 1 of the data the model is asked about.
        max_length: items of history sent.

    Attributes:
        table: float32 `[N + 1, D]`, the item vectors; row 0 is zero.
        learned_size: d, columns of the vectors before the seen part.

    Raises:
        InputError: no SavedModel there, or one without the signatures.
    """

    def __init__(self, directory: str, item_ids: np.ndarray, *, max_length: int = 200) -> None:
        self.num_items = len(item_ids)
        self.max_length = max_length
        self._ids = np.concatenate([[""], item_ids]).astype(object)
        self._loaded = tf.saved_model.load(str(newest_version(directory)))
        signatures = self._loaded.signatures
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


def absent_inputs(signature: Any) -> dict[str, tf.Tensor]:
    """Empty values of the inputs that a request may leave out, for calls in Python, where every input is required.

    Args:
        signature: of a loaded SavedModel.
    """
    known = signature.structured_input_signature[1]
    return {name: tf.zeros([1, 0], tf.string) for name in (names.EXCLUDE, names.ALLOW_CATEGORIES) if name in known}


def newest_version(directory: str) -> pathlib.Path:
    """The SavedModel in `directory`: itself, or its sub-folder with the highest number.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(directory)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [child for child in path.glob("*") if child.name.isdigit() and (child / "saved_model.pb").is_file()]
    if not versions:
        raise InputError(
            f"{directory}: no SavedModel here and no numbered version of one; give the folder that was pushed to"
        )
    return max(versions, key=lambda child: int(child.name))
