"""Wiring of the encoders: each equals the published composition of parts that have oracles of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.backbones import make_backbone
from h2rec_tf.layers.encoders import DualBranchEncoder, SingleBranchEncoder
from h2rec_tf.layers.granularity_gate import GranularityGate
from h2rec_tf.layers.granularity_mask import GranularityMask

REAL = np.asarray([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], bool)
L, D = 3, 8
GENERATOR = np.random.default_rng(0)
HID = GENERATOR.normal(size=(*REAL.shape, D)).astype(np.float32) * REAL[..., None]
VIEWS = GENERATOR.normal(size=(*REAL.shape, L, D)).astype(np.float32) * REAL[..., None, None]
SID = VIEWS.mean(axis=2)


def _shaken(layer: Any) -> Any:
    generator = np.random.default_rng(7)
    layer.set_weights([value + generator.normal(0.0, 0.1, value.shape) for value in layer.get_weights()])
    return layer


def _backbone_oracle(kind: str, values: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    if kind == "gru4rec":
        return oracles.gru4rec(values, x, REAL)
    return oracles.transformer(values, x, REAL, causal=kind == "sasrec", heads=2)


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec", "bert4rec"])
def test_single_branch_is_positions_then_backbone(kind: str) -> None:
    encoder = SingleBranchEncoder(D, 5, backbone=kind, layers=2)
    encoder(HID, real=tf.constant(REAL))
    values = oracles.weights_of(_shaken(encoder))
    expected = oracles.positioned(values["position/positions"], HID.astype(float), REAL)
    expected = _backbone_oracle(kind, oracles.part(values, "backbone"), expected)
    np.testing.assert_allclose(encoder(HID, real=tf.constant(REAL)), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "shared", "gate_kind", "residual"),
    [
        ("sasrec", False, "dynamic", True),
        ("gru4rec", True, "dynamic", False),
        ("bert4rec", False, "static", True),
        ("sasrec", True, "mean", False),
    ],
)
def test_dual_branch_equals_the_composition_of_its_parts(
    kind: str, shared: bool, gate_kind: str, residual: bool
) -> None:
    keras.utils.set_random_seed(1)
    encoder = DualBranchEncoder(
        D, L, 5, backbone=kind, layers=1, shared_backbone=shared, gate=gate_kind, mask_ratio=0.4, residual=residual
    )
    inputs, real = (HID, VIEWS, SID), tf.constant(REAL)
    encoder(inputs, real=real, with_masked=True)
    values = oracles.weights_of(_shaken(encoder))
    found = {name: value.numpy() for name, value in encoder(inputs, real=real, with_masked=True).items()}

    mask = oracles.attention_mask(REAL, causal=kind != "bert4rec")
    hid = oracles.positioned(values["hid_position/positions"], HID.astype(float), REAL)
    sid = oracles.positioned(values["sid_position/positions"], SID.astype(float), REAL)

    def cross(name: str, queries: np.ndarray, context: np.ndarray) -> np.ndarray:
        return oracles.attention_block(oracles.part(values, name), queries, heads=2, mask=mask, context=context)

    sid_backbone = oracles.part(values, "hid_backbone" if shared else "sid_backbone")
    # Positions without meaning (padding) are zeroed before comparing: the backbones mask them.
    expected = {"sid": _backbone_oracle(kind, sid_backbone, cross("sid_cross", hid, sid) + residual * sid)}
    views = np.stack(
        [
            cross("view_cross", oracles.positioned(values["sid_position/positions"], VIEWS[:, :, level], REAL), hid)
            for level in range(L)
        ],
        axis=2,
    )
    gate_layer = GranularityGate(L, kind=gate_kind, name="granularity_gate")
    gate_layer(HID)
    oracles.copy_part(gate_layer, encoder, "granularity_gate")
    expected["gate"] = gate_layer(HID).numpy()
    mask_layer = GranularityMask(L, D, ratio=0.4, name="granularity_mask")
    masked = mask_layer(views.astype(np.float32), gate=expected["gate"])
    oracles.copy_part(mask_layer, encoder, "granularity_mask")
    masked = mask_layer(views.astype(np.float32), gate=expected["gate"]).numpy()
    for name, seen in (("hid", views), ("masked", masked)):
        mixed = (seen * expected["gate"][..., None]).sum(axis=2)
        expected[name] = _backbone_oracle(kind, oracles.part(values, "hid_backbone"), mixed + residual * hid)
    assert set(found) == set(expected)
    for name in ("gate", "sid", "hid", "masked"):
        np.testing.assert_allclose(found[name][REAL], expected[name][REAL], atol=1e-3, err_msg=name)
        if name != "gate":
            np.testing.assert_array_equal(found[name][~REAL], 0.0)


def test_dual_branch_without_views_feeds_the_backbone_with_hids() -> None:
    encoder = DualBranchEncoder(D, L, 5, layers=1, views=False)
    inputs, real = (HID, VIEWS, SID), tf.constant(REAL)
    encoder(inputs, real=real)
    values = oracles.weights_of(_shaken(encoder))
    found = encoder(inputs, real=real, with_masked=True)
    assert set(found) == {"hid", "sid"}
    assert not encoder.has_views
    hid = oracles.positioned(values["hid_position/positions"], HID.astype(float), REAL)
    expected = _backbone_oracle("sasrec", oracles.part(values, "hid_backbone"), hid)
    np.testing.assert_allclose(found["hid"], expected, atol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_shared_backbone_has_one_set_of_weights(shared: bool) -> None:
    encoder = DualBranchEncoder(D, L, 5, layers=1, shared_backbone=shared)
    encoder((HID, VIEWS, SID), real=tf.constant(REAL))
    backbone = make_backbone("sasrec", dimensions=D, layers=1)
    backbone(HID, real=tf.constant(REAL))
    names = [variable.name for variable in encoder.variables if "_backbone" in variable.name]
    assert len(names) == len(backbone.variables) * (1 if shared else 2)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_masked_view_at_the_ends_of_the_ratio(ratio: float) -> None:
    encoder = DualBranchEncoder(D, L, 5, layers=1, mask_ratio=ratio)
    real = tf.constant(REAL)
    found = encoder((HID, VIEWS, SID), real=real, with_masked=True)
    if ratio == 0.0:
        np.testing.assert_array_equal(found["masked"], found["hid"])
        return
    # Everything hidden: beside the gate nothing of the user is left, so other SIDs change nothing.
    other = encoder((HID, VIEWS[::-1].copy(), SID), real=real, with_masked=True)
    np.testing.assert_array_equal(found["masked"], other["masked"])
    assert np.abs(found["hid"] - other["hid"]).max() > 1e-3
