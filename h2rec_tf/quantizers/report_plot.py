"""The picture of a codebook report."""

from __future__ import annotations

import typing

import numpy as np

if typing.TYPE_CHECKING:
    from h2rec_tf.quantizers.codebook_report import CodebookReport


def plot_report(report: CodebookReport, path: str) -> None:
    """Writes a PNG of 1200 x 400 pixels: usage by rank, error over levels, items per prefix over levels."""
    # The object interface leaves the process's pyplot backend and figures alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    usage, error, sharing = figure.subplots(1, 3)
    for level, counts in zip(report.levels, report.usage, strict=True):
        usage.plot(np.arange(1, len(counts) + 1), np.sort(counts)[::-1], label=f"level {level.level}")
    usage.set(title="Items per code", xlabel="code, most used first", ylabel="items")
    usage.legend()
    steps = [level.level for level in report.levels]
    error.plot(steps, [level.error for level in report.levels], marker="o")
    error.set(title="Variance lost", xlabel="levels used", ylim=(0, None), xticks=steps)
    sharing.plot(steps, [level.items_per_prefix for level in report.levels], marker="o")
    sharing.axhline(1.0, linewidth=1, linestyle=":", color="gray")
    sharing.set(title=f"Items per prefix (collisions {report.collision_rate:.1%})", xlabel="levels", yscale="log")
    sharing.set_xticks(steps)
    figure.savefig(path, format="png")
