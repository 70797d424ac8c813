"""Reading JSON Lines: one object a line."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from h2rec_tf.data.jsonl_columns import DescribingColumn, RequiredKinds
from h2rec_tf.data.problems import EMPTY_FILE, INVALID_UTF8, MALFORMED_ROW, Problem, Problems
from h2rec_tf.data.source_file import SourceFile, reading
from h2rec_tf.data.table import Table, not_text
from h2rec_tf.data.text_format import not_decodable
from h2rec_tf.errors import InputError

_CHUNK = 1 << 16


def read_jsonl(
    source: SourceFile, columns: Sequence[str] | None, problems: Problems, *, required: Sequence[str] | None = None
) -> Table:
    """Reads columns; a column of strings and integers becomes strings, of integers and decimals decimals.

    Args:
        source: the file; blank lines are passed over.
        columns: which to read, absent ones are passed over; None reads every name that any line has.
        problems: takes lines that are not UTF-8, not an object, or hold a value of another kind than a required
            column; and notes on values that are left out of other columns.
        required: columns that a row needs; the others may describe it. None means all.

    Raises:
        InputError: no line holds an object.
    """
    reader = _Lines(source)
    needed: dict[str, list[Any]] = {}
    describing: dict[str, DescribingColumn] = {}
    lines: list[int] = []
    available: dict[str, None] = {}
    with reading(source.path), source.open() as file:
        for chunk in _chunks(reader.objects(file)):
            names = dict.fromkeys(itertools.chain.from_iterable(record for _, record in chunk))
            available.update(names)
            for name in names:
                if columns is not None and name not in columns:
                    continue
                if required is None or name in required:
                    needed.setdefault(name, [None] * len(lines))
                else:
                    describing.setdefault(name, DescribingColumn(len(lines)))
            for name, known in needed.items():
                known.extend([reader.shared(record.get(name)) for _, record in chunk])
            for name, described in describing.items():
                described.extend(reader.shared(record.get(name)) for _, record in chunk)
            lines.extend([line for line, _ in chunk])
    failed = reader.report(problems)
    if not lines:
        raise _no_object(source)
    kinds = {name: RequiredKinds() for name in needed}
    for name, known in needed.items():
        kinds[name].add(known)
    arrays, unread = _described(describing, source.path, problems, asked=columns is not None)
    table = _table(source, list(available), lines, needed, kinds, problems, described=arrays, unread=unread)
    return dataclasses.replace(table, rows_in_file=len(lines) + failed)


def _described(
    columns: dict[str, DescribingColumn], path: str, problems: Problems, *, asked: bool
) -> tuple[dict[str, pa.ChunkedArray], dict[str, str]]:
    """Arrays of columns, and what others hold; `problems` takes notes on what is left out of those that are used."""
    arrays: dict[str, pa.ChunkedArray] = {}
    unread: dict[str, str] = {}
    for name, column in columns.items():
        array = column.column()
        if array is None:
            unread[name] = f"holds no text but such as {column.sample}; store text"
            continue
        arrays[name] = array
        if asked or column.is_text:
            problems.note(not_text(name, path), column.odd)
    return arrays, unread


def jsonl_batches(source: SourceFile, columns: Sequence[str], problems: Problems) -> Iterator[Table]:
    """As `read_jsonl`, in tables of a bounded number of lines; the file is read twice, first for the columns' kinds.

    Raises:
        InputError: no line holds an object.
    """
    kinds: dict[str, RequiredKinds] = {}
    available: dict[str, None] = {}
    with reading(source.path), source.open() as file:
        for chunk in _chunks(_Lines(source).objects(file)):
            names = dict.fromkeys(itertools.chain.from_iterable(record for _, record in chunk))
            available.update(names)
            for name in names:
                if name in columns:
                    kinds.setdefault(name, RequiredKinds()).add([record.get(name) for _, record in chunk])
    if not available:
        _Lines(source).report(problems)
        raise _no_object(source)
    reader = _Lines(source)
    with reading(source.path), source.open() as file:
        for chunk in _chunks(reader.objects(file)):
            values = {name: [reader.shared(record.get(name)) for _, record in chunk] for name in kinds}
            table = _table(source, list(available), [line for line, _ in chunk], values, kinds, problems)
            yield dataclasses.replace(table, rows_in_file=len(chunk) + reader.report(problems))
    reader.report(problems)


def _no_object(source: SourceFile) -> InputError:
    return Problem(source.path, None, "", EMPTY_FILE, "no line holds a JSON object").error()


def _table(
    source: SourceFile,
    available: list[str],
    lines: list[int],
    values: dict[str, list[Any]],
    kinds: dict[str, RequiredKinds],
    problems: Problems,
    *,
    described: Mapping[str, pa.ChunkedArray] = MappingProxyType({}),
    unread: Mapping[str, str] = MappingProxyType({}),
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
    arrays.update(described)
    return Table(source.path, available, arrays, line_numbers.__getitem__, dict(unread)).without(rejected)


class _Lines:
    """Parses lines and keeps what is wrong with them."""

    def __init__(self, source: SourceFile):
        self._path = source.path
        self._text = source.text
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
                self._failures.append((number, INVALID_UTF8, not_decodable(line[error.start], self._text)))
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

    def report(self, problems: Problems) -> int:
        """Hands over the failures since the last report, and says how many these are."""
        count = len(self._failures)
        for kind in (INVALID_UTF8, MALFORMED_ROW):
            failures = {number: message for number, failed, message in self._failures if failed == kind}
            numbers = np.asarray(list(failures), np.int64)
            problems.add_rows(
                self._path, numbers, lambda rows: rows, column="", kind=kind, describe=failures.__getitem__
            )
        self._failures.clear()
        return count


def _chunks(records: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    while chunk := list(itertools.islice(records, _CHUNK)):
        yield chunk
