"""Inner products of user vectors with blocks of an item table."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class ItemVectors:
    """An item table that is multiplied with many batches of user vectors.

    TensorFlow multiplies: on CPUs for which NumPy's BLAS has no kernel of its own it is several times faster.

    Args:
        table: floating `[N + 1, D]`; row 0 pads.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.ascontiguousarray(table, np.float32)
        self._block: tuple[int, int, tf.Tensor] | None = None

    def scores(self, users: np.ndarray, start: int, stop: int) -> np.ndarray:
        """float32 `[B, D]` user vectors -> float32 `[B, stop - start]`, their products with rows start..stop - 1."""
        # Batches ask for the same block one after the other: it goes into a tensor once.
        if self._block is None or self._block[:2] != (start, stop):
            self._block = (start, stop, tf.constant(self.table[start:stop]))
        return tf.matmul(tf.convert_to_tensor(users), self._block[2], transpose_b=True).numpy()


def without_seen(users: np.ndarray, learned_size: int) -> np.ndarray:
    """float32 `[B, D]` user vectors -> the same with zeros in the seen part, behind `learned_size` columns."""
    learned = np.zeros_like(users)
    learned[:, :learned_size] = users[:, :learned_size]
    return learned
