"""Capture formats and link types: the same connection in every wrapping is the same connection."""

from __future__ import annotations

import struct
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import ConfigError
from handfast.passive import decode
from handfast.passive.capture import Packet, Secrets, read_capture
from handfast.passive.packets import Endpoint, Frames
from tests import certificates
from tests.lens.connections import client_config, server_config
from tests.passive.recorded import Pair, blocks, talk
from tests.passive.test_same_stream import plainly

RAW, ETHERNET = 101, 1


@cache
def recorded() -> tuple[bytes, bytes]:
    """A capture and its key log."""
    pair = Pair(client_config(certificates.client()), server_config(), mss=700)
    talk(pair)
    return pair.client_side.capture, pair.client_side.keys


@cache
def packets() -> list[Packet]:
    return [item for item in read_capture(recorded()[0]) if isinstance(item, Packet)]


def told(capture: bytes, keys: bytes = b"", *, times: bool = True) -> list[dict[str, Any]]:
    decoded = decode(capture, keys)
    assert decoded.damage is None
    (connection,) = decoded.connections
    return [plainly(event) | ({} if times else {"time": None}) for event in connection.events]


def expected(*, times: bool = True) -> list[dict[str, Any]]:
    return told(recorded()[0], times=times)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def pcapng(order: str, resolution: int, link_type: int = RAW, frames: Any = None, offset: int = 0) -> bytes:
    """The recorded packets as another program would write them."""
    units = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    section = block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = struct.pack(f"{order}HHB3x", 9, 1, resolution) + struct.pack(f"{order}HHq", 14, 8, offset) + bytes(4)
    interface = block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 0) + options)
    # Blocks of other kinds stand everywhere: name resolution, statistics, some vendor's own.
    written = [section, interface, block(order, 4, b"names"), block(order, 0x80000001, b"own")]
    for number, packet in enumerate(packets()):
        stamp = round((Fraction(packet.time) - offset) * units)
        data = packet.data if frames is None else frames[number]
        head = struct.pack(f"{order}IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
        written.append(block(order, 6, head + data + bytes(-len(data) % 4)))
    secrets = recorded()[1]
    written.append(block(order, 10, struct.pack(f"{order}II", 0x544C534B, len(secrets)) + secrets))
    written.append(block(order, 5, bytes(12)))
    return b"".join(written)


def pcap(order: str, magic: int, units: int, link_type: int = RAW, frames: Any = None) -> bytes:
    written = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for number, packet in enumerate(packets()):
        data = packet.data if frames is None else frames[number]
        stamp = round(Fraction(packet.time) * units)
        written.append(struct.pack(f"{order}IIII", stamp // units, stamp % units, len(data), len(data)) + data)
    return b"".join(written)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("resolution", "offset"), [(9, 0), (9, 1_700_000_000), (6, 0), (0x80 | 30, 0)])
def test_pcapng(order, resolution, offset):
    exact = resolution != 6
    assert told(pcapng(order, resolution, offset=offset), times=exact) == expected(times=exact)
    times = [item.time for item in read_capture(pcapng(order, resolution, offset=offset)) if isinstance(item, Packet)]
    assert times == pytest.approx([packet.time for packet in packets()], abs=1e-6)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "units"), [(0xA1B2C3D4, 10**6), (0xA1B23C4D, 10**9)])
def test_classic_pcap(order, magic, units):
    exact = units == 10**9
    assert told(pcap(order, magic, units), recorded()[1], times=exact) == expected(times=exact)


def test_a_section_in_the_other_byte_order_may_follow():
    both = pcapng("<", 9) + pcapng(">", 9)
    assert len([item for item in read_capture(both) if isinstance(item, Packet)]) == 2 * len(packets())
    assert len([item for item in read_capture(both) if isinstance(item, Secrets)]) == 2


