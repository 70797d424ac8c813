"""Seconds and peak memory of an evaluation of a two-tower recommender with random vectors.

    python benchmarks/evaluate.py --users 22363 --items 12101 --dimensions 64
    python benchmarks/evaluate.py --dimensions 700 --protocol exclude --protocol include --protocol negatives
    python benchmarks/evaluate.py --users 2000 --items 1000000 --dimensions 64

The time holds ranks, recommended lists, slices and the table; the vectors stand in for a model, so encoding is free.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.evaluation import Protocol, evaluate_protocols
from h2rec_tf.models.item_vectors import ItemVectors

PROTOCOLS = {
    "exclude": Protocol("exclude"),
    "include": Protocol("include"),
    "repeats": Protocol("repeats"),
    "negatives": Protocol(sampled_negatives=100),
}


class RandomTowers:
    """Inner products of random vectors: a user's vector is that of the last item of the history."""

    max_length = 50

    def __init__(self, num_items: int, dimensions: int, rng: np.random.Generator):
        self.num_items = num_items
        self._items = ItemVectors(rng.standard_normal((num_items + 1, dimensions), np.float32))

    def queries(self, histories: np.ndarray) -> np.ndarray:
        return self._items.table[histories[:, -1]]

    def scores(self, queries: np.ndarray, start: int, stop: int) -> np.ndarray:
        return self._items.scores(queries, start, stop)


def main() -> None:
    """Parses the arguments, measures, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=22_363)
    parser.add_argument("--items", type=int, default=12_101)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--history", type=int, default=9, help="mean history length")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--item-block", type=int, default=65_536)
    parser.add_argument("--protocol", action="append", choices=list(PROTOCOLS), help="repeat for more [exclude]")
    parser.add_argument("--list-length", type=int, default=10, help="0 leaves the recommended lists out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    lengths = rng.geometric(1 / arguments.history, arguments.users)
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    items = rng.integers(1, arguments.items + 1, offsets[-1], dtype=np.int32)
    histories = Sequences(np.arange(arguments.users).astype(str), items, offsets)
    targets = rng.integers(1, arguments.items + 1, arguments.users, dtype=np.int32)
    recommender = RandomTowers(arguments.items, arguments.dimensions, rng)
    popularity = np.bincount(items, minlength=arguments.items + 1)
    started, started_cpu = time.perf_counter(), time.process_time()
    results = evaluate_protocols(
        recommender,
        Holdout(histories, targets),
        [PROTOCOLS[name] for name in arguments.protocol or ["exclude"]],
        popularity=popularity,
        recommendation_k=arguments.list_length,
        batch_size=arguments.batch_size,
        item_block=arguments.item_block,
        progress=True,
    )
    tables = [result.table() for result in results]
    seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    print(*tables, sep="\n\n")
    print(f"{arguments.users:,} users x {arguments.items:,} items, d {arguments.dimensions}")
    print(f"wall    {seconds:8.2f} s  ({arguments.users / seconds:,.0f} users/s)")
    print(f"cpu     {cpu:8.2f} s")
    print(f"peak    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GB")


if __name__ == "__main__":
    main()
