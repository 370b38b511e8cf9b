"""A transport that sends a program's two small writes, such as the head and the body of an answer, as one.

What an answer costs beyond its HTTP is mostly the system call that sends it, and the record around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast import limits
from handfast.io.aio.transport import TLSTransport

if TYPE_CHECKING:
    import asyncio

    from handfast.io.aio.below import Below
    from handfast.io.aio.write_queue import Buffer


class JoiningTransport(TLSTransport):
    """As its base, but that a small write waits for the next one, or else until the loop has run what is ready.

    Nothing waits for a second write to follow the second: both are sent then. So of what a program sends, at most one
    small piece has not left while the program keeps the loop from going on.
    """

    __slots__ = ("_first", "_later")

    def __init__(self, below: Below, protocol: asyncio.BaseProtocol) -> None:
        super().__init__(below, protocol)
        self._first = b""
        self._later: asyncio.Handle | None = None

    def write(self, data: Buffer) -> None:
        """As the base's."""
        if self._later is not None:
            self._write_behind(data)
        elif type(data) is bytes and 0 < len(data) <= limits.JOINED_WRITE and self._may_wait():
            self._first = data
            self._later = self._below.loop.call_soon(self._send_waiting)
        else:
            super().write(data)

    def _may_wait(self) -> bool:
        # A program with a low mark wants to know of all that waits.
        return self._below.has_room and self._high >= limits.JOINED_WRITE and not self._closing and not self._eof

    def _write_behind(self, data: Buffer) -> None:
        link = self._below
        room = link.has_room
        if type(data) is not bytes or not room:
            self._send_waiting()
            super().write(data)
            return
        link.send(self._take_waiting() + data[: limits.SEAL_STEP])
        if len(data) > limits.SEAL_STEP and not self._closing:
            self._queue.add(memoryview(data)[limits.SEAL_STEP :])
            self.on_room()
        elif not link.has_room:
            self._check_marks()

    def _take_waiting(self) -> bytes:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        first, self._first = self._first, b""
        return first

    def _send_waiting(self) -> None:
        if first := self._take_waiting():
            super().write(first)

    def get_write_buffer_size(self) -> int:
        """As the base's."""
        return len(self._first) + super().get_write_buffer_size()

    def stop_writing(self) -> None:
        """As the base's."""
        self._take_waiting()
        super().stop_writing()

    def write_eof(self) -> None:
        """As the base's."""
        self._send_waiting()
        super().write_eof()

    def close(self) -> None:
        """As the base's."""
        self._send_waiting()
        super().close()

    def unwrap(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> asyncio.Transport:
        """As the base's."""
        self._send_waiting()
        return super().unwrap(protocol)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the base's."""
        self._send_waiting()
        super().set_write_buffer_limits(high, low)
