"""Capture files: packets with their times, and the secrets that stand among them.

Two formats. A pcapng file is a chain of blocks, each with its length at both ends; a section header says in which byte
order the blocks after it are written and starts the numbering of interfaces anew; unknown blocks are skipped. A classic
pcap file has one header, one link type, and records of seconds and a fraction.

A damaged file is read up to the damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from handfast.errors import ConfigError

_SECTION_HEADER, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 0x0A
_BYTE_ORDER_MAGIC = b"\x1a\x2b\x3c\x4d"
_TLS_KEY_LOG = 0x544C534B
_OPTION_END, _OPTION_TSRESOL, _OPTION_TSOFFSET = 0, 9, 14
# The fraction of a second in which each kind of classic file counts, by its first four bytes read as big-endian.
_CLASSIC = {0xA1B2C3D4: 10**6, 0xA1B23C4D: 10**9}
_CLASSIC_HEADER, _CLASSIC_RECORD = 24, 16

Capture: TypeAlias = bytes | bytearray | memoryview


class Packet(NamedTuple):
    """One packet, as much of it as was captured; ``time`` is in seconds since the Unix epoch."""

    time: float
    link_type: int
    data: bytes


class Secrets(NamedTuple):
    """TLS secrets in the capture itself, in the form of a key log."""

    text: bytes


class _Interface(NamedTuple):
    link_type: int
    units: int
    offset: int


def read_capture(capture: Capture) -> Iterator[Packet | Secrets]:
    """Everything of interest in a capture, in order.

    Raises ConfigError not_a_capture at once, and damaged_capture after what could be read.
    """
    data = memoryview(capture)
    start = bytes(data[:4])
    if int.from_bytes(start, "big") == _SECTION_HEADER:
        return _read_pcapng(data)
    for order in (">", "<"):
        if len(start) == 4 and struct.unpack(f"{order}I", start)[0] in _CLASSIC:
            return _read_classic(data, order)
    raise ConfigError("not_a_capture")


def _damaged(offset: int, reason: str) -> ConfigError:
    return ConfigError("damaged_capture", offset=offset, reason=reason)


def _read_classic(data: memoryview, order: str) -> Iterator[Packet]:
    if len(data) < _CLASSIC_HEADER:
        raise _damaged(0, "the file header is cut short")
    magic, link_type = struct.unpack_from(f"{order}I16xI", data)
    units = _CLASSIC[magic]
    at = _CLASSIC_HEADER
    while at < len(data):
        body = at + _CLASSIC_RECORD
        if body > len(data):
            raise _damaged(at, "a packet's header is cut short")
        seconds, fraction, length = struct.unpack_from(f"{order}III", data, at)
        if body + length > len(data):
            raise _damaged(at, "a packet is cut short")
        # The upper half of the field speaks of checksums at the end of frames.
        yield Packet((seconds * units + fraction) / units, link_type & 0xFFFF, bytes(data[body : body + length]))
        at = body + length


def _read_pcapng(data: memoryview) -> Iterator[Packet | Secrets]:
    order = "<"
    interfaces: list[_Interface] = []
    at = 0
    while at < len(data):
        if bytes(data[at : at + 4]) == b"\x0a\x0d\x0d\x0a":
            order = _byte_order(data, at)
            interfaces = []
        kind, body, end = _block(data, at, order)
        try:
            if kind == _INTERFACE:
                interfaces.append(_interface(body, order))
            elif kind == _PACKET:
                yield _packet(body, order, interfaces)
            elif kind == _SECRETS:
                yield from _secrets(body, order)
        except (struct.error, IndexError):
            raise _damaged(at, "a block is shorter than its contents") from None
        at = end


def _byte_order(data: memoryview, at: int) -> str:
    magic = bytes(data[at + 8 : at + 12])
    if magic not in (_BYTE_ORDER_MAGIC, _BYTE_ORDER_MAGIC[::-1]):
        raise _damaged(at, "a section header without its magic number")
    return ">" if magic == _BYTE_ORDER_MAGIC else "<"


def _block(data: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Kind and body of the block, and where the next one starts."""
    if at + 12 > len(data):
        raise _damaged(at, "a block is cut short")
    kind, length = struct.unpack_from(f"{order}II", data, at)
    if length < 12 or length % 4:
        raise _damaged(at, f"a block says that it is {length} bytes long")
    end = at + length
    if end > len(data):
        raise _damaged(at, "a block is cut short")
    if struct.unpack_from(f"{order}I", data, end - 4)[0] != length:
        raise _damaged(at, "the two lengths of a block differ")
    return kind, data[at + 8 : end - 4], end


def _interface(body: memoryview, order: str) -> _Interface:
    (link_type,) = struct.unpack_from(f"{order}H", body)
    units, offset = 10**6, 0
    at = 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(f"{order}HH", body, at)
        if code == _OPTION_END:
            break
        value = body[at + 4 : at + 4 + length]
        if code == _OPTION_TSRESOL:
            # A power of 2 if the highest bit is set, else one of 10.
            units = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
        elif code == _OPTION_TSOFFSET:
            (offset,) = struct.unpack_from(f"{order}q", value)
        at += 4 + length + -length % 4
    return _Interface(link_type, units, offset)


def _packet(body: memoryview, order: str, interfaces: list[_Interface]) -> Packet:
    number, high, low, length = struct.unpack_from(f"{order}IIII", body)
    interface = interfaces[number]
    content = bytes(body[20 : 20 + length])
    if len(content) < length:
        raise IndexError
    stamp = (high << 32 | low) + interface.offset * interface.units
    return Packet(stamp / interface.units, interface.link_type, content)


def _secrets(body: memoryview, order: str) -> Iterator[Secrets]:
    kind, length = struct.unpack_from(f"{order}II", body)
    if kind == _TLS_KEY_LOG:
        yield Secrets(bytes(body[8 : 8 + length]))
