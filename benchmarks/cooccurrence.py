"""Seconds and peak memory of the co-occurrence lists on generated interactions.

    python benchmarks/cooccurrence.py --interactions 20000000 --items 200000

A history stays in one of many topics for a while and then moves on, and items inside a topic are Zipf-like, so pairs
repeat as they do in real data.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from h2rec_tf.data.cooccurrence import cooccurrence, pair_counts
from h2rec_tf.data.sequences import Sequences

_TOPIC_SIZE = 500


def interactions(total: int, num_items: int, mean_length: int, seed: int) -> Sequences:
    """Histories of geometric length; about one step in ten changes the topic."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(1 / mean_length, max(total // mean_length, 1))
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    size = int(offsets[-1])
    topics = max(num_items // _TOPIC_SIZE, 1)
    stay = np.cumsum(rng.random(size) < 0.1)
    topic = rng.integers(0, topics, int(stay[-1]) + 1, dtype=np.int32)[stay]
    place = np.minimum((_TOPIC_SIZE ** rng.random(size)).astype(np.int32), _TOPIC_SIZE) - 1
    items = np.minimum(topic * _TOPIC_SIZE + place, num_items - 1) + 1
    times = np.arange(size, dtype=np.int64)
    return Sequences(np.arange(len(lengths)), items.astype(np.int32), offsets, times)


def main() -> None:
    """Parses the arguments, measures, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=20_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--history", type=int, default=50, help="mean history length")
    parser.add_argument("--window", type=int, default=3)
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument("--time-scale", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train = interactions(arguments.interactions, arguments.items, arguments.history, arguments.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started, started_cpu = time.perf_counter(), time.process_time()
    options = {"window": arguments.window, "time_scale": arguments.time_scale}
    lists = cooccurrence(train, arguments.items, **options, top=arguments.top)
    seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pairs = pair_counts(train, arguments.items, **options).nnz
    print(f"{len(train.items):,} interactions, {arguments.items:,} items, window {arguments.window}")
    print(
        f"pairs   {pairs:12,} distinct (both directions), {(lists.items > 0).sum(1)[1:].mean():.1f} positives an item"
    )
    print(f"wall    {seconds:8.1f} s  ({len(train.items) / seconds:,.0f} interactions/s)")
    print(f"cpu     {cpu:8.1f} s")
    print(f"peak    {peak:8.2f} GB, of it {before:.2f} GB before the start")


if __name__ == "__main__":
    main()
