"""Problems of input files as records: which file, row and column, what kind, and what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from h2rec_tf.errors import EmptyFileError, InputError

MISSING_COLUMN = "missing column"
UNREADABLE_FILE = "unreadable file"
EMPTY_FILE = "empty file"
TRUNCATED_GZIP = "truncated gzip"
MALFORMED_ROW = "malformed row"
INVALID_UTF8 = "invalid UTF-8"
EMPTY_ID = "empty id"
CONTROL_CHARACTER = "control character"
TIMESTAMP = "unparsable timestamp"
NEGATIVE_TIMESTAMP = "negative timestamp"
TIMESTAMP_RANGE = "timestamp out of range"
ORDER_VALUE = "unusable order"
UNKNOWN_ITEM = "unknown item"
DUPLICATE_ITEM = "duplicate item"
MISSING_VECTOR = "missing vector"
VECTOR_WIDTH = "vector width"
VECTOR_VALUE = "vector value"

# Records kept in memory; a file of millions of bad rows is counted in full but listed only so far.
LISTED = 100_000
# Kinds of problems that an error names where no row is left, and how many of the first records are looked at for them.
_CAUSES = 3
_LOOKED_AT = 100


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing wrong with an input file.

    Attributes:
        file: path as the user gave it.
        row: line number for text formats, record number for Parquet and arrays, both from 1; None for the whole file.
        column: column or array name; "" when the whole row is meant.
        kind: one of this module's constants.
        message: what was found.
    """

    file: str
    row: int | None
    column: str
    kind: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}:{self.row}"
        column = f" column `{self.column}`:" if self.column else ""
        return f"{place}:{column} {self.message}"

    def error(self) -> InputError:
        """The problem as an error that ends reading."""
        return EmptyFileError(str(self)) if self.kind == EMPTY_FILE else InputError(str(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


class Problems:
    """Collects rejected rows: all are counted, the first `listed` are kept as records.

    Args:
        listed: how many records to keep.
    """

    def __init__(self, listed: int = LISTED):
        self._listed = listed
        self.records: list[Problem] = []
        self.counts: dict[str, int] = {}
        self.notes: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Number of rejected rows."""
        return sum(self.counts.values())

    def add_rows(
        self,
        file: str,
        positions: np.ndarray,
        locate: Callable[[np.ndarray], np.ndarray],
        *,
        column: str,
        kind: str,
        describe: Callable[[int], str],
    ) -> None:
        """Adds one rejected row per entry of `positions`.

        Args:
            file: path; a place may name another one.
            positions: int `[n]`, positions in the caller's arrays.
            locate: maps positions to row numbers of the file, or to pairs of a file and a row number; asked only for
                the rows that are listed.
            column: column name.
            kind: one of this module's constants.
            describe: position -> message.
        """
        if not len(positions):
            return
        self.counts[kind] = self.counts.get(kind, 0) + len(positions)
        kept = np.asarray(positions[: max(self._listed - len(self.records), 0)], np.int64)
        if len(kept):
            for position, place in zip(kept.tolist(), locate(kept).tolist(), strict=True):
                part, row = place if isinstance(place, tuple) else (file, place)
                self.records.append(Problem(part, row, column, kind, describe(position)))

    def add(self, problem: Problem, *, rows: int = 1) -> None:
        """Adds one record that counts for some rows."""
        self.counts[problem.kind] = self.counts.get(problem.kind, 0) + rows
        if len(self.records) < self._listed:
            self.records.append(problem)

    def note(self, what: str, count: int) -> None:
        """Counts what was passed over without being wrong."""
        if count:
            self.notes[what] = self.notes.get(what, 0) + count

    def extend(self, other: Problems) -> None:
        """Adds all of `other`."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for what, count in other.notes.items():
            self.note(what, count)
        self.records.extend(other.records[: max(self._listed - len(self.records), 0)])

    def taken(self) -> Problems:
        """All that was collected so far, as a collection of its own; this one is empty afterwards."""
        taken = Problems(self._listed)
        taken.extend(self)
        self.records, self.counts, self.notes = [], {}, {}
        return taken

    def ordered(self) -> list[Problem]:
        """Records by file (in order of reading), then by row."""
        files = {file: place for place, file in enumerate(dict.fromkeys(record.file for record in self.records))}
        return sorted(self.records, key=lambda record: (files[record.file], record.row or 0))

    def causes(self) -> str:
        """The first rejected row of each kind, a few of them, as one line."""
        first: dict[tuple[str, str], Problem] = {}
        for record in self.ordered()[:_LOOKED_AT]:
            first.setdefault((record.kind, record.column), record)
        return "; ".join(str(record) for record in list(first.values())[:_CAUSES])

    def enforce(self, max_bad_rows: int | None) -> None:
        """Does nothing while at most `max_bad_rows` rows are rejected; None sets no limit.

        Raises:
            InputError: more rows are rejected; the message names the first one, the count and the remedy.
        """
        if max_bad_rows is None or self.total <= max_bad_rows:
            return
        rows = "1 bad row" if self.total == 1 else f"{self.total:,} bad rows"
        raise InputError(
            f"{self.ordered()[0]} ({rows} in all, {max_bad_rows:,} allowed; "
            f"mend the input, or leave such rows out with --max-bad-rows {self.total})"
        )
