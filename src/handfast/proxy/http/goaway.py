"""GOAWAY of a server, taken out of what it sends: h2 lets nothing follow one, and answers may. RFC 9113 6.8."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 9
_TYPE = 7
# The last stream and the error code; what may follow is for people. A frame is of 16 KiB at most, unless we said more.
_LEAST, _MOST = 8, 2**14


class Goaway(NamedTuple):
    """``last`` is the number of the last stream that the server looked at or may look at, ``code`` its error code."""

    last: int
    code: int


class Goaways:
    """Finds them, in whatever pieces they come."""

    def __init__(self) -> None:
        self._held = b""
        # Bytes of another frame that are still to come.
        self._left = 0

    def split(self, data: bytes) -> Iterator[bytes | Goaway]:
        """What came, in order; the beginning of a frame's header, or of a GOAWAY, waits for its rest."""
        data = self._held + data if self._held else data
        begin = at = 0
        while True:
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            if self._left or len(data) - at < _HEADER:
                break
            length = int.from_bytes(data[at : at + 3])
            if data[at + 3] != _TYPE or not _LEAST <= length <= _MOST:
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
