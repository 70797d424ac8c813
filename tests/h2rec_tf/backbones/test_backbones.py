"""Backbones against NumPy, and what all of them promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.backbones import BACKBONES, make_backbone

REAL = np.asarray([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
CAUSAL = ("sasrec", "gru4rec")


def _vectors() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(*REAL.shape, 8)).astype(np.float32)
    return vectors * REAL[..., None]


def _backbone(kind: str, layers: int = 2) -> Any:
    keras.utils.set_random_seed(3)
    return make_backbone(kind, dimensions=8, layers=layers, heads=2, dropout=0.0, name="backbone")


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("layers", [1, 2])
def test_backbone_equals_the_oracle(kind: str, layers: int) -> None:
    backbone = _backbone(kind, layers)
    found = backbone(_vectors(), real=tf.constant(REAL)).numpy()
    values = oracles.weights_of(backbone)
    if kind == "gru4rec":
        expected = oracles.gru4rec(values, _vectors().astype(float), REAL)
    else:
        expected = oracles.transformer(values, _vectors().astype(float), REAL, causal=kind == "sasrec", heads=2)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found[~REAL], 0.0)


@pytest.mark.parametrize("kind", BACKBONES)
def test_causal_backbones_never_read_ahead(kind: str) -> None:
    backbone = _backbone(kind)
    assert backbone.causal == (kind in CAUSAL)
    before = backbone(_vectors(), real=tf.constant(REAL)).numpy()
    for position in range(1, REAL.shape[1]):
        changed = _vectors()
        # Not a shift of all features: pre-normalised attention would not see it.
        changed[:, position] *= np.linspace(-2.0, 2.0, 8)
        after = backbone(changed, real=tf.constant(REAL)).numpy()
        earlier = np.abs(after - before)[:2, :position].max()
        assert earlier == 0.0 if backbone.causal else earlier > 1e-3
        assert np.abs(after - before)[1, position:].max() > 1e-3


@pytest.mark.parametrize("kind", BACKBONES)
def test_padding_changes_nothing(kind: str) -> None:
    backbone = _backbone(kind)
    before = backbone(_vectors(), real=tf.constant(REAL)).numpy()
    wide = np.pad(_vectors(), [[0, 0], [4, 0], [0, 0]])
    wide_real = np.pad(REAL, [[0, 0], [4, 0]])
    # What stands at padding does not matter either.
    wide[~wide_real] = 9.0
    after = backbone(wide, real=tf.constant(wide_real)).numpy()
    np.testing.assert_allclose(after[:, 4:], before, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", BACKBONES)
def test_half_precision_is_finite_and_near(kind: str, policy: str) -> None:
    exact = _backbone(kind)
    expected = exact(_vectors(), real=tf.constant(REAL)).numpy()
    keras.mixed_precision.set_global_policy(policy)
    half = _backbone(kind)
    inputs = tf.cast(_vectors(), half.compute_dtype)
    half(inputs, real=tf.constant(REAL))
    half.set_weights(exact.get_weights())
    found = half(inputs, real=tf.constant(REAL))
    assert found.dtype == half.compute_dtype
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.15 if "bfloat16" in policy else 0.02)


@pytest.mark.parametrize("kind", BACKBONES)
def test_dropout_acts_in_training_only(kind: str) -> None:
    backbone = make_backbone(kind, dimensions=8, layers=1, heads=2, dropout=0.5)
    inputs, real = tf.constant(_vectors()), tf.constant(REAL)
    np.testing.assert_array_equal(backbone(inputs, real=real), backbone(inputs, real=real, training=False))
    assert np.abs(backbone(inputs, real=real, training=True) - backbone(inputs, real=real)).max() > 1e-3


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of sasrec, gru4rec, bert4rec, got 'lstm'"):
        make_backbone("lstm", dimensions=8)
