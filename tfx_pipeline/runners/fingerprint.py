"""Content of input files as a short string."""

from __future__ import annotations

import hashlib

from h2rec_tf.errors import InputError

_BLOCK = 1 << 20


def fingerprint(*paths: str | None) -> str:
    """Hex digest of the files' contents, in order; absent ones (None or "") count as empty.

    TFX's own fingerprint has size and second of change only, so a quick edit of equal length would pass for cached.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        content = hashlib.blake2b(digest_size=16)
        if path:
            try:
                with open(path, "rb") as file:
                    while block := file.read(_BLOCK):
                        content.update(block)
            except OSError as error:
                raise InputError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
        digest.update(content.digest())
    return digest.hexdigest()
