"""TCP reassembly: one direction's bytes, in order, each once.

The first copy of a byte counts: what arrives again, whole or in part, is dropped. What arrives too early waits for what
is missing, up to a bound; beyond it, the recording lacks bytes and the direction is given up.

A direction starts at its SYN or, in a recording that began later, at the first segment with data.
"""

from __future__ import annotations

from heapq import heappop, heappush

from handfast.limits import REASSEMBLY_BYTES
from handfast.passive.packets import FIN, SYN, Segment

_HALF = 2**31
_ALL = 2**32


class Stream:
    """One direction of a connection."""

    def __init__(self) -> None:
        # The sequence number of the first byte, and how many came.
        self._start: int | None = None
        self._taken = 0
        self._waiting: dict[int, bytes] = {}
        self._order: list[int] = []
        self._waiting_bytes = 0
        self._end: int | None = None

    def is_restarted_by(self, segment: Segment) -> bool:
        """Whether the segment is the first of another stream."""
        return bool(segment.flags & SYN) and self._start not in (None, (segment.sequence + 1) % _ALL)

    @property
    def ended(self) -> bool:
        """Whether everything up to the FIN has come."""
        return self._end is not None and self._taken >= self._end

    @property
    def incomplete(self) -> bool:
        """Whether bytes wait for others that are missing."""
        return bool(self._waiting) or (self._end is not None and not self.ended)

    @property
    def overflowed(self) -> bool:
        """Whether more bytes wait than a sender can have under way: what is missing was never recorded."""
        return self._waiting_bytes > REASSEMBLY_BYTES

    def take(self, segment: Segment) -> bytes:
        """The bytes that this segment brings in order: its own, those that waited for them, or none."""
        sequence = segment.sequence
        if segment.flags & SYN:
            sequence = (sequence + 1) % _ALL
        if self._start is None:
            if not segment.payload and not segment.flags & (SYN | FIN):
                return b""
            self._start = sequence
        at = self._offset(sequence)
        if segment.flags & FIN and self._end is None:
            self._end = at + len(segment.payload)
        return self._add(at, segment.payload)

    def _offset(self, sequence: int) -> int:
        """Where a sequence number stands in the stream: of all places that it can mean, the one next to what came."""
        expected = (self._start or 0) + self._taken
        return self._taken + (sequence - expected + _HALF) % _ALL - _HALF

    def _add(self, at: int, payload: bytes) -> bytes:
        if not payload or at + len(payload) <= self._taken:
            return b""
        if at > self._taken:
            if len(payload) > len(self._waiting.get(at, b"")):
                self._wait(at, payload)
            return b""
        ready = bytearray(payload[self._taken - at :])
        self._taken += len(ready)
        while self._order and self._order[0] <= self._taken:
            first = heappop(self._order)
            waiting = self._waiting.pop(first)
            self._waiting_bytes -= len(waiting)
            fresh = waiting[self._taken - first :]
            ready += fresh
            self._taken += len(fresh)
        return bytes(ready)

    def _wait(self, at: int, payload: bytes) -> None:
        if at not in self._waiting:
            heappush(self._order, at)
        self._waiting_bytes += len(payload) - len(self._waiting.get(at, b""))
        self._waiting[at] = payload
