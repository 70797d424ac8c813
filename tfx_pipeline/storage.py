"""Artifacts on object stores for code that reads and writes local files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from tfx.utils import io_utils


@contextlib.contextmanager
def local_input(uri: str) -> Iterator[str]:
    """The directory itself, or for a remote one (`gs://...`) a copy that lasts as long as the block."""
    if "://" not in uri:
        yield uri
        return
    with tempfile.TemporaryDirectory() as temporary:
        local = os.path.join(temporary, os.path.basename(uri.rstrip("/")))
        io_utils.copy_dir(uri, local)
        yield local


@contextlib.contextmanager
def local_output(uri: str) -> Iterator[str]:
    """The directory itself, or for a remote one an empty local one that is copied there when the block ends well."""
    if "://" not in uri:
        yield uri
        return
    with tempfile.TemporaryDirectory() as temporary:
        local = os.path.join(temporary, os.path.basename(uri.rstrip("/")))
        os.mkdir(local)
        yield local
        io_utils.copy_dir(local, uri)
