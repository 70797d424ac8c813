"""Dropout whose draws are part of a checkpoint."""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable("h2rec_tf")
class ReplayableDropout(keras.layers.Layer):
    """Drops inputs at random in training and scales the rest by `1 / (1 - rate)`.

    Unlike `tf_keras.layers.Dropout`, the state of its random numbers is a tracked variable: a training run resumed
    from a checkpoint draws what the uninterrupted run would have drawn.

    Args:
        rate: share dropped, 0 <= rate < 1.
        seed: of the draws; None takes one from Python's `random`, which `tf_keras.utils.set_random_seed` seeds.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`rate` must lie in 0..1, below 1, got {rate}")
        self.rate = rate
        self.seed = random.randrange(2**31) if seed is None else seed
        self._generator = tf.random.Generator.from_seed(self.seed)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """`[...]` -> `[...]`; the identity unless `training` is true."""
        if not training or self.rate == 0.0:
            return inputs
        seed = self._generator.make_seeds(1)[:, 0]
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
