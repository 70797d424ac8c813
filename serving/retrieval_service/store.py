"""A data folder: its description, its lock, and the items that snapshot and log hold together."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib

from h2rec_tf.errors import InputError
from serving.retrieval_service import mutations
from serving.retrieval_service.log import WriteAheadLog, sync_folder
from serving.retrieval_service.log_reader import LogReader
from serving.retrieval_service.mutations import Mutation, Upsert
from serving.retrieval_service.rows import Rows
from serving.retrieval_service.snapshot import SNAPSHOTS, load_snapshot, remove_unfinished, snapshots

_FORMAT = 1
_DESCRIPTION, _LOCK = "store.json", "lock"


class Store:
    """The files of one data folder, held by one process at a time.

    Args:
        data_dir: the folder; made if absent.
        width: D of the item vectors.
        model_version: the model that the vectors belong to; "" for any.

    Raises:
        InputError: another process holds the folder, it cannot be written, or it has vectors of another width or model.
    """

    def __init__(self, data_dir: str, *, width: int, model_version: str = "") -> None:
        self.folder = pathlib.Path(data_dir)
        self.width = width
        self.model_version = model_version
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"--data-dir {data_dir}: cannot be written: {error.strerror}") from error
        try:
            self._take()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def snapshot_folder(self) -> pathlib.Path:
        """Where the snapshots are."""
        return self.folder / SNAPSHOTS

    def recover(self) -> tuple[Rows, WriteAheadLog, int]:
        """The items as of the last acknowledged write, the log to go on with, and the newest snapshot's number.

        Raises:
            InputError: a file is damaged; the message names it and, in a log, the place.
        """
        remove_unfinished(self.snapshot_folder)
        rows, covered = Rows(self.width), 0
        found = snapshots(self.snapshot_folder)
        if found:
            covered, path = found[-1]
            rows = load_snapshot(path)
            if rows.width != self.width:
                raise InputError(f"{path}: vectors of width {rows.width}, expected {self.width}")
        reader = LogReader(self.folder / "log", after=covered)
        for record in reader:
            try:
                replay(rows, mutations.decode(record))
            except ValueError as error:
                raise InputError(
                    f"{reader.place}: {error}; restore a snapshot with `h2rec retrieval restore`"
                ) from error
        log = WriteAheadLog(self.folder / "log", next_sequence=reader.next_sequence, resume=reader.resume)
        return rows, log, covered

    def close(self) -> None:
        """Lets another process have the folder."""
        os.close(self._lock)

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"--data-dir {self.folder}: another retrieval service is using it; stop that one"
            ) from error
        path = self.folder / _DESCRIPTION
        wanted = {"format": _FORMAT, "width": self.width, "model_version": self.model_version}
        if not path.exists():
            write_description(self.folder, width=self.width, model_version=self.model_version)
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); restore a snapshot into a new folder") from error
        for key, value in wanted.items():
            if found.get(key) != value:
                raise InputError(
                    f"--data-dir {self.folder}: holds item vectors with {key} {found.get(key)!r}, the service was "
                    f"started for {value!r}; give each model a data folder of its own"
                )


def write_description(folder: pathlib.Path, *, width: int, model_version: str) -> None:
    """Writes `store.json`, whole or not at all, durably.

    Raises:
        OSError: it could not be written.
    """
    temporary = folder / f".{_DESCRIPTION}"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, "width": width, "model_version": model_version}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / _DESCRIPTION)
    sync_folder(folder)


def replay(rows: Rows, mutation: Mutation) -> None:
    """Makes a logged change; a second time changes nothing more."""
    if not isinstance(mutation, Upsert):
        for item_id in mutation.item_ids:
            rows.delete(item_id)
        return
    if mutation.vectors.shape[1] != rows.width:
        raise ValueError(f"a record has vectors of width {mutation.vectors.shape[1]}, expected {rows.width}")
    rows.upsert(mutation.item_ids, mutation.titles, mutation.vectors)
