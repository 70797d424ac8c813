"""Pictures of a model report as PNG bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def learning_curves(history: list[dict[str, float]], best_epoch: int) -> bytes:
    """Loss and validation NDCG@10 by epoch; `history` as in `TrainingResult`."""
    figure, (left, right) = _figure(2)
    epochs = np.arange(1, len(history) + 1)
    left.plot(epochs, [figures["loss"] for figures in history], marker="o", markersize=3)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, [figures["ndcg@10"] for figures in history], marker="o", markersize=3, color="C2")
    right.axvline(best_epoch, color="grey", linestyle=":", label=f"best epoch {best_epoch}")
    right.set(xlabel="epoch", ylabel="validation NDCG@10")
    right.legend(fontsize=8)
    return _png(figure)


def popularity_curve(popularity: np.ndarray, head_fraction: float) -> bytes:
    """Training interactions of items, most popular first; int `[N + 1]` by item index, entry 0 pads."""
    figure, (axes,) = _figure(1)
    counts = np.sort(popularity[1:])[::-1]
    axes.plot(np.arange(1, len(counts) + 1), counts)
    head = max(1, round(head_fraction * len(counts)))
    share = counts[:head].sum() / max(counts.sum(), 1)
    label = f"head: {head} items, {share:.0%} of interactions"
    axes.axvline(head, color="grey", linestyle=":", label=label)
    axes.set(xlabel="item, most popular first", ylabel="training interactions", yscale="symlog")
    axes.legend(fontsize=8)
    return _png(figure)


def codebook_usage(usage: list[list[int]]) -> bytes:
    """Items of each used code, a line a level, most used code first."""
    figure, (axes,) = _figure(1)
    for level, counts in enumerate(usage, 1):
        axes.plot(np.arange(1, len(counts) + 1), counts, label=f"level {level}")
    axes.set(xlabel="code, most used first", ylabel="items", yscale="log")
    axes.legend(fontsize=8)
    return _png(figure)


def gate_weights(groups: list[str], weights: list[list[float]]) -> bytes:
    """Mean gate weight of each level, a stacked bar a popularity group."""
    figure, (axes,) = _figure(1)
    bottom = np.zeros(len(groups))
    for level, values in enumerate(np.asarray(weights).T, 1):
        axes.bar(groups, values, 0.6, bottom=bottom, label=f"level {level}")
        bottom += values
    axes.set(xlabel="training interactions of the history's last item", ylabel="mean gate weight")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _figure(columns: int) -> Any:
    # The object interface leaves the process's pyplot backend and figures alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, columns))
    for one in axes:
        one.grid(alpha=0.3)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
