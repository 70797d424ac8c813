"""The items of one moment on disk: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow

from h2rec_tf.data.parquet_file import open_parquet, write_parquet
from h2rec_tf.errors import InputError
from serving.retrieval_service.log import sync_folder
from serving.retrieval_service.rows import Rows

_MANIFEST, _VECTORS, _ITEMS = "manifest.json", "vectors.npy", "items.parquet"
# Of a data folder: where its snapshots are.
SNAPSHOTS = "snapshots"
_TEMPORARY = ".writing-"
_FORMAT = 1
_CHUNK_BYTES = 1 << 20
_COLUMN_ROWS = 1 << 14
_SCHEMA = pyarrow.schema([("item_id", pyarrow.string()), ("title", pyarrow.string())])


def write_snapshot(
    folder: pathlib.Path,
    *,
    sequence: int,
    width: int,
    model_version: str,
    item_ids: list[str],
    titles: list[str],
    chunks: Iterable[np.ndarray],
) -> pathlib.Path:
    """Writes the items; durable when this returns, absent when it raises.

    Args:
        folder: that holds the snapshots; made if absent.
        sequence: number of the last log record whose change is in it.
        width: D.
        model_version: the model that the vectors belong to.
        item_ids: n ids in row order.
        titles: their titles.
        chunks: float32 `[?, D]` in row order, n rows in all.

    Returns:
        Its folder, named by the sequence number.

    Raises:
        OSError: it could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        temporary.chmod(0o755)
        _write_vectors(temporary / _VECTORS, (len(item_ids), width), chunks)
        table = pyarrow.table({"item_id": _column(item_ids), "title": _column(titles)})
        write_parquet(table, temporary / _ITEMS)
        manifest = {
            "format": _FORMAT,
            "sequence": sequence,
            "items": len(item_ids),
            "width": width,
            "model_version": model_version,
            "crc32": {name: _crc32(temporary / name) for name in (_VECTORS, _ITEMS)},
        }
        (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        return _publish(temporary, folder / f"{sequence:020d}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_snapshot(source: pathlib.Path, folder: pathlib.Path, *, sequence: int) -> pathlib.Path:
    """Copies a snapshot under `folder`, as `write_snapshot` would have written it.

    Raises:
        OSError: it could not be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder))
    try:
        temporary.chmod(0o755)
        for name in (_MANIFEST, _VECTORS, _ITEMS):
            shutil.copyfile(source / name, temporary / name)
        return _publish(temporary, folder / f"{sequence:020d}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def snapshots(folder: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """Sequence number and folder of each snapshot, oldest first."""
    return sorted((int(path.name), path) for path in folder.glob("*") if path.name.isdigit())


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what a crash left of a snapshot."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def read_manifest(path: pathlib.Path) -> dict[str, Any]:
    """The manifest of a snapshot, its files compared with their checksums.

    Raises:
        InputError: there is no snapshot, or a file of it is damaged; the message names the file.
    """
    file = path / _MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        sums = dict(manifest["crc32"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: no snapshot here; name a folder under `snapshots` of a data folder") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: damaged ({error}); {_OTHER}") from error
    if manifest.get("format") != _FORMAT:
        raise InputError(f"{file}: format {manifest.get('format')}, this program reads {_FORMAT}; use the one it is of")
    for name in (_VECTORS, _ITEMS):
        if not (path / name).is_file() or _crc32(path / name) != sums.get(name):
            raise InputError(f"{path / name}: missing or damaged; {_OTHER}")
    return manifest


def load_snapshot(path: pathlib.Path) -> Rows:
    """The items of a snapshot; vectors stay on disk until they are read or written.

    Raises:
        InputError: as `read_manifest` and `read_rows`.
    """
    return read_rows(path, read_manifest(path))


def read_rows(path: pathlib.Path, manifest: dict[str, Any]) -> Rows:
    """As `load_snapshot`, with the manifest read already.

    Raises:
        InputError: the files are not of the types that `write_snapshot` writes, or do not belong together.
    """
    with open_parquet(path / _ITEMS) as file:
        schema = file.schema_arrow
        if schema != _SCHEMA:
            found = ", ".join(f"{field.name} {field.type}" for field in schema)
            raise InputError(f"{path / _ITEMS}: columns {found}, expected item_id and title as text; {_OTHER}")
        table = file.read()
    item_ids, titles = _texts(table["item_id"]), _texts(table["title"])
    width, items = manifest.get("width"), manifest.get("items")
    vectors = _mapped(path / _VECTORS) if item_ids else None
    named = isinstance(manifest.get("sequence"), int) and isinstance(manifest.get("model_version"), str)
    fits = vectors is None or vectors.shape == (len(item_ids), width)
    if not (named and fits and items == len(item_ids) and isinstance(width, int)):
        raise InputError(f"{path}: the files do not belong together; {_OTHER}")
    return Rows(width, item_ids, titles, vectors)


def _mapped(path: pathlib.Path) -> np.ndarray:
    """float32 vectors that stay on disk, whatever shape the file declares."""
    try:
        # Private: what is written to it stays in memory.
        vectors = np.load(path, mmap_mode="c")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); {_OTHER}") from error
    if vectors.dtype != np.float32:
        raise InputError(f"{path}: numbers of type {vectors.dtype}, expected float32; {_OTHER}")
    return vectors


_OTHER = "restore another snapshot with `h2rec retrieval restore`"


def _write_vectors(path: pathlib.Path, shape: tuple[int, int], chunks: Iterable[np.ndarray]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, "<f4").data)


def _column(texts: list[str]) -> pyarrow.ChunkedArray:
    # In pieces: each is made with Python's interpreter lock held, and searches wait for it.
    pieces = [
        pyarrow.array(texts[start : start + _COLUMN_ROWS], pyarrow.string())
        for start in range(0, len(texts), _COLUMN_ROWS)
    ]
    return pyarrow.chunked_array(pieces, pyarrow.string())


def _texts(column: pyarrow.ChunkedArray) -> list[str]:
    # By way of NumPy: `to_pylist` takes seven times as long, with the interpreter lock held.
    return [text for piece in column.chunks for text in piece.to_numpy(zero_copy_only=False).tolist()]


def _crc32(path: pathlib.Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _publish(temporary: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Makes the files durable, then gives the folder its name."""
    for path in temporary.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(temporary)
    os.replace(temporary, target)
    sync_folder(target.parent)
    return target
