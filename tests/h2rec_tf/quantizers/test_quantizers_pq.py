"""Product quantization against naive oracles."""

import numpy as np
import pytest

from h2rec_tf.quantizers.factory import load_quantizer
from h2rec_tf.quantizers.product_quantizer import ProductQuantizer, deal


def correlated(count=400, seed=0):
    """Vectors whose variance is spread unevenly over correlated columns."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 8)) * [8, 4, 2, 1, 1, 1, 1, 1] @ rng.normal(size=(8, 8))).astype(np.float32)


def lost(quantizer, vectors, levels=None):
    return float(np.square(vectors - quantizer.decode(quantizer.encode(vectors), levels=levels)).sum())


def test_planted_parts_are_recovered():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=(300, 2))
    centres = 10 * rng.normal(size=(2, 4, 3))
    vectors = np.concatenate([centres[part][truth[:, part]] for part in range(2)], axis=1)
    vectors = (vectors + 0.01 * rng.normal(size=vectors.shape)).astype(np.float32)
    quantizer = ProductQuantizer(levels=2, codes=4, rotation=False).fit(vectors)
    codes = quantizer.encode(vectors)
    for part in range(2):
        assert len(set(zip(codes[:, part].tolist(), truth[:, part].tolist(), strict=True))) == 4
    assert np.abs(vectors - quantizer.decode(codes)).max() < 0.1


@pytest.mark.parametrize("rotation", [False, True])
def test_codes_are_nearest_in_each_part_and_decode_inverts_them(rotation):
    vectors = correlated()[:, :7]
    quantizer = ProductQuantizer(levels=3, codes=8, rotation=rotation, iterations=5).fit(vectors)
    assert quantizer.codebooks.shape == (3, 8, 3) and quantizer.codebooks.dtype == np.float32
    turn, mean = quantizer._array("rotation"), quantizer._array("mean")
    np.testing.assert_allclose(turn @ turn.T, np.eye(9), atol=1e-5)
    turned = np.pad(vectors - mean, ((0, 0), (0, 2))) @ turn
    codes = quantizer.encode(vectors)
    for part in range(3):
        distances = ((turned[:, None, 3 * part : 3 * part + 3] - quantizer.codebooks[part][None]) ** 2).sum(-1)
        np.testing.assert_array_equal(codes[:, part], distances.argmin(1))
    flat = np.concatenate([quantizer.codebooks[part][codes[:, part]] for part in range(3)], axis=1)
    np.testing.assert_allclose(quantizer.decode(codes), (flat @ turn.T)[:, :7] + mean, atol=1e-4)
    assert lost(quantizer, vectors) < lost(quantizer, vectors, levels=2) < lost(quantizer, vectors, levels=1)


def test_a_rotation_helps_on_correlated_columns():
    vectors = correlated()
    plain, turned = (ProductQuantizer(levels=4, codes=8, rotation=r).fit(vectors) for r in (False, True))
    assert lost(turned, vectors) < lost(plain, vectors)


def test_codes_of_reconstructions_are_a_fixed_point_without_padding():
    vectors = correlated()
    quantizer = ProductQuantizer(levels=4, codes=8).fit(vectors)
    codes = quantizer.encode(vectors)
    np.testing.assert_array_equal(quantizer.encode(quantizer.decode(codes)), codes)


def test_directions_are_dealt_evenly():
    dealt = deal(np.asarray([16.0, 8.0, 4.0, 2.0]), 2)
    assert sorted(dealt.tolist()) == [0, 1, 2, 3]
    assert {frozenset(dealt[:2].tolist()), frozenset(dealt[2:].tolist())} == {frozenset({0, 3}), frozenset({1, 2})}
    assert sorted(deal(np.zeros(6), 3).tolist()) == list(range(6))


def test_seed_and_saving(tmp_path):
    vectors = correlated()
    first, second = (ProductQuantizer(levels=2, codes=8, seed=1).fit(vectors) for _ in range(2))
    np.testing.assert_array_equal(first.codebooks, second.codebooks)
    first.save(str(tmp_path))
    loaded = load_quantizer(str(tmp_path))
    assert isinstance(loaded, ProductQuantizer) and loaded.get_config() == first.get_config()
    np.testing.assert_array_equal(loaded.encode(vectors), first.encode(vectors))
    np.testing.assert_array_equal(loaded.decode(loaded.encode(vectors)), first.decode(first.encode(vectors)))


def test_more_parts_than_columns_and_fewer_rows_than_codes():
    vectors = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    quantizer = ProductQuantizer(levels=4, codes=16).fit(vectors)
    np.testing.assert_allclose(quantizer.decode(quantizer.encode(vectors)), vectors, atol=1e-5)
