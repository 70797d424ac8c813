"""Text encoders by kind: for a catalogue, or from a saved directory."""

from __future__ import annotations

import json
import pathlib

from h2rec_tf.config import TextConfig
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.errors import InputError
from h2rec_tf.text.base import CONFIG_FILE, TextEncoder
from h2rec_tf.text.given_vectors import GivenVectors
from h2rec_tf.text.sentence_encoder import SentenceEncoder
from h2rec_tf.text.tfidf_svd import TfidfSvd


def make_text_encoder(config: TextConfig, catalogue: Catalogue, *, seed: int = 0) -> TextEncoder:
    """The encoder that `config` names; "auto" is the catalogue's own vectors where it has some, else TF-IDF + SVD.

    Raises:
        InputError: vectors are asked for and the catalogue has none.
    """
    kind = config.encoder
    if kind == "auto":
        kind = "tfidf" if catalogue.vectors is None else "vectors"
    if kind == "tfidf":
        return TfidfSvd(dimensions=config.dimensions, max_terms=config.max_terms, seed=seed)
    if kind == "sentence":
        return SentenceEncoder(model=config.sentence_model)
    if catalogue.vectors is None:
        raise InputError(
            "text: `encoder` is 'vectors' but the items have none; give a vector column, a vectors file, or "
            "set text.encoder to 'tfidf'"
        )
    return GivenVectors(catalogue.vectors)


def load_text_encoder(directory: str) -> TextEncoder | None:
    """Reads back what `TextEncoder.save` wrote; None where the vectors were the user's own."""
    saved = json.loads((pathlib.Path(directory) / CONFIG_FILE).read_text(encoding="utf-8"))
    if saved["kind"] == GivenVectors.kind:
        return None
    encoder = (TfidfSvd if saved["kind"] == TfidfSvd.kind else SentenceEncoder)(**saved["config"])
    encoder.restore(directory)
    return encoder
