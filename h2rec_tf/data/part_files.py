"""Files of one data set: a path, a folder as Spark and Hive write it, or a wildcard pattern -> the files with rows."""

from __future__ import annotations

import glob
import os
import re
from types import SimpleNamespace
from typing import Any

from h2rec_tf.data.problems import UNREADABLE_FILE, Problem
from h2rec_tf.data.source_file import reading

# A folder's file system, by the three functions of `tfx.dsl.io.fileio` and of Python that have these names.
_LOCAL = SimpleNamespace(glob=glob.glob, isdir=os.path.isdir, listdir=os.listdir, exists=os.path.exists)
_WILDCARD = re.compile(r"[*?\[]")
# Files that are not data, as Hadoop has it: `_SUCCESS`, `_metadata`, `.part-0.crc`.
_HIDDEN = ("_", ".")
# What a job that writes a folder has in it until it is done.
_UNFINISHED = "_temporary"
_PARTITION = re.compile(r"([^/=]+)=[^/]*")


def part_files(path: str, *, system: Any = _LOCAL) -> list[str]:
    """The files that a path means, in the order of their names.

    A folder means the files in it and in folders below that are called `name=value`; names that start with `_` or `.`
    are passed over, as wildcards pass them over. A file means itself, whether it exists or not.

    Args:
        path: file, folder, or pattern with `*`, `?` or `[...]`.
        system: functions `glob`, `isdir`, `listdir` and `exists` of another file system.

    Raises:
        InputError: no file matches, or a folder has none, is not written to its end, or has folders of other names.
    """
    path = os.fspath(path)
    with reading(path):
        if _WILDCARD.search(path) and not system.exists(path):
            return _matches(path, system)
        return _below(path, system) if system.isdir(path) else [path]


def folder_columns(path: str) -> dict[str, str]:
    """Columns whose values stand in the names of a file's folders -> what to say where one of them is asked for."""
    found = {}
    for part in os.path.dirname(path).split("/"):
        match = _PARTITION.fullmatch(part)
        if match:
            found[match[1]] = f"stands in the folder's name alone (`{part}`); write it into the files"
    return found


def is_hidden(match: str, pattern: str) -> bool:
    """Whether a match of a pattern is no data by its name, and the pattern does not ask for such names."""
    return os.path.basename(match.rstrip("/")).startswith(_HIDDEN) and not os.path.basename(pattern).startswith(_HIDDEN)


def _matches(pattern: str, system: Any) -> list[str]:
    if "**" in pattern:
        message = "`**` is not understood; name a folder, or a pattern with one `*` for each folder on the way"
        raise Problem(pattern, None, "", UNREADABLE_FILE, message).error()
    files: set[str] = set()
    for match in system.glob(pattern):
        if not is_hidden(match, pattern):
            files.update(_below(match, system) if system.isdir(match) else [match])
    if not files:
        raise Problem(pattern, None, "", UNREADABLE_FILE, "no file matches; check the path").error()
    return sorted(files)


def _below(folder: str, system: Any) -> list[str]:
    files: list[str] = []
    _collect(folder, system, files)
    if not files:
        raise Problem(folder, None, "", UNREADABLE_FILE, "the folder has no file of data").error()
    return sorted(files)


def _collect(folder: str, system: Any, files: list[str]) -> None:
    for name in system.listdir(folder):
        name = name.rstrip("/")
        place = os.path.join(folder, name)
        if name == _UNFINISHED:
            message = (
                f"`{_UNFINISHED}` is in the folder: what writes it is not done, or failed; wait, or write it again"
            )
            raise Problem(folder, None, "", UNREADABLE_FILE, message).error()
        if name.startswith(_HIDDEN):
            continue
        if not system.isdir(place):
            files.append(place)
        elif _PARTITION.fullmatch(name):
            _collect(place, system, files)
        else:
            message = (
                f"the folder `{name}` in it is not called `name=value`; name the files by a pattern, as */*.parquet"
            )
            raise Problem(folder, None, "", UNREADABLE_FILE, message).error()
