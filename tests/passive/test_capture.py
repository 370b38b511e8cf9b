"""Capture formats and link types: the same connection in every wrapping is the same connection."""

from __future__ import annotations

import gzip
import io
import struct
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import ConfigError
from handfast.limits import CAPTURE_BLOCK, CAPTURE_INTERFACES, MAX_ENCAPSULATIONS, RECORDED_FRAGMENTS
from handfast.passive import decode
from handfast.passive.capture import Packet, Secrets, read_capture, read_secrets
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


SECRETIVE = {
    "pcapng": lambda: pcapng("<", 9) + pcapng(">", 9),
    "gzip": lambda: gzip.compress(pcapng("<", 9)),
    "pcap": lambda: pcap("<", 0xA1B2C3D4, 10**6),
    "damaged": lambda: pcapng("<", 9) + b"\x0a\x0d\x0d\x0a",
    "cut": lambda: pcapng("<", 9)[:-70],
    "cut gzip": lambda: gzip.compress(pcapng("<", 9))[:-30],
}


@pytest.mark.parametrize("kind", SECRETIVE)
def test_secrets_are_found_without_the_packets(kind):
    def found(items: Any) -> list[Secrets]:
        kept: list[Secrets] = []
        with suppress(ConfigError):
            kept.extend(item for item in items if isinstance(item, Secrets))
        return kept

    capture = SECRETIVE[kind]()
    assert found(read_secrets(capture)) == found(read_capture(capture))
    assert found(read_secrets(io.BytesIO(capture))) == found(read_capture(capture))


MACS = bytes(12)


def in_ipv4(protocol: int, content: bytes, flags: int = 0, identification: int = 1) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), identification, flags, 64, protocol, 0)
    return head + b"\x0a\0\0\1\x0a\0\0\2" + content


