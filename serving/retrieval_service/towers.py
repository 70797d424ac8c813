"""Where vectors come from: histories to user vectors, ids and texts to item vectors."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.text.base import TextEncoder
from h2rec_tf.text.factory import load_text_encoder
from serving.client.encoding import string_matrix
from serving.retrieval_service.models import Model
from serving.server.errors import RequestError

# Lists that the model is asked for at a time.
_TOGETHER = 64


class QueryTower(Protocol):
    """Histories to user vectors.

    Attributes:
        seen_excluded: whether lists leave out items of the history; False recommends them like others.
        learned_width: leading columns of vectors that tell what items are like; those behind tell what was seen.
    """

    seen_excluded: bool
    learned_width: int

    def user_vectors(self, histories: np.ndarray) -> np.ndarray:
        """Object `[B, T]` item ids as bytes, oldest first, b"" for none -> float32 `[B, D]`; zeros: unknown."""

    def popular(self, k: int, exclude: Sequence[Collection[str]]) -> list[list[tuple[str, float]]]:
        """Item ids and scores for users of whom nothing is known, a list for each of `exclude`.

        At most `k`, best first, and none of the ids to leave out.
        """


class ItemTower(Protocol):
    """What is known of an item to its vector."""

    def trained(self, item_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Items that the model was trained on: float32 `[B, D]` vectors, bool `[B]` known, titles ("" for none)."""

    def from_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts of new items -> float32 `[B, D]`."""

    def from_text_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """float32 `[B, D_x]` text vectors of new items, as the model was trained with -> float32 `[B, D]`."""


class ModelTowers:
    """Both towers of an exported model.

    Args:
        model: it.
        text_encoder: folder of the text encoder that the model's semantic IDs were made with; "" for none.

    Raises:
        InputError: the model has no `user_embedding` signature, or the folder holds no text encoder.
    """

    def __init__(self, model: Model, *, text_encoder: str = "") -> None:
        if names.HISTORY not in model.inputs(names.USER_EMBEDDING):
            raise InputError(f"the model has no signature `{names.USER_EMBEDDING}`; export it with this package")
        self._model = model
        self._encoder = _encoder(text_encoder) if text_encoder else None
        # The answer to a user without history tells D and the policy; a model that says none leaves seen items out.
        found = self._model.predict(names.USER_EMBEDDING, {names.HISTORY: np.full((1, 1), b"", object)})
        self.seen_excluded = bool(np.all(found.get(names.SEEN_EXCLUDED, True)))
        self.learned_width = found.get(names.LEARNED_EMBEDDING, found[names.EMBEDDING]).shape[1]
        self.width = self._for_lists(found).shape[1]

    def user_vectors(self, histories: np.ndarray) -> np.ndarray:
        """As `QueryTower`."""
        return self._for_lists(self._model.predict(names.USER_EMBEDDING, {names.HISTORY: histories}))

    def popular(self, k: int, exclude: Sequence[Collection[str]]) -> list[list[tuple[str, float]]]:
        """As `QueryTower`: what the model itself answers to an empty history."""
        if not {names.HISTORY, names.K, names.EXCLUDE} <= self._model.inputs(names.SERVING_DEFAULT):
            return [[] for _ in exclude]
        lists: list[list[tuple[str, float]]] = []
        # In parts: all rows of a matrix are as long as its longest.
        for start in range(0, len(exclude), _TOGETHER):
            part = [sorted(ids) for ids in exclude[start : start + _TOGETHER]]
            inputs = {
                names.HISTORY: np.full((len(part), 1), b"", object),
                names.K: np.asarray(k, np.int32),
                names.EXCLUDE: string_matrix(part),
            }
            found = self._model.predict(names.SERVING_DEFAULT, inputs)
            lists += [
                [(item_id.decode(), float(score)) for item_id, score in zip(*row, strict=True) if item_id]
                for row in zip(found[names.ITEM_IDS], found[names.SCORES], strict=True)
            ]
        return lists

    def trained(self, item_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """As `ItemTower`."""
        ids = np.asarray([item_id.encode() for item_id in item_ids], object)
        vectors = self._for_lists(self._model.predict(names.ITEM_EMBEDDING, {names.ITEM_IDS: ids}))
        titles = [""] * len(item_ids)
        if self._model.inputs(names.ITEM_TITLES):
            found = self._model.predict(names.ITEM_TITLES, {names.ITEM_IDS: ids})[names.TITLES]
            titles = [title.decode(errors="replace") for title in found]
        # The signature answers zeros for an id that it does not have.
        return vectors, vectors.any(axis=1), titles

    def from_texts(self, texts: Sequence[str]) -> np.ndarray:
        """As `ItemTower`."""
        if self._encoder is None:
            raise RequestError.failed_precondition(
                "the service has no text encoder: start it with --text-encoder DIR, or send `text_vectors` or `vectors`"
            )
        vectors = self._encoder.encode(texts)
        for number, vector in enumerate(vectors):
            if not vector.any():
                raise RequestError.invalid(f"`texts` row {number}: the text encoder knows no word of it")
        return self.from_text_vectors(vectors)

    def from_text_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """As `ItemTower`."""
        inputs = self._model.inputs(names.COLD_ITEM_EMBEDDING)
        if len(inputs) != 1:
            raise RequestError.failed_precondition(
                f"the model has no signature `{names.COLD_ITEM_EMBEDDING}`: send `vectors`, or export the model anew"
            )
        outputs = self._model.predict(names.COLD_ITEM_EMBEDDING, {next(iter(inputs)): vectors})
        found = self._for_lists(outputs)
        if found.shape[1] != self.width:
            raise RequestError.failed_precondition(
                f"the model's `{names.COLD_ITEM_EMBEDDING}` gives vectors of width {found.shape[1]}, its users have "
                f"{self.width}: export the model anew"
            )
        return found

    def _for_lists(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Vectors that lists are made with: without the seen part where what was seen is left out.

        A model that gives no such ones has one kind for all.
        """
        whole = outputs[names.EMBEDDING]
        return outputs.get(names.LEARNED_EMBEDDING, whole) if self.seen_excluded else whole


def _encoder(directory: str) -> TextEncoder:
    try:
        encoder = load_text_encoder(directory)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"--text-encoder {pathlib.Path(directory)}: holds no text encoder ({error})") from error
    if encoder is None:
        raise InputError(
            f"--text-encoder {directory}: the model was trained on given vectors, not on texts; leave the option out "
            "and send `text_vectors`"
        )
    return encoder
