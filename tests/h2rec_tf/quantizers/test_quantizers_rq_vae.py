"""The RQ-VAE quantizer as a whole."""

import os
import pathlib

import numpy as np
import pytest

from h2rec_tf.config import QuantizerConfig, RqVaeConfig
from h2rec_tf.errors import InputError
from h2rec_tf.quantizers.factory import load_quantizer, make_quantizer
from h2rec_tf.quantizers.principal import principal_directions
from h2rec_tf.quantizers.rq_kmeans import RqKmeans
from h2rec_tf.quantizers.rq_vae import RqVae

SMALL = {"levels": 2, "codes": 8, "hidden_sizes": (16,), "latent_size": 6, "epochs": 15, "batch_size": 32}


def curved(count=256, seed=0):
    """Points of a two-dimensional curved sheet in eight dimensions."""
    rng = np.random.default_rng(seed)
    plane = rng.uniform(-2, 2, size=(count, 2))
    lifted = np.c_[plane, np.sin(2 * plane), plane**2 / 2, np.cos(2 * plane)]
    return lifted.astype(np.float32)


def variance_lost(quantizer, vectors, levels=None):
    rebuilt = quantizer.decode(quantizer.encode(vectors), levels=levels)
    return np.square(vectors - rebuilt).sum() / np.square(vectors - vectors.mean(0)).sum()


def test_principal_directions_equal_an_svd():
    vectors = curved()
    mean, directions = principal_directions(vectors, np.arange(len(vectors)), 3, 50)
    np.testing.assert_allclose(mean, vectors.mean(0), atol=1e-5)
    _, _, right = np.linalg.svd(vectors - vectors.mean(0))
    np.testing.assert_allclose(np.abs((directions * right[:3]).sum(1)), 1.0, atol=1e-4)


@pytest.fixture(scope="module")
def fitted():
    return RqVae(**SMALL).fit(curved())


def test_training_beats_its_start_and_residual_kmeans(fitted):
    vectors = curved()
    start = RqVae(**{**SMALL, "epochs": 1, "learning_rate": 1e-9}).fit(vectors)
    plain = RqKmeans(levels=2, codes=8).fit(vectors)
    assert variance_lost(fitted, vectors) < variance_lost(start, vectors)
    assert variance_lost(fitted, vectors) < variance_lost(plain, vectors)
    assert variance_lost(fitted, vectors) < variance_lost(fitted, vectors, levels=1)


def test_shapes(fitted):
    codes = fitted.encode(curved())
    assert codes.shape == (256, 2) and codes.dtype == np.int32 and codes.max() < 8
    assert fitted.codebooks.shape == (2, 8, 6) and fitted.codebooks.dtype == np.float32
    assert fitted.decode(codes).shape == (256, 8) and fitted.decode(codes).dtype == np.float32


def test_save_and_load(fitted, tmp_path):
    fitted.save(str(tmp_path / "q"))
    loaded = load_quantizer(str(tmp_path / "q"))
    assert isinstance(loaded, RqVae) and loaded.get_config() == fitted.get_config()
    codes = fitted.encode(curved())
    np.testing.assert_array_equal(loaded.encode(curved()), codes)
    np.testing.assert_allclose(loaded.decode(codes), fitted.decode(codes), atol=1e-6)


def test_a_seed_fixes_the_codes():
    options = {**SMALL, "epochs": 3, "dead_code_steps": 2}
    first, second = (RqVae(**options, seed=4).fit(curved()) for _ in range(2))
    np.testing.assert_array_equal(first.codebooks, second.codebooks)
    np.testing.assert_array_equal(first.encode(curved()), second.encode(curved()))


@pytest.mark.parametrize("options", [{"ema_decay": 0.9}, {"reconstruction": "cosine"}])
def test_variants_train(options):
    vectors = curved()
    quantizer = RqVae(**{**SMALL, "epochs": 5, **options}).fit(vectors)
    rebuilt = quantizer.decode(quantizer.encode(vectors))
    cosine = (rebuilt * vectors).sum(1) / np.linalg.norm(rebuilt, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosine.mean() > 0.8


def test_fewer_vectors_than_codes_and_batch():
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    quantizer = RqVae(**SMALL).fit(vectors)
    assert quantizer.codebooks.shape == (2, 8, 3)
    assert np.isfinite(quantizer.decode(quantizer.encode(vectors))).all()


def test_the_factory_passes_the_configuration_on():
    config = QuantizerConfig(kind="rq_vae", levels=3, codes=7, rq_vae=RqVaeConfig(epochs=2, hidden_sizes=(9,)))
    made = make_quantizer(config, seed=5).get_config()
    assert (made["levels"], made["codes"], made["epochs"], made["hidden_sizes"], made["seed"]) == (3, 7, 2, [9], 5)
    with pytest.raises(InputError, match="`kind`"):
        make_quantizer(QuantizerConfig(kind="x"))


def test_wrong_arguments_are_named():
    with pytest.raises(InputError, match="reconstruction"):
        RqVae(reconstruction="x")
    with pytest.raises(InputError, match="learning_rate"):
        RqVae(**{**SMALL, "learning_rate": 1e30}).fit(curved())


@pytest.mark.slow
def test_it_loses_no_more_than_residual_kmeans_on_beauty():
    """Slow: trains the default network on 12,101 vectors."""
    path = pathlib.Path(os.environ.get("H2REC_DATA", "../shared/data")) / "beauty" / "text_embeddings.npz"
    if not path.exists():
        pytest.skip(f"{path} is absent; set H2REC_DATA")
    vectors = np.load(path)["embedding"].astype(np.float32)
    network = variance_lost(RqVae().fit(vectors), vectors)
    # The latents' width, and all dimensions.
    for components in (128, 0):
        assert network <= variance_lost(RqKmeans(components=components).fit(vectors), vectors)
