"""k-means and residual k-means against naive oracles and planted structure."""

import itertools

import numpy as np
import pytest

from h2rec_tf.config import QuantizerConfig
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.factory import load_quantizer, make_quantizer
from h2rec_tf.quantizers.kmeans import cluster_sums, kmeans, nearest, plus_plus
from h2rec_tf.quantizers.rq_kmeans import RqKmeans


def planted(levels=(8, 8), dimensions=12, copies=20, noise=0.01, seed=0):
    """Vectors at sums of well separated centres, and the planted code of each level."""
    rng = np.random.default_rng(seed)
    codes = np.stack(np.meshgrid(*[np.arange(k) for k in levels], indexing="ij"), axis=-1).reshape(-1, len(levels))
    codes = np.repeat(codes, copies, axis=0)
    scale = [10.0 * 0.1**level for level in range(len(levels))]
    vectors = noise * rng.normal(size=(len(codes), dimensions))
    for level, size in enumerate(levels):
        vectors += scale[level] * np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0][codes[:, level] % size]
    order = rng.permutation(len(codes))
    return vectors[order].astype(np.float32), codes[order]


def same_partition(found, truth):
    """Whether two labelings are equal up to renaming."""
    pairs = set(zip(found.tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(found.tolist())) == len(set(truth.tolist()))


def test_nearest_equals_the_naive_search():
    rng = np.random.default_rng(0)
    rows, centres = rng.normal(size=(50, 7)).astype(np.float32), rng.normal(size=(9, 7)).astype(np.float32)
    labels, distances = nearest(rows, centres)
    naive = ((rows[:, None].astype(np.float64) - centres[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(labels, naive.argmin(1))
    np.testing.assert_allclose(distances, naive.min(1), rtol=1e-5, atol=1e-5)


def test_cluster_sums_equal_a_loop():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 4, 40)
    sums, counts = cluster_sums(rows, labels, 6)
    for code in range(6):
        np.testing.assert_allclose(sums[code], rows[labels == code].sum(0), atol=1e-5)
        assert counts[code] == (labels == code).sum()


def test_one_pass_equals_a_naive_lloyd_step():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 5)).astype(np.float32)
    seeds = plus_plus(data, 6, np.random.default_rng(3))

    def fit(passes):
        # The generator is used for the sample, then for the seeding.
        return kmeans(lambda i: data[i], 200, codes=6, iterations=passes, block_rows=64, rng=np.random.default_rng(7))

    one, two = fit(1), fit(2)
    assert seeds.shape == one.shape
    labels = ((data[:, None] - one[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_allclose(two, np.stack([data[labels == k].mean(0) for k in range(6)]), atol=1e-5)


@pytest.mark.parametrize("mini_batch", [False, True])
def test_planted_codes_are_recovered_up_to_relabelling(mini_batch):
    vectors, truth = planted()
    quantizer = RqKmeans(levels=2, codes=8, mini_batch=mini_batch, block_rows=128).fit(vectors)
    codes = quantizer.encode(vectors)
    assert codes.dtype == np.int32 and codes.shape == (len(vectors), 2)
    assert same_partition(codes[:, 0], truth[:, 0])
    assert same_partition(codes[:, 0] * 8 + codes[:, 1], truth[:, 0] * 8 + truth[:, 1])


def test_error_falls_with_each_level():
    vectors = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
    quantizer = RqKmeans(levels=4, codes=16, iterations=10).fit(vectors)
    codes = quantizer.encode(vectors)
    errors = [np.square(vectors - quantizer.decode(codes, levels=level)).sum() for level in range(5)]
    assert all(later < earlier for earlier, later in itertools.pairwise(errors)), errors


def test_decode_is_the_sum_of_the_codebooks():
    vectors = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    quantizer = RqKmeans(levels=3, codes=5, iterations=3).fit(vectors)
    codes = quantizer.encode(vectors)
    expected = sum(quantizer.codebooks[level][codes[:, level]] for level in range(3))
    np.testing.assert_allclose(quantizer.decode(codes), expected, atol=1e-6)
    np.testing.assert_array_equal(quantizer.decode(np.c_[codes, np.zeros(100, int)]), quantizer.decode(codes))


def test_codes_of_planted_reconstructions_are_a_fixed_point():
    vectors, _ = planted()
    quantizer = RqKmeans(levels=2, codes=8).fit(vectors)
    codes = quantizer.encode(vectors)
    np.testing.assert_array_equal(quantizer.encode(quantizer.decode(codes)), codes)


def test_blocks_and_dtype_do_not_change_the_result(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    whole = RqKmeans(levels=2, codes=8, iterations=5).fit(vectors.astype(np.float32))
    blockwise = RqKmeans(levels=2, codes=8, iterations=5).fit(mapped)
    np.testing.assert_array_equal(whole.codebooks, blockwise.codebooks)
    blockwise.block_rows = 37
    np.testing.assert_array_equal(whole.encode(vectors), blockwise.encode(mapped))


def test_a_seed_fixes_the_codes_and_another_changes_them():
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    first, second, other = (RqKmeans(levels=2, codes=16, iterations=4, seed=s).fit(vectors) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.codebooks, second.codebooks)
    assert not np.array_equal(first.codebooks, other.codebooks)


def test_fewer_distinct_vectors_than_codes():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    quantizer = RqKmeans(levels=2, codes=16).fit(vectors)
    codes = quantizer.encode(vectors)
    assert len(np.unique(codes, axis=0)) == 3
    np.testing.assert_allclose(quantizer.decode(codes), vectors, atol=1e-6)
    assert np.isfinite(quantizer.codebooks).all()


def test_one_vector_and_equal_vectors():
    for vectors in (np.ones((1, 4), np.float32), np.ones((20, 4), np.float32), np.zeros((20, 4), np.float32)):
        quantizer = RqKmeans(levels=2, codes=4).fit(vectors)
        np.testing.assert_allclose(quantizer.decode(quantizer.encode(vectors)), vectors, atol=1e-6)


def test_codes_that_nothing_chose_move_to_rows_with_large_errors():
    # 60 rows at the origin and 4 far away: seeds drawn from a sample without the far ones would leave them out.
    data = np.zeros((64, 2), np.float32)
    data[60:] = [[9, 0], [0, 9], [-9, 0], [0, -9]]

    class Fixed(np.random.Generator):
        """Samples the first rows only."""

        def choice(self, *args, **kwargs):
            return np.arange(60)

    rng = Fixed(np.random.PCG64(0))
    centres = kmeans(lambda i: data[i], 64, codes=5, iterations=6, block_rows=16, rng=rng)
    assert float(nearest(data, centres)[1].max()) < 1e-6


def test_save_and_load(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    quantizer = RqKmeans(levels=3, codes=5, iterations=3, mini_batch=True, seed=2).fit(vectors)
    quantizer.save(str(tmp_path / "q"))
    loaded = load_quantizer(str(tmp_path / "q"))
    assert isinstance(loaded, RqKmeans) and loaded.get_config() == quantizer.get_config()
    np.testing.assert_array_equal(loaded.encode(vectors), quantizer.encode(vectors))
    assert loaded.dimensions == 6 and loaded.fitted
    assert RqKmeans.from_config(quantizer.get_config()).get_config() == quantizer.get_config()


def test_unusable_input_is_named(tmp_path):
    vectors = np.ones((5, 3), np.float32)
    vectors[3, 1] = np.nan
    with pytest.raises(InputError, match="row 3"):
        RqKmeans(levels=1, codes=2).fit(vectors)
    with pytest.raises(InputError, match="matrix"):
        RqKmeans().fit(np.ones(4, np.float32))
    with pytest.raises(InputError, match="not fitted"):
        RqKmeans().encode(vectors)
    with pytest.raises(InputError, match="`codes` must be at least 2"):
        RqKmeans(codes=1)
    with pytest.raises(InputError, match="width 3"):
        RqKmeans(levels=1, codes=2).fit(np.ones((5, 3), np.float32)).encode(np.ones((5, 4), np.float32))
    with pytest.raises(InputError, match="saved"):
        load_quantizer(str(tmp_path))


def test_with_components_codebooks_are_mean_residuals_in_all_dimensions():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 12)) * np.geomspace(4, 0.1, 12) + 3).astype(np.float32)
    quantizer = RqKmeans(levels=2, codes=8, components=3, iterations=10).fit(vectors)
    assert quantizer.codebooks.shape == (2, 8, 12)
    codes = quantizer.encode(vectors)
    residual = vectors.astype(np.float64)
    for level in range(2):
        for code in range(8):
            members = codes[:, level] == code
            np.testing.assert_allclose(quantizer.codebooks[level, code], residual[members].mean(0), atol=1e-4)
        residual = residual - quantizer.codebooks[level][codes[:, level]]


def test_level_one_is_nearest_in_the_leading_directions():
    vectors = (np.random.default_rng(0).normal(size=(300, 6)) * [9, 5, 1, 1, 1, 1]).astype(np.float32)
    quantizer = RqKmeans(levels=1, codes=5, components=2).fit(vectors)
    centred = vectors - vectors.mean(0)
    plane = np.linalg.svd(centred, full_matrices=False)[2][:2]
    points, centres = centred @ plane.T, (quantizer.codebooks[0] - vectors.mean(0)) @ plane.T
    naive = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    assert (naive == quantizer.encode(vectors)[:, 0]).mean() > 0.99


def test_all_components_by_zero_or_by_number():
    vectors = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    first, second = (RqKmeans(levels=2, codes=8, components=size).fit(vectors) for size in (0, 6))
    np.testing.assert_array_equal(first.encode(vectors), second.encode(vectors))
    leading = RqKmeans(levels=2, codes=8, components=2).fit(vectors)
    assert not np.array_equal(leading.encode(vectors), first.encode(vectors))


def test_the_factory_passes_the_configuration_on():
    config = QuantizerConfig(levels=3, codes=7, components=5, iterations=2, batch_size=99)
    expected = {"levels": 3, "codes": 7, "components": 5, "iterations": 2, "block_rows": 99, "seed": 4}
    assert make_quantizer(config, seed=4).get_config() == expected | {"mini_batch": False}


def test_unused_codes_stand_among_the_data():
    vectors = np.repeat(100 + np.eye(4, dtype=np.float32), 3, axis=0)
    quantizer = RqKmeans(levels=1, codes=9, components=2).fit(vectors)
    assert np.abs(quantizer.codebooks[0] - 100).max() < 1.1
