"""Masked-granularity user alignment: a user seen through part of the granularities stays the same user."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.losses.contrastive import soft_cross_entropy


def user_alignment(full: tf.Tensor, masked: tf.Tensor, real: tf.Tensor, *, temperature: float) -> tf.Tensor:
    """Symmetric contrastive loss with soft targets from in-view similarities (design: user level).

    With `a`, `b` the normalised vectors, `L = 1/2 [ CE(softmax(a b^T / t), softmax(a a^T / t)) +
    CE(softmax(b a^T / t), softmax(b b^T / t)) ]`; no gradient flows through the targets.

    Args:
        full: `[B, d]` user vectors of the full view, B > 0.
        masked: `[B, d]` user vectors of the masked view.
        real: bool `[B]`, False for a row without history; such a row is neither query nor candidate.
        temperature: t.

    Returns:
        Scalar float32; 0 where no row is real.
    """
    left = _normalised(full)
    right = _normalised(masked)
    rows = tf.cast(real, tf.float32)

    def logits(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.where(real[None, :], tf.matmul(a, b, transpose_b=True) / temperature, tf.constant(-1e9))

    def direction(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        targets = tf.stop_gradient(tf.nn.softmax(logits(a, a), axis=-1))
        return soft_cross_entropy(logits(a, b), targets, rows)

    return 0.5 * (direction(left, right) + direction(right, left))


@keras.utils.register_keras_serializable("h2rec_tf")
class UserAlignment(keras.layers.Layer):
    """`user_alignment` with its temperature as configuration.

    Args:
        temperature: of the softmax.
    """

    def __init__(self, *, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, full: tf.Tensor, masked: tf.Tensor, *, real: tf.Tensor) -> tf.Tensor:
        """`[B, d]`, `[B, d]`, bool `[B]` -> scalar float32 loss."""
        return user_alignment(full, masked, real, temperature=self.temperature)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        return {**super().get_config(), "temperature": self.temperature}


def _normalised(vectors: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
