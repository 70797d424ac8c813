"""Seconds and peak memory of the pipeline's ingestion on generated interactions, with and without a k-core.

    python benchmarks/ingestion.py --interactions 1000000 --core 5

Beam runs inside this process, as it does in `h2rec pipeline run` without flags.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import tempfile
import time

import apache_beam as beam
import numpy as np

from h2rec_tf import environment, names
from h2rec_tf.config import DataConfig
from tfx_pipeline.components.ingestion import shard_count
from tfx_pipeline.ingestion.findings import ROWS, read_summary
from tfx_pipeline.ingestion.interactions import add_interactions
from tfx_pipeline.ingestion.items import add_items
from tfx_pipeline.runners.local import beam_pipeline_args


def write_files(folder: pathlib.Path, *, rows: int, users: int, items: int, seed: int) -> None:
    """`events.csv` with skewed users and items, and `items.csv`."""
    rng = np.random.default_rng(seed)
    columns = [
        (users * rng.random(rows) ** 1.7).astype(int),
        (items * rng.random(rows) ** 3).astype(int),
        rng.integers(1_600_000_000, 1_700_000_000, rows),
    ]
    with open(folder / "events.csv", "w") as file:
        file.write("user_id,item_id,timestamp\n")
        lists = (column.tolist() for column in columns)
        file.writelines(f"u{user},i{item},{when}\n" for user, item, when in zip(*lists, strict=True))
    with open(folder / "items.csv", "w") as file:
        file.write("item_id,title\n")
        file.writelines(f"i{item},Title of item {item}\n" for item in range(items))


def ingest(folder: pathlib.Path, data: DataConfig) -> tuple[float, int]:
    """Seconds of the interactions' part, and how many usable rows were read."""
    options = beam.options.pipeline_options.PipelineOptions(beam_pipeline_args())
    catalogue, output = folder / "catalogue", pathlib.Path(tempfile.mkdtemp(dir=folder))
    source = str(folder / "events.csv")
    if not catalogue.exists():
        with beam.Pipeline(options=options) as pipeline:
            add_items(
                pipeline,
                str(folder / "items.csv"),
                embeddings="",
                data=data,
                uri=str(catalogue),
                split_uri=str(catalogue),
                temporary=str(folder / "temporary"),
            )
    began = time.perf_counter()
    with beam.Pipeline(options=options) as pipeline:
        add_interactions(
            pipeline,
            [source],
            source=source,
            data=data,
            catalogue=(str(catalogue / "*.gz"),),
            shards=shard_count([source]),
            uri=str(output),
            split_uris={split: str(output / split) for split in names.SPLITS},
            temporary=str(output / "temporary"),
        )
    summary = read_summary(str(output / "temporary"))
    return time.perf_counter() - began, summary.counts[ROWS]


def main() -> None:
    """Parses the arguments, measures, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=120_000)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--core", type=int, default=5, help="interactions that users and items need")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    environment.quiet()
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        write_files(
            folder, rows=arguments.interactions, users=arguments.users, items=arguments.items, seed=arguments.seed
        )
        print(f"{arguments.interactions:,} interactions, load {os.getloadavg()[0]:.1f}")
        for core in (0, arguments.core):
            seconds, rows = ingest(folder, DataConfig(min_user_interactions=core, min_item_interactions=core))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{core}-core  {seconds:6.1f} s  ({rows / seconds:,.0f} rows/s)  peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
