"""Connections as a capture file that Wireshark decrypts by itself: each record in a TCP segment of its own, and the
secrets beside them in the same file (pcapng's Decryption Secrets Block).

The frames are made up: TCP over IP with no link layer (RAW), as if recorded on a loopback interface that loses nothing.
What stands in them, and when, is what the connection sent and received.

Wireshark decrypts in one pass and switches keys when it reads Finished, so a secret must stand in the file before the
record that first needs it, and an application secret even before the record in which that direction's Finished ends.
A sender has it by then; a receiver derives it only from the record that it has just shown. So a record waits here until
the event that shows that what it brought has been worked out: the next record, new keys, the end of the handshake, or
the end of a direction. A connection that fails leaves what was derived until then.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from handfast.errors import ApiMisuse
from handfast.events import AlertSeen, Closed, Event, HandshakeComplete, KeysChanged, RecordSeen, SecretSink
from handfast.fork import renew_in_children
from handfast.lens.keylog import KeyLog
from handfast.registry import ContentType
from handfast.roles import Direction
from handfast.text import escape

# An IP address as text, and a port.
Address: TypeAlias = tuple[str, int]

LINK_TYPE_RAW = 101
NANOSECONDS = 10**9
# What a packet of 2^16 - 1 bytes carries behind the headers of IPv4 and TCP: any record, in one piece.
LOOPBACK_MSS = 65495

_SECTION_HEADER, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 0x0A
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_TLS_KEY_LOG = 0x544C534B
_COMMENT, _IF_NAME, _IF_TSRESOL, _USER_APPLICATION = 1, 2, 9, 4
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_TCP = 6
_WINDOW = 0xFFFF
# A window of 2^30 bytes, so that a download without acknowledgements of its own still looks in order.
_WINDOW_SCALE = b"\1\3\3\x0e"


class CaptureFile:
    """A pcapng file that connections of several threads may share; ``write`` gets whole blocks, the first at once."""

    _lock: threading.Lock

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        renew_in_children(self, _lock=threading.Lock)
        self.add(section_block() + interface_block(LINK_TYPE_RAW))

    def add(self, blocks: bytes) -> None:
        """Append blocks, together."""
        with self._lock:
            self._write(blocks)


@dataclass(slots=True)
class _Held:
    """A record that waits."""

    time: float
    direction: Direction
    data: bytes
    comment: str = ""


@dataclass(slots=True)
class _End:
    """One end of the TCP connection; ``sequence`` is the number of the next byte that it sends."""

    address: bytes
    port: int
    sequence: int = 0


class Flow:
    """One connection in a capture file: an observer, and ``secret``, which is a secret sink.

    ``client`` and ``server`` are where the frames say they come from; no segment carries more than ``mss`` bytes.
    Raises ApiMisuse bad_argument for an ``mss`` above LOOPBACK_MSS, for what is no address, and for an IPv4 address
    beside one of IPv6.
    """

    def __init__(self, file: CaptureFile, client: Address, server: Address, *, mss: int = LOOPBACK_MSS) -> None:
        self._file = file
        self._mss = mss
        if not 0 < mss <= LOOPBACK_MSS:
            raise ApiMisuse("bad_argument", reason=f"an MSS of {mss} is outside 1..{LOOPBACK_MSS}")
        senders = _End(_packed(client), client[1]), _End(_packed(server), server[1])
        if len(senders[0].address) != len(senders[1].address):
            raise ApiMisuse("bad_argument", reason=f"{client[0]} and {server[0]} are of different IP versions")
        self._ends = {
            Direction.CLIENT_TO_SERVER: senders,
            Direction.SERVER_TO_CLIENT: senders[::-1],
        }
        self._lines: list[str] = []
        self._held: list[_Held] = []
        self._blocks: list[bytes] = []
        self._opened = False
        self._complete = False
        self._identification = 0
        self.secret: SecretSink = KeyLog(self._lines.append)

    def __call__(self, event: Event) -> None:
        match event:
            case RecordSeen():
                self._release()
                self._held.append(_Held(event.time, event.direction, event.header + event.body))
                if self._complete and event.content_type != ContentType.alert:
                    self._release()
            case AlertSeen(error=error) if error is not None and self._held:
                self._held[-1].comment = error.explain()
            case KeysChanged():
                self._release()
            case HandshakeComplete():
                self._complete = True
                self._release()
            case Closed():
                self._release()
                self._close(event)

    def finish(self) -> None:
        """Write what still waits: nothing more will come."""
        self._release()

    def _release(self) -> None:
        """Write the secrets that came, then the records that waited."""
        if self._lines:
            text = "".join(self._lines).encode()
            self._lines.clear()
            self._blocks.append(secrets_block(text))
        for held in self._held:
            self._segments(held)
        self._held.clear()
        self._write()

    def _write(self) -> None:
        if self._blocks:
            self._file.add(b"".join(self._blocks))
            self._blocks.clear()

    # TCP

    def _segments(self, held: _Held) -> None:
        self._open(held.time)
        comment = held.comment
        for start in range(0, len(held.data), self._mss):
            self._packet(held.time, held.direction, _PSH | _ACK, held.data[start : start + self._mss], comment=comment)
            comment = ""

    def _open(self, time: float) -> None:
        if self._opened:
            return
        self._opened = True
        options = b"\2\4" + self._mss.to_bytes(2, "big") + _WINDOW_SCALE
        self._packet(time, Direction.CLIENT_TO_SERVER, _SYN, options=options)
        self._packet(time, Direction.SERVER_TO_CLIENT, _SYN | _ACK, options=options)
        self._packet(time, Direction.CLIENT_TO_SERVER, _ACK)

    def _close(self, event: Closed) -> None:
        if event.how not in ("close_notify", "alert", "eof", "reset"):
            return
        self._open(event.time)
        if event.how == "reset":
            self._packet(event.time, event.direction, _RST | _ACK)
        else:
            self._packet(event.time, event.direction, _FIN | _ACK)
            other = next(direction for direction in Direction if direction is not event.direction)
            self._packet(event.time, other, _ACK)
        self._write()

    def _packet(
        self,
        time: float,
        direction: Direction,
        flags: int,
        payload: bytes = b"",
        *,
        options: bytes = b"",
        comment: str = "",
    ) -> None:
        sender, receiver = self._ends[direction]
        acknowledged = receiver.sequence if flags & _ACK else 0
        offset = (20 + len(options)) // 4 << 4
        header = struct.pack(
            "!HHIIBBHHH", sender.port, receiver.port, sender.sequence, acknowledged, offset, flags, _WINDOW, 0, 0
        )
        segment = header + options + payload
        pseudo_header = sender.address + receiver.address + len(segment).to_bytes(4, "big") + bytes((0, 0, 0, _TCP))
        segment = segment[:16] + _checksum(pseudo_header + segment) + segment[18:]
        occupied = len(payload) + bool(flags & (_SYN | _FIN))
        sender.sequence = (sender.sequence + occupied) % 2**32
        self._blocks.append(packet_block(time, self._ip(sender.address, receiver.address, segment), comment))

    def _ip(self, source: bytes, destination: bytes, segment: bytes) -> bytes:
        if len(source) == 16:
            return struct.pack("!IHBB", 6 << 28, len(segment), _TCP, 64) + source + destination + segment
        self._identification = (self._identification + 1) % 2**16
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), self._identification, 0x4000, 64, _TCP, 0)
        header += source + destination
        return header[:10] + _checksum(header) + header[12:] + segment


def _packed(address: Address) -> bytes:
    from ipaddress import ip_address

    try:
        # Without the scope, which names an interface of this machine.
        return ip_address(address[0].partition("%")[0]).packed
    except ValueError:
        raise ApiMisuse("bad_argument", reason=f"{escape(address[0])!r} is not an IP address") from None


def _checksum(data: bytes) -> bytes:
    """The Internet checksum: one's complement addition is arithmetic modulo 2^16 - 1. RFC 1071."""
    total = int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF
    return (0xFFFF - (total or 0xFFFF)).to_bytes(2, "big")


