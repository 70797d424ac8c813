"""Encoding inside a TensorFlow graph, for exported models."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def nearest(rows: tf.Tensor, centres: np.ndarray) -> tf.Tensor:
    """float32 `[b, d]` -> int32 `[b]`: the nearest of centres `[K, d]`; ties go to the lowest index."""
    scores = (centres**2).sum(axis=1) - 2.0 * tf.matmul(rows, tf.constant(centres), transpose_b=True)
    return tf.argmin(scores, axis=1, output_type=tf.int32)


def residual_codes(residual: tf.Tensor, centres: np.ndarray) -> tf.Tensor:
    """float32 `[b, d]` -> int32 `[b, L]`: codes of levels with centres `[L, K, d]`, each for what those before left."""
    codes = []
    for table in centres:
        codes.append(nearest(residual, table))
        residual -= tf.gather(tf.constant(table), codes[-1])
    return tf.stack(codes, axis=1)
