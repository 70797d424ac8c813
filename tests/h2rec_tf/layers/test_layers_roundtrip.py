"""Every layer and every loss: `get_config` gives back all arguments, and a saved model computes the same again."""

from __future__ import annotations

import inspect
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.backbones.gru4rec import Gru4RecBackbone
from h2rec_tf.backbones.transformer import Bert4RecBackbone, SasRecBackbone
from h2rec_tf.layers.attention import AttentionBlock
from h2rec_tf.layers.dense import Dense
from h2rec_tf.layers.dropout import ReplayableDropout
from h2rec_tf.layers.encoders import DualBranchEncoder, SingleBranchEncoder
from h2rec_tf.layers.granularity_gate import GranularityGate
from h2rec_tf.layers.granularity_mask import GranularityMask
from h2rec_tf.layers.hash_id_embedding import HashIdEmbedding
from h2rec_tf.layers.positions import PositionedInput
from h2rec_tf.layers.semantic_id_embedding import SemanticIdEmbedding
from h2rec_tf.losses.item_alignment import ItemAlignment
from h2rec_tf.losses.next_item import NextItemLoss
from h2rec_tf.losses.user_alignment import UserAlignment
from h2rec_tf.training.schedule import WarmupSchedule

B, T, L, D = 2, 4, 3, 8
CODES = np.asarray([[0, 1, 2], [1, 1, 3], [0, 1, 2], [3, 0, 0]])
START = np.random.default_rng(0).normal(size=(4, D)).astype(np.float32)
TABLES = np.random.default_rng(0).normal(size=(L, 4, D)).astype(np.float32)
NEIGHBOURS = np.asarray([[0, 0], [2, 3], [1, 0], [1, 0], [0, 0]])
WEIGHTS = np.asarray([[0, 0], [1, 0.3], [1, 0], [1, 0], [0, 0]], np.float32)

# Every argument differs from its default, so that one which is lost shows.
LAYERS: dict[str, Any] = {
    "HashIdEmbedding": lambda: HashIdEmbedding(4, D, start=START, seed=5, name="a"),
    "SemanticIdEmbedding": lambda: SemanticIdEmbedding(
        CODES, 4, D, start=TABLES, fusion="concat", trainable_tables=False, seed=5, name="a"
    ),
    "AttentionBlock": lambda: AttentionBlock(D, 4, dropout=0.3, inner=12, name="a"),
    "PositionedInput": lambda: PositionedInput(3, D, dropout=0.3, name="a"),
    "Dense": lambda: Dense(6, activation="gelu", use_bias=False, name="a"),
    "ReplayableDropout": lambda: ReplayableDropout(0.3, seed=5, name="a"),
    "GranularityGate dynamic": lambda: GranularityGate(L, prior_high=2.0, prior_low=0.1, hidden=5, name="a"),
    "GranularityGate static": lambda: GranularityGate(L, kind="static", name="a"),
    "GranularityMask": lambda: GranularityMask(L, D, strategy="highest", ratio=0.3, seed=5, name="a"),
    "SasRecBackbone": lambda: SasRecBackbone(D, layers=1, heads=4, dropout=0.3, name="a"),
    "Bert4RecBackbone": lambda: Bert4RecBackbone(D, layers=1, heads=4, dropout=0.3, name="a"),
    "Gru4RecBackbone": lambda: Gru4RecBackbone(D, layers=1, heads=4, dropout=0.3, name="a"),
    "SingleBranchEncoder": lambda: SingleBranchEncoder(
        D, 5, backbone="bert4rec", layers=1, heads=4, dropout=0.3, name="a"
    ),
    "DualBranchEncoder": lambda: DualBranchEncoder(
        D,
        L,
        5,
        backbone="bert4rec",
        layers=1,
        heads=4,
        dropout=0.3,
        shared_backbone=True,
        gate="static",
        prior_high=2.0,
        prior_low=0.1,
        mask_strategy="highest",
        mask_ratio=0.3,
        name="a",
    ),
    "DualBranchEncoder no views": lambda: DualBranchEncoder(D, L, 5, layers=1, views=False, name="a"),
}
LOSSES: dict[str, Any] = {
    "NextItemLoss": lambda: NextItemLoss(
        "in_batch", frequencies=np.arange(5), negatives=3, temperature=0.5, seed=5, name="a"
    ),
    "ItemAlignment": lambda: ItemAlignment(
        neighbours=NEIGHBOURS,
        weights=WEIGHTS,
        groups=np.asarray([-1, 0, 1, 0, 2]),
        temperature=0.2,
        hard_negatives=2,
        code_order=np.asarray([1, 3, 2, 4]),
        max_items=3,
        seed=5,
        name="a",
    ),
    "ItemAlignment no lists": lambda: ItemAlignment(
        neighbours=np.zeros((5, 0), np.int32), weights=np.zeros((5, 0), np.float32), name="a"
    ),
    "UserAlignment": lambda: UserAlignment(temperature=0.3, name="a"),
}


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES])
def test_config_gives_back_all_arguments(name: str) -> None:
    layer = {**LAYERS, **LOSSES}[name]()
    config = layer.get_config()
    arguments = set(inspect.signature(type(layer).__init__).parameters) - {"self", "kwargs", "start"}
    assert arguments <= set(config), "start values are in the weights; every other argument belongs in the config"
    # Through JSON, as Keras writes it, and through the registry, as Keras reads it.
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is type(layer)
    assert again.get_config() == config


