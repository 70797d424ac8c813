"""The pictures of a comparison, PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from h2rec_tf import names
from h2rec_tf.bench.summary import Comparison, ModelResults

_MARKERS = {"floor": "^", "baseline": "s", "h2rec": "o"}
_COLOURS = {"floor": "#7f7f7f", "baseline": "#1f77b4", "h2rec": "#d62728"}
# More bars a group cannot be told apart.
_MOST_BARS = 8


def all_plots(comparison: Comparison) -> dict[str, tuple[str, bytes]]:
    """Name -> (caption, PNG) of every picture that the records have figures for."""
    found = {
        "head-tail": (f"HR@10 of head and tail targets, full ranking, {comparison.headline}", _head_tail(comparison)),
        "popularity": (
            f"NDCG@10 by training interactions of the target, full ranking, {comparison.headline}",
            _popularity(comparison),
        ),
    }
    trained = [
        model
        for model in comparison.models
        if "history" in model.records[0]["training"] and model.records[0]["protocol"] == comparison.headline
    ]
    if trained:
        found["learning-curves"] = ("NDCG@10 on validation during training, first seed", _learning_curves(trained))
    coded = _of_best(comparison, "codebook")
    if coded is not None:
        found["codebooks"] = (f"Items per code of {coded.name}'s semantic IDs, by level", _codebooks(coded))
    gated = _of_best(comparison, "gate")
    if gated is not None:
        found["gate"] = (
            f"Mean gate weight of each level in {gated.name}, by training interactions of the history's last item",
            _gate(gated),
        )
    return found


def _of_best(comparison: Comparison, key: str) -> ModelResults | None:
    """Of the models with some figures, the one that is best on validation."""
    having = [model for model in comparison.models if key in model.records[0]]
    return max(
        having,
        key=lambda model: np.nan_to_num(model.validation().mean, nan=-1.0),
        default=None,
    )


def _figure(width: float, height: float) -> Any:
    # The object interface leaves the process's pyplot backend and figures alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the writer's version the same figures give the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _head_tail(comparison: Comparison) -> bytes:
    figure = _figure(8, 6)
    axes = figure.subplots()
    points: list[tuple[str, float, float]] = []
    for model in comparison.models:
        head, tail = model.metric("hr@10", names.HEAD), model.metric("hr@10", names.TAIL)
        spread = {"xerr": _zero(tail.spread), "yerr": _zero(head.spread)} if len(model.records) > 1 else {}
        axes.errorbar(
            tail.mean, head.mean, **spread, marker=_MARKERS[model.kind], color=_COLOURS[model.kind], linestyle=""
        )
        points.append((model.name, tail.mean, head.mean))
    for kind, marker in _MARKERS.items():
        if any(model.kind == kind for model in comparison.models):
            axes.plot([], [], marker=marker, color=_COLOURS[kind], linestyle="", label=_KIND_WORDS[kind])
    axes.set(xlabel="tail HR@10", ylabel="head HR@10", title=f"{comparison.dataset}: head against tail")
    axes.margins(0.12)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    _label(figure, axes, points)
    return _png(figure)


# Where a point's label may stand: offset in points, side of the label that is nearest to the point; best first.
_PLACES = [
    (x, y, side)
    for reach in (0, 8, 16, 24)
    for x, side in ((5, "left"), (-5, "right"))
    for y in (3 + reach, -9 - reach)
]


def _label(figure: Any, axes: Any, points: list[tuple[str, float, float]]) -> None:
    """Names points, each label at the first place where it covers no point and no other label."""
    from matplotlib.transforms import Bbox

    # The layout settles where the points are on the picture.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    taken = [
        Bbox.from_extents(x - 4, y - 4, x + 4, y + 4)
        for x, y in axes.transData.transform([(x, y) for _, x, y in points])
    ]
    taken.append(axes.get_legend().get_window_extent())
    inside = axes.get_window_extent()
    for name, x, y in points:
        label = axes.annotate(name, (x, y), textcoords="offset points", fontsize=8)
        for place in [*_PLACES, _PLACES[0]]:
            label.set_position(place[:2])
            label.set_horizontalalignment(place[2])
            box = label.get_window_extent()
            if box.x0 > inside.x0 and box.x1 < inside.x1 and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


_KIND_WORDS = {"floor": "no training", "baseline": "one branch", "h2rec": "two branches (H2Rec)"}


def _zero(spread: float) -> float:
    return 0.0 if spread != spread else spread


def _popularity(comparison: Comparison) -> bytes:
    groups = comparison.slices("popularity")
    best = sorted(comparison.models, key=lambda model: -model.metric("ndcg@10").mean)[:_MOST_BARS]
    models = [model for model in comparison.models if model in best]
    figure = _figure(10, 4.5)
    axes = figure.subplots()
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        figures = [model.metric("ndcg@10", group) for group in groups]
        places = np.arange(len(groups)) + (number - (len(models) - 1) / 2) * width
        axes.bar(
            places,
            [value.mean for value in figures],
            width,
            yerr=[_zero(value.spread) for value in figures],
            label=model.name,
        )
    labels = [f"{group.split(' ')[-1]}\n{comparison.users(group)} users" for group in groups]
    axes.set_xticks(np.arange(len(groups)), labels)
    axes.set(xlabel="training interactions of the target", ylabel="NDCG@10", title=f"{comparison.dataset}: popularity")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    return _png(figure)


def _learning_curves(models: list[ModelResults]) -> bytes:
    figure = _figure(11, 4.5)
    by_epoch, by_time = figure.subplots(1, 2, sharey=True)
    for number, model in enumerate(models):
        history = model.records[0]["training"]["history"]
        values = [epoch["ndcg@10"] for epoch in history]
        # Twenty colours, then dashes.
        style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3], "linewidth": 1.3}
        by_epoch.plot(np.arange(1, len(values) + 1), values, label=model.name, **style)
        by_time.plot(np.cumsum([epoch["seconds"] for epoch in history]) / 60, values, **style)
    by_epoch.set(xlabel="epoch", ylabel="validation NDCG@10", title="by epoch")
    by_time.set(xlabel="minutes, validation included", title="by time")
    for axes in (by_epoch, by_time):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return _png(figure)


def _codebooks(model: ModelResults) -> bytes:
    codebook = model.records[0]["codebook"]
    figure = _figure(8, 4)
    axes = figure.subplots()
    for level, counts in enumerate(codebook["usage"], 1):
        label = f"level {level}: perplexity {codebook['perplexity'][level - 1]:.0f}, dead {codebook['dead'][level - 1]}"
        axes.plot(np.arange(1, len(counts) + 1), counts, label=label)
    axes.set(xlabel="code, most used first", ylabel="items", yscale="log")
    axes.set_title(f"{codebook['codes']} codes a level, {codebook['collision_rate']:.1%} of items share their tuple")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return _png(figure)


def _gate(model: ModelResults) -> bytes:
    gates = [record["gate"] for record in model.records]
    groups = gates[0]["groups"]
    weights = np.mean([gate["weights"] for gate in gates], axis=0)
    figure = _figure(8, 4)
    axes = figure.subplots()
    bottom = np.zeros(len(groups))
    for level in range(weights.shape[1]):
        axes.bar(groups, weights[:, level], 0.6, bottom=bottom, label=f"level {level + 1}")
        bottom += weights[:, level]
    axes.set(xlabel="training interactions of the history's last item", ylabel="mean gate weight")
    axes.set_title(f"{model.name}: granularity gate")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)
