"""A toy catalogue and model, and what tests ask of their export."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from support import MAX_LENGTH, NUM_ITEMS, tiny_dataset, tiny_model
from tensorflow.core.protobuf import saved_model_pb2

from h2rec_tf import names
from h2rec_tf.export import ServingModel

DATA = tiny_dataset()
IDS = DATA.catalogue.item_ids
MAX_K = 45
# Every item but the last has "even" or "odd"; some are "rare" too.
CATEGORIES = np.asarray(
    [("even" if row % 2 == 0 else "odd") + ("|rare" if row % 7 == 0 else "") for row in range(NUM_ITEMS - 1)] + [""],
    object,
)


def noisy_model(**changes: Any) -> Any:
    """A tiny model with every weight moved, so that no vector is like another."""
    model = tiny_model(train=DATA.train, **changes)
    generator = np.random.default_rng(1)
    weights = model.get_weights()
    # Slots are whole numbers and stay.
    noise = [generator.normal(0.0, 0.3, value.shape) if value.dtype.kind == "f" else 0 for value in weights]
    model.set_weights([value + more for value, more in zip(weights, noise, strict=True)])
    return model


def serving_of(model: Any, **changes: Any) -> ServingModel:
    """What is exported of a model of `DATA`."""
    arguments = {"max_length": MAX_LENGTH, "max_k": MAX_K, **changes}
    return ServingModel(
        model,
        item_ids=IDS,
        titles=DATA.catalogue.titles,
        popularity=DATA.popularity,
        **{"categories": CATEGORIES, **arguments},
    )


def matrix(rows: list[list[str]]) -> tf.Tensor:
    """string `[rows, longest]`, "" after each row's ids."""
    width = max(len(row) for row in rows)
    return tf.constant([[*row, *[""] * (width - len(row))] for row in rows], tf.string, [len(rows), width])


def recommend(signatures: Any, rows: list[list[str]], k: int = 10, **lists: list[list[str]]) -> dict[str, np.ndarray]:
    """Asks the default signature, one row a history."""
    # TensorFlow Serving fills in what the signature gives as default; in Python every input is required.
    given = {name: matrix(lists.get(name, [[]])) for name in (names.EXCLUDE, names.ALLOW_CATEGORIES)}
    answer = signatures[names.SERVING_DEFAULT](history=matrix(rows), k=tf.constant(k, tf.int32), **given)
    return {key: value.numpy() for key, value in answer.items()}


def ids_of(answer: dict[str, np.ndarray]) -> list[list[str]]:
    """The item ids of an answer by row."""
    return [[item.decode() for item in row] for row in answer[names.ITEM_IDS]]


def saved_model(directory: str) -> Any:
    """The file that describes what was exported."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    return saved
