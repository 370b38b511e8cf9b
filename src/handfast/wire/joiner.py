"""Handshake messages out of the contents of records: a message may span records, and a record may hold several.

RFC 9846 5.1. A message is judged by its 4-byte header before its body is buffered.
"""

from __future__ import annotations

from handfast import limits
from handfast.errors import PeerMisbehaved
from handfast.registry import HandshakeType

HEADER = 4
_CLIENT_HELLO = int(HandshakeType.client_hello)


class HandshakeJoiner:
    """Joins record contents into messages and keeps count of what the peer made us read."""

    __slots__ = ("_at", "_counting", "_records", "_total", "_tracking", "buffer")

    def __init__(self, *, tracking: bool) -> None:
        """``tracking``: whether to tell which records a message came in."""
        self._tracking = tracking
        # What came last, as long as something in it waits to be read, from ``_at`` on. Most often that is one record's
        # content, taken as it is: only a message that is split is put together in a bytearray.
        self.buffer: bytes | bytearray = b""
        self._at = 0
        # (record index, bytes of the buffer that were there before it), to tell which records a message came in.
        self._records: list[tuple[int, int]] = []
        self._total = 0
        self._counting = True

    @property
    def empty(self) -> bool:
        """Whether no byte of a message is waiting."""
        return not self.buffer

    def add(self, content: bytes, record: int) -> None:
        """Take the content of one handshake record, whose index among its direction's records is ``record``."""
        if self._tracking:
            self._records.append((record, len(self.buffer) - self._at))
        if not self.buffer:
            self.buffer = content
            return
        if self._at or type(self.buffer) is bytes:
            self.buffer, self._at = bytearray(self.buffer[self._at :]), 0
        self.buffer += content

    def next(self) -> tuple[bytes, tuple[int, ...]] | None:
        """The next whole message with its header, and its records' indexes if tracked; None when more must come.

        Raises PeerMisbehaved when the message or the handshake exceeds its limit.
        """
        buffer, at = self.buffer, self._at
        waiting = len(buffer) - at
        if waiting < HEADER:
            return None
        length = HEADER + (buffer[at + 1] << 16 | buffer[at + 2] << 8 | buffer[at + 3])
        limit = limits.MAX_CLIENT_HELLO if buffer[at] == _CLIENT_HELLO else limits.MAX_HANDSHAKE_MESSAGE
        if length > limit:
            raise PeerMisbehaved("message_too_large", length=length, limit=limit)
        if waiting < length:
            return None
        self._total += length
        if self._counting and self._total > limits.MAX_HANDSHAKE_BYTES:
            raise PeerMisbehaved("handshake_too_large", limit=limits.MAX_HANDSHAKE_BYTES)
        raw = bytes(buffer[at : at + length])
        self.buffer, self._at = (buffer, at + length) if waiting > length else (b"", 0)
        return raw, self._take_records(length) if self._tracking else ()

    def handshake_over(self) -> None:
        """Stop counting towards the handshake's limit: what follows is bounded by rules of its own."""
        self._counting = False

    def _take_records(self, length: int) -> tuple[int, ...]:
        """The records that the first ``length`` bytes came in; the last of them may also hold the next message."""
        taken = [index for index, start in self._records if start < length]
        rest = [(index, start - length) for index, start in self._records if start > length]
        if self.buffer and (not rest or rest[0][1] > 0):
            next_start = next((index for index, start in self._records if start == length), taken[-1])
            rest.insert(0, (next_start, 0))
        self._records = rest
        return tuple(taken)
