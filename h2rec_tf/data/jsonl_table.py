"""Reading JSON Lines: one object a line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, Problem, Problems
from h2rec_tf.data.source_file import SourceFile, reading
from h2rec_tf.data.table import Table

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
        raise Problem(source.path, None, "", EMPTY_FILE, "no line holds a JSON object").error()
    line_numbers = np.asarray(lines, np.int64)
    rejected = np.zeros(len(lines), bool)
    arrays = {}
    for name, known in values.items():
        arrays[name], odd = _column(known)
        new = np.asarray([place for place in odd if not rejected[place]], np.int64)
        problems.add_rows(
            source.path, new, line_numbers.__getitem__, column=name, kind=MALFORMED_ROW, describe=odd.__getitem__
        )
        rejected[new] = True
    return Table(source.path, list(available), arrays, line_numbers.__getitem__).without(rejected)


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
        """Hands over the failures."""
        for kind in (INVALID_UTF8, MALFORMED_ROW):
            failures = {number: message for number, failed, message in self._failures if failed == kind}
            numbers = np.asarray(list(failures), np.int64)
            problems.add_rows(
                self._path, numbers, lambda rows: rows, column="", kind=kind, describe=failures.__getitem__
            )


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


def _column(values: list[Any]) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """An Arrow array, null where a value's kind does not go with most others, and a message for each of those."""
    if set(map(type, values)) <= {str, type(None)}:
        return _strings(values)
    kinds = [None if value is None else _kind(value) for value in values]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds) if kind}
    group = max(_TOGETHER, key=lambda together: sum(counts.get(kind, 0) for kind in together))
    main = max((kind for kind in counts if kind in group), key=counts.__getitem__)
    odd: dict[int, str] = {}
    fitting = list(values)
    for place, kind in enumerate(kinds):
        if kind and kind not in group:
            odd[place] = f"{json.dumps(values[place])[:60]} where other rows hold {main}"
            fitting[place] = None
    array, unwritable = _typed(fitting, {kind for kind in counts if kind in group})
    return array, unwritable | odd


def _typed(values: list[Any], kinds: set[str]) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """An Arrow array of values whose kinds go together, and a message for each that Arrow cannot hold."""
    if kinds == {_INTEGER} and all(value is None or -(2**63) <= value < 2**63 for value in values):
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
