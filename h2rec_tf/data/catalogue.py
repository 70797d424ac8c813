"""Reading the items file into a catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h2rec_tf.data.embeddings import read_embeddings
from h2rec_tf.data.identifiers import about_control, factorize, with_control
from h2rec_tf.data.item_texts import DEFAULT_TITLE, item_categories, item_texts
from h2rec_tf.data.item_vectors import parse_vectors
from h2rec_tf.data.part_files import part_files
from h2rec_tf.data.problems import CONTROL_CHARACTER, DUPLICATE_ITEM, EMPTY_ID, MISSING_VECTOR, Problems
from h2rec_tf.data.sequences import Catalogue, catalogue_order
from h2rec_tf.data.table import Table
from h2rec_tf.data.tables import read_parts
from h2rec_tf.data.text_format import TextFormat
from h2rec_tf.errors import InputError
from h2rec_tf.names import ITEM_ID


def read_catalogue(
    path: str,
    *,
    item_column: str = ITEM_ID,
    title_column: str = DEFAULT_TITLE,
    text_columns: Sequence[str] = (),
    category_column: str = "",
    vector_column: str = "",
    embeddings_path: str | None = None,
    text: TextFormat | None = None,
    max_bad_rows: int | None = 0,
) -> tuple[Catalogue, Problems]:
    """Reads all items that may be recommended.

    Rows with a blank id, one with a control character, or a repeated one (the first one counts) and, where vectors are
    given, items without a usable one are rejected. Vectors of items that the file does not have are passed over. In a
    column that describes items, a value that is no text is left out and counted; its row stays.

    Args:
        path: CSV, TSV, JSON Lines or Parquet: a file, or a folder or pattern of files.
        item_column: name of the ids.
        title_column: name of the titles; without a column of the default name, the first text column gives them.
        text_columns: names to join into the text; empty means every column of text.
        category_column: name of a column of categories: text with "|" between them, or lists; "" means none.
        vector_column: name of a column of vectors; "" means none.
        embeddings_path: `.npz` or Parquet of vectors.
        text: how CSV, TSV and JSON Lines are written; None finds out.
        max_bad_rows: rejected rows that are accepted; None sets no limit.

    Returns:
        The catalogue, in the order of `catalogue_order`, and the rejected rows.

    Raises:
        InputError: the file cannot be used, more rows are rejected, none is left, or nothing describes the items.
    """
    problems = Problems()
    table = read_items(
        part_files(path),
        path,
        problems,
        item_column=item_column,
        title_column=title_column,
        text_columns=text_columns,
        category_column=category_column,
        vector_column=vector_column,
        text=text,
    )
    catalogue = catalogue_of(
        table,
        problems,
        item_column=item_column,
        title_column=title_column,
        text_columns=text_columns,
        category_column=category_column,
        vector_column=vector_column,
        embeddings_path=embeddings_path,
        max_bad_rows=max_bad_rows,
    )
    return catalogue, problems


def read_items(
    parts: Sequence[str],
    path: str,
    problems: Problems,
    *,
    item_column: str,
    title_column: str,
    text_columns: Sequence[str],
    category_column: str,
    vector_column: str,
    text: TextFormat | None = None,
) -> Table:
    """What `catalogue_of` takes, from the files that `path` means; the columns and `text` are as in `read_catalogue`.

    Raises:
        InputError: a file cannot be used.
    """
    required = required_columns(item_column=item_column, vector_column=vector_column)
    columns = None
    if text_columns:
        # Then nothing else in the file decides anything.
        columns = [name for name in (*required, title_column, *text_columns, category_column) if name]
    return read_parts(parts, path, columns, problems, required=required, text=text)


def required_columns(*, item_column: str, vector_column: str) -> tuple[str, ...]:
    """The columns without which a row names no item; the others describe it."""
    return tuple(name for name in (item_column, vector_column) if name)


def catalogue_of(
    table: Table,
    problems: Problems,
    *,
    item_column: str,
    title_column: str,
    text_columns: Sequence[str],
    category_column: str,
    vector_column: str,
    embeddings_path: str | None,
    max_bad_rows: int | None,
) -> Catalogue:
    """As `read_catalogue`, from a table; `problems` takes the rejected rows."""
    path = table.path
    if vector_column and embeddings_path:
        raise InputError(f"--vector-column {vector_column} and --embeddings {embeddings_path}: give vectors only once")
    table, item_ids = _distinct_items(table, item_column, problems)
    titles, texts = item_texts(
        table,
        item_column=item_column,
        title_column=title_column,
        text_columns=text_columns,
        vector_column=vector_column,
    )
    vectors, usable = None, np.ones(len(table), bool)
    if vector_column:
        vectors, usable = _own_vectors(table, vector_column, problems)
    elif embeddings_path:
        vectors, usable = _given_vectors(table, item_ids, item_column, embeddings_path, problems)
    problems.enforce(max_bad_rows)
    kept = np.flatnonzero(usable)
    if not len(kept):
        causes = f": {problems.causes()}" if problems.total else ""
        raise InputError(f"{path}: no usable item is left of the file's rows ({problems.total:,} rejected){causes}")
    kept = kept[catalogue_order(item_ids[kept].tolist())]
    catalogue = Catalogue(
        item_ids[kept],
        titles.to_numpy()[kept],
        texts.to_numpy()[kept],
        None if vectors is None else vectors[kept],
        item_categories(table, category_column)[kept] if category_column else None,
    )
    if vectors is None and not any(catalogue.texts):
        raise InputError(
            f"{path}: no item has text or a vector; add text columns (--text-column), a vector column "
            f"(--vector-column) or a file of vectors (--embeddings); the file has {', '.join(table.available)}"
        )
    return catalogue


def _distinct_items(table: Table, item_column: str, problems: Problems) -> tuple[Table, np.ndarray]:
    """The rows that name an item for the first time, and their ids, `[n]` strings."""
    column = table.require(item_column, "--catalogue-item-column")
    codes, ids = factorize(column, path=table.path, name=item_column)
    blank = codes < 0
    first = np.zeros(len(codes), bool)
    first[np.unique(codes, return_index=True)[1]] = True
    odd = with_control(ids)
    control = np.isin(codes, list(odd))
    repeated = ~first & ~blank & ~control

    def describe(row: int) -> str:
        if codes[row] < 0:
            return "empty item id"
        item_id = ids[codes[row]]
        return about_control(item_id, odd[codes[row]]) if codes[row] in odd else f"item '{item_id}' again"

    for rejected, kind in ((blank, EMPTY_ID), (control, CONTROL_CHARACTER), (repeated, DUPLICATE_ITEM)):
        problems.add_rows(
            table.path,
            np.flatnonzero(rejected),
            table.locate,
            column=item_column,
            kind=kind,
            describe=describe,
        )
    rejected = blank | control | repeated
    return table.without(rejected), ids[codes[~rejected]]


def _own_vectors(table: Table, column: str, problems: Problems) -> tuple[np.ndarray, np.ndarray]:
    """float32 `[n, D]` and bool `[n]`, True where usable."""
    vectors = parse_vectors(table.require(column, "--vector-column"), path=table.path, name=column)
    usable = np.ones(len(table), bool)
    failed = np.asarray(sorted(vectors.failures), np.int64)
    kinds = np.asarray([vectors.failures[row][0] for row in failed.tolist()])
    for kind in dict.fromkeys(kinds.tolist()):
        problems.add_rows(
            table.path,
            failed[kinds == kind],
            table.locate,
            column=column,
            kind=kind,
            describe=lambda row: vectors.failures[row][1],
        )
    usable[failed] = False
    return vectors.matrix, usable


def _given_vectors(
    table: Table, item_ids: np.ndarray, item_column: str, embeddings_path: str, problems: Problems
) -> tuple[np.ndarray, np.ndarray]:
    """float32 `[n, D]` and bool `[n]`, True where usable."""
    embeddings = read_embeddings(embeddings_path, item_column=item_column, problems=problems)
    vectors, rows = embeddings.take(item_ids.tolist(), problems)
    problems.add_rows(
        table.path,
        np.flatnonzero(rows == -1),
        table.locate,
        column=item_column,
        kind=MISSING_VECTOR,
        describe=lambda row: f"item '{item_ids[row]}' has no vector in {embeddings_path}",
    )
    problems.note(f"vectors in {embeddings_path} for other items", len(embeddings.rows) - int((rows != -1).sum()))
    return vectors, rows >= 0
