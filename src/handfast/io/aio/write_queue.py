"""Plaintext that waits until the TCP transport has room, uncopied where it came as ``bytes``."""

from __future__ import annotations

from typing import TypeAlias

from handfast import limits

Buffer: TypeAlias = bytes | bytearray | memoryview


class WriteQueue:
    """What a program wrote and nothing has sealed yet. ``size`` is how many bytes that are; 0 if nothing waits."""

    __slots__ = ("_waiting", "size")

    def __init__(self) -> None:
        self._waiting: list[Buffer] = []
        self.size = 0

    def add(self, data: Buffer) -> None:
        """Put this behind what waits. It is kept as it is, so it must not change."""
        if data:
            self._waiting.append(data)
            self.size += len(data)

    def next_step(self) -> Buffer:
        """``SEAL_STEP`` bytes, or all if that is less, taken off the front. Writes that had to wait share records."""
        count, room = 0, limits.SEAL_STEP
        for waiting in self._waiting:
            if len(waiting) > room:
                break
            room -= len(waiting)
            count += 1
        step = self._waiting[:count]
        del self._waiting[:count]
        if room and self._waiting:
            large = memoryview(self._waiting[0])
            step.append(large[:room])
            self._waiting[0] = large[room:]
            room = 0
        self.size -= limits.SEAL_STEP - room
        return step[0] if len(step) == 1 else b"".join(step)

    def clear(self) -> None:
        """Drop all."""
        self._waiting.clear()
        self.size = 0
