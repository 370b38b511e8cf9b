"""Early data is taken once: who remembers which hellos were seen. RFC 9846 8.

A hello with early data is fresh for as long as its ticket's age, as the client tells it, agrees with the server's
clock; a replay outside of that window is refused by the clock alone, one inside of it by a guard that remembers. So the
guard must remember for the whole window, must have been there since the window began, and must be the only one that
answers for the ticket: that is what its ``scope``, which the ticket carries, says.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from handfast import limits
from handfast.crypto.randomness import random_bytes
from handfast.fork import renew_in_children
from handfast.number_options import check_count
from handfast.sessions.reentry import in_a_step


class ReplayGuard(Protocol):
    """Remembers hellos. Whatever it raises, or answers other than True, refuses the early data and nothing else."""

    @property
    def scope(self) -> bytes:
        """1 to 255 bytes, the same for all guards that share one memory and for no other."""

    @property
    def since(self) -> float:
        """Since when nothing was forgotten: seconds since the Unix epoch."""

    def first_use(self, key: bytes, seconds: float) -> bool | Awaitable[bool]:
        """Whether ``key`` is new; it is remembered for at least ``seconds``, in one step that nothing interrupts.

        ``key`` begins with the scope that its ticket carries, and that was this guard's a moment ago.
        """


class MemoryReplayGuard:
    """Remembers in this process: its tickets' early data is redeemable here alone, and not after a restart.

    When ``capacity`` hellos are remembered the next early data is refused: forgetting one early would let it in twice.
    Raises ConfigError bad_option for a ``capacity`` that is no whole number.
    """

    _lock: threading.RLock

    def __init__(
        self,
        capacity: int = limits.REMEMBERED_HELLOS,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        check_count("capacity", capacity, least=0)
        self._capacity = capacity
        self._clock = clock
        self._wall_clock = wall_clock
        renew_in_children(self, _lock=threading.RLock)
        # Until when, by both clocks: freshness is judged by the wall clock, which may be set back, or forth and back.
        self._seen: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._scope = random_bytes(16)
        self._since = self._wall_clock()
        self._seen.clear()
        # Until when, by the wall clock, a hello that is forgotten would be fresh: one that is set back comes before it.
        self._forgotten_until = -math.inf

    def _start_if_forked(self) -> None:
        if self._process != os.getpid():
            self._start()

    @property
    def scope(self) -> bytes:
        """Of this process; a child gets one of its own."""
        with self._lock:
            self._start_if_forked()
            return self._scope

    @property
    def since(self) -> float:
        """When this guard, or the process after a fork, began."""
        with self._lock:
            self._start_if_forked()
            return self._since

    def first_use(self, key: bytes, seconds: float) -> bool:
        """Whether ``key`` is new for certain, and there was room to remember it.

        Where a signal's handler asks in the middle of another step nothing is certain.
        """
        if in_a_step(self._lock):
            return False
        with self._lock:
            self._start_if_forked()
            now, wall_now = self._clock(), self._wall_clock()
            while self._seen:
                until, wall_until = next(iter(self._seen.values()))
                if now <= until or wall_now <= wall_until:
                    break
                self._seen.popitem(last=False)
                self._forgotten_until = max(self._forgotten_until, wall_until)
            if wall_now <= self._forgotten_until or key in self._seen or len(self._seen) >= self._capacity:
                return False
            self._seen[key] = now + seconds, wall_now + seconds
            return True
