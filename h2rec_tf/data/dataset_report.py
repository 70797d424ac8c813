"""What is in a user's files, as numbers, as text and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from h2rec_tf.data.dataset import PreparedEvents
from h2rec_tf.data.doubts import Doubt
from h2rec_tf.data.events import Events
from h2rec_tf.data.problems import Problem, Problems
from h2rec_tf.data.sequences import Catalogue, Dataset
from h2rec_tf.data.timestamps import clock
from h2rec_tf.names import TEST, TRAIN, VALIDATION

# Share of the catalogue, most popular first, whose share of the interactions shows how long the tail is.
TOP_FRACTION = 0.2
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sizes of a set of interactions."""

    users: int
    items: int
    interactions: int

    @classmethod
    def of(cls, events: Events) -> Counts:
        """Users and items that have an event, and events."""
        return cls(len(events.starts), len(np.unique(events.items)), len(events))


@dataclasses.dataclass(frozen=True)
class DatasetReport:
    """Facts about interactions and items, before and after filtering, and all that was rejected.

    Attributes:
        rows_in_file: rows of the interactions file, the rejected ones too.
        rows: usable rows of the interactions file.
        repeats: exact repeats (user, item, timestamp).
        repeats_kept: whether they stayed.
        known: distinct interactions with items of the catalogue, before the k-core.
        core: those after it.
        catalogue_items: N.
        items_without_title: catalogue items with an empty title.
        items_without_text: catalogue items with empty text.
        items_never_taken: catalogue items without an interaction, before the k-core.
        vector_width: D of the given vectors; 0 without.
        density: interactions over users times catalogue items.
        mean_history: interactions a user.
        history_quantiles: share -> history length.
        top_share: share of interactions on the most popular fifth of the catalogue.
        first_timestamp: the earliest, nanoseconds since 1970 in UTC; None without interactions or without times.
        last_timestamp: the latest.
        splits: split -> its rows: interactions for training, targets otherwise; empty if nothing could be split.
        training_users: users in the training split.
        cold_test_targets: test targets that training never saw.
        problems: rejected rows.
        warnings: what to look at before the data is used.
        failure: why there is no data set, or why a later step would refuse it; "" if neither.
    """

    rows_in_file: int
    rows: int
    repeats: int
    repeats_kept: bool
    known: Counts
    core: Counts
    catalogue_items: int
    items_without_title: int
    items_without_text: int
    items_never_taken: int
    vector_width: int
    density: float
    mean_history: float
    history_quantiles: dict[float, int]
    top_share: float
    first_timestamp: int | None
    last_timestamp: int | None
    splits: dict[str, int]
    training_users: int
    cold_test_targets: int
    problems: Problems
    warnings: list[Doubt] = dataclasses.field(default_factory=list)
    failure: str = ""

    @classmethod
    def make(
        cls,
        *,
        rows_in_file: int,
        rows: int,
        prepared: PreparedEvents,
        catalogue: Catalogue,
        dataset: Dataset | None,
        problems: Problems,
        warnings: list[Doubt],
        failure: str,
    ) -> DatasetReport:
        """Counts everything."""
        events = prepared.matched
        known = Counts.of(events)
        lengths = np.diff(np.append(events.starts, len(events)))
        taken = np.bincount(events.items, minlength=len(catalogue) + 1)[1:]
        top = np.sort(taken)[::-1][: max(round(TOP_FRACTION * len(catalogue)), 1)]
        splits: dict[str, int] = {}
        training_users = cold = 0
        if dataset is not None:
            splits = {
                TRAIN: len(dataset.train.items),
                VALIDATION: len(dataset.validation),
                TEST: len(dataset.test),
            }
            training_users = len(dataset.train)
            cold = int((dataset.popularity[dataset.test.targets] == 0).sum())
        quantiles = np.quantile(lengths, _QUANTILES, method="lower").tolist() if len(lengths) else []
        return cls(
            rows_in_file=rows_in_file,
            rows=rows,
            repeats=prepared.repeats,
            repeats_kept=prepared.repeats_kept,
            known=known,
            core=Counts.of(prepared.core),
            catalogue_items=len(catalogue),
            items_without_title=int(sum(not title for title in catalogue.titles.tolist())),
            items_without_text=int(sum(not text for text in catalogue.texts.tolist())),
            items_never_taken=int((taken == 0).sum()),
            vector_width=0 if catalogue.vectors is None else catalogue.vectors.shape[1],
            density=known.interactions / max(known.users * len(catalogue), 1),
            mean_history=float(lengths.mean()) if len(lengths) else 0.0,
            history_quantiles=dict(zip(_QUANTILES, (int(value) for value in quantiles), strict=False)),
            top_share=float(top.sum() / max(len(events), 1)),
            first_timestamp=int(events.timestamps.min()) if len(events) and events.timed else None,
            last_timestamp=int(events.timestamps.max()) if len(events) and events.timed else None,
            splits=splits,
            training_users=training_users,
            cold_test_targets=cold,
            problems=problems,
            warnings=warnings,
            failure=failure,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["known"], values["core"] = dataclasses.asdict(self.known), dataclasses.asdict(self.core)
        values["history_quantiles"] = {str(share): length for share, length in self.history_quantiles.items()}
        values["problems"] = {
            "total": self.problems.total,
            "by_kind": dict(self.problems.counts),
            "listed": [problem.to_dict() for problem in self.problems.ordered()],
        }
        values["warnings"] = [doubt.to_dict() for doubt in self.warnings]
        values["notes"] = dict(self.problems.notes)
        return values

    def lines(self) -> list[str]:
        """The facts as text, without the problems."""
        core_loss = self.known.interactions - self.core.interactions
        quantiles = ", ".join(f"{_quantile_name(share)} {length}" for share, length in self.history_quantiles.items())
        facts = [
            (
                "rows in file",
                f"{self.rows_in_file:,} ({self.rows:,} usable, {self.rows_in_file - self.rows:,} rejected)",
            ),
            (
                "interactions",
                f"{self.known.interactions:,} ({self.rows:,} usable rows, {self.repeats:,} exact repeats "
                f"{'kept' if self.repeats_kept else 'dropped'})",
            ),
            ("users", f"{self.known.users:,}"),
            ("items", f"{self.catalogue_items:,} ({self.items_never_taken:,} without an interaction)"),
            ("items without text", f"{self.items_without_text:,} ({self.items_without_title:,} without title)"),
            ("item vectors", f"{self.vector_width} numbers each" if self.vector_width else "none given"),
            ("density", f"{self.density:.4%}"),
            ("history length", f"mean {self.mean_history:.1f}, {quantiles}" if quantiles else "none"),
            ("long tail", f"{self.top_share:.1%} of interactions on the top {TOP_FRACTION:.0%} of items"),
            ("timestamps", self._span()),
            (
                "after k-core",
                f"{self.core.interactions:,} interactions ({core_loss:,} dropped), {self.core.users:,} users, "
                f"{self.core.items:,} items",
            ),
        ]
        if self.splits:
            held_out = f"{self.splits[VALIDATION]:,} validation and {self.splits[TEST]:,} test targets"
            facts.append(
                (
                    "split",
                    f"{self.splits[TRAIN]:,} training interactions of {self.training_users:,} users, {held_out}",
                )
            )
            facts.append(("cold test targets", f"{self.cold_test_targets:,}"))
        facts.extend((what, f"{count:,}, passed over") for what, count in self.problems.notes.items())
        width = max(len(name) for name, _ in facts[:13])
        return [f"{name:<{width}}  {value}" for name, value in facts]

    def _span(self) -> str:
        if self.first_timestamp is None or self.last_timestamp is None:
            return "none"
        return f"{clock(self.first_timestamp)} to {clock(self.last_timestamp)}"

    def warning_lines(self) -> list[str]:
        """Doubts as text; nothing without one."""
        if not self.warnings:
            return []
        count = "1 warning" if len(self.warnings) == 1 else f"{len(self.warnings):,} warnings"
        return [f"{count}:", *(f"  {doubt}" for doubt in self.warnings)]

    def problem_lines(self, limit: int | None = None) -> list[str]:
        """Rejected rows as text, the first `limit` of them (None: all that are listed), and how many more there are."""
        shown: list[Problem] = self.problems.ordered()[:limit]
        if not self.problems.total:
            return ["no problems"]
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.problems.counts.items())
        lines = [f"{self.problems.total:,} rejected: {kinds}", *(f"  {problem}" for problem in shown)]
        more = self.problems.total - len(shown)
        return [*lines, f"  and {more:,} more"] if more else lines


def _quantile_name(share: float) -> str:
    return {0.0: "min", 0.5: "median", 1.0: "max"}.get(share, f"{share:.0%}")
