"""A data set that is a folder: which of its files are what."""

from __future__ import annotations

import pathlib

from h2rec_tf.errors import InputError

_TABLES = (".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".parquet")
_VECTORS = (".npz", ".parquet")


def find_files(
    directory: str, *, interactions: str | None = None, items: str | None = None, embeddings: str | None = None
) -> tuple[str, str, str | None]:
    """Paths of interactions, items and item vectors (None without) in a folder.

    They are called `interactions`, `items` and `embeddings` or `text_embeddings`, with an ending that tells the format;
    each may be a folder of files.

    Args:
        directory: the folder.
        interactions: taken as given in place of the folder's file, as are the other two.
        items: likewise.
        embeddings: likewise.

    Raises:
        InputError: the folder is not there, a file is missing, or there are two of a kind.
    """
    folder = pathlib.Path(directory)
    if not folder.is_dir():
        raise InputError(f"--data {directory}: no such folder")
    interactions = interactions or _one(folder, ("interactions",), _TABLES)
    items = items or _one(folder, ("items",), _TABLES)
    if interactions is None or items is None:
        name = "interactions" if interactions is None else "items"
        raise InputError(
            f"--data {directory}: no {name} file ({name}.csv, .jsonl, .parquet, ...); name it with --{name}"
        )
    return interactions, items, embeddings or _one(folder, ("embeddings", "text_embeddings"), _VECTORS)


def _one(folder: pathlib.Path, stems: tuple[str, ...], endings: tuple[str, ...]) -> str | None:
    wanted = {stem + ending for stem in stems for ending in endings}
    # A folder of files, as other programs write them, may have the ending or not.
    found = sorted(path for path in folder.iterdir() if path.name in wanted or (path.name in stems and path.is_dir()))
    if len(found) > 1:
        shown = " and ".join(path.name for path in found)
        raise InputError(f"--data {folder}: {shown} are two of one kind; keep one, or name it with its own option")
    return str(found[0]) if found else None
