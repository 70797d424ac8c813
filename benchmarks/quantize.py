"""Seconds and peak memory of a quantizer on generated vectors in a float16 memory map.

    python benchmarks/quantize.py --rows 1000000 --dimensions 384 --kind rq_kmeans --iterations 3

Peak memory is the process's largest resident set, which counts the pages of the memory map that were read.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import tempfile
import time

import numpy as np

from h2rec_tf.config import QuantizerConfig, RqVaeConfig
from h2rec_tf.quantizers.factory import make_quantizer

_BLOCK = 65_536


def write_vectors(path: pathlib.Path, rows: int, dimensions: int, seed: int) -> None:
    """Unit vectors around a two-level tree of 200 x 20 topics: float16 `[rows, dimensions]`, block by block."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(200, dimensions)).astype(np.float32)
    topics = (topics[:, None] + 0.6 * rng.normal(size=(200, 20, dimensions))).astype(np.float32).reshape(-1, dimensions)
    output = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(rows, dimensions))
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        block = topics[rng.integers(0, len(topics), count)]
        block = block + 0.5 * rng.standard_normal((count, dimensions), np.float32)
        output[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    output.flush()


def main() -> None:
    """Parses the arguments, measures, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--kind", choices=["rq_kmeans", "rq_vae", "pq"], default="rq_kmeans")
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=25, help="k-means passes a level")
    parser.add_argument("--epochs", type=int, default=1, help="rq_vae only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where the vectors go; a temporary one by default")
    arguments = parser.parse_args()
    config = QuantizerConfig(
        kind=arguments.kind,
        levels=arguments.levels,
        codes=arguments.codes,
        iterations=arguments.iterations,
        rq_vae=RqVaeConfig(epochs=arguments.epochs),
    )
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        path = pathlib.Path(directory) / "vectors.npy"
        write_vectors(path, arguments.rows, arguments.dimensions, arguments.seed)
        vectors = np.load(path, mmap_mode="r")
        quantizer = make_quantizer(config, seed=arguments.seed)
        started = time.perf_counter()
        quantizer.fit(vectors, progress=True)
        fitted = time.perf_counter()
        codes = quantizer.encode(vectors)
        encoded = time.perf_counter()
        sample = np.asarray(vectors[:_BLOCK], np.float32)
        lost = np.square(sample - quantizer.decode(codes[:_BLOCK])).sum() / np.square(sample - sample.mean(0)).sum()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{arguments.kind}: {arguments.rows:,} x {arguments.dimensions} float16, L={config.levels} K={config.codes}")
    print(f"fit     {fitted - started:8.1f} s")
    print(f"encode  {encoded - fitted:8.1f} s  ({arguments.rows / (encoded - fitted):,.0f} vectors/s)")
    print(f"peak    {peak:8.2f} GB")
    print(f"lost    {lost:8.4f} of the variance")


if __name__ == "__main__":
    main()
