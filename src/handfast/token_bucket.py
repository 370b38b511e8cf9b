"""Limits on a rate: a burst passes, then a steady trickle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Holds ``at_once`` tokens and gets ``per_second`` new ones. ``clock`` gives seconds that never go back."""

    def __init__(self, at_once: int, per_second: float, clock: Callable[[], float]) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(at_once)
        self._filled = clock()

    def take(self) -> bool:
        """One token, if there is one left."""
        now = self._clock()
        more = (now - self._filled) * self._per_second
        self._tokens, self._filled = min(self._at_once, self._tokens + more), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Throttle:
    """Lets so many through as a bucket has tokens, and counts those that it holds back."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self._held_back = 0

    def admit(self) -> int | None:
        """How many were held back before this one, or None if it is held back too."""
        if not self._bucket.take():
            self._held_back += 1
            return None
        held_back, self._held_back = self._held_back, 0
        return held_back
