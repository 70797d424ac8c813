"""The interface of all quantizers."""

from __future__ import annotations

import abc
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from h2rec_tf.errors import InputError

CONFIG_FILE = "quantizer.json"
ARRAYS_FILE = "arrays.npz"


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows that cover `rows` rows."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def float_rows(vectors: np.ndarray, index: slice | np.ndarray) -> np.ndarray:
    """The chosen rows as float32; the only place where a float16 array or a memory map is converted."""
    return np.asarray(vectors[index], np.float32)


class Quantizer(abc.ABC):
    """Maps vectors `[n, D]` to `levels` codes out of `codes` each, and back.

    Vectors may be float16, float32, float64 or a memory map of these: they are read and converted `block_rows` rows
    at a time, so memory beyond the input is O(block_rows * (D + codes) + n * levels).

    Args:
        levels: L, codes per item.
        codes: K, size of each level's codebook.
        block_rows: rows handled at once.
        seed: of every random choice; equal seeds and inputs give equal codes on one machine.
    """

    kind: ClassVar[str]

    def __init__(self, *, levels: int = 4, codes: int = 256, block_rows: int = 16_384, seed: int = 0):
        for name, value, low in (("levels", levels, 1), ("codes", codes, 2), ("block_rows", block_rows, 1)):
            if value < low:
                raise InputError(f"quantizer: `{name}` must be at least {low}, got {value}")
        self.levels = levels
        self.codes = codes
        self.block_rows = block_rows
        self.seed = seed
        self._arrays: dict[str, np.ndarray] = {}

    @property
    def fitted(self) -> bool:
        """Whether `fit` or `load` has run."""
        return bool(self._arrays)

    @property
    def dimensions(self) -> int:
        """D, the width of the vectors that were fitted."""
        return int(self._array("dimensions"))

    @property
    def variables(self) -> Sequence[Any]:
        """TensorFlow variables that `encode_tensor` reads, for whoever saves its graph."""
        return ()

    @property
    def codebooks(self) -> np.ndarray:
        """float32 `[L, K, d_c]`."""
        return self._array("codebooks")

    def fit(self, vectors: np.ndarray, *, progress: bool = False) -> Quantizer:
        """Learns the codebooks.

        Args:
            vectors: float `[n, D]`, n >= 1. With fewer distinct vectors than codes the surplus codes repeat
                others and are never used.
            progress: shows a bar on stderr when that is a terminal.

        Returns:
            self.

        Raises:
            InputError: not a matrix, no rows, or values that are not finite; the message names the row.
        """
        check_vectors(vectors, self.block_rows)
        self._arrays = {}
        self._arrays = self._fit(vectors, progress) | {"dimensions": np.asarray(vectors.shape[1], np.int64)}
        return self

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of vectors.

        Args:
            vectors: float `[n, D]`.

        Returns:
            int32 `[n, L]`, coarse to fine where the quantizer has such an order.
        """
        self._check_width(vectors)
        result = np.empty((len(vectors), self.levels), np.int32)
        for block in blocks(len(vectors), self.block_rows):
            result[block] = self._encode_block(float_rows(vectors, block))
        return result

    def decode(self, codes: np.ndarray, *, levels: int | None = None) -> np.ndarray:
        """The vectors that codes stand for.

        Args:
            codes: int `[n, L]` or wider (a disambiguation digit is ignored).
            levels: use only the first `levels` codes; None uses all.

        Returns:
            float32 `[n, D]`.
        """
        used = self.levels if levels is None else levels
        result = np.empty((len(codes), self.dimensions), np.float32)
        for block in blocks(len(codes), self.block_rows):
            result[block] = self._decode_block(np.asarray(codes[block, :used]))
        return result

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments; `from_config` takes them back."""
        return {"levels": self.levels, "codes": self.codes, "block_rows": self.block_rows, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer:
        """An unfitted quantizer with the given constructor arguments."""
        return cls(**config)

    def save(self, directory: str) -> None:
        """Writes `quantizer.json` and `arrays.npz`; `factory.load_quantizer` reads any kind back."""
        path = pathlib.Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        np.savez(path / ARRAYS_FILE, **self._arrays)
        text = json.dumps({"kind": self.kind, "config": self.get_config()}, indent=2)
        (path / CONFIG_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: str) -> Quantizer:
        """Reads a quantizer of this class back from `save`'s directory."""
        path = pathlib.Path(directory)
        quantizer = cls.from_config(json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))["config"])
        with np.load(path / ARRAYS_FILE) as arrays:
            quantizer._arrays = dict(arrays)
        return quantizer

    @abc.abstractmethod
    def encode_tensor(self, vectors: Any) -> Any:
        """`encode` in TensorFlow ops: float32 tensor `[b, D]` -> int32 `[b, L]`."""

    @abc.abstractmethod
    def _fit(self, vectors: np.ndarray, progress: bool) -> dict[str, np.ndarray]:
        """Learned state by name; `codebooks` is one of the names."""

    @abc.abstractmethod
    def _encode_block(self, vectors: np.ndarray) -> np.ndarray:
        """float32 `[b, D]` -> int32 `[b, L]`."""

    @abc.abstractmethod
    def _decode_block(self, codes: np.ndarray) -> np.ndarray:
        """int `[b, l]`, l <= L -> float32 `[b, D]`."""

    def _array(self, name: str) -> np.ndarray:
        if not self._arrays:
            raise InputError(f"quantizer `{self.kind}` is not fitted: call `fit` or `load` first")
        return self._arrays[name]

    def _check_width(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            raise InputError(
                f"quantizer `{self.kind}` was fitted on vectors of width {self.dimensions}, got shape {vectors.shape}"
            )


def check_vectors(vectors: np.ndarray, block_rows: int = 16_384) -> None:
    """Raises InputError unless `vectors` is a finite float matrix with at least one row and one column."""
    if vectors.ndim != 2 or not vectors.shape[0] or not vectors.shape[1]:
        raise InputError(f"vectors must be a matrix with rows and columns, got shape {vectors.shape}")
    for block in blocks(len(vectors), block_rows):
        finite = np.isfinite(vectors[block]).all(axis=1)
        if not finite.all():
            row = block.start + int(np.argmin(finite))
            raise InputError(f"vectors: row {row} has a value that is not finite; remove or replace it")
