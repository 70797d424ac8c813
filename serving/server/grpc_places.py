"""How many gRPC calls there may be at a time, and which makes room for a new one."""

from __future__ import annotations

import asyncio


class Places:
    """Places for calls from their arrival to their end.

    gRPC's own limit counts calls whose message never comes like those that run, and health checks too. Here, where all
    places are taken, the call that has waited for its message longest makes room.

    All calls come from the server's event loop.

    Args:
        most: calls at a time.
        seconds: time that a call's message has to arrive.
    """

    def __init__(self, most: int, *, seconds: float) -> None:
        self._free = most
        self._seconds = seconds
        # Those without their message, in the order of arrival.
        self._waiting: dict[Place, None] = {}

    def take(self) -> Place | None:
        """A place for the call that the current task answers, free again when the task ends or loses it.

        Returns:
            None where all places are taken by calls that run.
        """
        if not self._free:
            if not self._waiting:
                return None
            next(iter(self._waiting)).lose()
        return Place(self, self._waiting, self._seconds)

    def change(self, taken: int) -> None:
        """So many places more are taken."""
        self._free -= taken


class Place:
    """One call's.

    Attributes:
        lost: it was taken away before the message arrived, and the task canceled.
    """

    def __init__(self, places: Places, waiting: dict[Place, None], seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.lost = False
        self._places = places
        self._waiting = waiting
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(seconds, self.lose)
        waiting[self] = None
        places.change(1)
        task.add_done_callback(self._leave)

    def arrived(self) -> None:
        """The message is there; from here on the call keeps its place."""
        self._timer.cancel()
        self._waiting.pop(self, None)

    def lose(self) -> None:
        """Takes the place away from a call that waits for its message."""
        self.lost = True
        self.arrived()
        self._places.change(-1)
        self._task.cancel()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self.arrived()
        if not self.lost:
            self._places.change(-1)
