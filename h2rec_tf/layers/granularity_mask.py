"""Masked granularity: hides a share of the granularity views behind learned vectors."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

STRATEGIES = ("lowest", "highest", "random")


@keras.utils.register_keras_serializable("h2rec_tf")
class GranularityMask(keras.layers.Layer):
    """Replaces `round(ratio * L)` of the views at each position by learned mask vectors (design: user level).

    Args:
        levels: L.
        dimensions: d.
        strategy: which views: those of "lowest" or "highest" gate weight, or "random" ones.
        ratio: share of views, 0..1; 0 hides none, 1 hides all.
        seed: of the random strategy.
    """

    def __init__(
        self,
        levels: int,
        dimensions: int,
        *,
        strategy: str = "lowest",
        ratio: float = 0.5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if strategy not in STRATEGIES:
            raise ValueError(f"`strategy` must be one of {', '.join(STRATEGIES)}, got '{strategy}'")
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"`ratio` must lie in 0..1, got {ratio}")
        self.levels = levels
        self.dimensions = dimensions
        self.strategy = strategy
        self.ratio = ratio
        self.seed = seed
        # Tracked, so that a training run resumed from a checkpoint draws the same masks.
        self._generator = tf.random.Generator.from_seed(seed) if strategy == "random" else None

    def build(self, input_shape: Any) -> None:
        """Creates one mask vector a level."""
        self.mask_vectors = self.add_weight(
            name="mask_vectors",
            shape=(self.levels, self.dimensions),
            initializer=keras.initializers.RandomNormal(0.0, self.dimensions**-0.5),
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, *, gate: tf.Tensor) -> tf.Tensor:
        """`[B, T, L, d]` views and `[B, T, L]` gate weights -> `[B, T, L, d]`, some views replaced."""
        hidden = round(self.ratio * self.levels)
        order = tf.cast(tf.stop_gradient(gate), tf.float32)
        if self._generator is not None:
            order = self._generator.uniform(tf.shape(gate))
        elif self.strategy == "highest":
            order = -order
        # Rank of each level by its weight; equal weights rank by level, so that exactly `hidden` levels go.
        rank = tf.argsort(tf.argsort(order, axis=-1, stable=True), axis=-1)
        return tf.where((rank < hidden)[..., None], tf.cast(self.mask_vectors, inputs.dtype), inputs)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "levels": self.levels,
            "dimensions": self.dimensions,
            "strategy": self.strategy,
            "ratio": self.ratio,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
