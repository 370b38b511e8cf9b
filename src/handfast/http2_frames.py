"""What of HTTP/2's frames h2 leaves to others: one that is too large, and what may follow a GOAWAY. RFC 9113 4.2, 6.8.

h2 gathers all of a frame, of up to 16 MiB, before it looks whether that is too large, and lets nothing follow a GOAWAY,
though answers may.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 9
_GOAWAY = 7
# Bytes of a frame, without its header: we allow no more than all must take. Of a GOAWAY, the last stream and the code.
_MOST = 2**14
_LEAST = 8
# What a client sends before its first frame. RFC 9113 3.4.
PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Goaway(NamedTuple):
    """``last`` is the number of the last stream that the sender looked at or may look at, ``code`` its error code."""

    last: int
    code: int

    def encode(self) -> bytes:
        """The frame, of stream 0. h2 would send nothing behind its own."""
        return struct.pack(">IBIII", _LEAST << 8 | _GOAWAY, 0, 0, self.last, self.code)


def error_name(code: int) -> str:
    """An error code by its name, or in digits where it has none. RFC 9113 7."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return str(code)


class Frames:
    """Follows the frames of one side, in whatever pieces they come; ``before`` is how many bytes come before them."""

    def __init__(self, before: int = 0) -> None:
        self._held = b""
        # Bytes of another frame that are still to come.
        self._left = before

    def split(self, data: bytes) -> Iterator[bytes | Goaway]:
        """What came, in order; the beginning of a frame's header, or of a GOAWAY, waits for its rest.

        Raises h2's FrameTooLargeError.
        """
        data = self._held + data if self._held else data
        begin = at = 0
        while True:
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            if self._left or len(data) - at < _HEADER:
                break
            length = int.from_bytes(data[at : at + 3])
            if length > _MOST:
                raise FrameTooLargeError(f"a frame of {length} bytes")
            if data[at + 3] != _GOAWAY or length < _LEAST:
                self._left = _HEADER + length
                continue
            end = at + _HEADER + length
            if len(data) < end:
                break
            if begin < at:
                yield data[begin:at]
            body = data[at + _HEADER : end]
            yield Goaway(int.from_bytes(body[:4]) & 0x7FFFFFFF, int.from_bytes(body[4:8]))
            begin = at = end
        if begin < at:
            yield data[begin:at]
        self._held = data[at:]