MACS = bytes(12)
WRAPPINGS = {
    "ethernet": (ETHERNET, lambda packet: MACS + b"\x08\0" + packet),
    "ethernet, padded to 60 bytes": (ETHERNET, lambda packet: (MACS + b"\x08\0" + packet).ljust(60, b"\0")),
    "a VLAN": (ETHERNET, lambda packet: MACS + b"\x81\0\0\x05\x08\0" + packet),
    "a VLAN in a VLAN": (ETHERNET, lambda packet: MACS + b"\x88\xa8\0\x05\x81\0\0\x05\x08\0" + packet),
    "Linux any": (113, lambda packet: bytes(14) + b"\x08\0" + packet),
    "Linux any, version 2": (276, lambda packet: b"\x08\0" + bytes(18) + packet),
    "loopback, little-endian": (0, lambda packet: b"\2\0\0\0" + packet),
    "loopback, big-endian": (0, lambda packet: b"\0\0\0\2" + packet),
    "OpenBSD loopback": (108, lambda packet: b"\0\0\0\2" + packet),
    "raw IPv4": (228, lambda packet: packet),
    "BSD raw": (12, lambda packet: packet),
    "IP options": (RAW, lambda packet: b"\x46" + packet[1:2] + struct.pack("!H", len(packet) + 4) + packet[4:20]
                   + b"\1\1\1\0" + packet[20:]),
    "no IP length": (RAW, lambda packet: packet[:2] + b"\0\0" + packet[4:]),
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_link_types(wrapping):
    link_type, wrap = WRAPPINGS[wrapping]
    frames = [wrap(packet.data) for packet in packets()]
    assert told(pcapng("<", 9, link_type, frames)) == expected()


def in_ipv6(packet: bytes, extensions: bytes = b"", first: int = 6) -> bytes:
    source, destination = (b"\xfe\x80" + bytes(10) + packet[at : at + 4] for at in (12, 16))
    length = len(extensions) + len(packet) - 20
    return struct.pack("!IHBB", 6 << 28, length, first, 64) + source + destination + extensions + packet[20:]


IPV6_WRAPPINGS = {
    "raw": (RAW, in_ipv6),
    "ethernet": (ETHERNET, lambda packet: MACS + b"\x86\xdd" + in_ipv6(packet)),
    "macOS loopback": (0, lambda packet: b"\x1e\0\0\0" + in_ipv6(packet)),
    "extension headers": (
        RAW,
        lambda packet: in_ipv6(packet, b"\x3c\0" + bytes(6) + b"\x06\1" + bytes(14), 0),
    ),
}


@pytest.mark.parametrize("wrapping", IPV6_WRAPPINGS)
def test_ipv6(wrapping):
    link_type, wrap = IPV6_WRAPPINGS[wrapping]
    frames = [wrap(packet.data) for packet in packets()]
    capture = pcapng("<", 9, link_type, frames)
    assert told(capture) == expected()
    assert str(decode(capture).connections[0].flow.client) == "[fe80::7f00:1]:51515"


def test_who_is_who():
    (connection,) = decode(recorded()[0]).connections
    assert (str(connection.flow.client), str(connection.flow.server)) == ("127.0.0.1:51515", "127.0.0.1:1337")
    assert connection.flow.number == 1


def test_what_is_not_tcp_is_passed_over():
    first = packets()[0].data
    for packet in (
        first[:9] + b"\x11" + first[10:],
        first[:6] + b"\x20\0" + first[8:],
        first[:6] + b"\0\x01" + first[8:],
        b"\x50" + first[1:],
        in_ipv6(first, bytes(8), 44),
        b"",
        b"\x45",
    ):
        assert Frames().tcp_segment(RAW, packet) is None
    assert Frames().tcp_segment(ETHERNET, MACS + b"\x08\x06" + first) is None
    assert Frames().tcp_segment(147, first) is None
    segment = Frames().tcp_segment(RAW, first)
    assert segment is not None
    assert segment.source == Endpoint(b"\x7f\0\0\1", 51515)


# What is not in order


@pytest.mark.parametrize("data", [b"", b"\x0a", b"GET / HTTP/1.1", bytes(100)])
def test_what_is_no_capture(data):
    with pytest.raises(ConfigError) as caught:
        decode(data)
    assert caught.value.code == "not_a_capture"


@pytest.mark.parametrize("capture", [recorded()[0], pcap("<", 0xA1B23C4D, 10**9)], ids=["pcapng", "pcap"])
def test_a_capture_cut_short_is_read_as_far_as_it_goes(capture):
    decoded = decode(capture[: len(capture) * 2 // 3], recorded()[1])
    assert decoded.damage is not None
    assert decoded.damage.code == "damaged_capture"
    (connection,) = decoded.connections
    events = [plainly(event) for event in connection.events]
    assert 5 < len(events) < len(expected())
    assert events == expected()[: len(events)]


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, lambda block: block[:8] + b"none" + block[12:]),
        (3, lambda block: block[:4] + b"\x08\0\0\0" + block[8:]),
        (3, lambda block: block[:4] + (len(block) + 1).to_bytes(4, "little") + block[8:]),
        (3, lambda block: block[:-4] + bytes(4)),
        (3, lambda block: block[:8] + b"\x07\0\0\0" + block[12:]),
        (3, lambda block: block[:20] + b"\xff\xff\0\0" + block[24:]),
        (3, lambda block: b"\6\0\0\0\x10\0\0\0" + bytes(4) + b"\x10\0\0\0"),
    ],
    ids=["no magic", "too short", "not a multiple of 4", "other length", "no such interface", "too long", "no header"],
)
def test_damage_is_told_with_its_place(number, change):
    parts = [block for _, block in blocks(recorded()[0])]
    parts[number] = change(parts[number])
    damage = decode(b"".join(parts)).damage
    assert damage is not None
    assert damage.details["offset"] == sum(map(len, parts[:number]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_mutation_is_too_much(data):
    """Whatever stands in a capture, reading it ends well, or with the one error that may be raised."""
    capture = bytearray(recorded()[0])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(capture) - 1))
        capture[at] = data.draw(st.integers(0, 255))
    with suppress(ConfigError):
        decode(bytes(capture))
