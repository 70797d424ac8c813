"""What the retrieval service takes and gives: writes a second, searches beside all else, starts, snapshots, memory.

    python benchmarks/retrieval_service.py --items 100000 --size 64

The service runs as a process of its own on the same machine and is asked over gRPC. Vectors are drawn around random
centres, as items are around topics. Of memory, the operating system counts mapped files of the data folder too.
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
import grpc
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
    from serving.retrieval_service.restore import restore

    load("load average at the start")
    generator = np.random.default_rng(0)
    centres = (generator.normal(size=(200, size)) * 1.5).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        return centres[generator.integers(200, size=count)] + generator.standard_normal((count, size), np.float32)

    vectors, queries = draw(items), draw(256)
    ids = [f"item-{number}" for number in range(items)]
    report("vectors alone, MB", vectors.nbytes / 1e6)
    with tempfile.TemporaryDirectory() as folder:
        with service(folder, size) as (process, target), connected(target) as client:
            with a_second("upserts/s, 1000 an upsert", items, process):
                for start in range(0, items, BATCH):
                    upsert(client, ids[start : start + BATCH], vectors[start : start + BATCH])
            memory("after the upserts", process)
        with started("the log", folder, size) as (process, target), connected(target) as client:
            report("index", client.status().kind)
            latency("search alone", search_times(client, queries, k, requests))
            rounds = -(-requests // 64)
            with a_second("searches/s, 64 a request", 64 * rounds, process):
                for number in range(rounds):
                    client.search(np.roll(queries, number, axis=0)[:64], k)
            latency("search during a rebalance", beside("rebalance", client, target, process, queries, k))
            memory("after the rebalance", process)
            fresh = draw(singles)
            with a_second("upserts/s, one item, one writer", singles, process):
                for number, vector in enumerate(fresh):
                    client.upsert([ids[number % items]], vectors=vector[None])
                    vectors[number % items] = vector
            latency("search during upserts", searched_while_writing(client, target, ids, vectors, queries, k, requests))
            gone = max(1, items // 20)
            with a_second("deletes/s, 1000 a delete", gone, process):
                for start in range(items - gone, items, BATCH):
                    client.delete(ids[start : start + BATCH])
            latency("search during a snapshot", beside("snapshot", client, target, process, queries, k))
            _, snapshot = client.snapshot()
            memory("at the end", process)
        restored = f"{folder}/restored"
        began = time.perf_counter()
        restore(snapshot, restored)
        report("restore, s", time.perf_counter() - began)
        with started("the restored snapshot", restored, size) as (_, target), connected(target) as client:
            kept = vectors[: items - gone]
            hits = client.search(queries, k)
            recalls = []
            for query, row in zip(queries, hits, strict=True):
                scores = kept @ query
                best = np.argpartition(-scores, min(k, len(kept)) - 1)[:k]
                recalls.append(len({hit.item_id for hit in row} & {ids[number] for number in best}) / len(best))
            report(f"recall@{k}", float(np.mean(recalls)))
    load("load average at the end")


def upsert(client: RetrievalClient, ids: list[str], vectors: np.ndarray) -> None:
    """Sends a write again that a busy machine kept for longer than the service lets one wait; that changes nothing."""
    from serving.client import ServerError

    while True:
        try:
            client.upsert(ids, vectors=vectors)
            return
        except ServerError as error:
            if error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise


def search_times(client: RetrievalClient, queries: np.ndarray, k: int, requests: int) -> np.ndarray:
    """Milliseconds of each of so many searches, one after the other."""
    times = np.zeros(requests)
    for number in range(-50, requests):
        began = time.perf_counter()
        client.search(queries[number % len(queries)][None], k)
        if number >= 0:
            times[number] = (time.perf_counter() - began) * 1e3
    return times


def beside(
    operation: str, client: RetrievalClient, target: str, process: psutil.Process, queries: np.ndarray, k: int
) -> np.ndarray:
    """Milliseconds of each search, one after the other, while another connection has something long done."""
    done = threading.Event()
    seconds, spent = 0.0, processor(process)

    def run() -> None:
        nonlocal seconds
        with connected(target) as other:
            began = time.perf_counter()
            getattr(other, operation)()
            seconds = time.perf_counter() - began
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    times = []
    while not done.is_set():
        began = time.perf_counter()
        client.search(queries[len(times) % len(queries)][None], k)
        times.append((time.perf_counter() - began) * 1e3)
    thread.join()
    report(f"{operation}, s", seconds, processor(process) - spent)
    return np.asarray(times)


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
    done = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with connected(target) as writer:
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
    """Prints the median, the 99th percentile and the worst."""
    report(f"{name}, ms p50", float(np.percentile(times, 50)))
    report(f"{name}, ms p99", float(np.percentile(times, 99)))
    report(f"{name}, ms max", float(times.max()))


def memory(when: str, process: psutil.Process) -> None:
    """Prints the resident memory of a process, and the largest so far."""
    report(f"resident memory {when}, MB", process.memory_info().rss / 1e6)
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        (peak,) = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    report("its peak, MB", int(peak) * 1024 / 1e6)


def load(name: str) -> None:
    """Prints the processes that want to run, of the last one and five minutes."""
    one, five, _ = psutil.getloadavg()
    report(name, f"{one:.1f} (1 min) {five:.1f} (5 min) on {psutil.cpu_count()} cores")


@contextmanager
def a_second(name: str, count: int, process: psutil.Process) -> Iterator[None]:
    """Prints how many of something were done a second."""
    began, spent = time.perf_counter(), processor(process)
    yield
    report(name, count / (time.perf_counter() - began), processor(process) - spent)


def processor(process: psutil.Process) -> float:
    """Seconds that the cores have worked for a process: what a busy machine cannot stretch."""
    return sum(process.cpu_times()[:2])


def report(name: str, value: float | str, spent: float | None = None) -> None:
    """Prints one line, with the processor time that the service spent on it."""
    text = value if isinstance(value, str) else format(value, ",.3f")
    click.echo(f"{name:40} {text:>14}{'' if spent is None else f'   processor {spent:,.2f} s'}")


@contextmanager
def started(source: str, folder: str, size: int) -> Iterator[tuple[psutil.Process, str]]:
    """As `service`; prints what the start took."""
    began = time.perf_counter()
    with service(folder, size) as (process, target):
        report(f"start from {source}, s", time.perf_counter() - began, processor(process))
        memory("after it", process)
        yield process, target


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


def connected(target: str) -> RetrievalClient:
    """A client that waits for as long as a large rebalance takes."""
    from serving.retrieval_service.client import RetrievalClient

    return RetrievalClient(target, timeout=3600)


if __name__ == "__main__":
    main()
