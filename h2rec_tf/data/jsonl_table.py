"""Reading JSON Lines: one object a line."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, Problem, Problems
from h2rec_tf.data.source_file import SourceFile, reading
from h2rec_tf.data.table import Table
from h2rec_tf.errors import InputError

_CHUNK = 1 << 16
# Kinds of JSON values. Those of one set can stand in one column.
_TEXT, _INTEGER, _REAL = "text", "an integer", "a decimal number"
_NUMBERS, _TEXTS, _EMPTY, _OTHER = "a list of numbers", "a list of texts", "an empty list", "another kind of value"
_TOGETHER = ({_TEXT, _INTEGER}, {_INTEGER, _REAL}, {_NUMBERS, _EMPTY}, {_TEXTS, _EMPTY}, {_OTHER})


def read_jsonl(source: SourceFile, columns: Sequence[str] | None, problems: Problems) -> Table:
    """Reads columns; a column of strings and integers becomes strings, of integers and decimals decimals.

    Args:
        source: the file; blank lines are passed over.
        columns: which to read, absent ones are passed over; None reads every name that any line has.
        problems: takes lines that are not UTF-8, not an object, or hold a value of another kind than the column.

    Raises:
        InputError: no line holds an object.
    """
    reader = _Lines(source.path)
    values: dict[str, list[Any]] = {}
    lines: list[int] = []
    available: dict[str, None] = {}
    with reading(source.path), source.open() as file:
        for chunk in _chunks(reader.objects(file)):
            names = dict.fromkeys(itertools.chain.from_iterable(record for _, record in chunk))
            available.update(names)
            for name in names:
                if (columns is None or name in columns) and name not in values:
                    values[name] = [None] * len(lines)
            for name, known in values.items():
                known.extend([reader.shared(record.get(name)) for _, record in chunk])
            lines.extend([line for line, _ in chunk])
    reader.report(problems)
    if not lines:
        raise _no_object(source)
    kinds = {name: ColumnKinds() for name in values}
    for name, known in values.items():
        kinds[name].add(known)
    return _table(source, list(available), lines, values, kinds, problems)


def jsonl_batches(source: SourceFile, columns: Sequence[str], problems: Problems) -> Iterator[Table]:
    """As `read_jsonl`, in tables of a bounded number of lines; the file is read twice, first for the columns' kinds.

    Raises:
        InputError: no line holds an object.
    """
    kinds: dict[str, ColumnKinds] = {}
    available: dict[str, None] = {}
    with reading(source.path), source.open() as file:
        for chunk in _chunks(_Lines(source.path).objects(file)):
            names = dict.fromkeys(itertools.chain.from_iterable(record for _, record in chunk))
            available.update(names)
            for name in names:
                if name in columns:
                    kinds.setdefault(name, ColumnKinds()).add([record.get(name) for _, record in chunk])
    if not available:
        _Lines(source.path).report(problems)
        raise _no_object(source)
    reader = _Lines(source.path)
    with reading(source.path), source.open() as file:
        for chunk in _chunks(reader.objects(file)):
            values = {name: [reader.shared(record.get(name)) for _, record in chunk] for name in kinds}
            yield _table(source, list(available), [line for line, _ in chunk], values, kinds, problems)
            reader.report(problems)
    reader.report(problems)


def _no_object(source: SourceFile) -> InputError:
    return Problem(source.path, None, "", EMPTY_FILE, "no line holds a JSON object").error()


def _table(
    source: SourceFile,
    available: list[str],
    lines: list[int],
    values: dict[str, list[Any]],
    kinds: dict[str, ColumnKinds],
    problems: Problems,
) -> Table:
    line_numbers = np.asarray(lines, np.int64)
    rejected = np.zeros(len(lines), bool)
    arrays = {}
    for name, known in values.items():
        arrays[name], odd = kinds[name].column(known)
        new = np.asarray([place for place in odd if not rejected[place]], np.int64)
        problems.add_rows(
            source.path, new, line_numbers.__getitem__, column=name, kind=MALFORMED_ROW, describe=odd.__getitem__
        )
        rejected[new] = True
    return Table(source.path, available, arrays, line_numbers.__getitem__).without(rejected)


class _Lines:
    """Parses lines and keeps what is wrong with them."""

    def __init__(self, path: str):
        self._path = path
        self._failures: list[tuple[int, str, str]] = []
        self._strings: dict[str, str] = {}

    def objects(self, file: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and object of each good line."""
        loads = json.loads
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if not text.strip():
                    continue
                record = loads(text)
            except UnicodeDecodeError as error:
                message = f"not UTF-8 (byte 0x{line[error.start]:02x}); save the file as UTF-8"
                self._failures.append((number, INVALID_UTF8, message))
            except (ValueError, RecursionError) as error:
                self._failures.append((number, MALFORMED_ROW, f"not JSON: {error}"))
            else:
                if type(record) is dict:
                    yield number, record
                else:
                    self._failures.append((number, MALFORMED_ROW, "not a JSON object with column names"))

    def shared(self, value: Any) -> Any:
        """Equal strings as one object, so that repeated ids take no memory."""
        return self._strings.setdefault(value, value) if type(value) is str else value

    def report(self, problems: Problems) -> None:
        """Hands over the failures since the last report."""
        for kind in (INVALID_UTF8, MALFORMED_ROW):
            failures = {number: message for number, failed, message in self._failures if failed == kind}
            numbers = np.asarray(list(failures), np.int64)
            problems.add_rows(
                self._path, numbers, lambda rows: rows, column="", kind=kind, describe=failures.__getitem__
            )
        self._failures.clear()


