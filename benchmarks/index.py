"""The index against the raw ScaNN library: recall, queries a second, build time and memory, in one run."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import click
import numpy as np

# First: it sets what the pinned TensorFlow needs.
import h2rec_tf  # noqa: F401
from h2rec_tf.config import Config
from h2rec_tf.index.evaluate import exact_scores, recall
from h2rec_tf.index.scann_index import build_index, load_index

_MEMORY = """
import json, sys
from h2rec_tf.index.scann_index import load_index
print(json.dumps(load_index(sys.argv[1]).memory_bytes))
"""
WARM_UP = 50


@click.command()
@click.option("--items", default=1_000_000, show_default=True, help="Vectors.")
@click.option("--size", default=128, show_default=True, help="Their width.")
@click.option("--clusters", default=2000, show_default=True, help="Clusters that they are drawn from.")
@click.option("--queries", default=1000, show_default=True, help="Queries.")
@click.option("--k", default=100, show_default=True, help="List length.")
@click.option("--config", "config_path", metavar="FILE.yaml", help="Configuration with an `index` section.")
@click.option("--seed", default=0, show_default=True)
def main(items: int, size: int, clusters: int, queries: int, k: int, config_path: str | None, seed: int) -> None:
    """Build an index over clustered vectors and ask it, and the library under it, the same queries in turn."""
    config = (Config.load(config_path) if config_path else Config()).replace(**{"index.k": k}).index
    vectors, asked = clustered(items, size, clusters, queries, seed)
    ids = np.asarray([f"item-{row}" for row in range(items)], object)
    with tempfile.TemporaryDirectory() as folder:
        directory = str(pathlib.Path(folder) / "index")
        manifest = build_index(vectors, ids, directory, config=config)
        output = subprocess.run([sys.executable, "-c", _MEMORY, directory], capture_output=True, text=True, check=True)
        memory = json.loads(output.stdout.splitlines()[-1])
        index = load_index(directory)
    settings = manifest.settings
    click.echo(f"{settings}")
    click.echo(
        f"{items} x {size}: built in {manifest.build_seconds:.1f} s, {manifest.bytes / 2**20:.0f} MiB on disk, "
        f"{memory / 2**20:.0f} MiB in memory ({memory / manifest.bytes:.2f} x the files)"
    )
    options = {}
    if settings.kind != "brute":
        options["pre_reorder_num_neighbors"] = max(settings.reorder, k)
    if settings.leaves:
        options["leaves_to_search"] = settings.leaves_to_search
    rows = np.zeros((2, queries, k), np.int32)
    seconds = np.zeros((2, queries))
    for number in range(-WARM_UP, queries):
        query = asked[number % queries]
        began = time.perf_counter()
        raw, _ = index.searcher.search(query, final_num_neighbors=k, **options)
        middle = time.perf_counter()
        own, _ = index.search(query[None], k)
        ended = time.perf_counter()
        if number >= 0:
            rows[0, number, : len(raw)], rows[1, number] = raw, own[0]
            seconds[:, number] = middle - began, ended - middle
    least = exact_scores(vectors, asked, k)
    click.echo(f"{'batch 1':14} {f'recall@{k}':>10} {'queries/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for name, found, times in zip(("raw library", "this index"), rows, seconds, strict=True):
        low, high = np.percentile(times * 1e3, [50, 99])
        click.echo(
            f"{name:14} {recall(vectors, asked, found, least):10.4f} {1 / times.mean():10.0f} {low:8.3f} {high:8.3f}"
        )
    click.echo(f"speed of this index over the raw library: {seconds[0].mean() / seconds[1].mean():.2f}")


def clustered(items: int, size: int, clusters: int, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 unit vectors `[items, size]` and queries `[queries, size]` around the same centres."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(clusters, size)).astype(np.float32)
    parts = []
    for count in (items, queries):
        rows = generator.normal(size=(count, size)).astype(np.float32)
        rows *= np.float32(0.6)
        rows += centres[generator.integers(0, clusters, count)]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        parts.append(rows)
    return parts[0], parts[1]


if __name__ == "__main__":
    main()
