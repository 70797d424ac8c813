"""The versions in a model folder: one integer-named folder each, as TensorFlow Serving and TFX's Pusher have it."""

from __future__ import annotations

import tensorflow as tf

from h2rec_tf.errors import InputError

# File names with sizes and times. A version that failed to load is tried again when this changes.
Fingerprint = tuple[tuple[str, int, int], ...]


def list_versions(model_dir: str) -> dict[int, str]:
    """Version numbers and folders under `model_dir`; anything not named by an integer is passed over.

    Raises:
        InputError: the folder is absent or is itself a SavedModel.
    """
    if not tf.io.gfile.isdir(model_dir):
        raise InputError(f"model folder {model_dir}: does not exist; push a model with `h2rec pipeline run`")
    versions = {}
    for entry in tf.io.gfile.listdir(model_dir):
        # Object stores list folders with a closing slash.
        entry = entry.rstrip("/")
        if entry == "saved_model.pb":
            raise InputError(f"model folder {model_dir}: is itself a SavedModel; give the folder that holds versions")
        if entry.isascii() and entry.isdigit():
            versions[int(entry)] = f"{model_dir.rstrip('/')}/{entry}"
    return versions


def fingerprint(path: str) -> Fingerprint:
    """Tells whether anything under a version's folder has changed; empty where it is gone."""
    files = []
    for folder, _, names in tf.io.gfile.walk(path):
        for name in names:
            file = f"{folder}/{name}"
            try:
                status = tf.io.gfile.stat(file)
            except tf.errors.NotFoundError:
                # Removed while being looked at: its absence is the fact to note.
                continue
            files.append((file, status.length, status.mtime_nsec))
    return tuple(sorted(files))
