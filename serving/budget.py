"""How much memory the tensors of one message take, known before they are made."""

from __future__ import annotations

import numpy as np

# What TensorFlow keeps for a string, whatever its length.
STRING_BYTES = 24


class Budget:
    """Counts the bytes that the tensors of one message take when they are decoded, all of them together.

    A number takes the width of its type, a string its length and `STRING_BYTES`.

    Args:
        most: bytes.

    Attributes:
        used: bytes taken so far.
    """

    def __init__(self, most: int) -> None:
        self.used = 0
        self._most = most

    def check(self, size: int) -> None:
        """Whether so many bytes more may be taken.

        Raises:
            ValueError: they may not.
        """
        if self.used + size > self._most:
            raise ValueError(
                f"the message takes {self.used + size} bytes decoded, at most {self._most} are taken: send fewer rows "
                "or less in each"
            )

    def take(self, size: int) -> None:
        """Takes bytes.

        Raises:
            ValueError: they are too many.
        """
        self.check(size)
        self.used += size


def size_of(array: np.ndarray) -> int:
    """What an array of a supported type takes of a `Budget`."""
    if array.dtype != object:
        return array.nbytes
    return STRING_BYTES * array.size + sum(map(len, array.ravel().tolist()))


def fewest_sent(array: np.ndarray) -> int:
    """The fewest bytes that an array of a supported type takes in a message, protobuf or JSON."""
    if array.dtype == object:
        return 2 * array.size + sum(map(len, array.ravel().tolist()))
    return array.size * (4 if array.dtype.kind == "f" else 1)
