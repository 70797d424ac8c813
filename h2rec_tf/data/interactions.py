"""Reading the interactions file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from h2rec_tf.data.identifiers import factorize
from h2rec_tf.data.problems import EMPTY_ID, NEGATIVE_TIMESTAMP, TIMESTAMP, Problems
from h2rec_tf.data.table import RowLocator, Table
from h2rec_tf.data.tables import read_table
from h2rec_tf.data.timestamps import parse_timestamps
from h2rec_tf.errors import InputError
from h2rec_tf.names import ITEM_ID, USER_ID


def _from_one(positions: np.ndarray) -> np.ndarray:
    return positions + 1


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Who took which item when, in the order of the file.

    Attributes:
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, places in `item_ids`.
        timestamps: int64 `[n]`, at least 0; the file's own unit, or Unix seconds where it has ISO-8601 text.
        user_ids: `[U]` distinct strings.
        item_ids: `[M]` distinct strings.
        path: the file.
        item_column: its column of item ids, for messages.
        locate: int positions `[m]` -> int64 `[m]` row numbers of the file.
        problems: rows rejected so far.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    path: str = "interactions"
    item_column: str = ITEM_ID
    locate: RowLocator = _from_one
    problems: Problems = dataclasses.field(default_factory=Problems)

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def from_lists(cls, users: Sequence[str], items: Sequence[str], timestamps: Sequence[int]) -> Interactions:
        """Builds interactions from Python lists (examples and tests)."""
        user_ids, user_codes = np.unique(np.asarray(users, object), return_inverse=True)
        item_ids, item_codes = np.unique(np.asarray(items, object), return_inverse=True)
        return cls(
            user_codes.astype(np.int32),
            item_codes.astype(np.int32),
            np.asarray(timestamps, np.int64),
            user_ids,
            item_ids,
        )


def read_interactions(
    path: str,
    *,
    user_column: str = USER_ID,
    item_column: str = ITEM_ID,
    timestamp_column: str = "timestamp",
    max_bad_rows: int | None = 0,
) -> Interactions:
    """Reads users, items and timestamps; rows without one of them are rejected.

    Args:
        path: CSV, TSV, JSON Lines or Parquet.
        user_column: name of the user ids.
        item_column: name of the item ids.
        timestamp_column: integers, decimals (cut to integers), ISO-8601 text, or Parquet dates and times.
        max_bad_rows: rejected rows that are accepted; None sets no limit.

    Raises:
        InputError: the file cannot be used, more rows are rejected, or none is left.
    """
    problems = Problems()
    table = read_table(path, (user_column, item_column, timestamp_column), problems)
    rows = usable_rows(
        table,
        user_column=user_column,
        item_column=item_column,
        timestamp_column=timestamp_column,
        problems=problems,
    )
    problems.enforce(max_bad_rows)
    kept = rows.kept
    if not len(kept):
        raise no_usable_row(path, problems.total)
    return Interactions(
        rows.users,
        rows.items,
        rows.timestamps,
        rows.user_ids,
        rows.item_ids,
        path=path,
        item_column=item_column,
        locate=table.locate if len(kept) == len(table) else lambda positions: table.locate(kept[positions]),
        problems=problems,
    )


@dataclasses.dataclass(frozen=True)
class UsableRows:
    """Rows of a table that have a user, an item and a time.

    Attributes:
        kept: int64 `[n]`, their positions in the table.
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, places in `item_ids`.
        timestamps: int64 `[n]`, at least 0.
        user_ids: distinct strings; some may belong to other rows.
        item_ids: likewise.
    """

    kept: np.ndarray
    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray


def usable_rows(
    table: Table, *, user_column: str, item_column: str, timestamp_column: str, problems: Problems
) -> UsableRows:
    """Checks rows, each for itself; `problems` takes those without a user, an item or a time.

    Raises:
        InputError: a column is missing or holds another type.
    """
    path = table.path
    user_values = table.require(user_column, "--user-column")
    item_values = table.require(item_column, "--item-column")
    time_values = table.require(timestamp_column, "--timestamp-column")
    users, user_ids = factorize(user_values, path=path, name=user_column)
    items, item_ids = factorize(item_values, path=path, name=item_column)
    timestamps, readable = parse_timestamps(time_values, path=path, name=timestamp_column)
    usable = np.ones(len(table), bool)

    def reject(bad: np.ndarray, column: str, kind: str, describe: Callable[[int], str]) -> None:
        positions = np.flatnonzero(bad & usable)
        usable[positions] = False
        problems.add_rows(path, positions, table.locate, column=column, kind=kind, describe=describe)

    reject(users < 0, user_column, EMPTY_ID, lambda row: "empty user id")
    reject(items < 0, item_column, EMPTY_ID, lambda row: "empty item id")
    reject(~readable, timestamp_column, TIMESTAMP, lambda row: _about_time(time_values[row].as_py()))
    reject(
        timestamps < 0,
        timestamp_column,
        NEGATIVE_TIMESTAMP,
        lambda row: f"'{time_values[row].as_py()}' is before 1970 or negative; timestamps start at 0",
    )
    kept = np.flatnonzero(usable)
    return UsableRows(kept, users[kept], items[kept], timestamps[kept], user_ids, item_ids)


def no_usable_row(path: str, rejected: int) -> InputError:
    """The error where every row of the input was rejected."""
    return InputError(f"{path}: no usable row is left ({rejected:,} rejected)")


def _about_time(value: object) -> str:
    if value is None or not str(value).strip():
        return "empty timestamp"
    return f"'{str(value)[:60]}' is no timestamp; give an integer, a decimal or ISO-8601 such as 2014-05-12T10:30:00"
