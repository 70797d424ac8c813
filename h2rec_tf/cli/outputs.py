"""Options that name what a command writes: looked at before the command does anything."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

import click

from h2rec_tf.errors import InputError


class OutputPath(click.ParamType):
    """A place that can be written, or becomes one when missing folders are made. Nothing is made or changed.

    A command that finds out after its work has lost it.

    Args:
        folder: a folder, not a file.
        appended: a file that is there is written to; else it is replaced, for which its folder must be writable.
    """

    name = "path"

    def __init__(self, *, folder: bool, appended: bool = False) -> None:
        self._folder = folder
        self._appended = appended

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it is.

        Raises:
            InputError: it cannot be written.
        """
        path = str(value)
        # Standard error, no file, or a place that is not on this machine.
        if path in ("", "-") or "://" in path:
            return path
        option = "" if param is None else param.opts[0] if param.opts[0].startswith("-") else param.opts[0].upper()
        try:
            self._check(pathlib.Path(os.path.abspath(path)))
        except OSError as error:
            raise InputError(
                f"{option} {path}: cannot be written ({error.strerror or error}); choose another place"
            ) from error
        return path

    def _check(self, target: pathlib.Path) -> None:
        if target.exists():
            if self._folder and not target.is_dir():
                raise NotADirectoryError(0, "it is a file")
            if not self._folder and target.is_dir():
                raise IsADirectoryError(0, "it is a directory")
            if self._appended:
                with open(target, "ab"):
                    return
        nearest = target if self._folder else target.parent
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(0, f"{nearest} is a file")
        # Rights do not tell all: root has them everywhere, and a file system may be read-only or made up.
        with tempfile.TemporaryFile(dir=nearest):
            pass


OUTPUT_FOLDER = OutputPath(folder=True)
OUTPUT_FILE = OutputPath(folder=False)
LOG_FILE = OutputPath(folder=False, appended=True)
