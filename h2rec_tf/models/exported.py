"""SavedModels on disk: the newest of their versions, and inputs that a call may leave out."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.pushed import versions_folder


def absent_inputs(signature: Any) -> dict[str, tf.Tensor]:
    """Empty values of the inputs that a request may leave out, for calls in Python, where every input is required.

    Args:
        signature: of a loaded SavedModel.
    """
    known = signature.structured_input_signature[1]
    return {name: tf.zeros([1, 0], tf.string) for name in (names.EXCLUDE, names.ALLOW_CATEGORIES) if name in known}


def newest_version(directory: str) -> pathlib.Path:
    """The SavedModel in `directory`: itself, or the version with the highest number, found as `versions_folder` does.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(directory)
    if (path / "saved_model.pb").is_file():
        return path
    folder = pathlib.Path(versions_folder(directory))
    versions = [child for child in folder.glob("*") if child.name.isdigit() and (child / "saved_model.pb").is_file()]
    if not versions:
        raise InputError(
            f"{directory}: no SavedModel here and no numbered version of one; give the folder that was pushed to"
        )
    return max(versions, key=lambda child: int(child.name))
