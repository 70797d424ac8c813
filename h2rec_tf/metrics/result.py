"""The outcome of an evaluation: the rank of every held-out target, and the tables made of it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import ranking, table


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Ranks of `U` held-out targets, and what they amount to in each slice.

    Metrics are `users`, `hr@k`, `ndcg@k` and `mrr` for each slice (with one target a user recall@k equals hr@k, so it
    is not repeated), and `coverage@k`, `novelty@k` and `gini@k` of the recommended lists for the slice overall.

    Attributes:
        protocol: how targets were ranked; numbers of different protocols are not comparable.
        ranks: int64 `[U]`, 1 is best; N + 1 is a target that no list can hold.
        slices: slice name -> bool `[U]`.
        ks: list lengths of the ranking metrics.
        lists: metrics of the recommended lists; empty in the sampled protocol, which recommends nothing.
    """

    protocol: str
    ranks: np.ndarray
    slices: Mapping[str, np.ndarray]
    ks: tuple[int, ...]
    lists: Mapping[str, float]

    @functools.cached_property
    def _per_row(self) -> dict[str, np.ndarray]:
        return ranking.per_row(self.ranks, self.ks)

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every slice has."""
        return ["users", *self._per_row]

    def metric(self, metric: str, slice_name: str = names.OVERALL) -> float:
        """One number; NaN where the slice has no users.

        Args:
            metric: one of `metrics` or of `lists`, as "ndcg@10".
            slice_name: one of `slices`, as "head".

        Raises:
            InputError: no such metric or slice.
        """
        if slice_name not in self.slices:
            raise InputError(f"no slice {slice_name!r}; there are {', '.join(self.slices)}")
        if metric in self.lists and slice_name == names.OVERALL:
            return self.lists[metric]
        users = self.slices[slice_name]
        if metric == "users":
            return float(users.sum())
        if metric not in self._per_row:
            raise InputError(
                f"no metric {metric!r} for {slice_name}; there are {', '.join([*self.metrics, *self.lists])}"
            )
        return float(self._per_row[metric][users].mean()) if users.any() else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and numbers for JSON: `protocol`, `lists`, and `slices` -> metric -> number or None."""
        slices = {}
        for name in self.slices:
            values = {metric: self.metric(metric, name) for metric in self.metrics}
            slices[name] = {metric: None if math.isnan(value) else value for metric, value in values.items()}
        return {"protocol": self.protocol, "lists": dict(self.lists), "slices": slices}

    def table(
        self, *, metrics: Sequence[str] | None = None, slices: Sequence[str] | None = None, markdown: bool = False
    ) -> str:
        """A row a slice, a column a metric, and below it the protocol and the metrics of the lists.

        Args:
            metrics: columns; None takes all.
            slices: rows; None takes those that have users.
            markdown: a Markdown table instead of plain columns.

        Raises:
            InputError: no such metric or slice.
        """
        columns = list(metrics if metrics is not None else self.metrics)
        shown = slices if slices is not None else [name for name, users in self.slices.items() if users.any()]
        rows = [[name, *(table.number(metric, self.metric(metric, name)) for metric in columns)] for name in shown]
        notes = [f"{metric} {table.number(metric, value)}" for metric, value in self.lists.items()]
        text = table.render(["slice", *columns], rows, markdown=markdown)
        return text + ("\n\n" if markdown else "\n") + ", ".join([f"protocol: {self.protocol}", *notes])


def compare_table(
    evaluations: Mapping[str, Evaluation], *, columns: Sequence[str] | None = None, markdown: bool = False
) -> str:
    """A row a model, a column a metric.

    Args:
        evaluations: model name -> its evaluation on the same users under the same protocol.
        columns: metrics, those of a slice as "head hr@10"; None takes the overall metrics, the middle k for head and
            tail, and coverage.
        markdown: a Markdown table instead of plain columns.

    Raises:
        InputError: nothing to compare, different protocols or users, or no such metric or slice.
    """
    if not evaluations:
        raise InputError("nothing to compare: give at least one evaluation")
    results = list(evaluations.values())
    protocols = sorted({result.protocol for result in results})
    if len(protocols) > 1:
        raise InputError(f"evaluations under different protocols cannot be compared: {'; '.join(protocols)}")
    sizes = sorted({len(result.ranks) for result in results})
    if len(sizes) > 1:
        raise InputError(f"evaluations over different users cannot be compared: {' and '.join(map(str, sizes))} rows")
    chosen = list(columns) if columns is not None else _default_columns(results[0])
    rows = []
    for name, result in evaluations.items():
        cells = []
        for column in chosen:
            slice_name, _, metric = column.rpartition(" ")
            cells.append(table.number(metric, result.metric(metric, slice_name or names.OVERALL)))
        rows.append([name, *cells])
    return table.render([f"model ({protocols[0]})", *chosen], rows, markdown=markdown)


def _default_columns(result: Evaluation) -> list[str]:
    middle = result.ks[len(result.ks) // 2]
    split = [f"{part} {metric}@{middle}" for metric in ("hr", "ndcg") for part in (names.HEAD, names.TAIL)]
    return [metric for metric in result.metrics if metric != "users"] + split + list(result.lists)[:1]
