"""Reading the interactions file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from h2rec_tf.config import DataConfig
from h2rec_tf.data import timestamps as outcomes
from h2rec_tf.data.identifiers import about_control, factorize, with_control
from h2rec_tf.data.ordering import SecondKey
from h2rec_tf.data.problems import (
    CONTROL_CHARACTER,
    EMPTY_ID,
    NEGATIVE_TIMESTAMP,
    ORDER_VALUE,
    TIMESTAMP,
    TIMESTAMP_RANGE,
    Problems,
)
from h2rec_tf.data.spellings import SpellingTally
from h2rec_tf.data.table import RowLocator, Table
from h2rec_tf.data.tables import read_table
from h2rec_tf.data.text_format import TextFormat
from h2rec_tf.data.timestamps import AUTO, parse_timestamps, parse_values
from h2rec_tf.errors import InputError
from h2rec_tf.names import ITEM_ID, USER_ID


def _from_one(positions: np.ndarray) -> np.ndarray:
    return positions + 1


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns interactions are in.

    Attributes:
        user: name of the user ids.
        item: name of the item ids.
        timestamp: name of the times; None takes the order of rows.
        order: name of what orders events of one user at one time; "" takes a hash.
        time_unit: of times that are numbers: `s`, `ms`, `us`, `ns`, or `auto`, where the size of each tells.
    """

    user: str = USER_ID
    item: str = ITEM_ID
    timestamp: str | None = "timestamp"
    order: str = ""
    time_unit: str = AUTO

    @classmethod
    def of(cls, data: DataConfig) -> Columns:
        """The columns that a configuration names.

        Raises:
            InputError: an order column where rows are in order already.
        """
        timed = data.time == "column"
        if data.order_column and not timed:
            raise InputError(
                f"--order-column {data.order_column} with --time none: the order of rows leaves nothing to order; give "
                f"one of them, or --timestamp-column {data.order_column} if that column is the order"
            )
        return cls(
            data.user_column,
            data.item_column,
            data.timestamp_column if timed else None,
            data.order_column,
            data.time_unit,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(name for name in (self.user, self.item, self.timestamp, self.order) if name)


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Who took which item when, in the order of the file.

    Attributes:
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, places in `item_ids`.
        timestamps: int64 `[n]`, at least 0: nanoseconds since 1970 in UTC, or the place of the row without times.
        user_ids: `[U]` distinct strings.
        item_ids: `[M]` distinct strings.
        second: what orders events of one user at one time, or None.
        timed: False without times.
        columns: where they were read from, for messages.
        spellings: how the times are spelled, where they were read.
        spelling_rows: spelling -> its first row, where there are several spellings.
        path: the file.
        locate: int positions `[m]` -> places, as those of a table.
        problems: rows rejected so far.
        rows_in_file: all rows of the file, the rejected ones too.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    second: SecondKey | None = None
    timed: bool = True
    path: str = "interactions"
    columns: Columns = Columns()
    spellings: SpellingTally | None = None
    spelling_rows: dict[str, str] = dataclasses.field(default_factory=dict)
    locate: RowLocator = _from_one
    problems: Problems = dataclasses.field(default_factory=Problems)
    rows_in_file: int = 0

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
    path: str, columns: Columns = Columns(), *, text: TextFormat | None = None, max_bad_rows: int | None = 0
) -> Interactions:
    """Reads users, items and times; rows without one of them are rejected.

    Args:
        path: CSV, TSV, JSON Lines or Parquet: a file, or a folder or pattern of files.
        columns: names and unit.
        text: how CSV, TSV and JSON Lines are written; None finds out.
        max_bad_rows: rejected rows that are accepted; None sets no limit.

    Raises:
        InputError: the file cannot be used, more rows are rejected, or none is left.
    """
    problems = Problems()
    table = read_table(path, columns.names, problems, text=text)
    rows = usable_rows(table, columns, problems)
    problems.enforce(max_bad_rows)
    kept = rows.kept
    if not len(kept):
        raise no_usable_row(path, problems)
    check_count(path, rows_in_file=table.rows_in_file, usable=len(kept), rejected=problems.total)
    return Interactions(
        rows.users,
        rows.items,
        rows.timestamps,
        rows.user_ids,
        rows.item_ids,
        second=rows.second,
        timed=columns.timestamp is not None,
        path=path,
        columns=columns,
        spellings=rows.spellings,
        spelling_rows=_first_rows(table, rows.spellings),
        locate=table.locate if len(kept) == len(table) else lambda positions: table.locate(kept[positions]),
        problems=problems,
        rows_in_file=table.rows_in_file,
    )


@dataclasses.dataclass(frozen=True)
class UsableRows:
    """Rows of a table that have a user, an item and a time.

    Attributes:
        kept: int64 `[n]`, their positions in the table.
        users: int32 `[n]`, places in `user_ids`.
        items: int32 `[n]`, places in `item_ids`.
        timestamps: int64 `[n]`, at least 0; the positions where rows have no times.
        user_ids: distinct strings; some may belong to other rows.
        item_ids: likewise.
        second: what orders events of one user at one time, or None.
        spellings: how the times are spelled; None without times.
    """

    kept: np.ndarray
    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    second: SecondKey | None
    spellings: SpellingTally | None


