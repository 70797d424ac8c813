"""The RQ-VAE behind the quantizer interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.base import Quantizer, float_rows
from h2rec_tf.quantizers.principal import principal_directions, projected
from h2rec_tf.quantizers.rq_kmeans import residual_kmeans
from h2rec_tf.quantizers.rq_vae_network import RqVaeNetwork

# Rows that the k-means start of the codebooks looks at.
_START_ROWS = 131_072


class RqVae(Quantizer):
    """Residual-quantized variational autoencoder (Zeghidour et al. 2021; TIGER, Rajput et al. 2023).

    Encoder and decoder start as the first `latent_size` principal components and their transpose, the codebooks as
    residual k-means of those components; so training starts from a working quantizer, not from noise.

    Caveats: `codebooks` live in the latent space (`d_c = latent_size`). Reconstruction is the decoder's, so
    `decode` with fewer levels uses a decoder that was trained on all of them.

    Args:
        levels: L, codes per item.
        codes: K per level.
        hidden_sizes: hidden widths of the encoder; the decoder has the reverse.
        latent_size: width of the latents; at most D is used.
        epochs: passes over the vectors.
        batch_size: vectors per step.
        learning_rate: Adam's, at the start; falls to zero by a cosine.
        commitment: weight of the commitment loss (beta).
        reconstruction: "squared" or "cosine".
        ema_decay: above 0, codebooks follow moving averages instead of gradients.
        dead_code_steps: a code unused for this many steps moves to a residual of the batch; 0 turns it off.
        iterations: k-means passes per level at the start.
        block_rows: rows encoded at once.
        seed: of every random choice.
    """

    kind: ClassVar[str] = "rq_vae"

    def __init__(
        self,
        *,
        levels: int = 4,
        codes: int = 256,
        hidden_sizes: Sequence[int] = (256, 128),
        latent_size: int = 128,
        epochs: int = 40,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        commitment: float = 0.25,
        reconstruction: str = "squared",
        ema_decay: float = 0.0,
        dead_code_steps: int = 50,
        iterations: int = 25,
        block_rows: int = 16_384,
        seed: int = 0,
    ):
        super().__init__(levels=levels, codes=codes, block_rows=block_rows, seed=seed)
        if reconstruction not in ("squared", "cosine"):
            raise InputError(f"quantizer: `reconstruction` must be 'squared' or 'cosine', got '{reconstruction}'")
        self.hidden_sizes = tuple(hidden_sizes)
        self.latent_size = latent_size
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.commitment = commitment
        self.reconstruction = reconstruction
        self.ema_decay = ema_decay
        self.dead_code_steps = dead_code_steps
        self.iterations = iterations
        self._built: RqVaeNetwork | None = None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "hidden_sizes": list(self.hidden_sizes),
            "latent_size": self.latent_size,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "commitment": self.commitment,
            "reconstruction": self.reconstruction,
            "ema_decay": self.ema_decay,
            "dead_code_steps": self.dead_code_steps,
            "iterations": self.iterations,
        }

    @property
    def network(self) -> RqVaeNetwork:
        """The fitted Keras model."""
        if self._built is None:
            weights = [self._array(f"weight_{place:03d}") for place in range(int(self._array("weights")))]
            self._built = self._new_network(self.dimensions)
            self._built.set_weights(weights)
        return self._built

    @property
    def variables(self) -> Sequence[Any]:
        return self.network.variables

    def encode_tensor(self, vectors: Any) -> Any:
        network = self.network
        return network.quantizer.quantize(network.encoder(vectors)).codes

    def _new_network(self, dimensions: int) -> RqVaeNetwork:
        return RqVaeNetwork(
            dimensions=dimensions,
            latent_size=min(self.latent_size, dimensions),
            hidden_sizes=self.hidden_sizes,
            quantizer={
                "levels": self.levels,
                "codes": self.codes,
                "commitment": self.commitment,
                "ema_decay": self.ema_decay,
                "dead_code_steps": self.dead_code_steps,
                "seed": self.seed,
            },
            reconstruction=self.reconstruction,
            seed=self.seed,
        )

    def _fit(self, vectors: np.ndarray, progress: bool) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        network = self._new_network(vectors.shape[1])
        self._start(network, vectors, rng)
        self._train(network, vectors, rng, progress)
        self._built = network
        weights = network.get_weights()
        arrays = {f"weight_{place:03d}": weight for place, weight in enumerate(weights)}
        return arrays | {"weights": np.asarray(len(weights)), "codebooks": network.quantizer.codebooks.numpy()}

    def _start(self, network: RqVaeNetwork, vectors: np.ndarray, rng: np.random.Generator) -> None:
        count = len(vectors)
        rows = np.sort(rng.choice(count, min(count, _START_ROWS), replace=False))
        mean, directions = principal_directions(vectors, rows, network.encoder.units, self.block_rows)
        network.start(mean, directions)
        latents = projected(vectors, mean, directions, self.block_rows, rows)
        codebooks, _ = residual_kmeans(
            latents,
            levels=self.levels,
            codes=self.codes,
            iterations=self.iterations,
            block_rows=self.block_rows,
            rng=rng,
        )
        network.quantizer.start(codebooks)

    def _train(self, network: RqVaeNetwork, vectors: np.ndarray, rng: np.random.Generator, progress: bool) -> None:
        count = len(vectors)
        batch = min(self.batch_size, count)
        # Equal batches keep one traced function; the shuffle lets every row take its turn.
        steps = count // batch
        total = self.epochs * steps
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(self.learning_rate, total))
        optimizer.build(network.trainable_variables)

        @tf.function(input_signature=[tf.TensorSpec([batch, vectors.shape[1]], tf.float32)])
        def step(rows: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = network.loss_of(rows, training=True)
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return loss

        with tqdm(total=total, desc="rq_vae", unit="step", disable=None if progress else True) as bar:
            for _ in range(self.epochs):
                order = rng.permutation(count)
                losses = []
                for place in range(steps):
                    rows = np.sort(order[place * batch : (place + 1) * batch])
                    losses.append(step(tf.constant(float_rows(vectors, rows))))
                    bar.update()
                mean = float(tf.reduce_mean(losses))
                if not np.isfinite(mean):
                    raise InputError("rq_vae: the loss is not finite; lower quantizer.rq_vae.learning_rate")
                bar.set_postfix(loss=f"{mean:.5f}")

    def _encode_block(self, vectors: np.ndarray) -> np.ndarray:
        codes: np.ndarray = self.encode_tensor(tf.constant(vectors)).numpy()
        return codes

    def _decode_block(self, codes: np.ndarray) -> np.ndarray:
        network = self.network
        rebuilt: np.ndarray = network.decoder(network.quantizer.lookup(tf.constant(codes, tf.int32))).numpy()
        return rebuilt
