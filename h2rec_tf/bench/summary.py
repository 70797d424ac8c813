"""Records by data set and model: mean and spread over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from h2rec_tf import names
from h2rec_tf.bench.records import Record
from h2rec_tf.errors import InputError

# Protocols, by the names that evaluations carry.
KEPT = "full"
EXCLUDED = "full, seen excluded"
NEGATIVES = "100 negatives"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number over seeds.

    Attributes:
        mean: over runs that have it; NaN without any.
        spread: sample standard deviation; NaN for fewer than two runs.
    """

    mean: float
    spread: float = math.nan

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Figure:
        """From one value a run; None where the run has none."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(math.nan)
        return cls(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else math.nan)


@dataclasses.dataclass(frozen=True)
class ModelResults:
    """All runs of one configuration on one data set.

    Attributes:
        name: the model's.
        records: a seed each.
    """

    name: str
    records: list[Record]

    @property
    def kind(self) -> str:
        """ "floor" (no training), "h2rec" (two branches) or "baseline"."""
        config = self.records[0]["config"]
        if config["floor"]["kind"] != "none":
            return "floor"
        return "h2rec" if config["model"]["branches"] == "dual" else "baseline"

    def figure(self, read: Callable[[Record], float | None]) -> Figure:
        """Mean and spread of what `read` finds in each record; a missing key counts as absent."""

        def value(record: Record) -> float | None:
            try:
                return read(record)
            except KeyError:
                return None

        return Figure.of([value(record) for record in self.records])

    def metric(self, metric: str, slice_name: str = names.OVERALL, protocol: str = KEPT) -> Figure:
        """A ranking metric, as "ndcg@10", of a slice under a protocol."""
        return self.figure(lambda record: record["results"][protocol]["slices"][slice_name][metric])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Models on one data set.

    Attributes:
        dataset: its name.
        data_hash: of its content.
        models: in the order of first appearance.
    """

    dataset: str
    data_hash: str
    models: list[ModelResults]

    @property
    def first(self) -> Record:
        """Any record, for what all share."""
        return self.models[0].records[0]

    @property
    def metrics(self) -> list[str]:
        """Ranking metrics that the records hold."""
        return [name for name in self.first["results"][KEPT]["slices"][names.OVERALL] if name != "users"]

    def slices(self, prefix: str) -> list[str]:
        """Slices of a family, as "popularity", that have users."""
        found = self.first["results"][KEPT]["slices"]
        return [name for name, values in found.items() if name.startswith(f"{prefix} ") and values["users"]]

    def users(self, slice_name: str) -> int:
        """Test users of a slice."""
        return int(self.first["results"][KEPT]["slices"][slice_name]["users"])

    def best(self, kinds: Sequence[str], metric: str = "ndcg@10") -> ModelResults | None:
        """The model of some kinds with the highest mean of a metric; None without one."""
        of_kind = [model for model in self.models if model.kind in kinds]
        return max(of_kind, key=lambda model: model.metric(metric).mean, default=None)


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """One comparison a data set.

    A model of which there are several configurations is shown with that of its newest record.

    Raises:
        InputError: no records.
    """
    if not records:
        raise InputError("no finished run to show; run `h2rec bench quality` first")
    newest: dict[tuple[str, str], str] = {}
    for record in records:
        newest[record["data_hash"], record["model"]] = record["config_hash"]
    found: dict[str, dict[str, dict[int, Record]]] = {}
    title: dict[str, Any] = {}
    for record in records:
        data_hash, model = record["data_hash"], record["model"]
        title[data_hash] = record["dataset"]
        runs = found.setdefault(data_hash, {}).setdefault(model, {})
        if record["config_hash"] == newest[data_hash, model]:
            runs[record["seed"]] = record
    return [
        Comparison(
            title[data_hash],
            data_hash,
            [ModelResults(name, [runs[seed] for seed in sorted(runs)]) for name, runs in models.items()],
        )
        for data_hash, models in found.items()
    ]
