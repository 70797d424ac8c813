"""The page: figures in, one HTML file with embedded pictures out; it loads nothing from anywhere."""

from __future__ import annotations

import base64
import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from h2rec_tf.metrics import table
from h2rec_tf.report import figures

_METRICS = ("users", "ndcg_10", "hr_10", "mrr")


@dataclasses.dataclass(frozen=True)
class Example:
    """One user: titles of the last items, of the one that came next, and of the recommended ones."""

    history: list[str]
    target: str
    items: list[str]


@dataclasses.dataclass(frozen=True)
class ModelReport:
    """What the page shows.

    Attributes:
        title: heading.
        facts: name -> value, shown as they are.
        blessed: whether every validator blessed the model.
        reasons: why not.
        metrics: slice -> metric -> value; `users` among the metrics.
        floors: floor -> slice -> NDCG@10.
        compared: how the model stands to the floors that it must beat, one line each.
        protocol: name of the one that metrics and floors are measured by, as `Protocol.name`.
        history: one dict of figures an epoch, as in `TrainingResult`.
        best_epoch: 1-based.
        popularity: int `[N + 1]`, training interactions by item index.
        head_fraction: share of the catalogue that is head.
        codebook: as `h2rec_tf.bench.pictures.codebook_usage` gives it.
        gate: as `h2rec_tf.bench.pictures.gate_by_popularity` gives it; None for a model without a gate.
        examples: some users.
    """

    title: str
    facts: dict[str, str]
    blessed: bool
    reasons: list[str]
    metrics: dict[str, dict[str, float]]
    floors: dict[str, dict[str, float]]
    compared: list[str]
    protocol: str
    history: list[dict[str, float]]
    best_epoch: int
    popularity: np.ndarray
    head_fraction: float
    codebook: dict[str, Any]
    gate: dict[str, Any] | None
    examples: list[Example]


def render(report: ModelReport) -> str:
    """The HTML page."""
    import jinja2

    header = [*(name.replace("_", "@") for name in _METRICS), *(f"{name} ndcg@10" for name in report.floors)]
    rows = []
    for name, values in report.metrics.items():
        cells = [table.number(metric, values.get(metric, math.nan)) for metric in _METRICS]
        cells += [table.number("ndcg_10", floor.get(name, math.nan)) for floor in report.floors.values()]
        rows.append((name, cells))
    template = pathlib.Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(report=report, header=header, rows=rows, pictures=_pictures(report))


def _pictures(report: ModelReport) -> list[tuple[str, str, str]]:
    """Title, caption and base64 PNG of each picture there are figures for."""
    codebook = report.codebook
    levels = [
        f"level {level}: perplexity {perplexity}, {dead} dead codes, {usage[0] / sum(usage):.1%} of items on one code"
        for level, (perplexity, dead, usage) in enumerate(
            zip(codebook["perplexity"], codebook["dead"], codebook["usage"], strict=True), 1
        )
    ]
    shared = (
        f"{codebook['collision_rate']:.1%} of items share their code tuple with another one,"
        f" {codebook['largest_tuple_share']:.1%} have the most common one"
    )
    found = [
        ("Learning curves", "", figures.learning_curves(report.history, report.best_epoch)),
        ("Popularity", "", figures.popularity_curve(report.popularity, report.head_fraction)),
        ("Use of codes", "; ".join([*levels, shared]), figures.codebook_usage(codebook["usage"])),
    ]
    if report.gate is not None:
        caption = "Level 1 is the coarsest."
        found.append(("Granularity gate", caption, figures.gate_weights(report.gate["groups"], report.gate["weights"])))
    return [(title, caption, base64.b64encode(picture).decode()) for title, caption, picture in found]
