"""Vectors of items from a file of their own: NumPy `.npz` or Parquet."""

from __future__ import annotations

import dataclasses
import sys
import zipfile

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import is_list
from h2rec_tf.data.identifiers import factorize, is_string
from h2rec_tf.data.item_vectors import ItemVectors, parse_vectors, unusable
from h2rec_tf.data.npz_file import read_arrays
from h2rec_tf.data.part_files import part_files
from h2rec_tf.data.problems import (
    DUPLICATE_ITEM,
    EMPTY_FILE,
    EMPTY_ID,
    INVALID_UTF8,
    MISSING_COLUMN,
    UNREADABLE_FILE,
    Problem,
    Problems,
)
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile, reading
from h2rec_tf.data.table import RowLocator
from h2rec_tf.data.tables import read_table
from h2rec_tf.errors import EmptyFileError
from h2rec_tf.names import EMBEDDING, ITEM_ID


@dataclasses.dataclass(frozen=True)
class ItemEmbeddings:
    """Vectors by item id.

    Attributes:
        path: the file.
        column: name of the vectors, for messages.
        rows: item id -> row of `matrix`, the first one where an id stands twice.
        matrix: float `[n, D]`, any float type.
        failures: row -> kind of problem and message, for rows that cannot be used.
        locate: row -> row number in the file.
    """

    path: str
    column: str
    rows: dict[str, int]
    matrix: np.ndarray
    failures: dict[int, tuple[str, str]]
    locate: RowLocator

    def take(self, item_ids: list[str], problems: Problems) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of some items; what other rows hold does not matter.

        Args:
            item_ids: N ids.
            problems: takes these items' unusable rows.

        Returns:
            float32 `[N, D]`, zeros where there is no usable vector, and the row of each item, int64 `[N]`: -1 where the
            file does not have it, -2 where it is unusable.
        """
        rows = np.asarray([self.rows.get(item_id, -1) for item_id in item_ids], np.int64)
        failed = sorted(self.failures.keys() & set(rows.tolist()))
        for kind in dict.fromkeys(self.failures[row][0] for row in failed):
            problems.add_rows(
                self.path,
                np.asarray([row for row in failed if self.failures[row][0] == kind], np.int64),
                self.locate,
                column=self.column,
                kind=kind,
                describe=lambda row: self.failures[row][1],
            )
        rows[np.isin(rows, failed)] = -2
        vectors = self.matrix[np.maximum(rows, 0)].astype(np.float32)
        vectors[rows < 0] = 0.0
        return vectors, rows


def read_embeddings(path: str, *, item_column: str, problems: Problems) -> ItemEmbeddings:
    """Reads `.npz` with arrays `item_id` `[n]` and `embedding` `[n, D]`, or Parquet with an id and a list column.

    Args:
        path: the file; of Parquet also a folder or pattern.
        item_column: the id column of a Parquet file, if it has one of this name; else `item_id`.
        problems: takes rows whose id is blank, no text, or stands twice.

    Raises:
        InputError: missing, damaged, or without these arrays or columns.
    """
    parts = part_files(path)
    zipped = False
    if parts == [path]:
        with reading(path), open(path, "rb") as file:
            zipped = zipfile.is_zipfile(file)
    if zipped:
        ids, matrix = _read_npz(path, problems)
        failures = unusable(matrix)
        column = EMBEDDING
        locate: RowLocator = _from_one
    else:
        ids, column, vectors, locate = _read_lists(path, item_column, problems)
        matrix, failures = vectors.matrix, vectors.failures
    rows: dict[str, int] = {}
    repeated = [row for row, item_id in enumerate(ids.tolist()) if rows.setdefault(item_id, row) != row and item_id]
    rows.pop("", None)
    problems.add_rows(
        path,
        np.asarray(repeated, np.int64),
        locate,
        column=ITEM_ID,
        kind=DUPLICATE_ITEM,
        describe=lambda row: f"item '{ids[row]}' again",
    )
    return ItemEmbeddings(path, column, rows, matrix, failures, locate)


def _read_lists(path: str, item_column: str, problems: Problems) -> tuple[np.ndarray, str, ItemVectors, RowLocator]:
    """Ids ("" where blank), name of the vectors, the vectors, and their row numbers."""
    if any(part.endswith(".npz") or _format(part) not in (PARQUET, JSONL, "") for part in part_files(path)):
        message = "neither a whole .npz nor Parquet; save vectors with numpy.savez(path, item_id=ids, embedding=matrix)"
        raise Problem(path, None, "", UNREADABLE_FILE, message).error()
    named = (item_column, ITEM_ID, EMBEDDING)
    table = read_table(path, named, problems)
    column = EMBEDDING
    if EMBEDDING not in table.available:
        column = _only_list(path)
        table = read_table(path, (*named, column), problems)
    name = item_column if item_column in table.columns else ITEM_ID
    codes, distinct = factorize(table.require(name, "--catalogue-item-column"), path=path, name=name)
    problems.add_rows(
        path,
        np.flatnonzero(codes < 0),
        table.locate,
        column=name,
        kind=EMPTY_ID,
        describe=lambda _: "empty item id",
    )
    return (
        np.append(distinct, "")[codes],
        column,
        parse_vectors(table.require(column, "--embeddings"), path=path, name=column),
        table.locate,
    )


def _format(path: str) -> str:
    """Of a file; "" if it has nothing in it."""
    try:
        return SourceFile.detect(path).format
    except EmptyFileError:
        return ""


def _only_list(path: str) -> str:
    """Name of the one column of lists of numbers.

    Raises:
        InputError: there is none, or several.
    """
    table = read_table(path, None, Problems())
    lists = [name for name, values in table.columns.items() if is_list(values.type) and not _of_text(values.type)]
    if len(lists) != 1:
        message = (
            f"missing column `{EMBEDDING}`; the file has {', '.join(table.available)}; rename the column of vectors"
        )
        raise Problem(path, None, "", MISSING_COLUMN, message).error()
    return lists[0]


def _of_text(kind: pa.DataType) -> bool:
    return is_string(kind.value_type)


def _from_one(rows: np.ndarray) -> np.ndarray:
    return rows + 1


def _read_npz(path: str, problems: Problems) -> tuple[np.ndarray, np.ndarray]:
    """Object array `[n]` of ids, "" where they are no text, and float `[n, D]`."""
    remedy = f"save it with numpy.savez(path, {ITEM_ID}=ids, {EMBEDDING}=matrix)"
    ids, matrix = read_arrays(path, (ITEM_ID, EMBEDDING), remedy=remedy)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or ids.ndim != 1 or len(ids) != len(matrix):
        found = f"`{ITEM_ID}` {list(ids.shape)} and `{EMBEDDING}` {list(matrix.shape)} of {matrix.dtype}"
        message = f"{found}; expected [n] and [n, D] of a float type; {remedy}"
        raise Problem(path, None, EMBEDDING, UNREADABLE_FILE, message).error()
    if not matrix.size:
        message = f"{len(matrix):,} vectors of {matrix.shape[1]} numbers: nothing to read; {remedy}"
        raise Problem(path, None, EMBEDDING, EMPTY_FILE, message).error()
    if ids.dtype.kind not in "USiu":
        message = f"ids are {ids.dtype}; they must be strings or integers; {remedy}"
        raise Problem(path, None, ITEM_ID, UNREADABLE_FILE, message).error()
    return _texts(ids, path, problems), matrix.astype(np.float32) if matrix.dtype.kind in "iu" else matrix


def _texts(ids: np.ndarray, path: str, problems: Problems) -> np.ndarray:
    """Object array `[n]` of text; "" where the bytes or code points are none, and for blanks."""
    texts = np.full(len(ids), "", object)
    failures: dict[int, str] = {}
    if ids.dtype.kind in "iu":
        texts[:] = ids.astype(str)
        return texts
    for row in range(len(ids)):
        try:
            text = ids[row].decode("utf-8") if ids.dtype.kind == "S" else str(ids[row])
            if not text.isascii() and any(ord(character) > sys.maxunicode for character in text):
                raise ValueError("a code point past the last one")
            # Half a surrogate pair is a code point, but no text.
            text.encode("utf-8")
            texts[row] = text if text.strip() else ""
        except ValueError as error:
            failures[row] = f"the id is no text ({getattr(error, 'reason', error)})"
    for kind, positions in (
        (INVALID_UTF8, np.asarray(list(failures), np.int64)),
        (EMPTY_ID, np.asarray([row for row, text in enumerate(texts) if not text and row not in failures], np.int64)),
    ):
        problems.add_rows(
            path,
            positions,
            _from_one,
            column=ITEM_ID,
            kind=kind,
            describe=lambda row: failures.get(row, "empty item id"),
        )
    return texts
