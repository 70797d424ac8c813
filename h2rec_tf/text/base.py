"""The interface of all text encoders."""

from __future__ import annotations

import abc
import json
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from h2rec_tf.errors import InputError

CONFIG_FILE = "encoder.json"
ARRAYS_FILE = "arrays.npz"


class TextEncoder(abc.ABC):
    """Maps texts to vectors. `fit` is a no-op for encoders that need none."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def fit(self, texts: Sequence[str], *, progress: bool = False) -> TextEncoder:
        """Learns from the catalogue's texts; returns self."""
        return self

    @abc.abstractmethod
    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Vectors of texts: float32 `[n, D]`; an empty text gives a zero row."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""

    def save(self, directory: str) -> None:
        """Writes `encoder.json` and `arrays.npz`; `factory.load_text_encoder` reads any kind back."""
        path = pathlib.Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        np.savez(path / ARRAYS_FILE, **self._arrays)
        text = json.dumps({"kind": self.kind, "config": self.get_config()}, indent=2)
        (path / CONFIG_FILE).write_text(text, encoding="utf-8")

    def restore(self, directory: str) -> None:
        """Takes over what `save` wrote for an encoder with the same configuration."""
        with np.load(pathlib.Path(directory) / ARRAYS_FILE) as arrays:
            self._arrays = dict(arrays)

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise InputError(f"text encoder `{self.kind}` is not fitted: call `fit` first")
        return self._arrays[name]


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean length, float32; zero rows stay zero."""
    rows = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, np.float32(1.0))
