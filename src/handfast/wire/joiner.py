"""Handshake messages out of the contents of records: a message may span records, and a record may hold several.

RFC 9846 5.1. A message is judged by its 4-byte header before its body is buffered.
"""

from __future__ import annotations

import math
from struct import Struct

from handfast import limits
from handfast.errors import PeerMisbehaved
from handfast.registry import HandshakeType

HEADER = 4
_TYPE_AND_LENGTH = Struct(">I")
_CLIENT_HELLO = int(HandshakeType.client_hello)


class HandshakeJoiner:
    """Joins record contents into messages and keeps count of what the peer made us read."""

    __slots__ = ("_at", "_left", "_records", "_tracking", "buffer", "records")

    def __init__(self, *, tracking: bool) -> None:
        """``tracking``: whether to tell which records a message came in."""
        self._tracking = tracking
        # What came last, as long as something in it waits to be read, from ``_at`` on. Most often that is one record's
        # content, taken as it is: only a message that is split is put together in a bytearray.
        self.buffer: bytes | bytearray = b""
        self._at = 0
        # (record index, bytes of the buffer that were there before it), to tell which records a message came in.
        self._records: list[tuple[int, int]] = []
        # The indexes of the records that the last message came in, if tracked.
        self.records: tuple[int, ...] = ()
        # How many bytes of messages may still come.
        self._left: float = limits.MAX_HANDSHAKE_BYTES

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

    def next(self) -> bytes | None:
        """The next whole message with its header; None when more must come. ``records`` says where it came in.

        Raises PeerMisbehaved when the message or the handshake exceeds its limit.
        """
        buffer, at = self.buffer, self._at
        waiting = len(buffer) - at
        if waiting < HEADER:
            return None
        [word] = _TYPE_AND_LENGTH.unpack_from(buffer, at)
        length = HEADER + (word & 0xFFFFFF)
        # Either limit is at least this one.
        if length > limits.MAX_CLIENT_HELLO:
            limit = limits.MAX_CLIENT_HELLO if buffer[at] == _CLIENT_HELLO else limits.MAX_HANDSHAKE_MESSAGE
            if length > limit:
                raise PeerMisbehaved("message_too_large", length=length, limit=limit)
        if waiting < length:
            return None
        self._left -= length
        if self._left < 0:
            raise PeerMisbehaved("handshake_too_large", limit=limits.MAX_HANDSHAKE_BYTES)
        end = at + length
        raw = bytes(buffer[at:end])
        if waiting > length:
            self._at = end
        else:
            self.buffer, self._at = b"", 0
        if self._tracking:
            self.records = self._take_records(length)
        return raw

    def rest(self) -> bytes:
        """What waits to be read."""
        return bytes(self.buffer[self._at :])

    def handshake_over(self) -> None:
        """Stop counting towards the handshake's limit: what follows is bounded by rules of its own."""
        self._left = math.inf

    def _take_records(self, length: int) -> tuple[int, ...]:
        """The records that the first ``length`` bytes came in; the last of them may also hold the next message."""
        taken = [index for index, start in self._records if start < length]
        rest = [(index, start - length) for index, start in self._records if start > length]
        if self.buffer and (not rest or rest[0][1] > 0):
            next_start = next((index for index, start in self._records if start == length), taken[-1])
            rest.insert(0, (next_start, 0))
        self._records = rest
        return tuple(taken)
