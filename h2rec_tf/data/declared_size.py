"""What a file says about its size is checked against the file before memory is taken for it."""

from __future__ import annotations

from h2rec_tf.data.problems import UNREADABLE_FILE, Problem

# Content of no more bytes is taken at any rate; beyond, at most so many times the file's own size.
_FREE_BYTES = 1 << 28
_LARGEST_RATIO = 100
_MEBIBYTE = 1 << 20


def check_declared_size(path: str, column: str, declared: int, stored: int) -> None:
    """Refuses content that claims to be far larger than compression makes of real data.

    Args:
        path: the file.
        column: column or array, or "" for the file.
        declared: bytes that the content would take.
        stored: bytes of the file.

    Raises:
        InputError: far more than the file can hold.
    """
    if declared > max(_FREE_BYTES, _LARGEST_RATIO * stored):
        message = (
            f"says that it holds {declared / _MEBIBYTE:,.0f} MiB, {declared // max(stored, 1):,} times the size of the "
            "file; damaged, or made to fill the memory; save it without compression if it is right"
        )
        raise Problem(path, None, column, UNREADABLE_FILE, message).error()
