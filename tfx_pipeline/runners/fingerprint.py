"""Content of input files as a short string."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import uuid

from h2rec_tf.data.part_files import part_files
from h2rec_tf.errors import InputError
from tfx_pipeline.constants import is_query, is_remote

_BLOCK = 1 << 20
# What TFX fills in: {SPAN}, {VERSION:3}, {YYYY} and so on.
_PLACEHOLDER = re.compile(r"\{[A-Z]+(:\d+)?\}")


def source_fingerprint(source: str) -> str:
    """What tells one state of an input from another: content of a file, size and time of change of a pattern's files.

    A query has a new one each time, as what it reads may have changed.

    Raises:
        InputError: the file cannot be read, or no file matches.
    """
    if is_query(source):
        return uuid.uuid4().hex
    if is_remote(source):
        return _remote_fingerprint(source)
    pattern = _PLACEHOLDER.sub("*", source)
    if pattern == source and not glob.has_magic(source):
        return fingerprint(source)
    matches = sorted(glob.glob(pattern))
    if not matches:
        raise InputError(f"{source}: no file matches; check the path")
    files = [file for match in matches for file in part_files(match)]
    facts = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files]
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def _remote_fingerprint(source: str) -> str:
    """Of the sizes and times of change of a pattern's files on another file system, or of a file's."""
    import tensorflow as tf

    try:
        files = sorted(tf.io.gfile.glob(_PLACEHOLDER.sub("*", source)))
        facts = [(path, (found := tf.io.gfile.stat(path)).length, found.mtime_nsec) for path in files]
    except tf.errors.OpError as error:
        raise InputError(f"{source}: cannot be read: {error.message}; check the path and your credentials") from error
    if not files:
        raise InputError(f"{source}: no file matches; check the path")
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def _add_content(path: str, digest: hashlib.blake2b) -> None:
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error


def fingerprint(*paths: str | None) -> str:
    """Hex digest of the files' contents, in order; absent ones (None or "") count as empty.

    Remote files count by size and time of change.

    TFX's own fingerprint has size and second of change only, so a quick edit of equal length would pass for cached.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        content = hashlib.blake2b(digest_size=16)
        if path and is_remote(path):
            content.update(_remote_fingerprint(path).encode())
        elif path:
            parts = part_files(path)
            for part in parts:
                if parts != [path]:
                    content.update(os.path.relpath(part, path).encode())
                _add_content(part, content)
        digest.update(content.digest())
    return digest.hexdigest()
