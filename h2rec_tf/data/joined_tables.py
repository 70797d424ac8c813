"""The tables of a data set's files as one: same columns, one type each, and rows that know their file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import is_list, shown
from h2rec_tf.data.identifiers import is_string
from h2rec_tf.data.part_files import folder_columns
from h2rec_tf.data.problems import MALFORMED_ROW, MISSING_COLUMN, Problem, Problems
from h2rec_tf.data.table import Table, not_text
from h2rec_tf.errors import InputError


def joined(
    tables: Sequence[Table], path: str, problems: Problems, *, required: Collection[str] | None, sparse: bool
) -> Table:
    """One table of several.

    Args:
        tables: of the files, in order, at least one.
        path: what the user calls them all.
        problems: takes notes on values that go with no others of their column.
        required: columns whose values must go together; None means all.
        sparse: a file need not have every column, as in JSON Lines.

    Raises:
        InputError: files with other columns than the first, or a required column of types that do not go together.
    """
    names = dict.fromkeys(name for table in tables for name in table.available)
    if not sparse:
        _check_columns(tables)
    columns, unread = {}, {}
    for name in names:
        parts = [table.columns.get(name) for table in tables]
        if any(part is not None for part in parts):
            strict = required is None or name in required
            columns[name] = _column(name, tables, parts, path, None if strict else problems)
        else:
            reasons = [table.unread[name] for table in tables if name in table.unread]
            unread.update({name: reasons[0]} if reasons else {})
    in_folders = {}
    for table in tables:
        in_folders.update(folder_columns(os.path.relpath(table.path, path) if os.path.isdir(path) else table.path))
    problems.note(f"columns of {path} in names of folders, which are not read", len(in_folders.keys() - names.keys()))
    unread.update({name: reason for name, reason in in_folders.items() if name not in names})
    return dataclasses.replace(
        tables[0],
        path=path,
        available=list(names),
        columns=columns,
        locate=_places(tables),
        unread=unread,
        rows_in_file=sum(table.rows_in_file for table in tables),
    )


def _check_columns(tables: Sequence[Table]) -> None:
    """Compares the columns that were read; what else files have does not matter."""
    first = tables[0]
    wanted = {*first.columns, *first.unread}
    for table in tables[1:]:
        found = {*table.columns, *table.unread}
        if found == wanted:
            continue
        lacking, more = ", ".join(sorted(wanted - found)), ", ".join(sorted(found - wanted))
        facts = [*([f"lacks {lacking}"] if lacking else []), *([f"has {more} besides"] if more else [])]
        message = f"{' and '.join(facts)}, compared with {first.path}; files of one set must have the same columns"
        raise Problem(table.path, None, "", MISSING_COLUMN, message).error()


def _column(
    name: str,
    tables: Sequence[Table],
    parts: Sequence[pa.ChunkedArray | None],
    path: str,
    problems: Problems | None,
) -> pa.ChunkedArray:
    """The parts of a column in one type; `problems` takes a note where values are left out, None forbids that."""
    kinds = [part.type for part in parts if part is not None and part.null_count < len(part)]
    kind = _common(kinds, strict=problems is None)
    if kind is None:
        table, part = next(
            (table, part)
            for table, part in zip(tables, parts, strict=True)
            if part is not None and part.type != kinds[0] and part.null_count < len(part)
        )
        here, there = shown(part.type), shown(kinds[0])
        message = f"holds {here} here and {there} in other files of the set; store one type"
        raise Problem(table.path, None, name, MALFORMED_ROW, message).error()
    chunks: list[pa.Array] = []
    for table, part in zip(tables, parts, strict=True):
        if part is None or part.null_count == len(part):
            chunks.append(pa.nulls(len(table), kind))
            left_out = len(table) if name in table.unread else 0
        else:
            cast = _cast(part, kind)
            chunks.extend(cast.chunks)
            left_out = cast.null_count - part.null_count
        if problems is not None:
            problems.note(not_text(name, path), left_out)
    return pa.chunked_array(chunks, kind)


def _common(kinds: Sequence[pa.DataType], *, strict: bool) -> pa.DataType | None:
    """The type for values of all these types; None where there is none."""
    distinct = list(dict.fromkeys(kinds))
    if len(distinct) <= 1:
        return distinct[0] if distinct else pa.string()
    if all(pa.types.is_integer(kind) for kind in distinct):
        return pa.string() if pa.uint64() in distinct else pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in distinct):
        return pa.float64()
    if all(is_list(kind) and _is_real(kind.value_type) for kind in distinct):
        return pa.list_(pa.float64())
    entries = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in distinct]
    if all(is_string(kind) or pa.types.is_integer(kind) for kind in entries):
        return pa.large_string() if pa.large_string() in entries else pa.string()
    # Whatever is text among them counts.
    return None if strict else pa.string()


def _is_real(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _cast(part: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The values in another type, null where they are no text though it asks for text."""
    if part.type == kind:
        return part
    if pa.types.is_dictionary(part.type):
        part = part.cast(part.type.value_type)
    if is_list(kind):
        return pa.chunked_array([pa.array(part.to_pylist(), kind)], kind)
    if is_list(part.type) and is_string(part.type.value_type):
        rows = part.to_pylist()
        texts = [row if row is None else "|".join((text or "").replace("|", " ") for text in row) for row in rows]
        return pa.chunked_array([pa.array(texts, kind)], kind)
    if is_string(part.type) or _is_real(part.type):
        return part.cast(kind)
    return pa.chunked_array([pa.nulls(len(part), kind)], kind)


def _places(tables: Sequence[Table]) -> Callable[[np.ndarray], np.ndarray]:
    """Positions in the joined table -> `(file, row)` in an object array."""
    starts = np.cumsum([0, *(len(table) for table in tables)])

    def locate(positions: np.ndarray) -> np.ndarray:
        places = np.empty(len(positions), object)
        owners = np.searchsorted(starts, positions, side="right") - 1
        for owner in np.unique(owners).tolist():
            own = np.flatnonzero(owners == owner)
            rows = tables[owner].locate(np.asarray(positions)[own] - starts[owner])
            for place, row in zip(own.tolist(), rows.tolist(), strict=True):
                places[place] = (tables[owner].path, row)
        return places

    return locate


def check_formats(formats: Sequence[tuple[str, str]]) -> None:
    """Refuses files of different formats in one set.

    Args:
        formats: path and format of each file.

    Raises:
        InputError: one differs from the first.
    """
    first_path, first = formats[0]
    for path, found in formats[1:]:
        if found != first:
            raise InputError(f"{path}: {found}, where {first_path} is {first}; files of one set must be of one format")
