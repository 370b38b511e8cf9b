"""Whatever became of a capture, it is read to its end, by the decoder and by all lenses, in linear time and memory."""

from __future__ import annotations

import ssl
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.cli.verdict_words import DESCRIBER
from handfast.errors import ConfigError
from handfast.events import EventDispatcher, SecretLevel
from handfast.lens.json_events import JsonEvents
from handfast.lens.pcapng import interface_block, packet_block, section_block
from handfast.lens.recorded import RecordedOutcome
from handfast.lens.trace import Trace
from handfast.passive import decode
from handfast.passive.capture import Packet, read_capture
from handfast.passive.paste import Paste, pieces
from tests import certificates
from tests.counting import instructions
from tests.lens.connections import client_config, server_config
from tests.passive.recorded import C2S, Pair, blocks, talk, without_secrets
from tests.passive.test_decoder import python_ssl
from tests.passive.test_same_stream import resumed, retried


@cache
def bases() -> list[tuple[list[Packet], bytes]]:
    """Packets and key logs of some connections."""
    found = []
    mutual = Pair(client_config(certificates.client()), server_config(), mss=400)
    talk(mutual)
    for side in (mutual.server_side, retried().client_side, resumed(b"early").server_side):
        packets = [item for item in read_capture(side.capture) if isinstance(item, Packet)]
        found.append((packets, side.keys))
    with TemporaryDirectory() as folder:
        said, keys = python_ssl(Path(folder), ssl.TLSVersion.TLSv1_2)
    found.append((segments(said, 300), keys))
    return found


def segments(said, size: int, port: int = 50000) -> list[Packet]:
    """What was said as packets of raw IP."""
    sequence = {direction: 1000 for direction, _ in said}
    packets = []
    for number, (direction, piece) in enumerate(said):
        ends = (port, 443) if direction is C2S else (443, port)
        for at in range(0, len(piece), size):
            part = piece[at : at + size]
            tcp = struct.pack("!HHIIBBHHH", *ends, sequence[direction], 0, 0x50, 16, 1000, 0, 0) + part
            ip = struct.pack("!BBHHHBBH8x", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
            packets.append(Packet(1000.0 + number, 101, ip + tcp))
            sequence[direction] += len(part)
    return packets


def capture_of(packets: list[Packet]) -> bytes:
    return section_block() + interface_block(101) + b"".join(packet_block(one.time, one.data) for one in packets)


def look_at(capture: bytes, keys: bytes) -> int:
    """Decode, and show everything in every way; how many events there were."""
    return shown(capture, keys)[0]


def shown(capture: bytes, keys: bytes) -> tuple[int, int]:
    """Decode, and show everything in every way; how many events there were, and characters of text."""
    total = written = 0
    for connection in decode(capture, keys).connections:
        lines: list[str] = []
        outcome = RecordedOutcome()
        trace = Trace(lines.append, detail="bytes", secrets="all", describer=DESCRIBER)
        other = JsonEvents(lines.append, 1, DESCRIBER, frozenset(SecretLevel))
        for secret in connection.secrets:
            trace.secret(secret)
            other.secret(secret)
        for event in connection.events:
            for lens in (outcome, trace, other):
                lens(event)
        assert outcome.line(DESCRIBER).isprintable()
        assert outcome.failed in (True, False)
        total += len(connection.events)
        written += sum(map(len, lines))
    return total, written


MUTATIONS = ("flip", "cut", "swap", "double", "drop", "splice")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_packets(data):
    packets, keys = data.draw(st.sampled_from(bases()))
    packets = list(packets)
    for _ in range(data.draw(st.integers(1, 6))):
        at, other = (data.draw(st.integers(0, len(packets) - 1)) for _ in range(2))
        packet = packets[at]
        match data.draw(st.sampled_from(MUTATIONS)):
            case "flip" if packet.data:
                changed = bytearray(packet.data)
                changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
                packets[at] = packet._replace(data=bytes(changed))
            case "cut":
                packets[at] = packet._replace(data=packet.data[: data.draw(st.integers(0, len(packet.data)))])
            case "swap":
                packets[at], packets[other] = packets[other], packets[at]
            case "double":
                packets.insert(other, packet)
            case "drop" if len(packets) > 1:
                del packets[at]
            case "splice":
                packets[at] = packet._replace(data=packet.data[:40] + data.draw(st.binary(max_size=60)))
    look_at(capture_of(packets), keys)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([0, 1, 9, 51, 101, 108, 113, 276]))
def test_any_frame(frame, link_type):
    capture = section_block() + interface_block(link_type) + packet_block(0.0, frame) * 2
    look_at(capture, b"")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=8))
def test_any_bytes_behind_a_hello(said):
    packets, keys = bases()[0]
    start = capture_of(packets[:5])
    further = segments([(C2S if ours else "S", piece) for ours, piece in said], 1000, 51515)
    look_at(start + b"".join(packet_block(one.time, one.data) for one in further), keys)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789abcdefxX:, \n>|<Handshake[]", max_size=300))
def test_any_paste(text):
    paste = Paste(EventDispatcher([lambda event: None], [], lambda: 0.0))
    for piece in pieces(text):
        paste.tell(piece)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_cut_file(data):
    capture = capture_of(bases()[0][0])
    look_at(capture[: data.draw(st.integers(12, len(capture)))], bases()[0][1])


def many(number: int) -> tuple[bytes, bytes]:
    """The same connection so many times, from other ports, and a key log with as many strangers."""
    packets, keys = bases()[0]
    parts = [section_block() + interface_block(101)]
    for port in range(2000, 2000 + number):
        for one in packets:
            data = one.data.replace(struct.pack("!H", 51515), struct.pack("!H", port), 1)
            parts.append(packet_block(one.time, data))
    strangers = b"".join(b"CLIENT_RANDOM %064x %096x\n" % (one, one) for one in range(number * 10))
    return b"".join(parts), strangers + keys


def test_time_is_linear_in_connections_and_keys():
    few, more = many(10), many(40)
    once = instructions(lambda: decode(*few))
    assert instructions(lambda: decode(*more)) < 4.4 * once


@pytest.mark.parametrize("shape", ["late", "headers", "pieces", "unfinished"])
def test_time_is_linear_in_hostile_bytes(shape):
    """Segments that never fit, headers that lead nowhere, one byte at a time, messages that do not end."""

    def hostile(size: int) -> bytes:
        match shape:
            case "late":
                said = [(C2S, b"\x16\3\1")]
                packets = segments(said, 10)
                for number in range(size):
                    (one,) = segments([(C2S, b"x" * 20)], 1500)
                    later = (5000 + 50 * number).to_bytes(4, "big")
                    packets.append(one._replace(data=one.data[:24] + later + one.data[28:]))
            case "headers":
                packets = segments([(C2S, b"\x17\3\3\x3f\xff" * (size * 60))], 1400)
            case "pieces":
                packets = segments([(C2S, b"\x16\3\1\0\x40" + bytes(64)) for _ in range(size // 10)], 1)
            case _:
                packets = segments([(C2S, b"\x16\3\1\0\x06\x0b\0\xff\xff\0\0") for _ in range(size)], 1400)
        return capture_of(packets)

    few, more = hostile(100), hostile(400)
    once = instructions(lambda: decode(few))
    assert instructions(lambda: decode(more)) < 5 * once


def test_secrets_in_the_file_may_stand_anywhere():
    packets, keys = bases()[0]
    bare = without_secrets(capture_of(packets))
    assert look_at(bare, keys) > look_at(bare, b"")
    assert len(list(blocks(bare))) == len(packets) + 2
    with pytest.raises(ConfigError):
        decode(b"")
