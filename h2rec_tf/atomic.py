"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from h2rec_tf.errors import InputError


@contextlib.contextmanager
def atomic_directory(directory: str, *, marker: str = "") -> Iterator[pathlib.Path]:
    """Gives a new sibling directory to write to, and moves it to `directory` when the block ends well.

    A directory that is there already is replaced; after an error it is as it was. A reader never sees a part of the
    new one.

    Args:
        directory: the target; its parents are made.
        marker: a file that earlier output of this kind contains. A directory with other contents is not replaced;
            "" replaces anything.

    Raises:
        InputError: the target is a file, or a directory of something else.
    """
    target = pathlib.Path(os.path.abspath(directory))
    if target.exists() and not target.is_dir():
        raise InputError(f"{directory}: is a file; name a directory")
    if marker and target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
        raise InputError(f"{directory}: holds other files, which would be lost; name a new or empty directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # mkdtemp lets only the owner in; others may serve what is written here.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        yield temporary
        if target.is_dir() and any(target.iterdir()):
            old = temporary.with_name(temporary.name + "-old")
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            # A rename over an empty directory is one step.
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file under another name beside it and then renames; missing folders are made.

    Raises:
        InputError: the place cannot be written.
    """
    target = pathlib.Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            # `mkstemp` lets only the owner read.
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
        finally:
            pathlib.Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot write: {error.strerror or error}; choose another place") from error
