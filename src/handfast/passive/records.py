"""Records out of the bytes of one direction; and after a gap, or in the middle of a stream, the next one that fits.

A record fits where its header says what a header can say and the next header follows it, or the bytes end with it. In
random bytes the first is so once in a million places, the second once in a million of these.
"""

from __future__ import annotations

import re

from handfast.limits import RECORD_HEADER
from handfast.registry import ContentType, HandshakeType
from handfast.wire.frames import RECORDED, Frame, read_header

_START = re.compile(RECORDED.start_pattern)
# A ClientHello or ServerHello at the start of a record: 16 03 xx, length, type, length below 2^16, version 03 xx.
_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..[\x01\x02]\x00..\x03[\x00-\x03]", re.DOTALL)
_HELLOS = (int(HandshakeType.client_hello), int(HandshakeType.server_hello))
HELLO_SIZE = 11
# An SSLv2-framed ClientHello: a length with its highest bit set, type, version, and lengths that add up. RFC 5246 E.2.
_SSLV2_HELLO = re.compile(rb"[\x80-\xbf].\x01\x03[\x00-\x03].{6}", re.DOTALL)
SSLV2_HELLO_SIZE = 11
# How much of another protocol is kept, to tell which one it was.
PROLOGUE_KEPT = 128


def fits(data: bytes | bytearray, at: int = 0) -> bool:
    """Whether what stands at ``at`` can be the start of a record, as far as it is there."""
    return RECORDED.fault(data, at) is None


def find_hello(data: bytes | bytearray, at: int = 0) -> int:
    """Where the next record with a ClientHello or a ServerHello starts; -1 if there is none."""
    found = _HELLO.search(data, at)
    return -1 if found is None else found.start()


def is_sslv2_hello(data: bytes | bytearray) -> bool:
    """Whether a stream begins with a ClientHello in SSLv2's framing. RFC 5246 E.2."""
    if _SSLV2_HELLO.match(data) is None:
        return False
    length = (data[0] & 0x3F) << 8 | data[1]
    suites, session, challenge = (data[at] << 8 | data[at + 1] for at in (5, 7, 9))
    return length == 9 + suites + session + challenge and suites % 3 == 0 and suites > 0 and 16 <= challenge <= 32


class RecordStream:
    """One direction. ``searching``: whether it is not known where the next record starts.

    Before the first record there may be another protocol; ``first`` keeps how the stream begins. With ``anywhere`` the
    recording may have begun inside of a record.
    """

    def __init__(self, *, anywhere: bool = False) -> None:
        self._buffer = bytearray()
        self.searching = False
        self.anywhere = anywhere
        self.first = b""
        # How many bytes were found to be of another protocol.
        self.foreign = 0
        # The first bytes may be a hello in SSLv2's framing.
        self._at_start = True

    def begins(self) -> bool:
        """Whether a whole record is there, for a direction of which none was taken so far.

        What cannot become one is dropped.
        """
        buffer = self._buffer
        if self.searching:
            return self._search()
        if self._at_start and self.anywhere and not _is_plain(buffer):
            self.searching = True
            self._at_start = False
            return self._search()
        if self._at_start and buffer and (fits(buffer) or is_sslv2_hello(buffer)):
            sslv2 = buffer[0] >= 0x80
            header, length = self._measure() if len(buffer) >= RECORD_HEADER else (0, len(buffer) + 1)
            return len(buffer) >= header + length and (sslv2 or length > 0)
        at = find_hello(buffer)
        # The start of a hello may stand at the end, in a stream that does not begin with a record.
        dropped = at if at >= 0 else max(0, len(buffer) - HELLO_SIZE + 1)
        self.foreign += dropped
        del buffer[:dropped]
        self._at_start = self._at_start and not dropped and len(buffer) < SSLV2_HELLO_SIZE
        if at < 0:
            return False
        header, length = self._measure()
        return len(buffer) >= header + length

    def follow(self) -> None:
        """The other direction has begun with records, so what comes here are records too."""
        if not self._buffer or fits(self._buffer):
            return
        at = find_hello(self._buffer)
        self.foreign += max(0, at)
        del self._buffer[: max(0, at)]
        if at < 0:
            self.foreign += len(self._buffer)
            self._buffer.clear()

    @property
    def is_hello(self) -> bool:
        """Whether the next record begins with a hello."""
        return _begins_with(self._buffer, _HELLOS) or self._buffer[0] >= 0x80

    @property
    def is_server_hello(self) -> bool:
        """Whether the next record begins with a ServerHello."""
        return _begins_with(self._buffer, _HELLOS[1:])

    def _measure(self) -> tuple[int, int]:
        """The length of the next record's header and that of its body."""
        buffer = self._buffer
        if buffer[0] >= 0x80:
            return 2, (buffer[0] & 0x3F) << 8 | buffer[1]
        return RECORD_HEADER, read_header(buffer)[1]

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if len(self.first) < PROLOGUE_KEPT:
            self.first += data[: PROLOGUE_KEPT - len(self.first)]
        self._buffer += data

    def lose(self) -> None:
        """Bytes are missing here."""
        self._buffer.clear()
        self.searching = True
        self._at_start = False

    def next(self) -> Frame | None:
        """The next whole record; None when more must come. Raises ValueError when what follows is no record."""
        if self._at_start and self._buffer:
            if self._buffer[0] >= 0x80 and len(self._buffer) < SSLV2_HELLO_SIZE:
                return None
            if is_sslv2_hello(self._buffer):
                return self._take(*self._measure())
        if self.searching and not self._search():
            return None
        if not fits(self._buffer):
            raise ValueError
        if len(self._buffer) < RECORD_HEADER:
            return None
        return self._take(*self._measure())

    def _take(self, header: int, length: int) -> Frame | None:
        end = header + length
        if len(self._buffer) < end:
            return None
        frame = Frame(bytes(self._buffer[:header]), bytes(self._buffer[header:end]))
        del self._buffer[:end]
        self._at_start = False
        return frame

    def _search(self) -> bool:
        """Drop what stands before the next record that fits; whether there is one."""
        buffer, at = self._buffer, 0
        while (found := _START.search(buffer, at)) is not None:
            at = found.start()
            known = _chained(buffer, at)
            if known is None:
                break
            if known:
                self.searching = False
                break
            at += 1
        else:
            # The start of a header may stand at the end.
            at = max(at, len(buffer) - 2)
        del buffer[:at]
        self.foreign += at
        return not self.searching


def _chained(buffer: bytearray, at: int) -> bool | None:
    """Whether a record that starts here is followed by the start of another, or by nothing; None: not known yet."""
    if not fits(buffer, at):
        return False
    if len(buffer) < at + RECORD_HEADER:
        return None
    length = read_header(buffer[at : at + RECORD_HEADER])[1]
    end = at + RECORD_HEADER + length
    if not length or (end < len(buffer) and not fits(buffer, end)):
        return False
    return None if end > len(buffer) or 0 < len(buffer) - end < 3 else True


def _is_plain(buffer: bytearray) -> bool:
    """Whether a stream begins as one in plaintext does, as far as it is there."""
    if is_sslv2_hello(buffer):
        return True
    return fits(buffer) and buffer[:1] < bytes((ContentType.application_data,))


def _begins_with(buffer: bytearray, types: tuple[int, ...]) -> bool:
    return buffer[0] == ContentType.handshake and buffer[RECORD_HEADER] in types
