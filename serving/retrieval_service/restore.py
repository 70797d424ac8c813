"""A data folder made from a snapshot, with the service at rest."""

from __future__ import annotations

import pathlib
import shutil

from h2rec_tf.errors import InputError
from serving.retrieval_service.log import sync_folder
from serving.retrieval_service.snapshot import SNAPSHOTS, copy_snapshot, read_manifest, read_rows
from serving.retrieval_service.store import write_description


def restore(snapshot: str, data_dir: str) -> int:
    """Makes a new data folder that holds what the snapshot holds.

    A service on that folder goes on from there: what was written after the snapshot is not in it.

    Args:
        snapshot: folder of a snapshot, of this machine's or copied from another.
        data_dir: new or empty.

    Returns:
        The number of items.

    Raises:
        InputError: the snapshot is damaged or not of this program's types, or the folder holds something or cannot be
            written.
    """
    source, target = pathlib.Path(snapshot), pathlib.Path(data_dir)
    manifest = read_manifest(source)
    # What a service could not load is refused here, before there is a folder for it.
    read_rows(source, manifest)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"--data-dir {data_dir}: is not empty; restore into a new folder")
    made = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        copy_snapshot(source, target / SNAPSHOTS, sequence=int(manifest["sequence"]))
        # Last: a folder without it is no data folder.
        write_description(target, width=int(manifest["width"]), model_version=str(manifest["model_version"]))
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(target if made else target / SNAPSHOTS, ignore_errors=True)
        raise InputError(f"--data-dir {data_dir}: cannot be written: {error.strerror}") from error
    return int(manifest["items"])
