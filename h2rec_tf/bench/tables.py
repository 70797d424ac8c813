"""The tables of a comparison, ready for Markdown and HTML."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from h2rec_tf import names
from h2rec_tf.bench.significance import Significance
from h2rec_tf.bench.summary import NEGATIVES, Comparison, Figure, ModelResults
from h2rec_tf.metrics import table
from h2rec_tf.metrics.protocol import EXCLUDE, INCLUDE, REPEATS, Protocol


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """A titled table of text cells.

    Attributes:
        title: heading.
        note: a sentence below the heading; "" for none.
        header: column names; the first column names models.
        rows: cells.
        best: for each row, whether a cell holds the best value of its column.
    """

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]
    best: list[list[bool]]

    def markdown(self) -> str:
        """Heading, note and table; the best of each column in bold."""
        cells = [
            [f"**{cell}**" if bold else cell for cell, bold in zip(row, flags, strict=True)]
            for row, flags in zip(self.rows, self.best, strict=True)
        ]
        parts = [f"### {self.title}", self.note, table.render(self.header, cells, markdown=True)]
        return "\n\n".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True)
class _Column:
    name: str
    read: Callable[[ModelResults], Figure]
    format: str = ".4f"
    # 1: more is better, -1: less is, 0: neither is marked.
    better: int = 1


# What protocols mean, by name.
_WORDS = {
    Protocol(
        EXCLUDE
    ).name: "As a server with `serving.seen: exclude` lists: no item of the history is recommended, so a"
    " target among them is missed. ",
    Protocol(INCLUDE).name: "As a server with `serving.seen: include` lists: items of the history are recommended like"
    " others. ",
    Protocol(REPEATS).name: "No item of the history competes but the target, should it be one; no list can be served"
    " so. ",
}


def all_tables(comparison: Comparison, significance: Significance | None) -> list[ResultTable]:
    """Every table of one data set."""
    found = [_overall(comparison), _head_and_tail(comparison, comparison.headline)]
    found += [_head_and_tail(comparison, protocol) for protocol in comparison.other_protocols]
    for family, words in (("popularity", "training interactions of the target"), ("history", "items in the history")):
        slices = comparison.slices(family)
        if family == "popularity" and comparison.users(names.COLD):
            slices = [names.COLD, *slices]
        found += [_by_slice(comparison, metric, slices, words) for metric in ("hr@10", "ndcg@10")]
    if NEGATIVES in comparison.first["results"]:
        found.append(_negatives(comparison))
    found.append(_cost(comparison))
    if significance is not None:
        found.append(_significance(significance))
    return found


def _list_figure(name: str) -> Callable[[ModelResults], Figure]:
    return lambda model: model.figure(lambda record: record["results"][model.headline]["lists"][name])


def _overall(comparison: Comparison) -> ResultTable:
    columns = [_metric(metric) for metric in comparison.metrics]
    columns += [
        _Column(name, _list_figure(name), f, b) for name, f, b in (("coverage@10", ".3f", 1), ("novelty@10", ".2f", 0))
    ]
    note = (
        f"{comparison.users(names.OVERALL)} test users; the target is ranked among the whole catalogue:"
        f" {comparison.headline}. {_WORDS.get(comparison.headline, '')}Mean ± standard deviation over seeds."
    )
    return _table(comparison, f"Full ranking, {comparison.headline}", note, columns)


def _head_and_tail(comparison: Comparison, protocol: str) -> ResultTable:
    columns = []
    for slice_name in (names.OVERALL, names.HEAD, names.TAIL):
        prefix = "" if slice_name == names.OVERALL else f"{slice_name} "
        columns += [
            _metric(metric, slice_name, protocol, f"{prefix}{metric.upper()}") for metric in ("hr@10", "ndcg@10")
        ]
    note = (
        f"Head: targets among the most popular fifth of the catalogue ({comparison.users(names.HEAD)} users); tail: the"
        f" rest ({comparison.users(names.TAIL)}). {_WORDS.get(protocol, '')}"
    ).rstrip()
    fraction = comparison.first["config"]["evaluation"]["head_fraction"]
    note = note.replace("fifth", f"{fraction:.0%}".replace("%", " %")) if fraction != 0.2 else note
    return _table(comparison, f"Head and tail, {protocol}", note, columns)


def _by_slice(comparison: Comparison, metric: str, slices: Sequence[str], words: str) -> ResultTable:
    columns = [_metric(metric, name, "", f"{name.split(' ')[-1]} ({comparison.users(name)})") for name in slices]
    note = f"Full ranking, {comparison.headline}; users in brackets."
    return _table(comparison, f"{metric.upper()} by {words}", note, columns)


def _negatives(comparison: Comparison) -> ResultTable:
    columns = [_metric(metric, protocol=NEGATIVES) for metric in comparison.metrics]
    columns += [_metric("hr@10", part, NEGATIVES, f"{part} HR@10") for part in (names.HEAD, names.TAIL)]
    note = (
        "The target among 100 uniform items that are not in the history: the paper's protocol. It orders models"
        " otherwise than the full ranking does, and its numbers cannot be compared with those."
    )
    return _table(comparison, "100 sampled negatives", note, columns)


def _cost(comparison: Comparison) -> ResultTable:
    def training(name: str) -> Callable[[ModelResults], Figure]:
        return lambda model: model.figure(lambda record: record["training"][name])

    def top(name: str) -> Callable[[ModelResults], Figure]:
        return lambda model: model.figure(lambda record: record[name])

    columns = [
        _Column("runs", lambda model: Figure(len(model.records)), ".0f", 0),
        _Column("parameters", top("parameters"), ",.0f", 0),
        _Column("validation NDCG@10", ModelResults.validation),
        _Column("best epoch", training("best_epoch"), ".0f", 0),
        _Column("epochs", training("epochs"), ".0f", 0),
        _Column("wall s", training("seconds"), ".0f", 0),
        _Column("s to best epoch", training("seconds_to_best"), ".0f", 0),
        _Column("train sequences/s", training("sequences_per_second"), ".0f", 0),
        _Column("test evaluation s", top("evaluation_seconds"), ".1f", 0),
        _Column("peak MB", top("peak_memory_mb"), ".0f", 0),
    ]
    note = (
        "Wall time holds training and validation (floors: fitting); the test evaluation ranks under all protocols and"
        " makes the recommended lists. Peak memory is that of the run's own process, libraries included."
    )
    return _table(comparison, "Cost", note, columns)


def _significance(found: Significance) -> ResultTable:
    header = [f"against {found.baseline}", "NDCG@10 difference", "95 % interval", "p", "p (Holm)"]
    header += ["HR@10 difference", "HR@10 95 % interval", "HR@10 p"]
    rows = []
    for name, ndcg, hits, adjusted in zip(found.models, found.ndcg, found.hits, found.adjusted, strict=True):
        cells = [name, f"{ndcg.difference:+.4f}", f"{ndcg.low:+.4f} .. {ndcg.high:+.4f}", _p(ndcg.p), _p(adjusted)]
        rows.append([*cells, f"{hits.difference:+.4f}", f"{hits.low:+.4f} .. {hits.high:+.4f}", _p(hits.p)])
    note = (
        "Paired over test users, seeds averaged for each user: bootstrap interval, sign-flip permutation test with"
        " 10,000 resamples; Holm adjusts for the number of models. The spread over seeds is not in the interval."
    )
    return ResultTable("Significance", note, header, rows, [[False] * len(header) for _ in rows])


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.00015 else "< 0.0002"


def _metric(metric: str, slice_name: str = names.OVERALL, protocol: str = "", title: str | None = None) -> _Column:
    return _Column(title or metric.upper(), lambda model: model.metric(metric, slice_name, protocol))


def _table(comparison: Comparison, title: str, note: str, columns: list[_Column]) -> ResultTable:
    figures = [[column.read(model) for column in columns] for model in comparison.models]
    columns, figures = _known(columns, figures)
    rows, best = [], []
    for model, values in zip(comparison.models, figures, strict=True):
        rows.append([model.name, *(cell(value, column.format) for value, column in zip(values, columns, strict=True))])
    for row in range(len(figures)):
        flags = [False]
        for place, column in enumerate(columns):
            others = [values[place].mean * column.better for values in figures if not math.isnan(values[place].mean)]
            value = figures[row][place].mean * column.better
            flags.append(bool(column.better) and len(others) > 1 and value == max(others))
        best.append(flags)
    return ResultTable(title, note, ["model", *(column.name for column in columns)], rows, best)


def _known(columns: list[_Column], figures: list[list[Figure]]) -> tuple[list[_Column], list[list[Figure]]]:
    """Without the columns that no model has a value for."""
    kept = [place for place in range(len(columns)) if any(not math.isnan(row[place].mean) for row in figures)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in figures]


def cell(figure: Figure, form: str) -> str:
    """A figure as text: "0.0896 ± 0.0003"; "-" where there is none."""
    if math.isnan(figure.mean):
        return "-"
    text = format(figure.mean, form)
    # Whole numbers that are the same in all runs, as parameters, need no spread.
    alone = math.isnan(figure.spread) or (figure.spread == 0 and form.endswith(".0f"))
    return text if alone else f"{text} ± {format(figure.spread, form)}"
