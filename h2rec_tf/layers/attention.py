"""Pre-norm attention block for self- and cross-attention that respects padding and, if asked, time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dense import Dense
from h2rec_tf.layers.dropout import ReplayableDropout


def attention_mask(real: tf.Tensor, *, causal: bool) -> tf.Tensor:
    """Which keys each query may read.

    Args:
        real: bool `[B, T]`, False at padding.
        causal: True lets position t read positions <= t only.

    Returns:
        bool `[B, T, T]` (query, key).
    """
    length = tf.shape(real)[1]
    mask = tf.repeat(real[:, None, :], length, axis=1)
    if causal:
        mask = tf.logical_and(mask, tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)[None])
    return mask


@keras.utils.register_keras_serializable("h2rec_tf")
class AttentionBlock(keras.layers.Layer):
    """Multi-head attention and a feed-forward net, each pre-normalised and with a residual (Vaswani 2017).

    With `context` given it is cross-attention: queries from the input, keys and values from the context. A query that
    may read no key (padding) gets a finite vector of no meaning; callers mask it.

    Args:
        dimensions: d, a multiple of `heads`.
        heads: attention heads.
        dropout: share of attention weights and of both residual branches dropped in training.
        inner: width of the feed-forward net's hidden layer; default d as in SASRec (Kang 2018, eq. 5).

    Example:

    >>> block = AttentionBlock(dimensions=8, heads=2)
    >>> x = tf.random.normal([2, 5, 8])
    >>> block(x, mask=attention_mask(tf.ones([2, 5], tf.bool), causal=True)).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self, dimensions: int, heads: int, *, dropout: float = 0.0, inner: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if dimensions % heads:
            raise ValueError(f"`dimensions` must be a multiple of `heads`, got {dimensions} and {heads}")
        self.dimensions = dimensions
        self.heads = heads
        self.dropout = dropout
        self.inner = inner or dimensions
        self._query_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="query_norm")
        self._context_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="context_norm")
        self._feed_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="feed_norm")
        self._query = Dense(dimensions, name="query")
        self._key_value = Dense(2 * dimensions, name="key_value")
        self._output = Dense(dimensions, name="output")
        self._expand = Dense(self.inner, activation="gelu", name="expand")
        self._contract = Dense(dimensions, name="contract")
        self._weight_dropout = ReplayableDropout(dropout)
        self._attention_dropout = ReplayableDropout(dropout)
        self._feed_dropout = ReplayableDropout(dropout)

    def call(
        self, inputs: tf.Tensor, *, mask: tf.Tensor, context: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """Attends.

        Args:
            inputs: `[B, Q, d]` queries.
            mask: bool `[B, Q, T]`, True where the query may read the key.
            context: `[B, T, d]` keys and values; None means the inputs.
            training: switches dropout on.

        Returns:
            `[B, Q, d]`.
        """
        normal = self._query_norm(inputs)
        source = normal if context is None else self._context_norm(context)
        attended = self._attend(normal, source, mask, training)
        hidden = inputs + self._attention_dropout(attended, training=training)
        fed = self._contract(self._expand(self._feed_norm(hidden)))
        return hidden + self._feed_dropout(fed, training=training)

    def _attend(self, queries: tf.Tensor, source: tf.Tensor, mask: tf.Tensor, training: bool | None) -> tf.Tensor:
        width = self.dimensions // self.heads
        query = self._split(self._query(queries))
        key, value = tf.split(self._key_value(source), 2, axis=-1)
        logits = tf.matmul(query, self._split(key), transpose_b=True) * (width**-0.5)
        # Half of the smallest number: a finite stand-in for minus infinity in every float type.
        floor = tf.constant(logits.dtype.min / 2, logits.dtype)
        weights = tf.nn.softmax(tf.where(mask[:, None], logits, floor), axis=-1)
        mixed = tf.matmul(self._weight_dropout(weights, training=training), self._split(value))
        shape = tf.shape(queries)
        return self._output(tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [shape[0], shape[1], self.dimensions]))

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        x = tf.reshape(x, [shape[0], shape[1], self.heads, self.dimensions // self.heads])
        return tf.transpose(x, [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "dimensions": self.dimensions,
            "heads": self.heads,
            "dropout": self.dropout,
            "inner": self.inner,
        }
        return {**super().get_config(), **config}
