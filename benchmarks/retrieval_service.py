"""What the retrieval service takes and gives: upserts a second, searches beside them, recovery, memory.

    python benchmarks/retrieval_service.py --items 100000 --size 64

The service runs as a process of its own on the same machine and is asked over gRPC. Vectors are drawn around random
centres, as items are around topics.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import numpy as np
import psutil

if TYPE_CHECKING:
    from serving.retrieval_service.client import RetrievalClient

BATCH = 1000


@click.command()
@click.option("--items", default=100_000, show_default=True, type=click.IntRange(min=100), help="N.")
@click.option("--size", default=64, show_default=True, type=click.IntRange(min=2), help="D.")
@click.option("--k", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--requests", default=2000, show_default=True, type=click.IntRange(min=10), help="Searches measured.")
@click.option("--singles", default=1000, show_default=True, type=click.IntRange(min=1), help="Upserts of one item.")
def main(items: int, size: int, k: int, requests: int, singles: int) -> None:
    """Measures one life of a service."""
    from serving.retrieval_service.client import RetrievalClient

    generator = np.random.default_rng(0)
    centres = generator.normal(size=(200, size)) * 1.5

    def draw(count: int) -> np.ndarray:
        return (centres[generator.integers(200, size=count)] + generator.normal(size=(count, size))).astype(np.float32)

    vectors, queries = draw(items), draw(256)
    ids = [f"item-{number}" for number in range(items)]
    with tempfile.TemporaryDirectory() as folder:
        with service(folder, size) as (process, target), RetrievalClient(target, timeout=3600) as client:
            began = time.perf_counter()
            for start in range(0, items, BATCH):
                client.upsert(ids[start : start + BATCH], vectors=vectors[start : start + BATCH])
            report("upserts/s, 1000 an upsert", items / (time.perf_counter() - began))
            began = time.perf_counter()
            client.rebalance()
            report("rebalance, s", time.perf_counter() - began)
            report("index", client.status().kind)
            report("resident memory, MB", process.memory_info().rss / 1e6)
            report("vectors alone, MB", vectors.nbytes / 1e6)
            latency("search alone", search_times(client, queries, k, requests))
            fresh = draw(singles)
            began = time.perf_counter()
            for number, vector in enumerate(fresh):
                client.upsert([ids[number % items]], vectors=vector[None])
                vectors[number % items] = vector
            report("upserts/s, one item, one writer", singles / (time.perf_counter() - began))
            latency("search during upserts", searched_while_writing(client, target, ids, vectors, queries, k, requests))
            began = time.perf_counter()
            client.snapshot()
            report("snapshot, s", time.perf_counter() - began)
        began = time.perf_counter()
        with service(folder, size) as (process, target), RetrievalClient(target, timeout=3600) as client:
            report("start with recovery, s", time.perf_counter() - began)
            report("resident memory after it, MB", process.memory_info().rss / 1e6)
            exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :k]
            hits = client.search(queries, k)
            found = [
                len({hit.item_id for hit in row} & {ids[n] for n in best})
                for row, best in zip(hits, exact, strict=True)
            ]
            report(f"recall@{k}", float(np.mean(found)) / min(k, items))


def search_times(client: RetrievalClient, queries: np.ndarray, k: int, requests: int) -> np.ndarray:
    """Milliseconds of each of so many searches, one after the other."""
    times = np.zeros(requests)
    for number in range(-50, requests):
        began = time.perf_counter()
        client.search(queries[number % len(queries)][None], k)
        if number >= 0:
            times[number] = (time.perf_counter() - began) * 1e3
    return times


def searched_while_writing(
    client: RetrievalClient,
    target: str,
    ids: list[str],
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    requests: int,
) -> np.ndarray:
    """The same while another connection replaces items by themselves, as fast as it can."""
    from serving.retrieval_service.client import RetrievalClient

    done = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with RetrievalClient(target, timeout=3600) as writer:
            while not done.is_set():
                rows = [(written + offset) % len(ids) for offset in range(100)]
                writer.upsert([ids[row] for row in rows], vectors=vectors[rows])
                written += 100

    thread = threading.Thread(target=write)
    thread.start()
    began = time.perf_counter()
    times = search_times(client, queries, k, requests)
    done.set()
    thread.join()
    report("upserts/s meanwhile, 100 an upsert", written / (time.perf_counter() - began))
    return times


def latency(name: str, times: np.ndarray) -> None:
    """Prints the median and the 99th percentile."""
    report(f"{name}, ms p50", float(np.percentile(times, 50)))
    report(f"{name}, ms p99", float(np.percentile(times, 99)))


def report(name: str, value: float | str) -> None:
    """Prints one line."""
    click.echo(f"{name:36} {value if isinstance(value, str) else format(value, ',.3f')}")


@contextmanager
def service(folder: str, size: int) -> Iterator[tuple[psutil.Process, str]]:
    """A service process on a data folder; yields it and its `host:port`."""
    command = [sys.executable, "-c", "from h2rec_tf.cli.main import main; main()", "retrieval", "serve", "--no-rest"]
    # Nothing by itself, so that each figure is of one thing.
    manual = ["--snapshot-log-mib", "0", "--rebalance-fraction", "0"]
    process = subprocess.Popen(
        [*command, "--data-dir", folder, "--dimensions", str(size), "--port", "0", *manual],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("the service did not start")
        yield psutil.Process(process.pid), line.split()[-1]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
