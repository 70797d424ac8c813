"""A file's columns as Arrow arrays that remember their row numbers."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import plain_column
from h2rec_tf.data.part_files import folder_columns
from h2rec_tf.data.problems import INVALID_UTF8, MISSING_COLUMN, Problem, Problems
from h2rec_tf.data.text_format import UNSAID, TextFormat

RowLocator = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of one file.

    Attributes:
        path: the file.
        available: names of all columns in the file, also those that were not read.
        columns: name -> chunked Arrow array of `n` values.
        locate: int positions `[m]` of rows here -> int64 `[m]` row numbers in the file, from 1; of a table of several
            files, object `[m]` pairs of a file and a row number.
        unread: name -> why nothing can be read of a column.
        rows_in_file: all rows that were met to get these, the rejected ones too.
        hint: what may be wrong with how the file is read, where a column is missing; "" without an idea.
        text: how the file is written, for messages.
    """

    path: str
    available: Sequence[str]
    columns: dict[str, pa.ChunkedArray]
    locate: RowLocator
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rows_in_file: int = 0
    hint: str = ""
    text: TextFormat = UNSAID

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def require(self, column: str, option: str, otherwise: str = "") -> pa.ChunkedArray:
        """The named column.

        Args:
            column: its name.
            option: names it on the command line.
            otherwise: what to do where the file has no such column at all.

        Raises:
            InputError: there is none; the message lists the columns, the likely right one and the option to name it.
        """
        if column in self.columns:
            return self.columns[column]
        reason = self.unread.get(column) or folder_columns(self.path).get(column)
        if reason:
            message = f"{reason}, or name another column with {option} NAME"
            raise Problem(self.path, None, column, MISSING_COLUMN, message).error()
        near = "" if self.hint else _nearest(column, self.available)
        hint = f"did you mean `{near}`? then pass {option} {near}" if near else f"name the right one with {option} NAME"
        hint = self.hint or hint
        hint += f"; {otherwise}" if otherwise else ""
        message = f"missing column `{column}`; the file has {', '.join(self.available)}; {hint}"
        raise Problem(self.path, None, "", MISSING_COLUMN, message).error()

    def without(self, rejected: np.ndarray) -> Table:
        """The rows where bool `rejected` `[n]` is False."""
        if not rejected.any():
            return self
        kept = np.flatnonzero(~rejected)
        columns = {name: column.filter(pa.array(~rejected)) for name, column in self.columns.items()}
        return dataclasses.replace(self, columns=columns, locate=lambda positions: self.locate(kept[positions]))

    def decoded(self, problems: Problems, required: Container[str] | None = None) -> Table:
        """Columns of the types that readers know; bytes become strings.

        Args:
            problems: takes what is not UTF-8.
            required: columns that a row needs: where one of these is not UTF-8, the row is rejected. In others the
                value alone is left out and counted. None means all.
        """
        columns = dict(self.columns)
        rejected = np.zeros(len(self), bool)
        for name, column in self.columns.items():
            columns[name], failures = plain_column(column, self.text)
            if required is not None and name not in required:
                problems.note(not_text(name, self.path), len(failures))
                continue
            new = np.asarray([position for position in failures if not rejected[position]], np.int64)
            problems.add_rows(
                self.path, new, self.locate, column=name, kind=INVALID_UTF8, describe=failures.__getitem__
            )
            rejected[new] = True
        return dataclasses.replace(self, columns=columns).without(rejected)


def not_text(column: str, path: str) -> str:
    """The note on values of a column that describes items."""
    return f"values of `{column}` in {path} that are no text"


def _nearest(column: str, names: Sequence[str]) -> str:
    """The name that is most like `column` when case and punctuation do not count; "" if none is."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in names}
    near = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", column.lower()), list(plain), n=1, cutoff=0.75)
    return plain[near[0]] if near else ""
