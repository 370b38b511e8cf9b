"""A time by which something must have happened, which moves often and is reached seldom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """Calls ``reached`` when the time last set has come. To move it costs no timer of the loop's."""

    __slots__ = ("_at", "_loop", "_reached", "_timer")

    def __init__(self, reached: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._reached: Callable[[], object] | None = reached
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let it be so many seconds from now."""
        if self._reached is None:
            return
        self._at = at = self._loop.time() + seconds
        timer = self._timer
        if timer is None:
            self._timer = self._loop.call_at(at, self._look)
        elif at < timer.when():
            timer.cancel()
            self._timer = self._loop.call_at(at, self._look)

    def clear(self) -> None:
        """Let there be none, until one is set again."""
        self._at = None

    def end(self) -> None:
        """Let there be none any more, whatever is set."""
        # What it calls holds it most often, and the two would keep each other alive until the garbage collector comes.
        self._reached = None
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._at is None or self._reached is None:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self._at = None
            self._reached()
