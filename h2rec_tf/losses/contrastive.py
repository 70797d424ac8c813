"""Contrastive building blocks in logsumexp form: finite for any finite logits."""

from __future__ import annotations

import tensorflow as tf


def weighted_info_nce(logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """InfoNCE with many weighted positives a row.

    `mean_i ( lse_j z_ij - lse_j (z_ij + log w_ij) )`; with one positive of weight 1 it is plain InfoNCE
    (van den Oord 2018, eq. 4).

    Args:
        logits: float32 `[B, C]`.
        weights: float32 `[B, C]` in 0..1; a row whose weights are all 0 has zero loss and zero gradient.

    Returns:
        Scalar float32; 0 for an empty batch.
    """
    logits = tf.convert_to_tensor(logits)
    positive = weights > 0
    # `where` before the log and before the reduction keeps zero weights out of the gradient.
    # The smallest number is below every logit; logsumexp takes the maximum off before it raises to powers.
    floor = tf.constant(logits.dtype.min, logits.dtype)
    gain = tf.where(positive, logits + tf.math.log(tf.where(positive, weights, tf.ones_like(weights))), floor)
    losses = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_logsumexp(gain, axis=-1)
    has = tf.reduce_any(positive, axis=-1)
    losses = tf.where(has, losses, tf.zeros_like(losses))
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(tf.cast(has, losses.dtype)))


def soft_cross_entropy(logits: tf.Tensor, targets: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of soft targets over the rows that count.

    Args:
        logits: float32 `[B, B]`, B > 0; columns that do not count must already be at the floor.
        targets: float32 `[B, B]`, each row a distribution.
        rows: float32 `[B]`, 1 where the row counts, else 0.

    Returns:
        Scalar float32; 0 where no row counts.
    """
    losses = tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * rows), tf.reduce_sum(rows))
