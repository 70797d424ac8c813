"""GranularityGate and GranularityMask against NumPy."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import tensorflow as tf

from h2rec_tf.layers.granularity_gate import GranularityGate
from h2rec_tf.layers.granularity_mask import GranularityMask

B, T, L, D = 3, 4, 4, 8


def _hid() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)


def _views() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(B, T, L, D)).astype(np.float32)


def _shaken(layer: tf.keras.layers.Layer) -> None:
    generator = np.random.default_rng(7)
    layer.set_weights([value + generator.normal(size=value.shape) for value in layer.get_weights()])


@pytest.mark.parametrize("levels", [1, 4])
def test_dynamic_gate_equals_the_formula(levels: int) -> None:
    gate = GranularityGate(levels, prior_high=1.0, prior_low=0.2, hidden=6)
    gate(_hid())
    _shaken(gate)
    values = oracles.weights_of(gate)
    prior = np.linspace(1.0, 0.2, levels)
    features = np.concatenate([_hid(), np.broadcast_to(prior, (B, T, levels))], axis=-1)
    hidden = np.maximum(oracles.dense(oracles.part(values, "hidden"), features), 0.0)
    expected = oracles.softmax(oracles.dense(oracles.part(values, "logits"), hidden) + prior)
    found = gate(_hid()).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)


def test_gate_starts_at_the_prior_coarse_before_fine() -> None:
    for kind in ("dynamic", "static"):
        found = GranularityGate(L, kind=kind)(_hid()).numpy()
        np.testing.assert_allclose(found[0, 0], oracles.softmax(np.linspace(1.0, 0.2, L)), atol=1e-6)
        assert (np.diff(found[0, 0]) < 0).all()


def test_static_gate_is_one_learned_vector() -> None:
    gate = GranularityGate(L, kind="static")
    gate(_hid())
    _shaken(gate)
    (weights,) = oracles.weights_of(gate).values()
    expected = np.broadcast_to(oracles.softmax(weights + np.linspace(1.0, 0.2, L)), (B, T, L))
    np.testing.assert_allclose(gate(_hid()), expected, atol=1e-6)


def test_mean_gate_has_no_weights() -> None:
    gate = GranularityGate(L, kind="mean")
    np.testing.assert_allclose(gate(_hid()), np.full((B, T, L), 1 / L))
    assert not gate.variables


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="`kind`"):
        GranularityGate(L, kind="max")
    with pytest.raises(ValueError, match="`strategy`"):
        GranularityMask(L, D, strategy="middle")
    with pytest.raises(ValueError, match="`ratio`"):
        GranularityMask(L, D, ratio=1.5)


@pytest.mark.parametrize("strategy", ["lowest", "highest"])
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_mask_takes_the_levels_by_their_weight(strategy: str, ratio: float) -> None:
    gate = np.random.default_rng(2).dirichlet(np.ones(L), size=(B, T)).astype(np.float32)
    layer = GranularityMask(L, D, strategy=strategy, ratio=ratio)
    found = layer(_views(), gate=tf.constant(gate)).numpy()
    vectors = oracles.weights_of(layer)["mask_vectors"]
    expected = _views().astype(float)
    for row in range(B):
        for position in range(T):
            by_weight = np.argsort(gate[row, position])
            by_weight = by_weight if strategy == "lowest" else by_weight[::-1]
            for level in by_weight[: round(ratio * L)]:
                expected[row, position, level] = vectors[level]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_random_mask_takes_its_share_and_draws_anew(ratio: float) -> None:
    layer = GranularityMask(L, D, strategy="random", ratio=ratio, seed=3)
    gate = tf.fill([B, T, L], 1 / L)
    draws = [(layer(_views(), gate=gate).numpy() != _views()).any(axis=-1) for _ in range(3)]
    for draw in draws:
        np.testing.assert_array_equal(draw.sum(axis=-1), round(ratio * L))
    if 0 < ratio < 1:
        assert not np.array_equal(draws[0], draws[1])
        assert np.mean(draws, axis=(0, 1, 2)).min() > 0, "every level gets its turn"


def test_equal_weights_still_hide_exactly_the_share() -> None:
    layer = GranularityMask(L, D, ratio=0.5)
    found = layer(_views(), gate=tf.fill([B, T, L], 0.25)).numpy()
    np.testing.assert_array_equal((found != _views()).any(axis=-1).sum(axis=-1), 2)


def test_mask_choice_sends_no_gradient_into_the_gate() -> None:
    layer = GranularityMask(L, D)
    gate = tf.constant(np.random.default_rng(2).random((B, T, L)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(gate)
        loss = tf.reduce_sum(layer(_views(), gate=gate))
    assert tape.gradient(loss, gate) is None
