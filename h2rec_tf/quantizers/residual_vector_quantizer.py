"""Residual vector quantization as a Keras layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.errors import InputError

# An average count below this means that nothing chose the code for long; its mean would be rounding noise.
_LEAST_COUNT = 1e-3


class Quantization(NamedTuple):
    """One pass through all levels.

    Attributes:
        quantized: float `[b, d]`, the sum of the chosen codes; its gradient goes to the latents unchanged.
        codes: int32 `[b, L]`.
        codebook_loss: scalar, sum over levels of the batch mean of `||sg[r_l] - e_l||^2`.
        commitment_loss: scalar, sum over levels of the batch mean of `||r_l - sg[e_l]||^2`.
        residuals: float `[L, b, d]`, what each level had to quantize, without gradient.
    """

    quantized: tf.Tensor
    codes: tf.Tensor
    codebook_loss: tf.Tensor
    commitment_loss: tf.Tensor
    residuals: tf.Tensor


@keras.utils.register_keras_serializable("h2rec_tf")
class ResidualVectorQuantizer(keras.layers.Layer):
    """Quantizes latents level by level, each level the residual of those before (Zeghidour et al. 2021).

    The forward value is the sum of the chosen codes and the backward pass is the identity (straight-through; van den
    Oord et al. 2017). `call` adds `codebook_loss + commitment * commitment_loss` to the layer's losses. In training,
    codebooks follow the loss's gradient or, with `ema_decay > 0`, an exponential moving average of the residuals
    that chose them (same paper, appendix), and a code that nothing chose for `dead_code_steps` steps moves to a
    random residual of the batch.

    Caveat: start codebooks from data with `start`; the default start is small and uniform.

    Args:
        levels: L.
        codes: K per level.
        commitment: weight of the commitment loss (beta).
        ema_decay: 0 trains codebooks by gradient; else the share of the old average that is kept each step.
        dead_code_steps: 0 never moves codes.
        seed: of the start and of moved codes.

    Example:
        >>> layer = ResidualVectorQuantizer(levels=2, codes=8)
        >>> quantized, codes = layer(tf.random.normal([5, 3]))
        >>> codes.shape
        TensorShape([5, 2])
    """

    def __init__(
        self,
        *,
        levels: int,
        codes: int,
        commitment: float = 0.25,
        ema_decay: float = 0.0,
        dead_code_steps: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if levels < 1 or codes < 1:
            raise InputError(f"`levels` and `codes` must be at least 1, got {levels} and {codes}")
        if not 0.0 <= ema_decay < 1.0:
            raise InputError(f"`ema_decay` must be at least 0 and below 1, got {ema_decay}")
        self.levels = levels
        self.codes = codes
        self.commitment = commitment
        self.ema_decay = ema_decay
        self.dead_code_steps = dead_code_steps
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        shape = (self.levels, self.codes, int(input_shape[-1]))

        def start(shape: Any, dtype: Any = None) -> tf.Tensor:
            limit = 1.0 / self.codes
            return tf.random.stateless_uniform(shape, [self.seed, 0], -limit, limit, dtype or tf.float32)

        self.codebooks = self.add_weight("codebooks", shape, initializer=start, trainable=self.ema_decay == 0.0)
        self.idle_steps = self._state("idle_steps", shape[:2], tf.int32, "zeros")
        self.step = self._state("step", (), tf.int32, "zeros")
        if self.ema_decay:
            self.ema_counts = self._state("ema_counts", shape[:2], tf.float32, "ones")
            self.ema_sums = self._state("ema_sums", shape, tf.float32, start)
        super().build(input_shape)

    def start(self, codebooks: np.ndarray) -> None:
        """Sets the codebooks, float `[L, K, d]`, for example from residual k-means, and forgets earlier usage."""
        if not self.built:
            self.build((None, codebooks.shape[-1]))
        self.codebooks.assign(codebooks)
        self.idle_steps.assign(tf.zeros_like(self.idle_steps))
        if self.ema_decay:
            self.ema_counts.assign(tf.ones_like(self.ema_counts))
            self.ema_sums.assign(codebooks)

    def call(self, latents: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Quantizes.

        Args:
            latents: float `[b, d]`.
            training: updates usage, moving averages and dead codes.

        Returns:
            Straight-through quantized latents, float `[b, d]`, and codes, int32 `[b, L]`.
        """
        result = self.quantize(latents)
        loss = self.commitment * result.commitment_loss
        if not self.ema_decay:
            loss += result.codebook_loss
        self.add_loss(loss)
        if training:
            self._update(result)
        return result.quantized, result.codes

    def quantize(self, latents: tf.Tensor) -> Quantization:
        """All parts of a pass, without side effects; `latents` is float `[b, d]`."""
        latents = tf.convert_to_tensor(latents)
        codebooks = tf.cast(self.codebooks, latents.dtype)
        residual, total = latents, tf.zeros_like(latents)
        codes, residuals = [], []
        codebook_loss = commitment_loss = tf.zeros([], latents.dtype)
        for level in range(self.levels):
            table = codebooks[level]
            scores = tf.reduce_sum(table**2, axis=-1) - 2.0 * tf.matmul(residual, table, transpose_b=True)
            chosen = tf.argmin(scores, axis=-1, output_type=tf.int32)
            vectors = tf.gather(table, chosen)
            codebook_loss += _mean_square(tf.stop_gradient(residual) - vectors)
            commitment_loss += _mean_square(residual - tf.stop_gradient(vectors))
            codes.append(chosen)
            residuals.append(tf.stop_gradient(residual))
            # Later levels must not push earlier codes around: each level answers for its own residual.
            vectors = tf.stop_gradient(vectors)
            total += vectors
            residual -= vectors
        return Quantization(
            quantized=latents + tf.stop_gradient(total - latents),
            codes=tf.stack(codes, axis=-1),
            codebook_loss=codebook_loss,
            commitment_loss=commitment_loss,
            residuals=tf.stack(residuals),
        )

    def lookup(self, codes: tf.Tensor) -> tf.Tensor:
        """Sum of the codes' vectors: int `[b, l]`, l <= L -> float `[b, d]`."""
        depth = tf.shape(codes)[1]
        chosen = tf.gather(self.codebooks[:depth], tf.transpose(codes), batch_dims=1)
        return tf.reduce_sum(chosen, axis=0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "levels": self.levels,
            "codes": self.codes,
            "commitment": self.commitment,
            "ema_decay": self.ema_decay,
            "dead_code_steps": self.dead_code_steps,
            "seed": self.seed,
        }

    def _state(self, name: str, shape: Any, dtype: tf.DType, initializer: Any) -> tf.Variable:
        return self.add_weight(name, shape, dtype=dtype, initializer=initializer, trainable=False)

    def _update(self, result: Quantization) -> None:
        residuals = tf.cast(result.residuals, tf.float32)
        one_hot = tf.one_hot(tf.transpose(result.codes), self.codes)
        counts = tf.reduce_sum(one_hot, axis=1)
        codebooks = tf.cast(self.codebooks, tf.float32)
        if self.ema_decay:
            keep = self.ema_decay
            self.ema_counts.assign(keep * self.ema_counts + (1.0 - keep) * counts)
            sums = tf.matmul(one_hot, residuals, transpose_a=True)
            self.ema_sums.assign(keep * self.ema_sums + (1.0 - keep) * sums)
            alive = self.ema_counts[..., None] > _LEAST_COUNT
            codebooks = tf.where(alive, self.ema_sums / tf.maximum(self.ema_counts, _LEAST_COUNT)[..., None], codebooks)
        self.idle_steps.assign(tf.where(counts > 0, 0, self.idle_steps + 1))
        self.step.assign_add(1)
        if self.dead_code_steps:
            dead = self.idle_steps >= self.dead_code_steps
            rows = tf.random.stateless_uniform(
                [self.levels, self.codes], tf.stack([self.seed, self.step]), 0, tf.shape(residuals)[1], tf.int32
            )
            codebooks = tf.where(dead[..., None], tf.gather(residuals, rows, batch_dims=1), codebooks)
            self.idle_steps.assign(tf.where(dead, 0, self.idle_steps))
            if self.ema_decay:
                self.ema_counts.assign(tf.where(dead, 1.0, self.ema_counts))
                self.ema_sums.assign(tf.where(dead[..., None], codebooks, self.ema_sums))
        if self.ema_decay or self.dead_code_steps:
            self.codebooks.assign(tf.cast(codebooks, self.codebooks.dtype))


def _mean_square(difference: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reduce_sum(difference**2, axis=-1))