def outer_ipv6(protocol: int, content: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(content), protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + content


def udp(port: int, content: bytes) -> bytes:
    return struct.pack("!HHHH", 50000, port, 8 + len(content), 0) + content


def in_udp(port: int, content: bytes) -> bytes:
    return in_ipv4(17, udp(port, content))


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
    "SNAP": (ETHERNET, lambda packet: MACS + struct.pack("!H", len(packet) + 8) + b"\xaa\xaa\3\0\0\0\x08\0" + packet),
    "MPLS": (ETHERNET, lambda packet: MACS + b"\x88\x47\0\0\x20\x40\0\0\x31\x40" + packet),
    "PPPoE": (ETHERNET, lambda packet: MACS + b"\x88\x64\x11\0\0\1" + struct.pack("!H", len(packet) + 2) + b"\0\x21"
              + packet),
    "PPP": (9, lambda packet: b"\xff\3\0\x21" + packet),
    "PPPoE without Ethernet": (51, lambda packet: b"\x11\0\0\1" + struct.pack("!H", len(packet) + 2) + b"\0\x21"
                               + packet),
    "4in4": (RAW, lambda packet: in_ipv4(4, packet)),
    "4in6": (RAW, lambda packet: outer_ipv6(4, packet)),
    "GRE": (RAW, lambda packet: in_ipv4(47, b"\x30\0\x08\0" + bytes(8) + packet)),
    "GRE with Ethernet": (RAW, lambda packet: in_ipv4(47, b"\0\0\x65\x58" + MACS + b"\x08\0" + packet)),
    "VXLAN": (RAW, lambda packet: in_udp(4789, b"\x08" + bytes(7) + MACS + b"\x08\0" + packet)),
    "VXLAN over IPv6": (RAW, lambda packet: outer_ipv6(17, udp(4789, b"\x08" + bytes(7) + MACS + b"\x08\0" + packet))),
    "Geneve": (RAW, lambda packet: in_udp(6081, b"\1\0\x65\x58" + bytes(8) + MACS + b"\x08\0" + packet)),
    "GTP": (RAW, lambda packet: in_udp(2152, b"\x30\xff\0\0\0\0\0\1" + packet)),
    "GTP with extensions": (RAW, lambda packet: in_udp(
        2152, b"\x36\xff\0\0\0\0\0\1\0\0\0\x85\1\0\0\xc0\2" + bytes(6) + b"\0" + packet)),
    "authentication header": (RAW, lambda packet: in_ipv4(51, b"\x04\4" + bytes(22) + packet)),
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
    "6in4": (RAW, lambda packet: in_ipv4(41, in_ipv6(packet))),
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


def in_fragments(packet: bytes, number: int, size: int = 200) -> list[bytes]:
    content = packet[20:]
    return [
        packet[:2]
        + struct.pack("!HHH", 20 + len(content[at : at + size]), number, at // 8 | (at + size < len(content)) << 13)
        + packet[8:20]
        + content[at : at + size]
        for at in range(0, len(content), size)
    ]


def in_ipv6_fragments(packet: bytes, number: int, size: int = 200) -> list[bytes]:
    whole = in_ipv6(packet)
    content = whole[40:]
    found = []
    for at in range(0, len(content), size):
        piece = content[at : at + size]
        head = struct.pack("!BBHI", 6, 0, at | (at + size < len(content)), number)
        found.append(struct.pack("!IHBB", 6 << 28, 8 + len(piece), 44, 64) + whole[8:40] + head + piece)
    return found


@pytest.mark.parametrize("cut", [in_fragments, in_ipv6_fragments])
@pytest.mark.parametrize("shuffled", [False, True])
def test_fragments_of_ip(cut, shuffled):
    frames = Frames()
    payloads = []
    for number, packet in enumerate(packets()):
        pieces = cut(packet.data, number)
        seen = [frames.tcp_segment(RAW, piece) for piece in (reversed(pieces) if shuffled else pieces)]
        (segment,) = [one for one in seen if one is not None]
        payloads.append(segment.payload)
    assert payloads == [one.payload for packet in packets() if (one := Frames().tcp_segment(RAW, packet.data))]


def test_fragments_that_wait_are_bounded():
    frames = Frames()
    first, *rest = in_fragments(packets()[3].data, 0)
    assert frames.tcp_segment(RAW, first) is None
    for number in range(1, RECORDED_FRAGMENTS + 1):
        frames.tcp_segment(RAW, in_fragments(packets()[3].data, number)[0])
    assert [frames.tcp_segment(RAW, piece) for piece in rest] == [None] * len(rest)
    # More fragments than any real packet has.
    for at in range(0, 4096, 8):
        frames.tcp_segment(RAW, in_ipv4(6, bytes(8), at // 8 | 0x2000, 7))
    assert frames.tcp_segment(RAW, in_ipv4(6, bytes(8), 4096 // 8, 7)) is None


def test_headers_without_end_are_given_up():
    frame = MACS + (b"\x81\0\0\5") * (MAX_ENCAPSULATIONS + 1) + b"\x08\0" + packets()[0].data
    assert Frames().tcp_segment(ETHERNET, frame) is None


@pytest.mark.parametrize(("link_type", "name"), [(127, "802.11 (Wi-Fi) with radiotap headers"), (250, "link type 250")])
def test_a_link_type_that_is_not_read_is_named(link_type, name):
    damage = decode(pcapng("<", 9, link_type)).damage
    assert damage is not None
    assert damage.code == "link_type_not_read"
    assert str(damage) == f"{len(packets())} packets of {name} were not read"


class Pipe(io.RawIOBase):
    """What cannot be read twice, and gives less than is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 7) if size >= 0 else size)


@pytest.mark.parametrize("wrap", [io.BytesIO, Pipe, lambda data: data], ids=["file", "pipe", "bytes"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["pcapng", "pcap"])
def test_a_file_a_pipe_and_gzip(wrap, compress, kind):
    capture = compress(pcap("<", 0xA1B23C4D, 10**9) if kind == "pcap" else pcapng("<", 9))
    assert told(wrap(capture), recorded()[1]) == expected()


def test_what_is_not_whole_in_gzip_is_read_as_far_as_it_goes():
    capture = gzip.compress(pcap("<", 0xA1B23C4D, 10**9))
    decoded = decode(capture[: len(capture) * 2 // 3], recorded()[1])
    assert decoded.damage is not None
    assert decoded.damage.code == "damaged_capture"
    assert len(decoded.connections) == 1


def test_the_modified_format_of_old_linux():
    written = [struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 262144, RAW)]
    for packet in packets():
        head = struct.pack("<IIIIIHBx", int(packet.time), 0, len(packet.data), len(packet.data), 1, 0x800, 0)
        written.append(head + packet.data)
    assert told(b"".join(written), recorded()[1], times=False) == expected(times=False)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["old", "simple"])
def test_other_packet_blocks(order, kind):
    parts = [block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))]
    parts.append(block(order, 1, struct.pack(f"{order}HHI", RAW, 0, 0)))
    for packet in packets():
        stamp = int(packet.time * 10**6)
        size = len(packet.data)
        padded = packet.data + bytes(-size % 4)
        if kind == "old":
            parts.append(
                block(
                    order, 2, struct.pack(f"{order}HHIIII", 0, 0, stamp >> 32, stamp & 2**32 - 1, size, size) + padded
                )
            )
        else:
            parts.append(block(order, 3, struct.pack(f"{order}I", size) + padded))
    assert told(b"".join(parts), recorded()[1], times=False) == expected(times=False)


def test_a_snap_length_cuts_simple_packets():
    capture = block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    capture += block("<", 1, struct.pack("<HHI", RAW, 0, 5)) + block(
        "<", 3, struct.pack("<I", 90) + b"12345" + bytes(3)
    )
    (packet,) = read_capture(capture)
    assert isinstance(packet, Packet)
    assert packet.data == b"12345"


def test_the_limits_of_a_file():
    too_long = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, RAW) + struct.pack(
        "<IIII", 0, 0, CAPTURE_BLOCK + 1, 0
    )
    damage = decode(too_long).damage
    assert damage is not None
    assert damage.details["offset"] == 24
    section = block("<", 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    damage = decode(section + struct.pack("<II", 6, CAPTURE_BLOCK + 4)).damage
    assert damage is not None
    assert damage.details["offset"] == len(section)
    interface = block("<", 1, struct.pack("<HHI", RAW, 0, 0))
    packet = block("<", 6, struct.pack("<IIIII", CAPTURE_INTERFACES, 0, 0, 0, 0))
    damage = decode(section + interface * (CAPTURE_INTERFACES + 1) + packet).damage
    assert damage is not None
    assert damage.code == "damaged_capture"


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
