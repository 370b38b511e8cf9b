"""TCP reassembly: one direction's bytes, in order, each once.

The first copy of a byte counts: what arrives again, whole or in part, is dropped; where it is another byte than the
first, that is noticed, as far back as bytes are kept. What arrives too early waits for what is missing, up to a bound.
Bytes are given up when it is known that they will not come: the receiver has acknowledged them and the recording goes
on without them, they were cut off when they were captured, or too much waits for them.

A direction starts at its SYN or, in a recording that began later, at the first segment with data.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from handfast.limits import REASSEMBLY_BYTES, RETRANSMISSION_BYTES
from handfast.passive.packets import ACK, FIN, SYN, Segment

_HALF = 2**31
_ALL = 2**32
# Packets of a recording may be somewhat out of order: so many more of a connection are looked at before bytes that were
# acknowledged are held to be missing.
_PATIENCE = 8
# What a waiting segment costs besides its bytes.
_OVERHEAD = 128


class Stream:
    """One direction of a connection."""

    __slots__ = (
        "_acknowledged",
        "_changed",
        "_cut",
        "_end",
        "_order",
        "_patience",
        "_recent",
        "_start",
        "_taken",
        "_waiting",
        "waiting_bytes"
    )  # fmt: skip

    def __init__(self) -> None:
        # The sequence number of the first byte, and how many came.
        self._start: int | None = None
        self._taken = 0
        # What waits, by where it stands, without overlaps; and these places in their order.
        self._waiting: dict[int, bytes] = {}
        self._order: list[int] = []
        # The last bytes that came, to compare with what is sent again.
        self._recent = bytearray()
        # How many bytes were sent again with another content, since somebody asked.
        self._changed = 0
        self._end: int | None = None
        # Up to where the receiver has acknowledged, and how many segments were seen since that was more than came.
        self._acknowledged = 0
        self._patience = _PATIENCE
        # Up to where bytes are missing that were cut off.
        self._cut = 0
        self.waiting_bytes = 0

    def is_restarted_by(self, segment: Segment) -> bool:
        """Whether the segment is the first of another stream."""
        if self._start is None:
            return False
        if segment.flags & SYN:
            # A server may answer the same SYN twice, each time with another number.
            other = self._start != (segment.sequence + 1) % _ALL
            return other and bool(self._taken or not segment.flags & ACK)
        # What follows an end that has no beginning of its own.
        return self.ended and bool(segment.payload) and self._offset(segment.sequence) > (self._end or 0)

    @property
    def ended(self) -> bool:
        """Whether everything up to the FIN has come."""
        return self._end is not None and self._taken >= self._end

    @property
    def incomplete(self) -> bool:
        """Whether bytes are missing: others wait for them, or their receiver has them."""
        missing = self._start is not None and self._acknowledged > self._taken
        return bool(self._waiting) or (self._end is not None and not self.ended) or missing

    @property
    def hopeless(self) -> bool:
        """Whether what is missing next was never recorded."""
        if self._cut > self._taken or self.waiting_bytes > REASSEMBLY_BYTES:
            return True
        return self.incomplete and self._acknowledged > self._taken and not self._patience

    def acknowledge(self, number: int) -> None:
        """The receiver has all that stands before this sequence number."""
        if self._start is None:
            return
        self._acknowledged = max(self._acknowledged, min(self._offset(number), self._end or _ALL))
        if self._acknowledged > self._taken:
            self._patience = max(0, self._patience - 1)
        else:
            self._patience = _PATIENCE

    def take(self, segment: Segment) -> bytes:
        """The bytes that this segment brings in order: its own, those that waited for them, or none."""
        sequence = segment.sequence
        if segment.flags & SYN:
            sequence = (sequence + 1) % _ALL
            if not self._taken and not self._waiting:
                self._start = sequence
        if self._start is None:
            if not segment.payload and not segment.flags & (SYN | FIN):
                return b""
            self._start = sequence
        at = self._offset(sequence)
        if segment.flags & FIN and self._end is None:
            self._end = at + len(segment.payload) + segment.cut
        data = self._add(at, segment.payload)
        if segment.cut and at + len(segment.payload) == self._taken:
            self._cut = self._taken + segment.cut
        return data

    def skip(self) -> tuple[int, bytes]:
        """Give up the bytes that are missing next: how many they are, and what stands behind them."""
        ends = [end for end in (self._order[:1] or [self._cut or self._acknowledged]) if end > self._taken]
        if self._cut > self._taken:
            ends.append(self._cut)
        if self._end is not None:
            ends.append(self._end)
        missing = max(0, min(ends, default=self._taken) - self._taken)
        self._taken += missing
        if missing:
            self._recent.clear()
        self._patience = _PATIENCE
        return missing, self._join()

    def changed(self) -> int:
        """How many bytes were sent again with another content, since this was asked last."""
        changed, self._changed = self._changed, 0
        return changed

    def forget(self) -> None:
        """Nothing more is to be read: only where the stream began and ended is kept."""
        for kept in (self._recent, self._order, self._waiting):
            kept.clear()
        self.waiting_bytes = 0

    def _offset(self, sequence: int) -> int:
        """Where a sequence number stands in the stream: of all places that it can mean, the one next to what came."""
        expected = (self._start or 0) + self._taken
        return self._taken + (sequence - expected + _HALF) % _ALL - _HALF

    def _add(self, at: int, payload: bytes) -> bytes:
        if not payload:
            return b""
        if at > self._taken:
            self._wait(at, payload)
            return b""
        again = self._taken - at
        if again:
            self._compare_again(at, payload)
            if again >= len(payload):
                return b""
            payload = payload[again:]
        if not self._order:
            self._taken += len(payload)
            self._remember(payload)
            return payload
        self._wait(self._taken, payload)
        return self._join()

    def _join(self) -> bytes:
        """What waited for what came."""
        ready, joined = bytearray(), 0
        for start in self._order:
            if start != self._taken:
                break
            waiting = self._waiting.pop(start)
            self.waiting_bytes -= len(waiting) + _OVERHEAD
            self._taken += len(waiting)
            ready += waiting
            joined += 1
        del self._order[:joined]
        self._remember(ready)
        return bytes(ready)

    def _wait(self, at: int, payload: bytes) -> None:
        """Keep those of the bytes that do not wait already."""
        end, fresh = at + len(payload), at
        first = max(0, bisect_right(self._order, at) - 1)
        for start in self._order[first : bisect_left(self._order, end)]:
            known = self._waiting[start]
            self._compare(start, known, at, payload)
            if fresh < start:
                self._keep(fresh, payload[fresh - at : start - at])
            fresh = max(fresh, start + len(known))
        if fresh < end:
            self._keep(fresh, payload[fresh - at :])

    def _keep(self, at: int, payload: bytes) -> None:
        insort(self._order, at)
        self._waiting[at] = payload
        self.waiting_bytes += len(payload) + _OVERHEAD

    def _remember(self, data: bytes | bytearray) -> None:
        recent = self._recent
        recent += data
        if len(recent) > 2 * RETRANSMISSION_BYTES:
            del recent[:-RETRANSMISSION_BYTES]

    def _compare_again(self, at: int, payload: bytes) -> None:
        # The last byte alone is what a keep-alive sends, of whatever value (RFC 9293 3.8.4).
        if len(payload) > 1 or at + 1 != self._taken:
            self._compare(self._taken - len(self._recent), self._recent, at, payload)

    def _compare(self, start: int, known: bytes | bytearray, at: int, payload: bytes) -> None:
        """Notice what of a payload stands where other bytes are known."""
        low, high = max(start, at), min(start + len(known), at + len(payload))
        if low < high and known[low - start : high - start] != payload[low - at : high - at]:
            self._changed += high - low
