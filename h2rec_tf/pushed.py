"""Where a folder that the user names keeps the versions of a model."""

from __future__ import annotations

import pathlib

from h2rec_tf.errors import InputError

_MODEL = "saved_model.pb"
# Of the root of a pipeline's runs and of a training.
_SERVING = "serving"
_MOST_NAMES = 8


def versions_folder(directory: str, *, option: str = "--model-dir") -> str:
    """The folder of numbered versions: the one named, `serving/` in it, or the only one that lies one level down.

    Args:
        directory: as the user named it; a URI comes back as it is.
        option: what the user calls it, for the message.

    Raises:
        InputError: there is none, or more than one; the message says what is there instead.
    """
    path = pathlib.Path(directory)
    if "://" in directory or _has_versions(path):
        return directory
    if not path.is_dir():
        raise InputError(f"{option} {directory}: no such folder; push a model with `h2rec pipeline run`")
    if (path / _MODEL).is_file():
        parent = f", {path.resolve().parent}" if path.resolve().name.isdigit() else ""
        raise InputError(f"{option} {directory}: is itself a SavedModel; give the folder that holds versions{parent}")
    if _has_versions(path / _SERVING):
        return str(path / _SERVING)
    below = [child for child in sorted(path.iterdir()) if _has_versions(child)]
    if len(below) == 1:
        return str(below[0])
    if below:
        raise InputError(f"{option} {directory}: several folders here hold versions; give one of {_listed(below)}")
    there = _listed(sorted(path.iterdir()))
    raise InputError(
        f"{option} {directory}: holds no version (a folder named by a number with {_MODEL} in it), here or one level "
        f"down; found {there or 'nothing'}"
    )


def _has_versions(path: pathlib.Path) -> bool:
    return path.is_dir() and any(child.name.isdigit() and (child / _MODEL).is_file() for child in path.iterdir())


def _listed(paths: list[pathlib.Path]) -> str:
    names = [path.name for path in paths[:_MOST_NAMES]]
    return ", ".join(names) + (", ..." if len(paths) > _MOST_NAMES else "")
