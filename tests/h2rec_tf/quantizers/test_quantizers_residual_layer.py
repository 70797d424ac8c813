"""The residual vector quantizer layer and the RQ-VAE network against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.residual_vector_quantizer import ResidualVectorQuantizer
from h2rec_tf.quantizers.rq_vae_network import RqVaeNetwork, SkipMlp, reconstruction_loss

BATCH, LEVELS, CODES, WIDTH = 9, 3, 5, 4


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(BATCH, WIDTH)).astype(np.float32)
    return latents, rng.normal(size=(LEVELS, CODES, WIDTH)).astype(np.float32)


def started(codebooks, **options):
    layer = ResidualVectorQuantizer(levels=LEVELS, codes=CODES, **options)
    layer.start(codebooks)
    return layer


def oracle(latents, codebooks):
    """Quantized, codes, loss of one direction (both are equal in value) and residuals."""
    residual, total, loss = latents.astype(np.float64), np.zeros_like(latents, np.float64), 0.0
    codes, residuals = [], []
    for table in codebooks:
        chosen = ((residual[:, None] - table[None]) ** 2).sum(-1).argmin(1)
        residuals.append(residual)
        codes.append(chosen)
        loss += ((residual - table[chosen]) ** 2).sum(-1).mean()
        total, residual = total + table[chosen], residual - table[chosen]
    return total, np.stack(codes, 1), loss, np.stack(residuals)


def test_forward_and_losses_equal_the_oracle():
    latents, codebooks = inputs()
    layer = started(codebooks, commitment=0.3)
    quantized, codes = layer(latents)
    expected, expected_codes, loss, residuals = oracle(latents, codebooks)
    np.testing.assert_array_equal(codes, expected_codes)
    assert codes.dtype == tf.int32
    np.testing.assert_allclose(quantized, expected, atol=1e-5)
    np.testing.assert_allclose(layer.losses[0], 1.3 * loss, rtol=1e-5)
    result = layer.quantize(tf.constant(latents))
    np.testing.assert_allclose(result.codebook_loss, loss, rtol=1e-5)
    np.testing.assert_allclose(result.commitment_loss, loss, rtol=1e-5)
    np.testing.assert_allclose(result.residuals, residuals, atol=1e-5)
    for depth in range(1, LEVELS + 1):
        partial = sum(codebooks[level][expected_codes[:, level]] for level in range(depth))
        np.testing.assert_allclose(layer.lookup(codes[:, :depth]), partial, atol=1e-6)


def test_the_gradient_passes_straight_through():
    latents, codebooks = inputs()
    layer = started(codebooks)
    variable = tf.Variable(latents)
    weights = tf.constant(np.random.default_rng(1).normal(size=latents.shape).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        result = layer.quantize(variable)
        loss = tf.reduce_sum(result.quantized * weights)
    np.testing.assert_array_equal(tape.gradient(loss, variable), weights)
    assert tape.gradient(loss, layer.codebooks) is None


def test_loss_gradients_go_where_they_should():
    latents, codebooks = inputs()
    layer = started(codebooks)
    variable = tf.Variable(latents)
    with tf.GradientTape(persistent=True) as tape:
        result = layer.quantize(variable)
    _, codes, _, residuals = oracle(latents, codebooks)
    assert tape.gradient(result.codebook_loss, variable) is None
    assert tape.gradient(result.commitment_loss, layer.codebooks) is None
    chosen = np.stack([codebooks[level][codes[:, level]] for level in range(LEVELS)])
    commitment = 2.0 * (residuals - chosen).sum(0) / BATCH
    np.testing.assert_allclose(tape.gradient(result.commitment_loss, variable), commitment, atol=1e-5)
    expected = np.zeros_like(codebooks)
    for level in range(LEVELS):
        np.add.at(expected[level], codes[:, level], 2.0 * (chosen - residuals)[level] / BATCH)
    found = tf.convert_to_tensor(tape.gradient(result.codebook_loss, layer.codebooks))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_moving_averages_equal_the_oracle():
    latents, codebooks = inputs()
    layer = started(codebooks, ema_decay=0.9)
    assert not layer.trainable_weights
    counts, sums, tables = np.ones((LEVELS, CODES)), codebooks.astype(np.float64), codebooks.astype(np.float64)
    for seed in range(3):
        latents, _ = inputs(seed)
        _, codes, loss, residuals = oracle(latents, tables)
        layer(latents, training=True)
        np.testing.assert_allclose(layer.losses[0], 0.25 * loss, rtol=1e-4)
        for level in range(LEVELS):
            one_hot = np.eye(CODES)[codes[:, level]]
            counts[level] = 0.9 * counts[level] + 0.1 * one_hot.sum(0)
            sums[level] = 0.9 * sums[level] + 0.1 * one_hot.T @ residuals[level]
        tables = sums / counts[..., None]
        np.testing.assert_allclose(layer.codebooks, tables, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_dead_codes_are_revived_and_live_ones_stay(ema_decay):
    latents, codebooks = inputs()
    codebooks[:, 3:] = 1e3
    layer = started(codebooks, ema_decay=ema_decay, dead_code_steps=3)
    for step in range(3):
        np.testing.assert_allclose(np.abs(layer.codebooks[:, 3:]), 1e3, rtol=1e-5, err_msg=f"step {step}")
        before = layer.codebooks.numpy()
        _, codes = layer(latents, training=True)
    assert np.abs(layer.codebooks[:, 3:]).max() < 100
    _, _, _, residuals = oracle(latents, before)
    for level in range(LEVELS):
        for code in (3, 4):
            distances = np.abs(residuals[level] - layer.codebooks[level, code]).max(axis=1)
            assert distances.min() < 1e-5, "a revived code is a residual of the batch"
        alive = np.unique(codes.numpy()[:, level])
        if not ema_decay:
            np.testing.assert_array_equal(layer.codebooks.numpy()[level, alive], codebooks[level, alive])
    assert {3, 4} & set(np.unique(layer(latents)[1].numpy()[:, 0]).tolist())


def test_inference_changes_no_state():
    latents, codebooks = inputs()
    layer = started(codebooks, ema_decay=0.9, dead_code_steps=1)
    before = [weight.numpy() for weight in layer.weights]
    layer(latents)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_layer_survives_config_and_saving(tmp_path):
    latents, codebooks = inputs()
    layer = ResidualVectorQuantizer(levels=LEVELS, codes=CODES, commitment=0.5, dead_code_steps=7, seed=3)
    again = ResidualVectorQuantizer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    source = keras.Input([WIDTH])
    model = keras.Model(source, layer(source))
    layer.start(codebooks)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for found, expected in zip(loaded(latents), model(latents), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_wrong_arguments_are_named():
    with pytest.raises(InputError, match="levels"):
        ResidualVectorQuantizer(levels=0, codes=2)
    with pytest.raises(InputError, match="ema_decay"):
        ResidualVectorQuantizer(levels=1, codes=2, ema_decay=1.0)


def test_half_precision_is_finite():
    latents, codebooks = inputs()
    layer = started(codebooks, dead_code_steps=1)
    result = layer.quantize(tf.constant(latents, tf.float16))
    assert result.quantized.dtype == tf.float16 and np.isfinite(result.quantized).all()


def test_reconstruction_losses_equal_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(reconstruction_loss(x, y, "squared"), ((x - y) ** 2).sum(1).mean(), rtol=1e-5)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(reconstruction_loss(x, y, "cosine"), (1 - cosine).mean(), rtol=1e-5)
    assert np.isfinite(reconstruction_loss(np.zeros_like(x), y, "cosine"))


def test_a_skip_mlp_starts_linear():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(6, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    layer = SkipMlp(hidden_sizes=(8, 5), units=3)
    layer(tf.constant(x, tf.float32))
    layer.start(kernel.astype(np.float32), bias.astype(np.float32))
    np.testing.assert_allclose(layer(tf.constant(x, tf.float32)), x @ kernel + bias, atol=1e-5)
    assert SkipMlp.from_config(layer.get_config()).get_config() == layer.get_config()


def test_the_network_adds_its_losses():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    network = RqVaeNetwork(
        dimensions=4, latent_size=3, hidden_sizes=(8,), quantizer={"levels": 2, "codes": 4, "commitment": 0.5}
    )
    rebuilt = network(x)
    parts = network.quantizer.quantize(network.encoder(x))
    expected = ((x - rebuilt) ** 2).numpy().sum(1).mean() + parts.codebook_loss + 0.5 * parts.commitment_loss
    np.testing.assert_allclose(network.loss_of(x), expected, rtol=1e-5)
    again = RqVaeNetwork.from_config(network.get_config())
    again.set_weights(network.get_weights())
    np.testing.assert_array_equal(again(x), rebuilt)
