"""Granularity gate: how much each code level counts for a user, at each position."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dense import Dense

KINDS = ("dynamic", "static", "mean")


@keras.utils.register_keras_serializable("h2rec_tf")
class GranularityGate(keras.layers.Layer):
    """Weights over the L granularity views: `alpha = softmax(MLP([u; b]) + b)` (design: granularity gate).

    `u` is the HID embedding at the position whose output is formed, `b` the coarse-to-fine prior. Reading `u` at each
    position, not only at the last, keeps every position's output free of later items.

    Args:
        levels: L.
        kind: "dynamic" (the formula), "static" (`softmax(w + b)` with one learned `w`), or "mean" (1 / L each).
        prior_high: prior of the coarsest level.
        prior_low: prior of the finest level; levels between are spaced evenly.
        hidden: width of the MLP's hidden layer.
    """

    def __init__(
        self,
        levels: int,
        *,
        kind: str = "dynamic",
        prior_high: float = 1.0,
        prior_low: float = 0.2,
        hidden: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got '{kind}'")
        self.levels = levels
        self.kind = kind
        self.prior_high = prior_high
        self.prior_low = prior_low
        self.hidden = hidden
        self._hidden = Dense(hidden, activation="relu", name="hidden")
        # Starts at zero, so that training starts from the prior.
        self._logits = Dense(levels, kernel_initializer="zeros", name="logits")

    def build(self, input_shape: Any) -> None:
        """Creates the static logits where the kind needs them."""
        if self.kind == "static":
            self.static = self.add_weight(name="static", shape=(self.levels,), initializer="zeros")
        super().build(input_shape)

    @property
    def prior(self) -> tf.Tensor:
        """float32 `[L]`, from `prior_high` (coarse) to `prior_low` (fine)."""
        return tf.linspace(float(self.prior_high), float(self.prior_low), self.levels)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., d]` HID vectors -> `[..., L]` weights that sum to 1 over levels."""
        prior = tf.cast(self.prior, inputs.dtype)
        shape = tf.concat([tf.shape(inputs)[:-1], [self.levels]], axis=0)
        if self.kind == "mean":
            return tf.fill(shape, tf.constant(1.0 / self.levels, inputs.dtype))
        if self.kind == "static":
            return tf.broadcast_to(tf.nn.softmax(tf.cast(self.static, inputs.dtype) + prior), shape)
        features = tf.concat([inputs, tf.broadcast_to(prior, shape)], axis=-1)
        return tf.nn.softmax(self._logits(self._hidden(features)) + prior, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "levels": self.levels,
            "kind": self.kind,
            "prior_high": self.prior_high,
            "prior_low": self.prior_low,
            "hidden": self.hidden,
        }
        return {**super().get_config(), **config}
