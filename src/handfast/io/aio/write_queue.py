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
        """Up to ``SEAL_STEP`` bytes, taken off the front. Small writes that had to wait share records."""
        first = self._waiting[0]
        if len(first) > limits.SEAL_STEP:
            self._waiting[0] = memoryview(first)[limits.SEAL_STEP :]
            self.size -= limits.SEAL_STEP
            return memoryview(first)[: limits.SEAL_STEP]
        count = size = 0
        for waiting in self._waiting:
            if size + len(waiting) > limits.SEAL_STEP:
                break
            size += len(waiting)
            count += 1
        step = self._waiting[:count]
        del self._waiting[:count]
        self.size -= size
        return step[0] if count == 1 else b"".join(step)

    def clear(self) -> None:
        """Drop all."""
        self._waiting.clear()
        self.size = 0