def usable_rows(table: Table, columns: Columns, problems: Problems) -> UsableRows:
    """Checks rows, each for itself; `problems` takes those without a user, an item or a time.

    Raises:
        InputError: a column is missing or holds another type.
    """
    path = table.path
    user_values = table.require(columns.user, "--user-column")
    item_values = table.require(columns.item, "--item-column")
    users, user_ids = factorize(user_values, path=path, name=columns.user)
    items, item_ids = factorize(item_values, path=path, name=columns.item)
    usable = np.ones(len(table), bool)

    def reject(bad: np.ndarray, column: str, kind: str, describe: Callable[[int], str]) -> None:
        positions = np.flatnonzero(bad & usable)
        usable[positions] = False
        problems.add_rows(path, positions, table.locate, column=column, kind=kind, describe=describe)

    timestamps = np.arange(len(table), dtype=np.int64)
    if columns.timestamp is not None:
        name = columns.timestamp
        time_values = table.require(name, "--timestamp-column", "--time none takes the order of rows")
        times = parse_timestamps(time_values, path=path, name=name, unit=columns.time_unit)
        timestamps = times.nanoseconds

    reject(users < 0, columns.user, EMPTY_ID, lambda row: "empty user id")
    reject(items < 0, columns.item, EMPTY_ID, lambda row: "empty item id")
    for codes, ids, column in ((users, user_ids, columns.user), (items, item_ids, columns.item)):
        odd = with_control(ids)
        if odd:
            reject(np.isin(codes, list(odd)), column, CONTROL_CHARACTER, _describe_control(codes, ids, odd))
    if columns.timestamp is not None:
        for kind, which in _TIME_PROBLEMS.items():
            reject(
                np.isin(times.outcome, which),
                name,
                kind,
                lambda row: _about_time(time_values[row].as_py(), int(times.outcome[row])),
            )
    second = None
    if columns.order:
        order_values = table.require(columns.order, "--order-column")
        values = parse_values(order_values, path=path, name=columns.order, what="values that order rows")
        second = SecondKey(values.whole, values.billionths)
        reject(
            ~((values.number | values.date) & values.fits),
            columns.order,
            ORDER_VALUE,
            lambda row: f"'{str(order_values[row].as_py())[:60]}' orders nothing; give a number or a date",
        )
    kept = np.flatnonzero(usable)
    return UsableRows(
        kept,
        users[kept],
        items[kept],
        timestamps[kept],
        user_ids,
        item_ids,
        None if second is None else second.take(kept),
        None if columns.timestamp is None else SpellingTally.of(times, time_values, kept),
    )


def _describe_control(codes: np.ndarray, ids: np.ndarray, odd: Mapping[int, str]) -> Callable[[int], str]:
    return lambda row: about_control(ids[codes[row]], odd[codes[row]])


def _first_rows(table: Table, spellings: SpellingTally | None) -> dict[str, str]:
    """Spelling -> `row 3`, or `FILE:3` of several files; nothing where there is one spelling."""
    if spellings is None or len(spellings.first) < 2:
        return {}
    rows = table.locate(np.asarray(list(spellings.first.values()), np.int64))
    places = (f"{place[0]}:{place[1]}" if isinstance(place, tuple) else f"row {place:,}" for place in rows.tolist())
    return dict(zip(spellings.first, places, strict=True))


def no_usable_row(path: str, problems: Problems) -> InputError:
    """The error where every row of the input was rejected; it has the causes."""
    if not problems.total:
        return InputError(f"{path}: no usable row is left (0 rejected)")
    return InputError(f"{path}: no usable row is left ({problems.total:,} rejected): {problems.causes()}")


def check_count(path: str, *, rows_in_file: int, usable: int, rejected: int) -> None:
    """Checks that no row was lost.

    Raises:
        RuntimeError: rows are neither usable nor rejected, which is a fault of this package.
    """
    if usable + rejected != rows_in_file:
        raise RuntimeError(f"{path}: {rows_in_file:,} rows, but {usable:,} usable and {rejected:,} rejected ones")


_TIME_PROBLEMS = {
    TIMESTAMP: (
        outcomes.EMPTY,
        outcomes.UNREADABLE,
        outcomes.DAY_AND_MONTH,
        outcomes.NO_SUCH_DATE,
        outcomes.UNCLEAR_UNIT,
    ),
    NEGATIVE_TIMESTAMP: (outcomes.EARLY,),
    TIMESTAMP_RANGE: (outcomes.LATE,),
}
_ABOUT_TIMES = {
    outcomes.UNREADABLE: "is no timestamp; give a number or a date, best in ISO-8601 such as 2014-05-12T10:30:00Z",
    outcomes.DAY_AND_MONTH: "does not tell day and month apart; write year, month and day as in 2014-05-12",
    outcomes.NO_SUCH_DATE: "is no date and time that exists",
    outcomes.UNCLEAR_UNIT: "is too large for seconds and too small for a finer unit (or the other way round); name the "
    "unit with --time-unit, and write dates as in 2014-05-12",
    outcomes.EARLY: "is before 1970 or negative; timestamps start at 0",
    outcomes.LATE: "is after 11 April 2262, where timestamps end; check the unit (--time-unit)",
}


def _about_time(value: object, outcome: int) -> str:
    if outcome == outcomes.EMPTY:
        return "empty timestamp"
    return f"'{str(value)[:60]}' {_ABOUT_TIMES[outcome]}"