# Blocks


def section_block() -> bytes:
    """What a capture begins with."""
    section = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1) + _options((_USER_APPLICATION, b"handfast"))
    return _block(_SECTION_HEADER, section)


def interface_block(link_type: int) -> bytes:
    """An interface whose packets' times are nanoseconds; they are counted from 0."""
    interface = struct.pack("<HHI", link_type, 0, 0)
    return _block(_INTERFACE, interface + _options((_IF_NAME, b"handfast"), (_IF_TSRESOL, b"\x09")))


def secrets_block(keylog: bytes) -> bytes:
    """TLS secrets, as a key log."""
    return _block(_SECRETS, struct.pack("<II", _TLS_KEY_LOG, len(keylog)) + keylog)


def packet_block(time: float, packet: bytes, comment: str = "", *, interface: int = 0) -> bytes:
    """One packet of an interface."""
    stamp = max(0, int(time) * NANOSECONDS + round(time % 1 * NANOSECONDS)) % 2**64
    head = struct.pack("<IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
    note = _options((_COMMENT, escape(comment).encode())) if comment else b""
    return _block(_PACKET, head + _padded(packet) + note)


def _block(kind: int, body: bytes) -> bytes:
    body = _padded(body)
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + length.to_bytes(4, "little")


def _options(*options: tuple[int, bytes]) -> bytes:
    """Options with the mark that ends them."""
    return b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
