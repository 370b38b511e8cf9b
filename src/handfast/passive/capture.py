"""Capture files: packets with their times, and the secrets that stand among them.

Two formats. A pcapng file is a chain of blocks, each with its length at both ends; a section header says in which byte
order the blocks after it are written and starts the numbering of interfaces anew; unknown blocks are skipped. A classic
pcap file has one header, one link type, and records of seconds and a fraction. Either may come inside gzip.

A file is read as it is needed, one block at a time, so that it may be larger than memory and may be a pipe. A damaged
file is read up to the damage.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeAlias, cast

from handfast.errors import ConfigError
from handfast.limits import CAPTURE_BLOCK, CAPTURE_INTERFACES

_SECTION_HEADER, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 2, 3, 6, 0x0A
_SECTION_START = _SECTION_HEADER.to_bytes(4, "big")
_BYTE_ORDER_MAGIC = b"\x1a\x2b\x3c\x4d"
_TLS_KEY_LOG = 0x544C534B
_OPTION_END, _OPTION_TSRESOL, _OPTION_TSOFFSET = 0, 9, 14
_GZIP = b"\x1f\x8b"
# By the first four bytes of a classic file, read in its own byte order: in what fraction of a second it counts, and how
# long the header of a record is. The third is Linux's "modified" format of the 1990s.
_CLASSIC = {0xA1B2C3D4: (10**6, 16), 0xA1B23C4D: (10**9, 16), 0xA1B2CD34: (10**6, 24)}
_CLASSIC_HEADER = 24

Capture: TypeAlias = bytes | bytearray | memoryview | BinaryIO


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
    snap_length: int


class _Input:
    """A binary file, and how much of it has been read. ``seeks`` says whether passing over bytes costs nothing."""

    def __init__(self, file: BinaryIO, *, seeks: bool = False) -> None:
        self._file = file
        self._seeks = seeks
        self.at = 0

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes, or what there is of them. Raises ConfigError damaged_capture for broken gzip."""
        if self._seeks:
            self._file.seek(size, os.SEEK_CUR)
            self.at += size
        else:
            self.read(size)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes: fewer only at the end. Raises ConfigError damaged_capture for broken gzip."""
        try:
            data = self._file.read(size)
            if len(data) < size:
                parts, missing = [data], size - len(data)
                while missing and (piece := self._file.read(missing)):
                    parts.append(piece)
                    missing -= len(piece)
                data = b"".join(parts)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise _damaged(self.at, "the gzip around it ends too early or is broken") from None
        self.at += len(data)
        return data


def is_seekable(capture: Capture) -> bool:
    """Whether a capture can be read twice."""
    return not hasattr(capture, "read") or cast(BinaryIO, capture).seekable()


def read_capture(capture: Capture) -> Iterator[Packet | Secrets]:
    """Everything of interest in a capture, in order. A file that can seek is read from its beginning.

    Raises ConfigError not_a_capture at once, and damaged_capture after what could be read.
    """
    data, start = _opened(capture)
    if int.from_bytes(start, "big") == _SECTION_HEADER:
        return _read_pcapng(data, start)
    for order in (">", "<"):
        if len(start) == 4 and struct.unpack(f"{order}I", start)[0] in _CLASSIC:
            return _read_classic(data, order, start)
    raise ConfigError("not_a_capture")


def read_secrets(capture: Capture) -> Iterator[Secrets]:
    """The secrets in a capture that can seek, and not its packets, which are passed over.

    Raises ConfigError not_a_capture, and damaged_capture where the chain of blocks or the gzip around it breaks.
    """
    data, kind = _opened(capture)
    order = "<"
    while kind and (kind == _SECTION_START or data.at > 4):
        at, head, read = data.at - 4, kind + data.read(4), 0
        if kind == _SECTION_START:
            magic = data.read(4)
            order, read = _byte_order(magic, at), 4
        number, length = _block(at, head, order, read)
        if number == _SECRETS:
            try:
                item = _item(number, _rest(data, at, head, order)[:-4], order, [], 0.0)
            except struct.error:
                raise _damaged(at, "a block is shorter than its contents") from None
            if isinstance(item, Secrets):
                yield item
        else:
            data.skip(length - 8 - read)
        kind = data.read(4)


def _opened(capture: Capture) -> tuple[_Input, bytes]:
    """A capture at its beginning, without the gzip around it, and its first 4 bytes, which are read."""
    file = cast(BinaryIO, capture) if hasattr(capture, "read") else io.BytesIO(capture)
    if file.seekable():
        file.seek(0)
    data = _Input(file, seeks=file.seekable())
    start = data.read(4)
    if start[:2] == _GZIP:
        data = _Input(cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, _Again(start, file)), mode="rb")))
        try:
            start = data.read(4)
        except ConfigError:
            raise ConfigError("not_a_capture") from None
    return data, start


class _Again(io.RawIOBase):
    """A file, some of whose bytes were read already and come once more."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start = start
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return self._file.read(size)


