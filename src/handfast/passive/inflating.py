"""Records whose content is compressed, in TLS 1.2 and before. RFC 3749.

One DEFLATE stream runs through all records of a direction, so what stands behind a missing one cannot be inflated.
"""

from __future__ import annotations

import zlib

from handfast.limits import INFLATED_FREELY, INFLATION_RATIO, MAX_PLAINTEXT

DEFLATE = 1
_NOT_KNOWN = "its content is compressed by a method that is not known"
_MISSING = "its content is compressed, and a record before it, which is needed to inflate it, is missing"
_BROKEN = "its content is compressed, and does not inflate"
_TOO_LARGE = "its content is compressed, and inflates to more than a record may hold or a file may grow by"


class Inflater:
    """One direction's stream. ``obstacle`` says why no more can be inflated, "" as long as it can."""

    def __init__(self, method: int) -> None:
        self.obstacle = "" if method == DEFLATE else _NOT_KNOWN
        self._stream = zlib.decompressobj()
        # How much may come out, of what came in so far.
        self._allowed = INFLATED_FREELY

    def lose(self) -> None:
        """A record is missing."""
        self.obstacle = self.obstacle or _MISSING

    def inflate(self, content: bytes) -> bytes:
        """The next record's content; b"" if there is an obstacle."""
        if self.obstacle:
            return b""
        try:
            inflated = self._stream.decompress(content, MAX_PLAINTEXT + 1)
        except zlib.error:
            self.obstacle = _BROKEN
            return b""
        self._allowed += INFLATION_RATIO * len(content) - len(inflated)
        if len(inflated) > MAX_PLAINTEXT or self._allowed < 0:
            self.obstacle = _TOO_LARGE
            return b""
        return inflated
