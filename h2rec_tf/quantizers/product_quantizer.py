"""Product quantization, with an optional learned rotation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from h2rec_tf.quantizers.base import Quantizer, blocks, float_rows
from h2rec_tf.quantizers.kmeans import kmeans, nearest

# Rows and k-means passes that each step of the rotation looks at; the codebooks themselves see all rows.
_ROTATION_ROWS = 65_536
_ROTATION_STEPS = 12


class ProductQuantizer(Quantizer):
    """Splits vectors into L parts and clusters each (Jégou, Douze and Schmid 2011).

    With `rotation`, vectors are first turned by an orthonormal matrix that is learned together with the codebooks by
    alternating between them, each step of the rotation being an orthogonal Procrustes problem solved by an SVD
    (OPQ; Ge et al. 2013, non-parametric).

    Caveats: codes have no coarse-to-fine order, so prefixes mean little. Vectors are padded with zeros to a multiple
    of L, so `codebooks` is `[L, K, ceil(D / L)]`. `decode` with fewer levels fills the other parts with their means.

    Args:
        levels: L, parts.
        codes: K per part.
        rotation: learn a rotation.
        iterations: k-means passes per part, at most; fewer when the error stops falling.
        block_rows: rows handled at once.
        seed: of every random choice.
    """

    kind: ClassVar[str] = "pq"

    def __init__(
        self,
        *,
        levels: int = 4,
        codes: int = 256,
        rotation: bool = True,
        iterations: int = 25,
        block_rows: int = 16_384,
        seed: int = 0,
    ):
        super().__init__(levels=levels, codes=codes, block_rows=block_rows, seed=seed)
        self.rotation = rotation
        self.iterations = iterations

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rotation": self.rotation, "iterations": self.iterations}

    def _fit(self, vectors: np.ndarray, progress: bool) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        part = -(-vectors.shape[1] // self.levels)
        total = np.zeros(vectors.shape[1], np.float64)
        for block in blocks(len(vectors), self.block_rows):
            total += float_rows(vectors, block).sum(axis=0, dtype=np.float64)
        mean = (total / len(vectors)).astype(np.float32)
        passes = self.levels * self.iterations + (_ROTATION_STEPS if self.rotation else 0)
        codebooks = np.empty((self.levels, self.codes, part), np.float32)
        with tqdm(total=passes, desc="pq", unit="pass", disable=None if progress else True) as bar:
            rotation = np.eye(part * self.levels, dtype=np.float32)
            if self.rotation:
                rows = np.sort(rng.choice(len(vectors), min(len(vectors), _ROTATION_ROWS), replace=False))
                sample = np.zeros((len(rows), part * self.levels), np.float32)
                sample[:, : vectors.shape[1]] = float_rows(vectors, rows) - mean
                rotation = learn_rotation(sample, levels=self.levels, codes=self.codes, rng=rng, bar=bar)
            for level, columns in enumerate(_parts(self.levels, part)):

                def turned(index: slice | np.ndarray, columns: slice = columns) -> np.ndarray:
                    return _turn(float_rows(vectors, index), mean, rotation[:, columns])

                codebooks[level] = kmeans(
                    turned,
                    len(vectors),
                    codes=self.codes,
                    iterations=self.iterations,
                    block_rows=self.block_rows,
                    rng=rng,
                    on_pass=lambda error: _count(bar, error),
                )
                bar.update(passes - (self.levels - level - 1) * self.iterations - bar.n)
        return {"codebooks": codebooks, "mean": mean, "rotation": rotation}

    def _encode_block(self, vectors: np.ndarray) -> np.ndarray:
        turned = _turn(vectors, self._array("mean"), self._array("rotation"))
        parts = _parts(self.levels, self.codebooks.shape[2])
        return np.stack(
            [nearest(turned[:, part], centres)[0] for part, centres in zip(parts, self.codebooks, strict=True)], axis=1
        )

    def encode_tensor(self, vectors: Any) -> Any:
        import tensorflow as tf

        from h2rec_tf.quantizers.in_graph import nearest as nearest_tensor

        turned = (vectors - self._array("mean")) @ self._array("rotation")[: self.dimensions]
        parts = _parts(self.levels, self.codebooks.shape[2])
        codes = [nearest_tensor(turned[:, part], table) for part, table in zip(parts, self.codebooks, strict=True)]
        return tf.stack(codes, axis=1)

    def _decode_block(self, codes: np.ndarray) -> np.ndarray:
        # Centred data: a part that is left out is at its mean, zero.
        turned = np.zeros((len(codes), self.levels * self.codebooks.shape[2]), np.float32)
        for level, part in enumerate(_parts(self.levels, self.codebooks.shape[2])[: codes.shape[1]]):
            turned[:, part] = self.codebooks[level][codes[:, level]]
        result: np.ndarray = (turned @ self._array("rotation").T)[:, : self.dimensions] + self._array("mean")
        return result


def learn_rotation(
    sample: np.ndarray, *, levels: int, codes: int, rng: np.random.Generator, bar: tqdm | None = None
) -> np.ndarray:
    """The orthonormal matrix that, together with codebooks, rebuilds the sample best (Ge et al. 2013).

    Args:
        sample: float32 `[m, L * part]`, centred.
        levels: L.
        codes: K.
        rng: of the seeding.
        bar: is moved one step per alternation.

    Returns:
        float32 `[L * part, L * part]`; rows of `sample @ rotation` are what the parts cluster.
    """
    part = sample.shape[1] // levels
    values, directions = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    rotation = directions[:, deal(values, levels)].astype(np.float32)
    codebooks: list[np.ndarray | None] = [None] * levels
    for _ in range(_ROTATION_STEPS):
        turned = sample @ rotation
        rebuilt = np.empty_like(turned)
        for level, columns in enumerate(_parts(levels, part)):
            rows = np.ascontiguousarray(turned[:, columns])
            centres = kmeans(
                rows.__getitem__,
                len(sample),
                codes=codes,
                iterations=2,
                block_rows=len(sample),
                rng=rng,
                start=codebooks[level],
            )
            rebuilt[:, columns] = centres[nearest(rows, centres)[0]]
            codebooks[level] = centres
        left, _, right = np.linalg.svd((sample.T @ rebuilt).astype(np.float64))
        rotation = (left @ right).astype(np.float32)
        if bar is not None:
            bar.update()
    return rotation


def deal(variances: np.ndarray, levels: int) -> np.ndarray:
    """Deals principal directions to parts of equal size so that the parts' products of variances are close.

    Args:
        variances: `[L * part]`, in any order.
        levels: L.

    Returns:
        int64 `[L * part]`, indices of directions, part by part.
    """
    size = len(variances) // levels
    logs = np.log(np.maximum(variances, 1e-10 * max(float(variances.max()), 1e-30)))
    hands: list[list[int]] = [[] for _ in range(levels)]
    sums = np.zeros(levels)
    for index in np.argsort(-logs, kind="stable"):
        open_hands = np.asarray([len(hand) < size for hand in hands])
        taker = int(np.argmin(np.where(open_hands, sums, np.inf)))
        hands[taker].append(int(index))
        # Shifted to be positive, so that each direction taken counts against the taker.
        sums[taker] += logs[index] - logs.min() + 1.0
    return np.concatenate(hands).astype(np.int64)


def _turn(vectors: np.ndarray, mean: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Centred and rotated rows; the padding's zeros need not be multiplied."""
    result: np.ndarray = (vectors - mean) @ rotation[: vectors.shape[1]]
    return result


def _parts(levels: int, size: int) -> list[slice]:
    return [slice(level * size, (level + 1) * size) for level in range(levels)]


def _count(bar: tqdm, error: float) -> None:
    bar.set_postfix(mse=f"{error:.5f}", refresh=False)
    bar.update()
