"""What an artifact consisted of when it was made: sizes, checksums and numbers of examples, checked before it is read.

A gzipped file of examples that was cut reads as a shorter one in many places, and a file that is missing as none. So
the producer leaves a record beside the artifact's directory, and whoever reads the artifact compares first.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tfx.dsl.io import fileio

from h2rec_tf.errors import InputError
from tfx_pipeline.constants import is_remote

# Beside the directory, not in it: some of TFX's readers expect a single file there.
_SUFFIX = ".files.json"
_FILES, _EXAMPLES = "files", "examples"
_BLOCK = 1 << 20
_SPLIT = "Split-"
# Two changes of a file may bear the same time within so many nanoseconds.
_CLOCK = 2 * 10**9


def record_path(uri: str) -> str:
    """Where the record of an artifact lies."""
    return uri.rstrip("/") + _SUFFIX


def has_record(uri: str) -> bool:
    """Whether the producer of an artifact left a record, which is the last that it does."""
    return fileio.exists(record_path(uri))


def write_record(uri: str, examples: Mapping[str, int] | None = None) -> None:
    """Writes the record of an artifact that is complete.

    Args:
        uri: its directory.
        examples: split -> number of examples, as its producer counted them.
    """
    content = json.dumps({_FILES: facts(uri), _EXAMPLES: dict(examples or {})}, sort_keys=True)
    path = record_path(uri)
    # Local readers must not see half of it; object stores show a file whole.
    growing = path if is_remote(path) else path + ".new"
    with fileio.open(growing, "w") as file:
        file.write(content)
    if growing != path:
        os.replace(growing, path)


def recorded_examples(uri: str) -> dict[str, int]:
    """Split -> number of examples that the producer counted; empty where it left no record."""
    return {split: int(count) for split, count in (_read(uri) or {}).get(_EXAMPLES, {}).items()}


def verify(uri: str, split: str = "") -> None:
    """Does nothing where an artifact, or one split of it, is what its producer wrote.

    On other file systems than this machine's the sizes are compared, not the contents. Without a record, files of
    examples must at least be whole.

    Args:
        uri: the artifact's directory.
        split: name of the only split that counts; "" for all files.

    Raises:
        InputError: the message names the file, what was found and expected, and the remedy.
    """
    below = f"{_SPLIT}{split}/" if split else ""
    record = _read(uri)
    if record is None:
        damaged = damaged_file([uri], below)
        if damaged:
            raise InputError(damaged)
        return
    expected = {name: facts for name, facts in record[_FILES].items() if name.startswith(below)}
    for name in sorted(expected.keys() | _files(uri, below)):
        path = os.path.join(uri, name)
        if name not in expected:
            raise InputError(f"{path}: does not belong here, {len(expected)} other files were written; {_remedy(uri)}")
        size, digest = expected[name]
        if not fileio.exists(path):
            raise InputError(f"{path}: is missing, {size} bytes were written; {_remedy(uri)}")
        length = tf.io.gfile.stat(path).length
        if length != size:
            raise InputError(f"{path}: damaged, has {length} bytes, {size} were written; {_remedy(uri)}")
        if digest and not is_remote(path) and _checksum(path) != digest:
            raise InputError(f"{path}: damaged, its checksum is not that of what was written; {_remedy(uri)}")


def facts(uri: str) -> dict[str, tuple[int, str]]:
    """Path below a directory -> size and checksum of each file, "" where reading it again would cost a transfer."""
    found = {}
    for name in _files(uri, ""):
        path = os.path.join(uri, name)
        state = tf.io.gfile.stat(path)
        digest = "" if is_remote(path) else _checksum(path)
        found[name] = (int(state.length), digest)
    return found


def damaged_file(directories: Iterable[str], below: str = "") -> str:
    """What to tell the user of the first damaged TFRecord file below artifacts' directories; "" if all are whole."""
    for directory in directories:
        for name in sorted(_files(directory, below)):
            if name.startswith(_SPLIT) and name.endswith(".gz"):
                path = os.path.join(directory, name)
                reason = _damage(path)
                if reason:
                    return f"{path}: damaged TFRecord file ({reason}); {_remedy(directory)}"
    return ""


def count_examples(uri: str, split: str) -> int:
    """Examples in the gzipped TFRecord files of one split, each read to its end.

    Raises:
        InputError: a file is damaged.
    """
    count = 0
    for name in sorted(_files(uri, f"{_SPLIT}{split}/")):
        try:
            for batch in tf.data.TFRecordDataset(os.path.join(uri, name), compression_type="GZIP").batch(1024):
                count += len(batch)
        except tf.errors.OpError as error:
            raise InputError(damaged_file([uri]) or f"{uri}/{name}: {error.message}") from error
    return count


def _remedy(uri: str) -> str:
    return f"delete {uri} and run again, it is made anew"


def _read(uri: str) -> dict[str, Any] | None:
    path = record_path(uri)
    if not fileio.exists(path):
        return None
    try:
        with fileio.open(path, "r") as file:
            content = json.loads(file.read())
        return {
            _FILES: {str(name): (int(size), str(digest)) for name, (size, digest) in content[_FILES].items()},
            _EXAMPLES: dict(content[_EXAMPLES]),
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged record of the files of an artifact; {_remedy(uri)}") from error


def _files(uri: str, below: str) -> set[str]:
    """Paths of all files below a directory that start with `below`, relative to it."""
    top = os.path.join(uri, below.rstrip("/"))
    found = set()
    for folder, _, names in tf.io.gfile.walk(top) if fileio.exists(top) else ():
        relative = folder[len(uri.rstrip("/")) :].strip("/")
        found |= {f"{relative}/{name}" if relative else name for name in names}
    return found


def _checksum(path: str) -> str:
    """Checksum of a local file's content; read again only where the file may have changed since the last time."""
    state = os.stat(path)
    if time.time_ns() - state.st_mtime_ns < _CLOCK:
        return _digest(path)
    return _known_digest(path, state.st_size, state.st_mtime_ns, state.st_ino)


@functools.lru_cache(maxsize=1 << 16)
def _known_digest(path: str, size: int, changed: int, inode: int) -> str:
    return _digest(path)


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _damage(path: str) -> str:
    try:
        # TensorFlow itself takes a stream without its end for whole.
        with tf.io.gfile.GFile(path, "rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
            if not stream.read(1):
                return "empty file"
            while stream.read(_BLOCK):
                pass
        for _ in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(1024):
            pass
    except tf.errors.OpError as error:
        return str(error.message).splitlines()[0][:120]
    except (EOFError, OSError, zlib.error) as error:
        return str(error)[:120]
    return ""
