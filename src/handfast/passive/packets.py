"""From a captured frame to the TCP segment in it.

Link types: Ethernet, Linux "any" (both versions), BSD loopback, PPP, and IP without a link layer. Over them VLAN tags,
MPLS, PPPoE, IPv4 and IPv6 with their extension headers, and tunnels: IP in IP, GRE, VXLAN, Geneve, GTP. Checksums are
not checked, since a machine that lets its network card compute them captures its own packets without.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import NamedTuple, TypeAlias

from handfast.limits import MAX_ENCAPSULATIONS
from handfast.passive.fragments import Fragments

FIN, SYN, RST, ACK = 1, 2, 4, 16

_NULL, _ETHERNET, _PPP, _PPP_HDLC, _PPPOE, _LOOP, _LINUX_SLL, _LINUX_SLL2 = 0, 1, 9, 50, 51, 108, 113, 276
# What is called RAW has these numbers on one system or another, and IPv4 and IPv6 have numbers of their own.
_RAW = frozenset({12, 14, 101, 228, 229})
# Link types that are known and not read: what there is inside of 802.11 is encrypted as a rule.
_NOT_READ = {
    105: "802.11 (Wi-Fi)", 119: "802.11 (Wi-Fi) with Prism headers", 127: "802.11 (Wi-Fi) with radiotap headers",
    163: "802.11 (Wi-Fi) with AVS headers", 192: "PPI, mostly 802.11 (Wi-Fi)",
}  # fmt: skip

# EtherTypes.
_IPV4, _IPV6, _BRIDGED, _PPPOE_SESSION = 0x0800, 0x86DD, 0x6558, 0x8864
_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_MPLS = frozenset({0x8847, 0x8848})
_LEAST_ETHERTYPE = 0x600
_SNAP = b"\xaa\xaa\x03\0\0\0"
# The address families of BSD loopback: IPv6's differs from system to system.
_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
_PPP_PROTOCOLS = {0x0021: _IPV4, 0x0057: _IPV6}
# IP protocols.
_IP_IN_IP, _TCP, _UDP, _IPV6_IN_IP, _GRE, _AUTHENTICATION = 4, 6, 17, 41, 47, 51
# Hop-by-hop options, routing, destination options: headers of IPv6 that may stand before TCP's; and the fragment's.
_IPV6_EXTENSIONS = frozenset({0, 43, 60})
_FRAGMENT = 44
_VXLAN, _GENEVE, _GTP = frozenset({4789, 8472}), 6081, 2152
_GTP_DATA = 255


class Endpoint(NamedTuple):
    """One end of a TCP connection: an IP address, 4 or 16 bytes, and a port."""

    address: bytes
    port: int

    def __str__(self) -> str:
        from ipaddress import ip_address

        address = ip_address(self.address)
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"


class Segment(NamedTuple):
    """A TCP segment; ``sequence`` is the number of its first byte.

    ``cut`` says how many bytes of the payload's end were sent and not captured; ``acknowledged`` is the number of the
    next byte that the sender expects, if the flag ACK is set.
    """

    source: Endpoint
    destination: Endpoint
    sequence: int
    flags: int
    payload: bytes
    acknowledged: int = 0
    cut: int = 0


# What a header leads to: an EtherType and what follows.
_Layer: TypeAlias = tuple[int, bytes]
_NOTHING: _Layer = (0, b"")


class Frames:
    """The frames of one capture. ``not_read`` counts those of link types that are not read, by the type's name."""

    def __init__(self) -> None:
        self.not_read: Counter[str] = Counter()
        self._fragments = Fragments()

    def tcp_segment(self, link_type: int, frame: bytes) -> Segment | None:
        """The TCP segment in a frame, or None when there is none or too little of it was captured."""
        try:
            layer = self._link_layer(link_type, frame)
            for _ in range(MAX_ENCAPSULATIONS):
                kind, data = layer
                if kind not in (_IPV4, _IPV6):
                    layer = _between(kind, data)
                    if layer is _NOTHING:
                        return None
                    continue
                found = self._ipv4(data) if kind == _IPV4 else self._ipv6(data)
                if found is None or isinstance(found, Segment):
                    return found
                layer = found
        except (struct.error, IndexError):
            return None
        return None

    def _link_layer(self, link_type: int, frame: bytes) -> _Layer:
        if link_type in _RAW:
            return (_IPV6 if frame[0] >> 4 == 6 else _IPV4), frame
        if link_type == _ETHERNET:
            return _BRIDGED, frame
        if link_type == _LINUX_SLL:
            return _word(frame, 14), frame[16:]
        if link_type == _LINUX_SLL2:
            return _word(frame, 0), frame[20:]
        if link_type in (_NULL, _LOOP):
            # NULL is written in the byte order of the capturing machine; no family is larger than a byte.
            return _FAMILIES.get(max(frame[0], frame[3]), 0), frame[4:]
        if link_type in (_PPP, _PPP_HDLC):
            return _ppp(frame)
        if link_type == _PPPOE:
            return _PPPOE_SESSION, frame
        self.not_read[_NOT_READ.get(link_type, f"link type {link_type}")] += 1
        return _NOTHING

    def _ipv4(self, packet: bytes) -> Segment | _Layer | None:
        length = _word(packet, 2)
        if packet[0] >> 4 != 4:
            return None
        header = (packet[0] & 0x0F) * 4
        protocol = packet[9]
        # A length of 0 stands in packets that the network card would have split: they end where the capture does.
        content = packet[header : length or len(packet)]
        cut = max(0, length - len(packet))
        fragment = _word(packet, 6)
        if fragment & 0x3FFF and not cut:
            key = packet[12:20], packet[4:6], packet[9:10]
            whole = self._fragments.add(key, (fragment & 0x1FFF) * 8, content, more=bool(fragment & 0x2000))
            if whole is None:
                return None
            content = whole
        elif fragment & 0x3FFF:
            return None
        return _in_ip(protocol, packet[12:16], packet[16:20], content, cut)

    def _ipv6(self, packet: bytes) -> Segment | _Layer | None:
        length = _word(packet, 4)
        if packet[0] >> 4 != 6:
            return None
        following, at = packet[6], 40
        end = at + length if length else len(packet)
        cut = max(0, end - len(packet))
        while following in _IPV6_EXTENSIONS:
            following, at = packet[at], at + 8 + packet[at + 1] * 8
        content = packet[at:end]
        if following == _FRAGMENT and not cut:
            offset = _word(content, 2)
            key = packet[8:40], content[4:8]
            following = content[0]
            whole = self._fragments.add(key, offset & 0xFFF8, content[8:], more=bool(offset & 1))
            if whole is None:
                return None
            content = whole
        return _in_ip(following, packet[8:24], packet[24:40], content, cut)


