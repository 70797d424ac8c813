"""`h2rec bench`: measurements that are kept, compared and drawn."""

from __future__ import annotations

import click

from h2rec_tf.cli.lazy import LazyGroup, Plugin

_COMMANDS = {
    "quality": ("h2rec_tf.cli.bench_quality", "quality", "Train and measure named configurations on one data set."),
    "render": ("h2rec_tf.cli.bench_quality", "render", "Tables, pictures and a page from results, without running."),
}
# Commands of the other two packages, found through the entry-point group `h2rec.bench`.
_PLUGINS = {"serve": Plugin("Load a model server and measure latency and throughput.", "serving")}


@click.group(cls=LazyGroup, commands_at=_COMMANDS, plugins=_PLUGINS, plugin_group="h2rec.bench")
def bench() -> None:
    """Benchmarks of quality and speed."""
