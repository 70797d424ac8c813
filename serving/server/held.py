"""The memory that the requests of a whole server hold at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from serving.server.errors import RequestError
from serving.server.options import Limits


class Held:
    """Counts the decoded bytes of requests that wait or run. Lives in one event loop.

    Args:
        limits: the largest sum; a request that finds nothing held is taken whatever its size.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.held_bytes
        self._bytes = 0

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Counts a request of so many bytes while it waits and runs.

        Raises:
            RequestError: UNAVAILABLE; the others hold too much.
        """
        if self._bytes and self._bytes + size > self._most:
            raise RequestError.unavailable(
                f"the requests in the server hold {self._bytes} of {self._most} bytes already; try again later"
            )
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