def _damaged(offset: int, reason: str) -> ConfigError:
    return ConfigError("damaged_capture", offset=offset, reason=reason)


def _read_classic(data: _Input, order: str, start: bytes) -> Iterator[Packet]:
    header = start + data.read(_CLASSIC_HEADER - len(start))
    if len(header) < _CLASSIC_HEADER:
        raise _damaged(0, "the file header is cut short")
    magic, link_type = struct.unpack_from(f"{order}I16xI", header)
    units, record = _CLASSIC[magic]
    while True:
        at = data.at
        header = data.read(record)
        if not header:
            return
        if len(header) < record:
            raise _damaged(at, "a packet's header is cut short")
        seconds, fraction, length = struct.unpack_from(f"{order}III", header)
        if length > CAPTURE_BLOCK:
            raise _damaged(at, f"a packet says that it is {length} bytes long")
        content = data.read(length)
        if len(content) < length:
            raise _damaged(at, "a packet is cut short")
        # The upper half of the field speaks of checksums at the end of frames.
        yield Packet((seconds * units + fraction) / units, link_type & 0xFFFF, content)


def _read_pcapng(data: _Input, start: bytes) -> Iterator[Packet | Secrets]:
    order = "<"
    interfaces: list[_Interface] = []
    time = 0.0
    at, kind = 0, start
    while kind:
        head = kind + data.read(8 - len(kind))
        if head[:4] == _SECTION_START:
            magic = data.read(4)
            order = _byte_order(magic, at)
            interfaces = []
            body = magic + _rest(data, at, head, order, len(magic))
        else:
            body = _rest(data, at, head, order)
        try:
            item = _item(struct.unpack_from(f"{order}I", head)[0], body[:-4], order, interfaces, time)
        except (struct.error, IndexError):
            raise _damaged(at, "a block is shorter than its contents") from None
        if isinstance(item, Packet):
            time = item.time
        if item is not None:
            yield item
        at, kind = data.at, data.read(4)


def _byte_order(magic: bytes, at: int) -> str:
    if magic not in (_BYTE_ORDER_MAGIC, _BYTE_ORDER_MAGIC[::-1]):
        raise _damaged(at, "a section header without its magic number")
    return ">" if magic == _BYTE_ORDER_MAGIC else "<"


def _block(at: int, head: bytes, order: str, read: int) -> tuple[int, int]:
    """Type and length of the block whose first 8 bytes these are; ``read`` more have been read."""
    if len(head) < 8:
        raise _damaged(at, "a block is cut short")
    number, length = struct.unpack(f"{order}II", head)
    if length < 12 + read or length % 4 or length > CAPTURE_BLOCK:
        raise _damaged(at, f"a block says that it is {length} bytes long")
    return number, length


def _rest(data: _Input, at: int, head: bytes, order: str, read: int = 0) -> bytes:
    """What is left of a block behind its first 8 bytes and ``read`` more, with the length at its end."""
    _, length = _block(at, head, order, read)
    rest = data.read(length - 8 - read)
    if len(rest) < length - 8 - read:
        raise _damaged(at, "a block is cut short")
    if struct.unpack_from(f"{order}I", rest, len(rest) - 4)[0] != length:
        raise _damaged(at, "the two lengths of a block differ")
    return rest


def _item(kind: int, body: bytes, order: str, interfaces: list[_Interface], time: float) -> Packet | Secrets | None:
    """What a block brings. ``time`` is that of the packet before, for a kind of packet that has none."""
    if kind == _INTERFACE and len(interfaces) < CAPTURE_INTERFACES:
        interfaces.append(_interface(body, order))
    elif kind == _PACKET:
        number, high, low, length = struct.unpack_from(f"{order}IIII", body)
        return _packet(interfaces[number], high << 32 | low, body[20 : 20 + length], length)
    elif kind == _OLD_PACKET:
        number, high, low, length = struct.unpack_from(f"{order}H2xIII", body)
        return _packet(interfaces[number], high << 32 | low, body[20 : 20 + length], length)
    elif kind == _SIMPLE_PACKET:
        (length,) = struct.unpack_from(f"{order}I", body)
        length = min(length, interfaces[0].snap_length or length, len(body) - 4)
        return Packet(time, interfaces[0].link_type, body[4 : 4 + length])
    elif kind == _SECRETS:
        secrets_type, length = struct.unpack_from(f"{order}II", body)
        return Secrets(body[8 : 8 + length]) if secrets_type == _TLS_KEY_LOG else None
    return None


def _interface(body: bytes, order: str) -> _Interface:
    link_type, snap_length = struct.unpack_from(f"{order}H2xI", body)
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
    return _Interface(link_type, units, offset, snap_length)


def _packet(interface: _Interface, stamp: int, content: bytes, length: int) -> Packet:
    if len(content) < length:
        raise IndexError
    return Packet((stamp + interface.offset * interface.units) / interface.units, interface.link_type, content)
