"""Sentence encoders from the `sentence-transformers` package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from h2rec_tf.errors import InputError, MissingDependencyError
from h2rec_tf.text.base import TextEncoder


class SentenceEncoder(TextEncoder):
    """A pretrained sentence encoder; its weights are downloaded on first use unless `model` is a directory.

    Args:
        model: name or directory of a sentence-transformers model.
        batch_size: texts encoded at once.

    Raises:
        MissingDependencyError: on `encode`, when `sentence-transformers` is not installed.
        InputError: on `encode`, when the model cannot be read or downloaded.
    """

    kind: ClassVar[str] = "sentence"

    def __init__(self, *, model: str = "sentence-transformers/all-MiniLM-L6-v2", batch_size: int = 64):
        super().__init__()
        self.model = model
        self.batch_size = batch_size

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """L2-normalised vectors, float32 `[n, D]`; an empty text gives zeros."""
        filled = np.asarray([bool(text.strip()) for text in texts], bool)
        encoded = self._load().encode(
            [text for text, keep in zip(texts, filled, strict=True) if keep] or [" "],
            batch_size=self.batch_size,
            show_progress_bar=progress,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        vectors = np.zeros((len(texts), encoded.shape[1]), np.float32)
        vectors[filled] = encoded[: int(filled.sum())]
        return vectors

    def get_config(self) -> dict[str, Any]:
        return {"model": self.model, "batch_size": self.batch_size}

    def _load(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingDependencyError(
                "text encoder `sentence` needs sentence-transformers: pip install 'h2rec-tf[sentence]'"
            ) from error
        try:
            return SentenceTransformer(self.model)
        except (OSError, ValueError) as error:
            raise InputError(f"text: cannot load sentence model '{self.model}': {error}") from error
