"""The folders that a caller may name models in."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection

from h2rec_tf.errors import InputError


class Roots:
    """Folders below which models may lie.

    Args:
        folders: local ones, or URIs.
    """

    def __init__(self, folders: Collection[str]) -> None:
        self._folders = tuple(_real(folder) for folder in folders)

    def check(self, path: str) -> None:
        """Accepts one of the folders and what lies below it, symbolic links and `..` followed.

        Raises:
            InputError: another path, whether there is anything or not.
        """
        real = _real(path)
        # A slash at the end, so that /models-of-others is not below /models.
        if not any(f"{real}/".startswith(f"{folder.rstrip('/')}/") for folder in self._folders):
            raise InputError(
                "base_path: not below a folder that models may come from; name such folders with --model-root"
            )


def _real(path: str) -> str:
    scheme, separator, rest = path.partition("://")
    if separator:
        # Stores have no links. The first part is the bucket, above which `..` leads nowhere.
        return f"{scheme.lower()}://{posixpath.normpath('/' + rest)[1:]}"
    return os.path.realpath(path)
