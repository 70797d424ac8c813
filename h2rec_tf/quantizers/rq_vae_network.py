"""The network of the RQ-VAE: encoder, residual quantizer, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.quantizers.residual_vector_quantizer import ResidualVectorQuantizer


@keras.utils.register_keras_serializable("h2rec_tf")
class SkipMlp(keras.layers.Layer):
    """A linear map plus an MLP that starts at zero: `y = x W + b + mlp(x)`.

    Starting from a good linear map (PCA here), training can only bend it where that lowers the loss.

    Args:
        hidden_sizes: widths of the hidden layers.
        units: output width.
        seed: of the hidden layers' start.
    """

    def __init__(self, *, hidden_sizes: Sequence[int], units: int, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden_sizes = tuple(hidden_sizes)
        self.units = units
        self.seed = seed
        self._hidden = [
            keras.layers.Dense(
                size, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=seed + depth)
            )
            for depth, size in enumerate(self.hidden_sizes)
        ]
        self._bend = keras.layers.Dense(units, kernel_initializer="zeros", use_bias=False)
        self._linear = keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """float `[b, D]` -> float `[b, units]`."""
        hidden = inputs
        for layer in self._hidden:
            hidden = layer(hidden)
        return self._linear(inputs) + self._bend(hidden)

    def start(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Sets the linear map: kernel `[D, units]`, bias `[units]`; the layer must be built."""
        self._linear.set_weights([kernel, bias])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"hidden_sizes": self.hidden_sizes, "units": self.units, "seed": self.seed}


@keras.utils.register_keras_serializable("h2rec_tf")
class RqVaeNetwork(keras.Model):
    """Encoder, residual vector quantizer and decoder (Zeghidour et al. 2021; Rajput et al. 2023 for semantic IDs).

    Loss = reconstruction + codebook + beta * commitment; the last two come from the quantizer layer.

    Args:
        dimensions: D.
        latent_size: width of the latents.
        hidden_sizes: encoder's hidden widths; the decoder's are the reverse.
        quantizer: arguments of `ResidualVectorQuantizer`.
        reconstruction: "squared" (`||x - y||^2`) or "cosine" (`1 - cos(x, y)`).
        seed: of the weights' start.
    """

    def __init__(
        self,
        *,
        dimensions: int,
        latent_size: int,
        hidden_sizes: Sequence[int],
        quantizer: dict[str, Any],
        reconstruction: str = "squared",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.reconstruction = reconstruction
        self._arguments = {
            "dimensions": dimensions,
            "latent_size": latent_size,
            "hidden_sizes": tuple(hidden_sizes),
            "quantizer": dict(quantizer),
            "reconstruction": reconstruction,
            "seed": seed,
        }
        self.encoder = SkipMlp(hidden_sizes=hidden_sizes, units=latent_size, seed=seed)
        self.decoder = SkipMlp(hidden_sizes=tuple(hidden_sizes)[::-1], units=dimensions, seed=seed + 1000)
        self.quantizer = ResidualVectorQuantizer(**quantizer)
        self(tf.zeros([1, dimensions]))

    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float `[b, D]` -> reconstruction, float `[b, D]`."""
        quantized, _ = self.quantizer(self.encoder(vectors), training=training)
        return self.decoder(quantized)

    def loss_of(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The whole loss of a batch, a scalar."""
        rebuilt = self(vectors, training=training)
        return reconstruction_loss(vectors, rebuilt, self.reconstruction) + tf.add_n(self.losses)

    def start(self, mean: np.ndarray, directions: np.ndarray) -> None:
        """Makes encoder and decoder a projection and its transpose: mean `[D]`, orthonormal directions
        `[latent_size, D]`."""
        self.encoder.start(directions.T, -directions @ mean)
        self.decoder.start(directions, mean)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name} | self._arguments


def reconstruction_loss(vectors: tf.Tensor, rebuilt: tf.Tensor, kind: str) -> tf.Tensor:
    """Batch mean of `||x - y||^2` ("squared") or of `1 - cos(x, y)` ("cosine"; a zero vector counts 1)."""
    if kind == "cosine":
        products = tf.math.l2_normalize(vectors, axis=-1) * tf.math.l2_normalize(rebuilt, axis=-1)
        return tf.reduce_mean(1.0 - tf.reduce_sum(products, axis=-1))
    return tf.reduce_mean(tf.reduce_sum((vectors - rebuilt) ** 2, axis=-1))
