"""Matrices of item indices with gaps."""

from __future__ import annotations

import tensorflow as tf


def left_padded(items: tf.Tensor) -> tf.Tensor:
    """int32 `[B, T]` with zeros anywhere -> the same with zeros first, items in their order."""
    order = tf.argsort(tf.cast(items != 0, tf.int32), axis=1, stable=True)
    return tf.gather(items, order, batch_dims=1)


def for_each_row(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`[B, n]` or `[1, n]`, one row for all, -> `[B, n]`; `rows` is B.

    Raises:
        InvalidArgumentError: another number of rows.
    """
    return tf.broadcast_to(values, [rows, tf.shape(values)[1]])