def _chunks(records: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    while chunk := list(itertools.islice(records, _CHUNK)):
        yield chunk


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, bool):
        return _OTHER
    if isinstance(value, int):
        return _INTEGER
    if isinstance(value, float):
        return _REAL
    if isinstance(value, list):
        if not value:
            return _EMPTY
        if all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in value):
            return _NUMBERS
        if all(isinstance(part, str) for part in value):
            return _TEXTS
    return _OTHER


@dataclasses.dataclass
class ColumnKinds:
    """What kinds of values a column holds: the kind that most rows have decides how the column is read.

    Attributes:
        counts: kind -> number of values.
        plain: every value is text or absent.
        wide: some integer does not fit 64 bits.
    """

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    plain: bool = True
    wide: bool = False

    def add(self, values: list[Any]) -> None:
        """Counts more values of the column."""
        if set(map(type, values)) <= {str, type(None)}:
            texts = len(values) - values.count(None)
            if texts:
                self.counts[_TEXT] = self.counts.get(_TEXT, 0) + texts
            return
        self.plain = False
        for value in values:
            if value is None:
                continue
            kind = _kind(value)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.wide |= kind == _INTEGER and not -(2**63) <= value < 2**63

    def column(self, values: list[Any]) -> tuple[pa.ChunkedArray, dict[int, str]]:
        """An Arrow array, null where a value's kind does not go with most others, and a message for each of those."""
        if self.plain:
            return _strings(values)
        group = max(_TOGETHER, key=lambda together: sum(self.counts.get(kind, 0) for kind in together))
        main = max((kind for kind in self.counts if kind in group), key=self.counts.__getitem__)
        odd: dict[int, str] = {}
        fitting = list(values)
        for place, value in enumerate(values):
            if value is not None and _kind(value) not in group:
                odd[place] = f"{json.dumps(value)[:60]} where other rows hold {main}"
                fitting[place] = None
        array, unwritable = _typed(fitting, {kind for kind in self.counts if kind in group}, self.wide)
        return array, unwritable | odd


def _typed(values: list[Any], kinds: set[str], wide: bool) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """An Arrow array of values whose kinds go together, and a message for each that Arrow cannot hold."""
    if kinds == {_INTEGER} and not wide:
        return pa.chunked_array([pa.array(values, pa.int64())]), {}
    if _REAL in kinds:
        return pa.chunked_array([pa.array([_as_float(value) for value in values], pa.float64())]), {}
    if kinds & {_TEXT, _INTEGER}:
        return _strings([value if value is None else str(value) for value in values])
    if _TEXTS in kinds:
        # As tags in a CSV file are written: a text column shows blanks, a category column the single names.
        return _strings([value if value is None else "|".join(value) for value in values])
    if kinds & {_NUMBERS, _EMPTY}:
        lists = [value if value is None else [_as_float(part) for part in value] for value in values]
        return pa.chunked_array([pa.array(lists, pa.list_(pa.float64()))]), {}
    return pa.chunked_array([pa.array([value if value is None else True for value in values], pa.bool_())]), {}


def _strings(values: list[str | None]) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """A string array; half a surrogate pair, which JSON's escapes can spell, is not text."""
    try:
        return pa.chunked_array([pa.array(values, pa.string())]), {}
    except UnicodeEncodeError:
        odd = {}
        for place, value in enumerate(values):
            if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
                odd[place] = f"half a surrogate pair in {json.dumps(value)[:60]}"
        kept = [None if place in odd else value for place, value in enumerate(values)]
        return pa.chunked_array([pa.array(kept, pa.string())]), odd


def _as_float(value: Any) -> float | None:
    """A float, infinite where an integer is too large for one."""
    try:
        return None if value is None else float(value)
    except OverflowError:
        return float("inf")
