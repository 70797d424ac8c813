"""Encoded texts on disk, found again by their content."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np

from h2rec_tf.text.base import TextEncoder

_VECTORS_FILE = "vectors.npy"


def content_key(encoder: TextEncoder, texts: Sequence[str]) -> str:
    """Hash of the encoder's configuration and of every text, in order."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([encoder.kind, encoder.get_config()], sort_keys=True).encode("utf-8"))
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        # The length keeps ["ab", "c"] apart from ["a", "bc"].
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def encode_cached(encoder: TextEncoder, texts: Sequence[str], cache_dir: str, *, progress: bool = False) -> np.ndarray:
    """Fits the encoder on the texts and encodes them, or reads the result of an earlier, equal call.

    An entry appears whole or not at all; two processes that write the same one agree on the content.

    Args:
        encoder: left fitted in both cases.
        texts: n strings.
        cache_dir: directory of entries, made if absent; "" does not cache.

    Returns:
        float32 `[n, D]`.
    """
    if not cache_dir:
        return encoder.fit(texts, progress=progress).encode(texts, progress=progress)
    root = pathlib.Path(cache_dir)
    entry = root / content_key(encoder, texts)
    if entry.is_dir():
        encoder.restore(str(entry))
        vectors: np.ndarray = np.load(entry / _VECTORS_FILE)
        return vectors
    vectors = encoder.fit(texts, progress=progress).encode(texts, progress=progress)
    root.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".encoding-", dir=root)
    try:
        encoder.save(temporary)
        np.save(os.path.join(temporary, _VECTORS_FILE), vectors)
        os.replace(temporary, entry)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not entry.is_dir():
            raise
    return vectors
