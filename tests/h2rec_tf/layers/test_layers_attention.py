"""AttentionBlock, PositionedInput and ReplayableDropout against NumPy."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import tensorflow as tf

from h2rec_tf.layers.attention import AttentionBlock, attention_mask
from h2rec_tf.layers.dropout import ReplayableDropout
from h2rec_tf.layers.positions import PositionedInput

REAL = np.asarray([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)


def _vectors(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 5, 8)).astype(np.float32)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_mask(causal: bool) -> None:
    found = attention_mask(tf.constant(REAL), causal=causal).numpy()
    np.testing.assert_array_equal(found, oracles.attention_mask(REAL, causal=causal))


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("cross", [True, False])
def test_attention_block_equals_the_oracle(heads: int, causal: bool, cross: bool) -> None:
    block = AttentionBlock(8, heads, inner=12)
    mask = oracles.attention_mask(REAL, causal=causal)
    context = _vectors(1) if cross else None
    # Called twice: no state but the weights.
    for _ in range(2):
        found = block(_vectors(), mask=tf.constant(mask), context=context).numpy()
    generator = np.random.default_rng(5)
    block.set_weights([value + generator.normal(0, 0.1, value.shape) for value in block.get_weights()])
    found = block(_vectors(), mask=tf.constant(mask), context=context).numpy()
    expected = oracles.attention_block(
        oracles.weights_of(block), _vectors().astype(float), heads=heads, mask=mask, context=context
    )
    readable = mask.any(axis=-1)
    np.testing.assert_allclose(found[readable], expected[readable], atol=1e-4)
    assert np.isfinite(found).all(), "queries that may read no key stay finite"


def test_attention_block_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="`dimensions` must be a multiple of `heads`"):
        AttentionBlock(8, 3)


def test_attention_survives_large_inputs() -> None:
    block = AttentionBlock(8, 2)
    mask = tf.constant(oracles.attention_mask(REAL, causal=True))
    assert np.isfinite(block(_vectors() * 1e15, mask=mask)).all()


@pytest.mark.parametrize("max_length", [1, 3, 9])
def test_positions_count_from_the_first_real_item(max_length: int) -> None:
    layer = PositionedInput(max_length, 8)
    found = layer(_vectors(), real=tf.constant(REAL)).numpy()
    expected = oracles.positioned(oracles.weights_of(layer)["positions"], _vectors().astype(float), REAL)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[~REAL], 0.0)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    layer = ReplayableDropout(0.25, seed=1)
    ones = tf.ones([100, 100])
    np.testing.assert_array_equal(layer(ones), ones)
    np.testing.assert_array_equal(layer(ones, training=False), ones)
    dropped = layer(ones, training=True).numpy()
    assert abs((dropped == 0).mean() - 0.25) < 0.02
    np.testing.assert_allclose(dropped[dropped > 0], 1 / 0.75, rtol=1e-6)
    assert not np.array_equal(dropped, layer(ones, training=True)), "each call draws anew"


def test_dropout_replays_from_a_checkpoint(tmp_path: object) -> None:
    layer = ReplayableDropout(0.5, seed=1)
    ones = tf.ones([10, 10])
    layer(ones, training=True)
    path = tf.train.Checkpoint(layer=layer).write(f"{tmp_path}/state")
    after = layer(ones, training=True).numpy()
    other = ReplayableDropout(0.5, seed=2)
    tf.train.Checkpoint(layer=other).restore(path)
    np.testing.assert_array_equal(other(ones, training=True), after)


def test_dropout_refuses_a_rate_that_drops_all() -> None:
    with pytest.raises(ValueError, match="`rate`"):
        ReplayableDropout(1.0)