def _between(kind: int, data: bytes) -> _Layer:
    """What stands behind a header that is neither of IPv4 nor of IPv6."""
    if kind == _BRIDGED:
        return _word(data, 12), data[14:]
    if kind in _VLAN_TAGS:
        return _word(data, 2), data[4:]
    if kind in _MPLS:
        # The last label of a stack is marked; what follows is known by its first bits.
        last = data[2] & 1
        return (_IPV6 if data[4] >> 4 == 6 else _IPV4) if last else kind, data[4:]
    if kind == _PPPOE_SESSION:
        return _ppp(data[6:])
    if 8 < kind < _LEAST_ETHERTYPE and data.startswith(_SNAP):
        return _word(data, 6), data[8:]
    return _NOTHING


def _ppp(frame: bytes) -> _Layer:
    """PPP, with or without its address and control bytes. RFC 1662 3.1, RFC 2516 4."""
    at = 2 if frame.startswith(b"\xff\x03") else 0
    return _PPP_PROTOCOLS.get(_word(frame, at), 0), frame[at + 2 :]


def _in_ip(protocol: int, source: bytes, destination: bytes, content: bytes, cut: int) -> Segment | _Layer | None:
    """What an IP packet holds: TCP, or something that TCP may be in."""
    if protocol == _AUTHENTICATION:
        protocol, content = content[0], content[(content[1] + 2) * 4 :]
    if protocol == _TCP:
        return _tcp(source, destination, content, cut)
    if protocol == _IP_IN_IP:
        return _IPV4, content
    if protocol == _IPV6_IN_IP:
        return _IPV6, content
    if protocol == _GRE:
        return _gre(content)
    return _in_udp(_word(content, 0), _word(content, 2), content[8:]) if protocol == _UDP else None


def _gre(packet: bytes) -> _Layer:
    """RFC 2784 and 2890: a checksum, a key and a sequence number, each if its flag says so."""
    flags = packet[0]
    return _word(packet, 2), packet[4 + 4 * sum(bool(flags & flag) for flag in (0x80, 0x20, 0x10)) :]


def _in_udp(source: int, destination: int, content: bytes) -> _Layer | None:
    if destination in _VXLAN and content[0] & 0x08:
        return _BRIDGED, content[8:]
    if destination == _GENEVE:
        return _word(content, 2), content[8 + (content[0] & 0x3F) * 4 :]
    if _GTP in (source, destination) and content[0] >> 4 == 3 and content[1] == _GTP_DATA:
        return _gtp(content)
    return None


def _gtp(packet: bytes) -> _Layer:
    """GTP-U: optional fields if one of three flags is set, then extension headers. 3GPP TS 29.281 5."""
    at = 8
    if packet[0] & 7:
        at, following = 12, packet[11] if packet[0] & 4 else 0
        while following:
            length = packet[at] * 4
            if not length:
                return _NOTHING
            at, following = at + length, packet[at + length - 1]
    return (_IPV6 if packet[at] >> 4 == 6 else _IPV4), packet[at:]


def _tcp(source: bytes, destination: bytes, segment: bytes, cut: int) -> Segment:
    source_port, destination_port, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", segment)
    payload = segment[(offset >> 4) * 4 :]
    ends = Endpoint(source, source_port), Endpoint(destination, destination_port)
    return Segment(*ends, sequence, flags, payload, acknowledged, cut)


def _word(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
