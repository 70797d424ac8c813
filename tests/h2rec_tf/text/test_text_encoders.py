"""Text encoders, their cache and their saved form."""

import numpy as np
import pytest

from h2rec_tf.config import TextConfig
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.errors import InputError, MissingDependencyError
from h2rec_tf.text.cache import content_key, encode_cached
from h2rec_tf.text.factory import load_text_encoder, make_text_encoder
from h2rec_tf.text.given_vectors import GivenVectors
from h2rec_tf.text.sentence_encoder import SentenceEncoder
from h2rec_tf.text.tfidf_svd import TfidfSvd

TEXTS = ["red silk scarf", "blue silk scarf", "steel kitchen knife", "kitchen knife set", "", "blue velvet scarf"]


def test_vectors_are_normalised_and_empty_texts_are_zero():
    vectors = TfidfSvd(dimensions=3).fit(TEXTS).encode([*TEXTS, "unknown-term"])
    assert vectors.dtype == np.float32 and vectors.shape == (7, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 0, 1, 0], atol=1e-5)


def test_projection_keeps_all_inner_products_at_full_rank():
    """At full rank, cosines equal those of scikit-learn's TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    options = {"sublinear_tf": True, "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
    oracle = TfidfVectorizer(**options).fit_transform(TEXTS).toarray()
    vectors = TfidfSvd(dimensions=100).fit(TEXTS).encode(TEXTS)
    assert vectors.shape[1] == 6
    np.testing.assert_allclose(vectors @ vectors.T, oracle @ oracle.T, atol=1e-5)


@pytest.mark.parametrize("texts", [["one"], ["", ""], ["same", "same", "same"], ["!!!", "a"], ["日本 語", "é"]])
def test_tiny_catalogues(texts):
    vectors = TfidfSvd(dimensions=8).fit(texts).encode(texts)
    assert vectors.shape[0] == len(texts) and 1 <= vectors.shape[1] <= len(texts)
    assert np.isfinite(vectors).all()
    for text, vector in zip(texts, vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1.0 if text.strip("!") else 0.0, abs=1e-5)


def test_equal_seeds_give_equal_vectors_with_the_randomised_svd():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.zipf(1.5, 8) % 300) for _ in range(200)]
    first, second = (TfidfSvd(dimensions=16, seed=3).fit(texts).encode(texts) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_saved_encoder_encodes_the_same(tmp_path):
    encoder = TfidfSvd(dimensions=3, max_terms=9).fit(TEXTS)
    encoder.save(str(tmp_path / "e"))
    loaded = load_text_encoder(str(tmp_path / "e"))
    assert isinstance(loaded, TfidfSvd) and loaded.get_config() == encoder.get_config()
    np.testing.assert_array_equal(loaded.encode(TEXTS), encoder.encode(TEXTS))


class Counting(TfidfSvd):
    """Counts its fits."""

    fits = 0

    def fit(self, texts, *, progress=False):
        type(self).fits += 1
        return super().fit(texts, progress=progress)


def test_cache_hits_on_equal_content_only(tmp_path):
    Counting.fits = 0
    cache = str(tmp_path / "cache")
    first = encode_cached(Counting(dimensions=3), TEXTS, cache)
    hit = Counting(dimensions=3)
    np.testing.assert_array_equal(encode_cached(hit, TEXTS, cache), first)
    assert Counting.fits == 1
    np.testing.assert_array_equal(hit.encode(TEXTS), first)
    encode_cached(Counting(dimensions=2), TEXTS, cache)
    encode_cached(Counting(dimensions=3), TEXTS[::-1], cache)
    assert Counting.fits == 3
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]
    encode_cached(Counting(dimensions=3), TEXTS, "")
    assert Counting.fits == 4


def test_the_key_separates_texts():
    encoder = TfidfSvd()
    assert content_key(encoder, ["ab", "c"]) != content_key(encoder, ["a", "bc"])


def catalogue(vectors=None):
    ids = np.asarray(["a", "b"], object)
    return Catalogue(ids, ids, ids, vectors)


def test_auto_takes_given_vectors_where_there_are_any():
    assert isinstance(make_text_encoder(TextConfig(), catalogue()), TfidfSvd)
    assert isinstance(make_text_encoder(TextConfig(), catalogue(np.ones((2, 3)))), GivenVectors)
    assert isinstance(make_text_encoder(TextConfig(encoder="tfidf"), catalogue(np.ones((2, 3)))), TfidfSvd)
    assert isinstance(make_text_encoder(TextConfig(encoder="sentence"), catalogue()), SentenceEncoder)
    with pytest.raises(InputError, match=r"text\.encoder"):
        make_text_encoder(TextConfig(encoder="vectors"), catalogue())


def test_given_vectors_are_checked():
    np.testing.assert_array_equal(GivenVectors(np.ones((2, 3), np.float16)).encode(["", ""]), np.ones((2, 3)))
    with pytest.raises(InputError, match="row 1"):
        GivenVectors(np.asarray([[0.0], [np.inf]]))
    with pytest.raises(InputError, match="2 rows for 1 items"):
        GivenVectors(np.ones((2, 3))).encode([""])


def test_a_missing_sentence_package_is_one_clear_message(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'h2rec-tf\[sentence\]'"):
        SentenceEncoder().encode(["text"])


def test_sentence_vectors_keep_the_order_and_skip_empty_texts(monkeypatch):
    import sys
    import types

    class Model:
        def __init__(self, name):
            assert name == "m"

        def encode(self, texts, **options):
            return np.asarray([[len(text), 1.0] for text in texts], np.float32)

    monkeypatch.setitem(sys.modules, "sentence_transformers", types.SimpleNamespace(SentenceTransformer=Model))
    vectors = SentenceEncoder(model="m").encode(["abc", " ", "z"])
    np.testing.assert_array_equal(vectors, [[3, 1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(SentenceEncoder(model="m").encode(["", ""]), np.zeros((2, 2)))
