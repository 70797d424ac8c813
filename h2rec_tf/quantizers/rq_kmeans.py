"""Residual k-means: codes without a network."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from h2rec_tf.quantizers.base import Quantizer, blocks, float_rows
from h2rec_tf.quantizers.kmeans import cluster_sums, kmeans, nearest
from h2rec_tf.quantizers.principal import principal_directions, projected

# Rows that the principal components are measured on.
_COMPONENT_ROWS = 262_144


class RqKmeans(Quantizer):
    """Residual quantization with k-means at each level (Chen, Guan and Wang 2010).

    Level 1 clusters the vectors; level l clusters what levels 1..l-1 leave over. A vector is the sum of its codes'
    centres, which are means in all D dimensions.

    Distances are measured in the first `components` principal directions. In hundreds of dimensions what is left
    after a level or two is close to noise; k-means then puts most items on one code and spends the others on
    outliers. The leading directions keep codes evenly used, and make passes faster.

    Beside the input it holds n x components floats.

    Caveat: encoding is greedy, level by level, so `encode(decode(c))` can differ from `c`.

    Args:
        levels: L, codes per item.
        codes: K, size of each level's codebook.
        components: principal directions that distances are measured in; 0, or D and more, uses all.
        iterations: passes over the data per level, at most; fewer when the error stops falling.
        mini_batch: move centres after each block of `block_rows` random rows instead of after each pass.
        block_rows: rows handled at once.
        seed: of seeding and mini-batches.

    Example:
        >>> quantizer = RqKmeans(levels=3, codes=64).fit(vectors)
        >>> quantizer.encode(vectors).shape
        (1000, 3)
    """

    kind: ClassVar[str] = "rq_kmeans"

    def __init__(
        self,
        *,
        levels: int = 4,
        codes: int = 256,
        components: int = 64,
        iterations: int = 25,
        mini_batch: bool = False,
        block_rows: int = 16_384,
        seed: int = 0,
    ):
        super().__init__(levels=levels, codes=codes, block_rows=block_rows, seed=seed)
        self.components = components
        self.iterations = iterations
        self.mini_batch = mini_batch

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "components": self.components,
            "iterations": self.iterations,
            "mini_batch": self.mini_batch,
        }

    def _fit(self, vectors: np.ndarray, progress: bool) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        count, dimensions = vectors.shape
        size = min(self.components or dimensions, dimensions)
        mean, directions = np.zeros(dimensions, np.float32), np.eye(dimensions, dtype=np.float32)
        if size < dimensions:
            rows = np.sort(rng.choice(count, min(count, _COMPONENT_ROWS), replace=False))
            mean, directions = principal_directions(vectors, rows, size, self.block_rows)
        total = self.levels * self.iterations
        with tqdm(total=total, desc="rq_kmeans", unit="pass", disable=None if progress else True) as bar:
            centres, codes = residual_kmeans(
                projected(vectors, mean, directions, self.block_rows),
                levels=self.levels,
                codes=self.codes,
                iterations=self.iterations,
                block_rows=self.block_rows,
                rng=rng,
                mini_batch=self.mini_batch,
                bar=bar,
            )
        # A code that no item has stays where its centre is in the subspace.
        start = centres @ directions
        start[0] += mean
        return {
            "codebooks": _residual_means(vectors, codes, start, self.block_rows),
            "centres": centres,
            "mean": mean,
            "directions": directions,
        }

    def _encode_block(self, vectors: np.ndarray) -> np.ndarray:
        residual = (vectors - self._array("mean")) @ self._array("directions").T
        codes = np.empty((len(vectors), self.levels), np.int32)
        for level, centres in enumerate(self._array("centres")):
            codes[:, level] = nearest(residual, centres)[0]
            residual -= centres[codes[:, level]]
        return codes

    def encode_tensor(self, vectors: Any) -> Any:
        from h2rec_tf.quantizers.in_graph import residual_codes

        projected_rows = (vectors - self._array("mean")) @ self._array("directions").T
        return residual_codes(projected_rows, self._array("centres"))

    def _decode_block(self, codes: np.ndarray) -> np.ndarray:
        return _summed(codes, self.codebooks)


def residual_kmeans(
    residual: np.ndarray,
    *,
    levels: int,
    codes: int,
    iterations: int,
    block_rows: int,
    rng: np.random.Generator,
    mini_batch: bool = False,
    bar: tqdm | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Residual k-means in memory.

    Args:
        residual: float32 `[n, q]`; becomes what is left after all levels.
        levels: L.
        codes: K.
        iterations: passes per level, at most.
        block_rows: rows handled at once.
        rng: of seeding and mini-batches.
        mini_batch: as in `kmeans`.
        bar: counts passes.

    Returns:
        float32 `[L, K, q]` centres and int32 `[n, L]` codes.
    """
    count, size = residual.shape
    centres = np.empty((levels, codes, size), np.float32)
    labels = np.empty((count, levels), np.int32)

    def show(error: float) -> None:
        if bar is not None:
            bar.set_postfix(mse=f"{error:.5f}", refresh=False)
            bar.update()

    for level in range(levels):
        centres[level] = kmeans(
            residual.__getitem__,
            count,
            codes=codes,
            iterations=iterations,
            block_rows=block_rows,
            rng=rng,
            mini_batch=mini_batch,
            on_pass=show,
        )
        for block in blocks(count, block_rows):
            labels[block, level] = nearest(residual[block], centres[level])[0]
            residual[block] -= centres[level][labels[block, level]]
        if bar is not None:
            bar.update((level + 1) * iterations - bar.n)
    return centres, labels


def _residual_means(vectors: np.ndarray, codes: np.ndarray, start: np.ndarray, block_rows: int) -> np.ndarray:
    """Codebooks `[L, K, D]`: each level's mean residual by code; `start` stays where a code has no item."""
    codebooks = np.array(start, np.float32)
    for level, table in enumerate(codebooks):
        totals, counts = np.zeros(table.shape, np.float64), np.zeros(len(table), np.int64)
        for block in blocks(len(vectors), block_rows):
            residual = float_rows(vectors, block) - _summed(codes[block, :level], codebooks)
            sums, block_counts = cluster_sums(residual, codes[block, level], len(table))
            totals += sums
            counts += block_counts
        used = counts > 0
        table[used] = totals[used] / counts[used, None]
    return codebooks


def _summed(codes: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Sum of the codes' vectors: float32 `[b, D]` for int `[b, l]`, l <= L."""
    result = np.zeros((len(codes), codebooks.shape[2]), np.float32)
    for level in range(codes.shape[1]):
        result += codebooks[level][codes[:, level]]
    return result
