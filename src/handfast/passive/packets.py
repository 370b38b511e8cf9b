"""From a captured frame to the TCP segment in it.

Link types: Ethernet (with VLAN tags), Linux "any" (both versions), BSD loopback, and IP without a link layer. Over them
IPv4 and IPv6. Fragments of IP packets are passed over: TCP avoids them. Checksums are not checked, since a machine that
lets its network card compute them captures its own packets without.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

FIN, SYN, RST = 1, 2, 4

_NULL, _ETHERNET, _LOOP, _LINUX_SLL, _LINUX_SLL2 = 0, 1, 108, 113, 276
# What is called RAW has these numbers on one system or another, and IPv4 and IPv6 have numbers of their own.
_RAW = frozenset({12, 14, 101, 228, 229})
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN_TAGS = frozenset({0x8100, 0x88A8})
# The address families of BSD loopback: IPv6's differs from system to system.
_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
_TCP = 6
# Hop-by-hop options, routing, destination options: headers of IPv6 that may stand before TCP's.
_IPV6_EXTENSIONS = frozenset({0, 43, 60})


class Endpoint(NamedTuple):
    """One end of a TCP connection: an IP address, 4 or 16 bytes, and a port."""

    address: bytes
    port: int

    def __str__(self) -> str:
        from ipaddress import ip_address

        address = ip_address(self.address)
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"


class Segment(NamedTuple):
    """A TCP segment; ``sequence`` is the number of its first byte."""

    source: Endpoint
    destination: Endpoint
    sequence: int
    flags: int
    payload: bytes


def tcp_segment(link_type: int, frame: bytes) -> Segment | None:
    """The TCP segment in a frame, or None when there is none or too little of it was captured."""
    try:
        protocol, packet = _link_layer(link_type, frame)
        if protocol == _IPV4:
            return _ipv4(packet)
        if protocol == _IPV6:
            return _ipv6(packet)
    except (struct.error, IndexError):
        return None
    return None


def _link_layer(link_type: int, frame: bytes) -> tuple[int, bytes]:
    """The EtherType and the packet."""
    if link_type in _RAW:
        return (_IPV6 if frame[0] >> 4 == 6 else _IPV4), frame
    if link_type == _ETHERNET:
        at = 12
        while _word(frame, at) in _VLAN_TAGS:
            at += 4
        return _word(frame, at), frame[at + 2 :]
    if link_type == _LINUX_SLL:
        return _word(frame, 14), frame[16:]
    if link_type == _LINUX_SLL2:
        return _word(frame, 0), frame[20:]
    if link_type in (_NULL, _LOOP):
        # NULL is written in the byte order of whoever captured; no family is larger than a byte.
        return _FAMILIES.get(max(frame[0], frame[3]), 0), frame[4:]
    return 0, b""


def _ipv4(packet: bytes) -> Segment | None:
    length = _word(packet, 2)
    more_or_offset = _word(packet, 6) & 0x3FFF
    if packet[0] >> 4 != 4 or packet[9] != _TCP or more_or_offset:
        return None
    header = (packet[0] & 0x0F) * 4
    # A length of 0 stands in packets that the network card would have split: they end where the capture does.
    return _tcp(packet[12:16], packet[16:20], packet[header : length or len(packet)])


def _ipv6(packet: bytes) -> Segment | None:
    length = _word(packet, 4)
    if packet[0] >> 4 != 6:
        return None
    following, at = packet[6], 40
    end = at + length if length else len(packet)
    while following in _IPV6_EXTENSIONS:
        following, at = packet[at], at + 8 + packet[at + 1] * 8
    return _tcp(packet[8:24], packet[24:40], packet[at:end]) if following == _TCP else None


def _tcp(source: bytes, destination: bytes, segment: bytes) -> Segment:
    source_port, destination_port, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", segment)
    payload = segment[(offset >> 4) * 4 :]
    return Segment(Endpoint(source, source_port), Endpoint(destination, destination_port), sequence, flags, payload)


def _word(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
