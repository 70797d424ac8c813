"""Whether a root's metadata is whole and speaks of this root, and how it comes to do so after a move or a copy.

TFX keeps absolute paths in its metadata. In a root that was moved they lead nowhere, in one that was copied to the old
root's artifacts; so such a root is refused until its paths are rewritten. Everything here goes through Python's own
sqlite3: it is there before TFX is loaded, and it tells damage apart from a fault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator

from h2rec_tf.errors import InputError

METADATA_FILE = "metadata.db"
ARTIFACTS_DIR = "artifacts"
_PROPERTIES = {"ArtifactProperty": "artifact_id", "ExecutionProperty": "execution_id", "ContextProperty": "context_id"}
# ROOT/artifacts/NODE/CHANNEL/EXECUTION
_BELOW_ROOT = 4


@dataclasses.dataclass(frozen=True)
class Relocation:
    """What `relocate` did.

    Attributes:
        old: the roots that the metadata spoke of.
        paths: texts with a path that was rewritten; 0 where all were right.
        backup: the metadata as it was, or "".
    """

    old: list[str]
    paths: int
    backup: str


def check_root(root: str) -> None:
    """Does nothing for a root that is new, or whose metadata is whole and speaks of it.

    Raises:
        InputError: the metadata is lost or damaged, or speaks of another root; the message has the remedy.
    """
    path = os.path.join(root, METADATA_FILE)
    if not os.path.exists(path) or not os.path.getsize(path):
        artifacts = os.path.join(root, ARTIFACTS_DIR)
        if os.path.isdir(artifacts) and os.listdir(artifacts):
            raise InputError(
                f"{path}: {'is empty' if os.path.exists(path) else 'is missing'}, but {artifacts} holds artifacts of"
                f" earlier runs; put a copy of the file back, or delete {artifacts} to make everything anew"
            )
        return
    old = other_roots(root)
    if old:
        raise InputError(
            f"--root {root}: was moved or copied, its metadata still names {', '.join(old)}; run `h2rec pipeline"
            f" relocate --root {root}` once, then run again"
        )


def other_roots(root: str) -> list[str]:
    """The roots, other than this one, that artifacts in the metadata lie in.

    Raises:
        InputError: the metadata is damaged.
    """
    with _opened(root) as connection:
        uris = [uri for (uri,) in connection.execute("SELECT uri FROM Artifact WHERE uri IS NOT NULL")]
    return sorted({found for uri in uris if (found := _root_of(uri))} - {root})


def relocate(root: str) -> Relocation:
    """Rewrites the paths in a root's metadata to where the root lies now; whole or not at all.

    Raises:
        InputError: there is no metadata, or it is damaged or cannot be written.
    """
    path = os.path.join(root, METADATA_FILE)
    if not os.path.isfile(path):
        raise InputError(f"--root {root}: no run was made here; start one with `h2rec pipeline run`")
    old = other_roots(root)
    if not old:
        return Relocation([], 0, "")
    # No part of a longer path, and no prefix of a longer name.
    pattern = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, old))})(?![\w.-])")
    growing = f"{path}.new"
    backup = f"{path}.{datetime.datetime.now():%Y%m%d-%H%M%S-%f}.backup"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.remove(growing)
        with _opened(root) as source, contextlib.closing(sqlite3.connect(growing)) as target:
            source.backup(target)
            with target:
                count = _rewrite(target, "Artifact", "uri", pattern, root)
                for table in _PROPERTIES:
                    count += _rewrite(target, table, "string_value", pattern, root)
        shutil.copy2(path, backup)
        os.replace(growing, path)
    except (sqlite3.Error, OSError) as error:
        raise InputError(f"{path}: cannot be rewritten ({error}); it is as it was, check space and rights") from error
    return Relocation(old, count, backup)


def _rewrite(connection: sqlite3.Connection, table: str, column: str, pattern: re.Pattern[str], root: str) -> int:
    rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    changed = [(new, rowid) for rowid, text in rows if (new := pattern.sub(lambda _: root, text)) != text]
    connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changed)
    return len(changed)


def _root_of(uri: str) -> str:
    """The root that an artifact of the local runner lies in, or "" for another place."""
    parts = uri.rsplit("/", _BELOW_ROOT)
    return parts[0] if uri.startswith("/") and len(parts) > _BELOW_ROOT and parts[1] == ARTIFACTS_DIR else ""


@contextlib.contextmanager
def _opened(root: str) -> Iterator[sqlite3.Connection]:
    """The metadata, looked through once for damage."""
    path = os.path.join(root, METADATA_FILE)
    try:
        # Not read only: what a killed run left in the journal is rolled back first.
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: damaged or not to be read ({reason}); put a copy of it back, or delete it and"
            f" {os.path.join(root, ARTIFACTS_DIR)} to make everything anew"
        ) from error
