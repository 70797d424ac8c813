"""Vectors that the user brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.base import check_vectors
from h2rec_tf.text.base import TextEncoder


class GivenVectors(TextEncoder):
    """Passes on the catalogue's own vectors, checked; row r belongs to text r.

    Args:
        vectors: float `[N, D]`.

    Raises:
        InputError: not a matrix, or values that are not finite.
    """

    kind: ClassVar[str] = "vectors"

    def __init__(self, vectors: np.ndarray):
        super().__init__()
        check_vectors(vectors)
        self._vectors = vectors

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """The given vectors, float32 `[N, D]`; `texts` only has to have N entries."""
        if len(texts) != len(self._vectors):
            raise InputError(f"vectors: {len(self._vectors)} rows for {len(texts)} items; give one vector per item")
        return np.asarray(self._vectors, np.float32)

    def get_config(self) -> dict[str, Any]:
        return {"vectors": list(self._vectors.shape)}
