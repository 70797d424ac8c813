"""HashIdEmbedding and SemanticIdEmbedding against NumPy look-ups, and their start values."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from oracles import dense, weights_of

from h2rec_tf.layers.hash_id_embedding import HashIdEmbedding
from h2rec_tf.layers.semantic_id_embedding import SemanticIdEmbedding
from h2rec_tf.layers.starts import codebook_tables, principal_axes, text_rows

ITEMS = np.asarray([[0, 1, 3], [5, 6, 2]], np.int32)
N, L, K, D = 5, 3, 4, 8
CODES = np.random.default_rng(1).integers(0, K, (N, L))


def test_hash_ids_look_up_their_rows_and_padding_is_zero() -> None:
    start = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    layer = HashIdEmbedding(N, D, start=start)
    vectors = layer(tf.constant(ITEMS)).numpy()
    for place, item in np.ndenumerate(ITEMS):
        if item == 0:
            np.testing.assert_array_equal(vectors[place], 0.0)
        elif item <= N:
            np.testing.assert_array_equal(vectors[place], start[item - 1])
        else:
            assert np.linalg.norm(vectors[place]) > 0, "the cloze mask token has a row of its own"
    np.testing.assert_array_equal(layer.table().numpy(), np.concatenate([np.zeros((1, D)), start]))


def test_hash_ids_start_random_rows_depend_on_the_seed_alone() -> None:
    tables = [HashIdEmbedding(500, D, seed=seed).table().numpy() for seed in (3, 3, 4)]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.allclose(tables[0], tables[2])
    assert abs(np.linalg.norm(tables[0][1:], axis=1).mean() - 1.0) < 0.1


def test_padding_row_gets_no_gradient() -> None:
    layer = HashIdEmbedding(N, D)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([[0, 0, 2]])) ** 2)
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings)).numpy()
    np.testing.assert_array_equal(np.flatnonzero(gradient.any(axis=1)), [2])


@pytest.mark.parametrize("fusion", ["mean", "sum", "concat"])
def test_semantic_ids_look_up_each_level_and_fuse(fusion: str) -> None:
    start = np.random.default_rng(2).normal(size=(L, K, D)).astype(np.float32)
    layer = SemanticIdEmbedding(CODES, K, D, start=start, fusion=fusion)
    items = ITEMS.copy()
    items[1, 1] = 4
    views = layer.views(tf.constant(items)).numpy()
    expected = np.zeros((*items.shape, L, D))
    for place, item in np.ndenumerate(items):
        for level in range(L):
            if item:
                expected[(*place, level)] = start[level, CODES[item - 1, level]]
    np.testing.assert_array_equal(views, expected)
    if fusion == "concat":
        fused = dense(weights_of(layer), expected.reshape(*items.shape, L * D))
    else:
        fused = expected.mean(axis=-2) if fusion == "mean" else expected.sum(axis=-2)
    fused[items == 0] = 0.0
    np.testing.assert_allclose(layer(tf.constant(items)).numpy(), fused, atol=1e-5)
    table = layer.table().numpy()
    np.testing.assert_array_equal(table[0], 0.0)
    np.testing.assert_allclose(table[items[items > 0]], fused[items > 0], atol=1e-5)


def test_semantic_ids_mask_token_has_a_vector_a_level() -> None:
    layer = SemanticIdEmbedding(CODES, K, D)
    views = layer.views(tf.constant([N + 1])).numpy()[0]
    assert len(np.unique(views, axis=0)) == L
    tables = layer.embeddings.numpy()[: L * K]
    assert not (views[:, None] == tables[None]).all(axis=-1).any()


@pytest.mark.parametrize("trainable", [True, False])
def test_semantic_ids_tables_freeze(trainable: bool) -> None:
    layer = SemanticIdEmbedding(CODES, K, D, fusion="concat", trainable_tables=trainable)
    layer.table()
    names = {variable.name.split("/")[-1] for variable in layer.trainable_variables}
    assert ("embeddings:0" in names) == trainable
    assert "kernel:0" in names, "the linear map still learns"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HashIdEmbedding(N, D, start=np.zeros((N, D + 1))), "`start`"),
        (lambda: SemanticIdEmbedding(np.zeros(3, int), K, D), "`codes`"),
        (lambda: SemanticIdEmbedding(np.full((N, L), K), K, D), "`codes`"),
        (lambda: SemanticIdEmbedding(CODES, K, D, fusion="max"), "`fusion`"),
        (lambda: SemanticIdEmbedding(CODES, K, D, start=np.zeros((L, K, D + 1))), "`start`"),
    ],
)
def test_wrong_arguments_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_tables_stay_float32_under_a_mixed_policy(policy: str) -> None:
    keras.mixed_precision.set_global_policy(policy)
    for layer in (HashIdEmbedding(N, D), SemanticIdEmbedding(CODES, K, D)):
        vectors = layer(tf.constant(ITEMS))
        assert vectors.dtype == layer.compute_dtype != tf.float32
        assert layer.embeddings.dtype == layer.table().dtype == tf.float32
        assert np.isfinite(tf.cast(vectors, tf.float32)).all()


def test_principal_axes_find_the_planted_directions() -> None:
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(10, 10)))[0]
    vectors = generator.normal(size=(2000, 10)) * np.asarray([9, 5, 3, *[0.1] * 7]) @ basis.T + 7.0
    axes = principal_axes(vectors, 3)
    np.testing.assert_allclose(np.abs(axes.T @ basis[:, :3]), np.eye(3), atol=0.05)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)


def test_text_rows_keep_distances_up_to_scale() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 6))
    rows = text_rows(vectors, 6)
    assert abs(np.linalg.norm(rows, axis=1).mean() - 1.0) < 1e-5
    before = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    after = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    ratio = after[before > 0] / before[before > 0]
    assert ratio.std() / ratio.mean() < 1e-4


@pytest.mark.parametrize(("width", "dimensions"), [(6, 4), (4, 4), (3, 8)])
def test_codebook_tables_keep_the_levels_relative_size(width: int, dimensions: int) -> None:
    codebooks = np.random.default_rng(0).normal(size=(2, 50, width)) * np.asarray([1.0, 0.25])[:, None, None]
    tables = codebook_tables(codebooks, dimensions)
    assert tables.shape == (2, 50, dimensions)
    sizes = np.linalg.norm(tables, axis=-1).mean(axis=1)
    assert abs(sizes[0] - 1.0) < 1e-5
    assert abs(sizes[1] - 0.25) < 0.08


def test_degenerate_vectors_give_finite_starts() -> None:
    assert np.isfinite(text_rows(np.zeros((5, 3)), 4)).all()
    assert np.isfinite(codebook_tables(np.zeros((2, 3, 4)), 4)).all()
