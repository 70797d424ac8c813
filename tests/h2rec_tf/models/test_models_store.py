"""A trained model on disk gives the same vectors after loading, in this and in another process."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support import left_padded, run_python, tiny_config, tiny_dataset

from h2rec_tf.errors import InputError
from h2rec_tf.models.build import build_model
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import build_semantic_ids

ITEMS = left_padded([[1, 2, 3], [7]], 4)


def _trained(changes: dict[str, Any]) -> TrainedModel:
    data, config = tiny_dataset(), tiny_config(**changes)
    semantic_ids = build_semantic_ids(data.catalogue, quantizer=config.quantizer)
    model = build_model(
        model=config.model,
        loss=config.loss,
        codes=semantic_ids.codes,
        codebooks=semantic_ids.codebooks,
        vectors=semantic_ids.vectors,
        train=data.train,
    )
    # Stands for training: loading must not fall back on start values.
    generator = np.random.default_rng(0)
    model.set_weights([value + generator.normal(0.0, 0.1, value.shape) for value in model.get_weights()])
    return TrainedModel(model, config, semantic_ids, data.popularity)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return _trained({})


@pytest.mark.parametrize(
    "changes",
    [
        {"model.backbone": "gru4rec", "model.branches": "concat", "model.sid_fusion": "concat"},
        {"model.backbone": "bert4rec", "model.branches": "hid"},
        {"quantizer.disambiguation": True, "model.sid_trainable": False, "loss.hard_negatives": 2},
    ],
)
def test_round_trip(changes: dict[str, Any], tmp_path: pathlib.Path) -> None:
    _assert_round_trip(_trained(changes), str(tmp_path / "model"))


def _assert_round_trip(trained: TrainedModel, directory: str) -> None:
    trained.save(directory)
    loaded = TrainedModel.load(directory)
    assert loaded.config == trained.config
    np.testing.assert_array_equal(loaded.popularity, trained.popularity)
    np.testing.assert_array_equal(loaded.semantic_ids.codes, trained.semantic_ids.codes)
    assert loaded.semantic_ids.item_ids.tolist() == trained.semantic_ids.item_ids.tolist()
    np.testing.assert_array_equal(loaded.model.item_table(), trained.model.item_table())
    np.testing.assert_array_equal(loaded.model(tf.constant(ITEMS)), trained.model(tf.constant(ITEMS)))


def test_a_model_trained_with_time_decay_loads(trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    config = tiny_config(**{"loss.cooccurrence_time_scale": 10.0})
    _assert_round_trip(dataclasses.replace(trained, config=config), str(tmp_path / "model"))


def test_another_process_computes_the_same(trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    trained.save(str(tmp_path / "model"))
    code = """
import sys, numpy as np, tensorflow as tf
from h2rec_tf.models.store import TrainedModel
model = TrainedModel.load(sys.argv[1] + "/model").model
np.save(sys.argv[1] + "/found.npy", model(tf.constant(np.load(sys.argv[1] + "/items.npy"))))
"""
    np.save(tmp_path / "items.npy", ITEMS)
    run_python(code, str(tmp_path))
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), trained.model(tf.constant(ITEMS)), atol=1e-6)


def test_saving_again_replaces_and_a_wrong_directory_is_named(trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    directory = str(tmp_path / "model")
    trained.save(directory)
    trained.model.hash_ids.embeddings.assign(trained.model.hash_ids.embeddings * 2.0)
    _assert_round_trip(trained, directory)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(InputError, match="no trained model here"):
        TrainedModel.load(str(tmp_path / "nothing"))
