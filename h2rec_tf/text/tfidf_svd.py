"""TF-IDF and a truncated SVD: vectors from the catalogue's own words, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.sparse

from h2rec_tf.errors import InputError
from h2rec_tf.text.base import TextEncoder, normalised


class TfidfSvd(TextEncoder):
    """Latent semantic analysis (Deerwester et al. 1990) over words and word pairs.

    Terms weigh (1 + ln tf) * idf with smoothed idf; documents are normalised, projected on the first right
    singular vectors and normalised again.

    Caveats: D is the smaller of `dimensions`, the number of texts and the number of terms, so a tiny catalogue has
    narrower vectors. A text that shares no term with the fitted ones gives a zero row.

    Args:
        dimensions: D, at most.
        max_terms: most frequent terms kept.
        seed: of the randomised SVD.
    """

    kind: ClassVar[str] = "tfidf"

    def __init__(self, *, dimensions: int = 256, max_terms: int = 50_000, seed: int = 0):
        super().__init__()
        for name, value in (("dimensions", dimensions), ("max_terms", max_terms)):
            if value < 1:
                raise InputError(f"text: `{name}` must be at least 1, got {value}")
        self.dimensions = dimensions
        self.max_terms = max_terms
        self.seed = seed

    def fit(self, texts: Sequence[str], *, progress: bool = False) -> TfidfSvd:
        """Learns terms, idf and directions from `texts`, n >= 1; returns self."""
        from sklearn.utils.extmath import randomized_svd

        counter = _counter(max_features=self.max_terms)
        if not any(counter.build_analyzer()(text) for text in texts):
            self._arrays = {
                "terms": np.empty(0, np.bytes_),
                "idf": np.empty(0, np.float32),
                "components": np.zeros((1, 0), np.float32),
            }
            return self
        counts = counter.fit_transform(texts)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = np.log((1.0 + counts.shape[0]) / (1.0 + frequency)) + 1.0
        weighted = _weighted(counts, idf)
        width = min(self.dimensions, *weighted.shape)
        if width == min(weighted.shape):
            _, values, components = np.linalg.svd(weighted.toarray(), full_matrices=False)
        else:
            _, values, components = randomized_svd(weighted, width, n_iter=4, random_state=self.seed)
        # Directions without variance are rounding noise.
        components[values <= 1e-5 * values[0]] = 0.0
        self._arrays = {
            "terms": np.char.encode(np.asarray(counter.get_feature_names_out(), np.str_), "utf-8"),
            "idf": idf.astype(np.float32),
            "components": components.astype(np.float32),
        }
        return self

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """L2-normalised vectors, float32 `[n, D]`; an empty text, or one without a known term, gives zeros."""
        terms, components = self._array("terms"), self._array("components")
        if not len(terms):
            return np.zeros((len(texts), len(components)), np.float32)
        counts = _counter(vocabulary=np.char.decode(terms, "utf-8").tolist()).transform(texts)
        return normalised(_weighted(counts, self._array("idf")) @ components.T)

    def get_config(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "max_terms": self.max_terms, "seed": self.seed}


def _counter(**options: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    # \w+ keeps one-character words, which the default pattern drops: sizes, model numbers, CJK.
    return CountVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), dtype=np.float32, **options)


def _weighted(counts: scipy.sparse.csr_matrix, idf: np.ndarray) -> scipy.sparse.csr_matrix:
    """Sublinear TF-IDF with rows of length 1, float32."""
    weights = scipy.sparse.csr_matrix(counts, dtype=np.float32, copy=True)
    weights.data = (1.0 + np.log(weights.data)) * idf[weights.indices].astype(np.float32)
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1))).ravel()
    scale = scipy.sparse.diags((1.0 / np.where(norms > 0, norms, 1.0)).astype(np.float32))
    return (scale @ weights).tocsr()