def _call(name: str, layer: Any, tensors: dict[str, Any]) -> Any:
    kind = name.split()[0]
    if kind in ("HashIdEmbedding", "SemanticIdEmbedding"):
        return layer(tensors["items"])
    if kind == "AttentionBlock":
        return layer(tensors["hid"], mask=tensors["mask"], context=tensors["sid"])
    if kind in ("Dense", "ReplayableDropout", "GranularityGate"):
        return layer(tensors["hid"])
    if kind == "GranularityMask":
        return layer(tensors["views"], gate=tensors["gate"])
    if kind == "DualBranchEncoder":
        return layer((tensors["hid"], tensors["views"], tensors["sid"]), real=tensors["real"], with_masked=True)
    return layer(tensors["hid"], real=tensors["real"])


def _inputs() -> dict[str, keras.Input]:
    shapes: dict[str, tuple[tuple[Any, ...], str]] = {
        "items": ((None,), "int32"),
        "hid": ((None, D), "float32"),
        "sid": ((None, D), "float32"),
        "views": ((None, L, D), "float32"),
        "gate": ((None, L), "float32"),
        "real": ((None,), "bool"),
        "mask": ((None, None), "bool"),
    }
    return {name: keras.Input(shape, dtype=dtype, name=name) for name, (shape, dtype) in shapes.items()}


def _example() -> dict[str, tf.Tensor]:
    generator = np.random.default_rng(3)
    real = np.asarray([[0, 1, 1, 1], [1, 1, 1, 1]], bool)
    values = {
        "items": np.asarray([[0, 1, 2, 5], [3, 4, 1, 1]], np.int32),
        "hid": generator.normal(size=(B, T, D)),
        "sid": generator.normal(size=(B, T, D)),
        "views": generator.normal(size=(B, T, L, D)),
        "gate": generator.dirichlet(np.ones(L), size=(B, T)),
        "real": real,
        "mask": np.tril(np.ones((T, T), bool))[None] & real[:, None, :],
    }
    return {name: tf.constant(np.float32(value) if value.dtype == float else value) for name, value in values.items()}


@pytest.mark.parametrize("name", LAYERS)
def test_config_and_weights_compute_the_same(name: str, tmp_path: pathlib.Path) -> None:
    """The way a trained model is stored: what `get_config` says, and the weights in their order."""
    example = _example()
    layer = LAYERS[name]()
    _call(name, layer, example)
    generator = np.random.default_rng(7)
    layer.set_weights([value + generator.normal(0.0, 0.1, value.shape) for value in layer.get_weights()])
    np.savez(tmp_path / "weights.npz", *layer.get_weights())
    expected = _call(name, layer, example)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    _call(name, again, example)
    with np.load(tmp_path / "weights.npz") as weights:
        again.set_weights(list(weights.values()))
    tf.nest.map_structure(np.testing.assert_array_equal, _call(name, again, example), expected)


# Stacks of these are left to the test above: Keras would trace each of their parts several times.
@pytest.mark.parametrize("name", [name for name in LAYERS if "Encoder" not in name and "Backbone" not in name])
def test_saved_keras_model_computes_the_same(name: str, tmp_path: pathlib.Path) -> None:
    inputs, example = _inputs(), _example()
    model = keras.Model(inputs, _call(name, LAYERS[name](), inputs))
    generator = np.random.default_rng(7)
    model.set_weights([value + generator.normal(0.0, 0.1, value.shape) for value in model.get_weights()])
    expected = model(example)
    path = str(tmp_path / "saved.keras")
    model.save(path)
    again = keras.models.load_model(path)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), again(example), expected)


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear"])
def test_schedule_round_trip(kind: str) -> None:
    schedule = WarmupSchedule(kind, peak=0.1, warmup_steps=3, total_steps=9)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(schedule))))
    np.testing.assert_array_equal([again(step) for step in range(12)], [schedule(step) for step in range(12)])
