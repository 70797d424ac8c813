"""Vectors of items that are not in the catalogue, against the NumPy rule for cold items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support import NUM_ITEMS, item_parts, tiny_model

from h2rec_tf.models.cold_items import ColdItems
from h2rec_tf.models.cold_start import cold_rows
from h2rec_tf.quantizers.base import Quantizer
from h2rec_tf.quantizers.product_quantizer import ProductQuantizer
from h2rec_tf.quantizers.rq_kmeans import RqKmeans
from h2rec_tf.quantizers.rq_vae import RqVae

PARTS = item_parts()
CODES = PARTS["codes"]
POPULARITY = np.concatenate([[0], np.random.default_rng(3).integers(0, 4, NUM_ITEMS)])


def _vectors(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 12)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


QUANTIZERS = [
    RqKmeans(levels=3, codes=8, iterations=5),
    RqKmeans(levels=2, codes=8, components=4, iterations=5),
    ProductQuantizer(levels=3, codes=4, iterations=3),
    RqVae(levels=2, codes=4, hidden_sizes=(8,), latent_size=6, epochs=1, iterations=3),
]


@pytest.fixture(scope="module", params=QUANTIZERS, ids=lambda quantizer: quantizer.kind)
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    return request.param.fit(_vectors(300, 0))


def test_codes_in_the_graph_are_the_quantizers(quantizer: Quantizer) -> None:
    vectors = _vectors(50, 1)
    codes = tf.function(quantizer.encode_tensor)(tf.constant(vectors))
    assert codes.dtype == tf.int32
    # A vector half-way between two centres may fall to either side.
    assert (codes.numpy() == quantizer.encode(vectors)).all(axis=1).mean() > 0.95


def _cold(model: Any, codes: np.ndarray = CODES, popularity: np.ndarray = POPULARITY) -> ColdItems:
    fitted = RqKmeans(levels=2, codes=4, iterations=2).fit(_vectors(40, 0))
    return ColdItems(model, quantizer=fitted, codes=codes, popularity=popularity)


@pytest.mark.parametrize("branches", ["dual", "hid", "sid", "sum"])
def test_a_new_item_gets_the_vector_that_a_cold_one_of_the_catalogue_has(branches: str) -> None:
    model = tiny_model(**{"model.branches": branches})
    cold = _cold(model)
    # Tuples of the catalogue, tuples that share a part, and codes that no item has.
    top = int(CODES.max())
    new = np.concatenate([CODES[:5], np.where(np.arange(CODES.shape[1]) > 0, top - CODES[5:9], CODES[5:9])])
    new = np.concatenate([new, np.full((1, CODES.shape[1]), top, np.int32)]).astype(np.int32)
    found = tf.function(cold.vectors)(tf.constant(new)).numpy()
    parts = []
    if branches != "sid":
        table = model.hash_ids.table().numpy()[1:]
        extended = np.concatenate([table, np.zeros((len(new), table.shape[1]))])
        popularity = np.concatenate([POPULARITY, np.zeros(len(new), np.int64)])
        parts.append(cold_rows(extended, np.concatenate([CODES, new]), popularity)[-len(new) :])
    if branches != "hid":
        weights = model.semantic_ids.embeddings.numpy()
        levels = np.arange(CODES.shape[1]) * model.semantic_ids.num_codes
        parts.append(weights[new + levels].mean(axis=1))
    if branches == "sum":
        parts = [parts[0] + parts[1]]
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    np.testing.assert_allclose(found, np.concatenate(unit, axis=1) * len(unit) ** -0.5, atol=1e-5)


def test_an_item_without_a_shared_code_gets_the_mean_of_all() -> None:
    model = tiny_model(**{"model.branches": "hid", "model.score": "dot"})
    codes = np.zeros_like(CODES)
    popularity = np.ones(NUM_ITEMS + 1, np.int64)
    found = _cold(model, codes, popularity).vectors(tf.ones([2, CODES.shape[1]], tf.int32)).numpy()
    expected = model.hash_ids.table().numpy()[1:].mean(axis=0)
    np.testing.assert_allclose(found, [expected, expected], atol=1e-5)


def test_vectors_are_taken_at_any_length_and_a_digit_is_zero() -> None:
    model = tiny_model()
    vectors = tf.constant(_vectors(6, 2))
    cold = _cold(model)
    codes = cold.codes(vectors).numpy()
    assert codes.shape == (6, CODES.shape[1]) and not codes[:, 2:].any()
    np.testing.assert_array_equal(cold.codes(7.0 * vectors), codes)
