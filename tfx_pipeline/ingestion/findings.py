"""What ingestion found wrong, counted and listed: the dead letters of a Beam pipeline."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from tfx.dsl.io import fileio

from h2rec_tf.data.doubts import Doubt
from h2rec_tf.data.problems import UNKNOWN_ITEM, Problem, Problems
from h2rec_tf.errors import InputError
from tfx_pipeline.constants import is_query

# Tagged outputs of all steps: findings, numbers that are summed over the whole run, and what doubts are made of.
FINDINGS = "findings"
COUNTS = "counts"
TALLIES = "tallies"

# Counters beside those of rejected rows.
ROWS = "usable rows"
ROWS_IN_FILES = "rows in files"
REPEATS = "repeats"
EMPTY_FILES = "files without a row"

# Rejected rows of a piece that are described, however few are allowed.
LEAST_LISTED = 100

REJECTED_FILES = os.path.join("rejected", "rows.jsonl")
_SUMMARY_FILE = "summary.json"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Rejected rows of one piece of a source, or an error that makes the whole source unusable.

    Attributes:
        source: path or query.
        problems: rows by kind, and the first of them as records.
        fatal: the error's text, or "".
    """

    source: str
    problems: Problems = dataclasses.field(default_factory=Problems)
    fatal: str = ""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run of ingestion came to.

    Attributes:
        counts: counter -> sum.
        rejected: kind of problem -> rows.
        first: rejected rows, by source and row: the first ones of each piece.
        fatal: errors that make a source unusable, in order of sources.
        doubts: what to look at before the data is used.
        notes: what was passed over without being wrong -> how often.
    """

    counts: dict[str, int]
    rejected: dict[str, int]
    first: list[Problem]
    fatal: list[str]
    doubts: list[Doubt]
    notes: dict[str, int]

    def check_sources(self) -> None:
        """Raises the first source's InputError, if one is unusable."""
        if self.fatal:
            raise InputError(self.fatal[0])

    def check_limit(self, *, max_bad_rows: int, rejected_before: int = 0) -> None:
        """Does nothing while at most `max_bad_rows` rows are rejected.

        Args:
            max_bad_rows: limit for all inputs together.
            rejected_before: rows of other inputs that are rejected already.

        Raises:
            InputError: the message has the first problem, the count and the remedy.
        """
        if self.total:
            problems = self.problems()
            problems.counts["rows of other inputs"] = rejected_before
            problems.enforce(max_bad_rows)

    def problems(self) -> Problems:
        """The rejected rows: all counted, the first ones as records."""
        problems = Problems()
        problems.records, problems.counts = list(self.first), dict(self.rejected)
        return problems

    @property
    def total(self) -> int:
        """Number of rejected rows."""
        return sum(self.rejected.values())

    @property
    def unknown_items(self) -> int:
        """Rows that have all they need, and an item that is not in the catalogue."""
        return self.rejected.get(UNKNOWN_ITEM, 0)


def summarize(
    pipeline: beam.Pipeline,
    findings: Iterable[beam.PCollection],
    counts: Iterable[beam.PCollection],
    *,
    listed: int,
    rejected_prefix: str,
    summary_dir: str,
    doubts: beam.PCollection | None = None,
) -> None:
    """Writes the summary for `read_summary`, and the rejected rows, one JSON object a line.

    Args:
        pipeline: that all the collections belong to.
        findings: collections of `Finding`.
        counts: collections of counters, as dictionaries.
        listed: rejected rows that are written at most for each file; all are counted.
        rejected_prefix: prefix of the files of rejected rows.
        summary_dir: where the summary goes.
        doubts: collection of `Doubt`, at most a few.
    """
    found = tuple(findings) | "AllFindings" >> beam.Flatten(pipeline=pipeline)
    problems = (
        found
        | "BySource" >> beam.FlatMap(_by_source, listed)
        | "GroupBySource" >> beam.GroupByKey()
        | "FirstOfSource" >> beam.FlatMap(_first_of_source, listed)
    )
    _ = (
        problems
        | "ToJson" >> beam.Map(lambda problem: json.dumps(problem.to_dict(), ensure_ascii=False))
        | "WriteRejected" >> beam.io.WriteToText(rejected_prefix, file_name_suffix="", num_shards=0, skip_if_empty=True)
    )
    totals = (
        (*counts, found | "RejectedCounts" >> beam.Map(_rejected_counts))
        | "AllCounts" >> beam.Flatten(pipeline=pipeline)
        | "SumCounts" >> beam.CombineGlobally(_sum_counts)
    )
    first = problems | "First" >> beam.combiners.Top.Of(LEAST_LISTED, key=_reading_order, reverse=True)
    fatal = (
        found
        | "Fatal" >> beam.FlatMap(lambda finding: [(finding.source, finding.fatal)] if finding.fatal else [])
        | "FirstFatal" >> beam.combiners.Top.Of(1, reverse=True)
    )
    if doubts is None:
        doubts = pipeline | "NoDoubts" >> beam.Create([], reshuffle=False)
    _ = totals | "WriteSummary" >> beam.Map(
        _write_summary,
        pvalue.AsSingleton(first),
        pvalue.AsSingleton(fatal),
        pvalue.AsList(doubts),
        os.path.join(summary_dir, _SUMMARY_FILE),
    )


def read_summary(summary_dir: str) -> Summary:
    """What `summarize` wrote in a pipeline that has run."""
    with fileio.open(os.path.join(summary_dir, _SUMMARY_FILE), "r") as file:
        values = json.load(file)
    return Summary(
        counts=values["counts"],
        rejected=values["rejected"],
        first=[Problem(**record) for record in values["first"]],
        fatal=values["fatal"],
        doubts=[Doubt(**doubt) for doubt in values["doubts"]],
        notes=values["notes"],
    )


def _by_source(finding: Finding, listed: int) -> Iterator[tuple[str, list[Problem]]]:
    if finding.problems.records:
        yield finding.source, finding.problems.records[:listed]


def _first_of_source(element: tuple[str, Iterable[list[Problem]]], listed: int) -> list[Problem]:
    """The first rejected rows of one source."""
    source, parts = element
    first: list[Problem] = []
    for records in parts:
        first = heapq.nsmallest(listed, [*first, *records], key=lambda problem: problem.row or 0)
    return [dataclasses.replace(problem, row=None) for problem in first] if is_query(source) else first


def _reading_order(problem: Problem) -> tuple[str, int]:
    return problem.file, problem.row or 0


def _rejected_counts(finding: Finding) -> dict[str, int]:
    rejected = {_REJECTED + kind: count for kind, count in finding.problems.counts.items()}
    return rejected | {_NOTE + what: count for what, count in finding.problems.notes.items()}


_REJECTED, _NOTE = "rejected: ", "note: "


def _part(counts: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}


def _sum_counts(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _write_summary(
    counts: dict[str, int], first: list[Problem], fatal: list[tuple[str, str]], doubts: list[Doubt], path: str
) -> None:
    values: dict[str, Any] = {
        "counts": {name: count for name, count in counts.items() if not name.startswith((_REJECTED, _NOTE))},
        "rejected": _part(counts, _REJECTED),
        "notes": _part(counts, _NOTE),
        "first": [problem.to_dict() for problem in first],
        "fatal": [text for _, text in fatal],
        "doubts": [doubt.to_dict() for doubt in doubts],
    }
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as file:
        file.write(json.dumps(values))
