"""Matrices of item indices with gaps."""

from __future__ import annotations

import tensorflow as tf


def for_each_row(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`[B, n]` or `[1, n]`, one row for all, -> `[B, n]`; `rows` is B.

    Raises:
        InvalidArgumentError: another number of rows.
    """
    return tf.broadcast_to(values, [rows, tf.shape(values)[1]])
