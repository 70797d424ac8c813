"""Vectors of items from a file of their own: NumPy `.npz` or Parquet."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib

import numpy as np
import pyarrow as pa

from h2rec_tf.data.arrow_columns import is_list
from h2rec_tf.data.identifiers import factorize, is_string
from h2rec_tf.data.item_vectors import ItemVectors, not_finite, parse_vectors
from h2rec_tf.data.problems import DUPLICATE_ITEM, MISSING_COLUMN, UNREADABLE_FILE, Problem, Problems
from h2rec_tf.data.source_file import JSONL, PARQUET, SourceFile, reading
from h2rec_tf.data.table import RowLocator
from h2rec_tf.data.tables import read_table
from h2rec_tf.errors import InputError
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
        path: the file.
        item_column: the id column of a Parquet file, if it has one of this name; else `item_id`.
        problems: takes ids that stand twice.

    Raises:
        InputError: missing, damaged, or without these arrays or columns.
    """
    with reading(path), open(path, "rb") as file:
        zipped = zipfile.is_zipfile(file)
    if zipped:
        ids, matrix = _read_npz(path)
        failures = not_finite(matrix, np.arange(len(matrix)))
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
    if path.endswith(".npz") or SourceFile.detect(path).format not in (PARQUET, JSONL):
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
    return (
        np.append(distinct, "")[codes],
        column,
        parse_vectors(table.require(column, "--embeddings"), path=path, name=column),
        table.locate,
    )


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


def _read_npz(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Object array `[n]` of ids and float `[n, D]`."""
    remedy = f"save it with numpy.savez(path, {ITEM_ID}=ids, {EMBEDDING}=matrix)"
    try:
        with reading(path), np.load(path, allow_pickle=False) as arrays:
            for name in (ITEM_ID, EMBEDDING):
                if name not in arrays.files:
                    message = f"no array `{name}`; the file has {', '.join(arrays.files) or 'none'}; {remedy}"
                    raise Problem(path, None, "", MISSING_COLUMN, message).error()
            ids, matrix = arrays[ITEM_ID], arrays[EMBEDDING]
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        message = f"damaged, or an array of Python objects ({error}); {remedy} as text and as one matrix of floats"
        raise Problem(path, None, "", UNREADABLE_FILE, message).error() from error
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or ids.ndim != 1 or len(ids) != len(matrix):
        found = f"`{ITEM_ID}` {list(ids.shape)} and `{EMBEDDING}` {list(matrix.shape)} of {matrix.dtype}"
        message = f"{found}; expected [n] and [n, D] of a float type; {remedy}"
        raise Problem(path, None, EMBEDDING, UNREADABLE_FILE, message).error()
    if ids.dtype.kind not in "USiu":
        message = f"ids are {ids.dtype}; they must be strings or integers; {remedy}"
        raise Problem(path, None, ITEM_ID, UNREADABLE_FILE, message).error()
    texts = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids.astype(str)
    return texts.astype(object), matrix.astype(np.float32, copy=False) if matrix.dtype.kind in "iu" else matrix
