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
from h2rec_tf.metrics.protocol import Protocol

NEGATIVES = Protocol(sampled_negatives=100).name
# Records of earlier versions call their protocols otherwise, and equals counted against the target there.
_EARLIER = {
    "full": "seen items compete, equals against the target",
    "full, seen excluded": "seen excluded, repeats compete, equals against the target",
}


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
        headline: protocol of the figures that are shown first.
    """

    name: str
    records: list[Record]
    headline: str

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

    def metric(self, metric: str, slice_name: str = names.OVERALL, protocol: str = "") -> Figure:
        """A ranking metric, as "ndcg@10", of a slice under a protocol; "" is the headline's."""
        return self.figure(lambda record: record["results"][protocol or self.headline]["slices"][slice_name][metric])

    def validation(self) -> Figure:
        """NDCG@10 on validation, of runs that validated by the headline's protocol."""
        return self.figure(
            lambda record: record["training"]["validation_ndcg@10"] if record["protocol"] == self.headline else None
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Models on one data set.

    Attributes:
        dataset: its name.
        data_hash: of its content.
        models: in the order of first appearance.
        headline: protocol of the figures that are shown first: of the newest record, what serving gives with it.
    """

    dataset: str
    data_hash: str
    models: list[ModelResults]
    headline: str

    @property
    def first(self) -> Record:
        """Any record, for what all share."""
        return self.models[0].records[0]

    @property
    def metrics(self) -> list[str]:
        """Ranking metrics that the records hold."""
        return [name for name in self._slices[names.OVERALL] if name != "users"]

    @property
    def other_protocols(self) -> list[str]:
        """Protocols of any record beside the headline's and the one with negatives."""
        found = {protocol: None for model in self.models for record in model.records for protocol in record["results"]}
        return [protocol for protocol in found if protocol not in (self.headline, NEGATIVES)]

    @property
    def _slices(self) -> dict[str, Any]:
        # The users of a slice are the same under all protocols.
        return next(iter(self.first["results"].values()))["slices"]

    def slices(self, prefix: str) -> list[str]:
        """Slices of a family, as "popularity", that have users."""
        return [name for name, values in self._slices.items() if name.startswith(f"{prefix} ") and values["users"]]

    def users(self, slice_name: str) -> int:
        """Test users of a slice."""
        return int(self._slices[slice_name]["users"])

    def best(self, kinds: Sequence[str], metric: str = "ndcg@10") -> ModelResults | None:
        """The model of some kinds with the highest mean of a metric under the headline's protocol; None without one."""
        of_kind = [model for model in self.models if model.kind in kinds and not math.isnan(model.metric(metric).mean)]
        return max(of_kind, key=lambda model: model.metric(metric).mean, default=None)


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """One comparison a data set.

    A model of which there are several configurations is shown with that of its newest record.

    Raises:
        InputError: no records.
    """
    if not records:
        raise InputError("no finished run to show; run `h2rec bench quality` first")
    records = [_named(record) for record in records]
    headlines = {record["data_hash"]: record["protocol"] for record in records}
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
            [
                ModelResults(name, [runs[seed] for seed in sorted(runs)], headlines[data_hash])
                for name, runs in models.items()
            ],
            headlines[data_hash],
        )
        for data_hash, models in found.items()
    ]


def _named(record: Record) -> Record:
    """A record with today's names of protocols, and with that of its headline, its ranks and its validation."""
    results = {_EARLIER.get(name, name): values for name, values in record["results"].items()}
    return {"protocol": next(iter(results)), **record, "results": results}
