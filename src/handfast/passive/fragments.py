"""IP packets that were sent in fragments, put together. RFC 791 3.2, RFC 8200 4.5.

The first copy of a byte counts. What waits is bounded in number, and each packet in bytes and in fragments.
"""

from __future__ import annotations

from typing import TypeAlias

from handfast.limits import RECORDED_FRAGMENTS

# The longest IP packet, and more fragments than one of that size has where the MTU is IPv4's least for hosts, 576.
_LONGEST, _MOST_PIECES = 65535, 128

Key: TypeAlias = tuple[bytes, ...]


class _Waiting:
    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.size = 0
        self.total: int | None = None

    def joined(self) -> bytes | None:
        """All bytes, if they are there."""
        if self.total is None or self.size < self.total:
            return None
        packet = bytearray()
        for at in sorted(self.pieces):
            if at > len(packet):
                return None
            packet += self.pieces[at][len(packet) - at :]
        return bytes(packet[: self.total]) if len(packet) >= self.total else None


class Fragments:
    """The packets of one capture whose fragments are not all there yet."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}

    def add(self, key: Key, at: int, data: bytes, *, more: bool) -> bytes | None:
        """What the fragment completes, or None. ``key`` tells packets apart; ``at`` counts bytes of its contents."""
        waiting = self._waiting.pop(key, None) or _Waiting()
        if at + len(data) > _LONGEST or len(waiting.pieces) >= _MOST_PIECES:
            return None
        if not more:
            waiting.total = at + len(data)
        if len(data) > len(waiting.pieces.get(at, b"")):
            waiting.size += len(data) - len(waiting.pieces.get(at, b""))
            waiting.pieces[at] = data
        whole = waiting.joined()
        if whole is None:
            if len(self._waiting) >= RECORDED_FRAGMENTS:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[key] = waiting
        return whole
