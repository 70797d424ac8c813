"""What the gRPC server adds to a model: latency of Predict beside the same signature called in this process.

    python benchmarks/serve.py                        # a toy model of 12,000 items x 128
    python benchmarks/serve.py --model-dir pushed     # a pushed model; its histories are drawn from --item-ids

The server runs as a process of its own on the same machine. Requests go out one after the other, so nothing queues; a
second table has several clients at once.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import numpy as np

from h2rec_tf import environment, names

WARM_UP = 200


@click.command()
@click.option("--model-dir", default="", help="Folder with versions; absent: a toy model is made.")
@click.option("--item-ids", type=click.File(), help="One item id a line, for the histories; with --model-dir.")
@click.option("--items", default=12_000, show_default=True, help="Items of the toy model.")
@click.option("--size", default=128, show_default=True, help="Vector size of the toy model.")
@click.option("--length", default=10, show_default=True, help="Items in a history.")
@click.option("--k", default=10, show_default=True)
@click.option("--requests", default=2000, show_default=True, help="Calls measured in each way.")
@click.option("--clients", default=4, show_default=True, help="Callers at once in the second table.")
def main(
    model_dir: str,
    item_ids: Iterator[str] | None,
    items: int,
    size: int,
    length: int,
    k: int,
    requests: int,
    clients: int,
) -> None:
    """Measures Predict at batch 1."""
    environment.quiet()
    with tempfile.TemporaryDirectory() as folder:
        if not model_dir:
            model_dir = folder
            save_toy(pathlib.Path(folder) / "1", items, size)
        ids = [line.strip() for line in item_ids] if item_ids else [f"i{n}" for n in range(1, items + 1)]
        histories = np.random.default_rng(0).choice(np.array([text.encode() for text in ids], object), (256, length))
        with server(model_dir) as target:
            compare(model_dir, target, histories, k, requests)
            throughput(target, histories, k, requests, clients)


def compare(model_dir: str, target: str, histories: np.ndarray, k: int, requests: int) -> None:
    """Prints p50 and p99 of the three ways to call, and how much gRPC adds."""
    import tensorflow as tf

    from serving.client import Client
    from serving.server.options import Limits
    from serving.server.servable import Servable
    from serving.server.versions import list_versions
    from serving.tensors import encode

    version, path = max(list_versions(model_dir).items())
    eager = tf.saved_model.load(path).signatures[names.SERVING_DEFAULT]
    servable = Servable.load(version, path)
    signature = servable.signature(names.SERVING_DEFAULT)
    texts = decoded(histories)

    def call_eager(number: int) -> None:
        outputs = eager(history=tf.constant(histories[number : number + 1]), k=tf.constant(k))
        for tensor in outputs.values():
            tensor.numpy()

    def call_session(number: int) -> None:
        inputs = {names.HISTORY: encode(histories[number : number + 1]), names.K: encode(np.array(k, np.int32))}
        servable.run(signature, signature.feeds(inputs, Limits()))

    with Client(target) as client:
        ways: dict[str, Callable[[int], object]] = {
            "in process, tf.saved_model.load": call_eager,
            "in process, the server's session": call_session,
            "over gRPC": lambda number: client.recommend([texts[number]], k),
        }
        times = interleaved(list(ways.values()), requests, len(histories))
    click.echo(f"{'ms a call at batch 1':34} {'p50':>7} {'p99':>7}")
    for name, row in zip(ways, times, strict=True):
        click.echo(f"{name:34} {np.percentile(row, 50):7.3f} {np.percentile(row, 99):7.3f}")
    base, inner, outer = (np.percentile(row, 50) for row in times)
    click.echo(
        f"gRPC adds {outer - base:+.3f} ms p50 to the loaded signature (ratio {outer / base:.2f}), "
        f"{outer - inner:+.3f} ms to the session"
    )


def interleaved(calls: list[Callable[[int], object]], requests: int, rows: int) -> np.ndarray:
    """Milliseconds of each call, `[ways, requests]`; the ways take turns so that a busy moment hits them alike."""
    times = np.zeros((len(calls), requests))
    for number in range(-WARM_UP, requests):
        for way, call in enumerate(calls):
            began = time.perf_counter()
            call(number % rows)
            if number >= 0:
                times[way, number] = (time.perf_counter() - began) * 1e3
    return times


def decoded(histories: np.ndarray) -> list[list[str]]:
    """Histories as a client is given them."""
    return [[item.decode() for item in row] for row in histories]


def throughput(target: str, histories: np.ndarray, k: int, requests: int, clients: int) -> None:
    """Prints requests a second and latency with several callers that each wait for their answer."""
    from serving.client import Client

    times = np.zeros((clients, requests // clients))
    texts = decoded(histories)

    def ask(row: np.ndarray, client: Client) -> None:
        for number in range(len(row)):
            began = time.perf_counter()
            client.recommend([texts[number % len(texts)]], k)
            row[number] = (time.perf_counter() - began) * 1e3

    with Client(target) as client:
        threads = [threading.Thread(target=ask, args=(row, client)) for row in times]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    click.echo(
        f"{clients} callers: {times.size / seconds:.0f} requests/s, "
        f"p50 {np.percentile(times, 50):.2f} ms, p99 {np.percentile(times, 99):.2f} ms"
    )


@contextmanager
def server(model_dir: str) -> Iterator[str]:
    """A server process; yields its `host:port`."""
    command = [sys.executable, "-c", "from h2rec_tf.cli.main import main; main()"]
    process = subprocess.Popen(
        [*command, "serve", "--model-dir", model_dir, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("the server did not start")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait()


def save_toy(path: pathlib.Path, items: int, size: int) -> None:
    """A model that sums the history's vectors and ranks all items exactly, with random weights."""
    import tensorflow as tf

    root = tf.Module()
    root.vectors = tf.Variable(np.random.default_rng(0).normal(size=(items + 1, size)).astype(np.float32))
    root.ids = tf.constant(["", *(f"i{n}" for n in range(1, items + 1))])
    root.titles = tf.constant(["", *(f"Title {n}" for n in range(1, items + 1))])
    root.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(root.ids[1:], tf.range(1, items + 1, dtype=tf.int64)), 0
    )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, name=names.HISTORY),
            tf.TensorSpec([], tf.int32, name=names.K),
        ]
    )
    def serving_default(history: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = root.table.lookup(history)
        known = tf.cast(rows > 0, tf.float32)[..., None]
        users = tf.reduce_sum(tf.gather(root.vectors, rows) * known, axis=1)
        scores = tf.matmul(users, root.vectors, transpose_b=True)
        positions = tf.stack(
            [tf.repeat(tf.range(tf.shape(rows)[0]), tf.shape(rows)[1]), tf.reshape(tf.cast(rows, tf.int32), [-1])], 1
        )
        scores = tf.tensor_scatter_nd_min(scores, positions, tf.fill([tf.size(rows)], -np.inf))
        best, chosen = tf.math.top_k(scores, k)
        return {
            names.ITEM_IDS: tf.gather(root.ids, chosen),
            names.TITLES: tf.gather(root.titles, chosen),
            names.SCORES: best,
        }

    tf.saved_model.save(root, str(path), signatures={names.SERVING_DEFAULT: serving_default})


if __name__ == "__main__":
    main()
