"""The capture file: frames in order, secrets where Wireshark needs them, and what tshark makes of both."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from handfast.engine import ClientAuth
from handfast.errors import ApiMisuse
from handfast.events import Closed, Epoch, MessageSeen, RecordSeen, Secret, SecretLevel
from handfast.lens.pcapng import LOOPBACK_MSS, CaptureFile, Flow
from handfast.registry import NamedGroup
from handfast.roles import Direction
from tests import certificates
from tests.certificates import require_peer
from tests.lens.connections import client_config, server_config
from tests.passive.recorded import C2S, CLIENT, S2C, SERVER, Pair, Side, blocks, talk
from tests.waiting import LIMIT

SECTION, INTERFACE, PACKET, SECRETS = 0x0A0D0D0A, 1, 6, 0x0A
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
REQUEST = b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello alice\n"


@dataclass
class Frame:
    """What a packet block holds."""

    time: int
    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes
    comment: str


def ones_complement_sum(data: bytes) -> int:
    """As RFC 1071 writes it down: 16-bit words, carries added back."""
    words = struct.unpack(f"!{len(data) // 2 + len(data) % 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def frame(block: bytes) -> Frame:
    """A packet block, read with every length and checksum verified."""
    number, high, low, captured, original = struct.unpack_from("<IIIII", block, 8)
    assert number == 0
    assert captured == original
    packet, options = block[28 : 28 + captured], block[28 + captured + -captured % 4 : -4]
    if packet[0] >> 4 == 4:
        assert struct.unpack_from("!H", packet, 2)[0] == len(packet)
        assert ones_complement_sum(packet[:20]) == 0xFFFF
        addresses, segment, protocol = (packet[12:16], packet[16:20]), packet[20:], packet[9]
    else:
        assert struct.unpack_from("!H", packet, 4)[0] == len(packet) - 40
        addresses, segment, protocol = (packet[8:24], packet[24:40]), packet[40:], packet[6]
    assert protocol == 6
    pseudo_header = b"".join(addresses) + struct.pack("!II", len(segment), protocol)
    assert ones_complement_sum(pseudo_header + segment) == 0xFFFF
    source_port, destination_port, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", segment)
    comment = ""
    if options:
        code, length = struct.unpack_from("<HH", options)
        assert code == 1
        comment = options[4 : 4 + length].decode()
    return Frame(
        high << 32 | low,
        (str(ip_address(addresses[0])), source_port),
        (str(ip_address(addresses[1])), destination_port),
        sequence,
        acknowledged,
        flags,
        segment[(offset >> 4) * 4 :],
        comment,
    )


def frames(capture: bytes) -> list[Frame]:
    return [frame(block) for kind, block in blocks(capture) if kind == PACKET]


def mutual(**recording: Any) -> Pair:
    pair = Pair(client_config(certificates.client()), server_config(), **recording)
    talk(pair)
    return pair


# The file


def test_the_first_blocks():
    written: list[bytes] = []
    CaptureFile(written.append)
    assert b"".join(written) == bytes.fromhex(
        "0a0d0d0a 2c000000 4d3c2b1a 01000000 ffffffffffffffff 04000800 68616e6466617374 00000000 2c000000"
        "01000000 2c000000 6500 0000 00000000 0200 0800 68616e6466617374 0900 0100 09000000 00000000 2c000000"
    )


def test_the_tcp_connection_is_in_order():
    side = mutual(mss=500).client_side
    seen = frames(side.capture)
    assert [one.flags for one in seen[:3]] == [SYN, SYN | ACK, ACK]
    assert [one.source for one in seen[:3]] == [CLIENT, SERVER, CLIENT]
    following = {CLIENT: 0, SERVER: 0}
    data = {CLIENT: b"", SERVER: b""}
    for one in seen:
        assert {one.source, one.destination} == {CLIENT, SERVER}
        assert one.sequence == following[one.source]
        assert one.acknowledged == (following[one.destination] if one.flags & ACK else 0)
        assert len(one.payload) <= 500
        following[one.source] += len(one.payload) + bool(one.flags & (SYN | FIN))
        data[one.source] += one.payload
    assert sum(bool(one.flags & FIN) for one in seen) == 2
    records = [event for event in side.events if isinstance(event, RecordSeen)]
    for direction, sender in ((C2S, CLIENT), (S2C, SERVER)):
        assert data[sender] == b"".join(one.header + one.body for one in records if one.direction is direction)


def test_times_are_those_of_the_records():
    side = mutual().server_side
    times = [event.time for event in side.events if isinstance(event, RecordSeen)]
    assert [one.time / 10**9 for one in frames(side.capture) if one.payload] == times


def test_a_segment_holds_the_largest_record():
    written: list[bytes] = []
    flow = Flow(CaptureFile(written.append), CLIENT, SERVER)
    for number in range(70):
        body = bytes(2**14 + 256)
        flow(
            RecordSeen(
                time=1.0,
                direction=C2S,
                index=number,
                epoch=Epoch.APPLICATION,
                header=b"\x17\3\3\x41\0",
                body=body,
                content_type=23,
                content=b"",
            )
        )
    flow.finish()
    sizes = [len(one.payload) for one in frames(b"".join(written)) if one.payload]
    assert sizes == [5 + 2**14 + 256] * 70
    assert LOOPBACK_MSS + 40 == 2**16 - 1


def test_ipv6():
    written: list[bytes] = []
    flow = Flow(CaptureFile(written.append), ("fe80::1%eth0", 50000), ("::1", 443))
    flow(
        RecordSeen(
            time=1.5,
            direction=C2S,
            index=0,
            epoch=Epoch.PLAINTEXT,
            header=b"\x16\3\1\0\1",
            body=b"x",
            content_type=22,
            content=b"x",
        )
    )
    flow.finish()
    assert {one.source for one in frames(b"".join(written))} == {("fe80::1", 50000), ("::1", 443)}


@pytest.mark.parametrize(
    ("client", "server", "mss"),
    [
        (("127.0.0.1", 1), ("::1", 2), 1460),
        (("localhost", 1), ("127.0.0.1", 2), 1460),
        (("127.0.0.1", 1), ("127.0.0.1", 2), 0),
        (("127.0.0.1", 1), ("127.0.0.1", 2), LOOPBACK_MSS + 1),
    ],
)
def test_addresses_that_cannot_be(client, server, mss):
    with pytest.raises(ApiMisuse):
        Flow(CaptureFile(lambda _: None), client, server, mss=mss)


def test_connections_share_a_file():
    written: list[bytes] = []
    file = CaptureFile(written.append)
    flows = [Flow(file, ("127.0.0.1", port), SERVER) for port in (1, 2)]
    for number in range(2):
        for flow in flows:
            flow.secret(
                Secret(name="x", level=SecretLevel.TRAFFIC, keylog_label="LABEL", client_random=b"r", value=b"v")
            )
            flow(
                RecordSeen(
                    time=1.0,
                    direction=C2S,
                    index=number,
                    epoch=Epoch.PLAINTEXT,
                    header=b"\x16\3\1\0\1",
                    body=b"x",
                    content_type=22,
                    content=b"x",
                )
            )
    for flow in flows:
        flow.finish()
    kinds = [kind for kind, _ in blocks(b"".join(written))]
    assert kinds[:2] == [SECTION, INTERFACE]
    assert kinds.count(SECRETS) == 4
    assert [one.source[1] for one in frames(b"".join(written)) if one.payload] == [1, 2, 1, 2]


@pytest.mark.parametrize(("how", "flags"), [("eof", FIN | ACK), ("reset", RST | ACK)])
def test_an_end_without_a_record_is_a_connection_too(how, flags):
    written: list[bytes] = []
    Flow(CaptureFile(written.append), CLIENT, SERVER)(Closed(time=2.0, direction=S2C, how=how))
    seen = frames(b"".join(written))
    assert [one.flags for one in seen[:3]] == [SYN, SYN | ACK, ACK]
    assert (seen[3].source, seen[3].flags) == (SERVER, flags)


def test_an_alert_of_ours_says_why():
    pair = Pair(client_config(), server_config())
    talk(pair)
    (noted,) = [one for one in frames(pair.server_side.capture) if one.comment]
    assert noted.source == SERVER
    assert "the client sent no certificate, and this server requires one" in noted.comment
    assert [one.comment for one in frames(pair.client_side.capture) if one.comment] == []


# Secrets


def position(capture: bytes, label: bytes) -> int:
    return next(
        number for number, (kind, block) in enumerate(blocks(capture)) if kind == SECRETS and label + b" " in block
    )


def record_position(side: Side, direction: Direction, message: str) -> int:
    """The number of the block with the record in which a message ends."""
    records = {
        (event.direction, event.index): event.header + event.body
        for event in side.events
        if isinstance(event, RecordSeen)
    }
    ends = next(
        event.records[-1]
        for event in side.events
        if isinstance(event, MessageSeen) and event.direction is direction and type(event.message).__name__ == message
    )
    wanted = records[direction, ends]
    return next(
        number
        for number, (kind, block) in enumerate(blocks(side.capture))
        if kind == PACKET and frame(block).payload == wanted
    )


@pytest.mark.parametrize("fragment", [2**14, 200])
def test_every_secret_precedes_the_record_that_needs_it(fragment):
    pair = Pair(client_config(certificates.client(), max_fragment=fragment), server_config(max_fragment=fragment))
    talk(pair)
    for side in pair.sides:
        server_hello = record_position(side, S2C, "ServerHello")
        assert position(side.capture, b"CLIENT_HANDSHAKE_TRAFFIC_SECRET") < server_hello
        assert position(side.capture, b"SERVER_HANDSHAKE_TRAFFIC_SECRET") < server_hello
        assert position(side.capture, b"SERVER_TRAFFIC_SECRET_0") < record_position(side, S2C, "Finished")
        assert position(side.capture, b"CLIENT_TRAFFIC_SECRET_0") < record_position(side, C2S, "Finished")


def test_the_secrets_are_those_of_the_key_log():
    for side in mutual().sides:
        text = b""
        for kind, block in blocks(side.capture):
            if kind == SECRETS:
                magic, length = struct.unpack_from("<II", block, 8)
                assert magic == 0x544C534B
                text += block[16 : 16 + length]
        assert text == side.keys


def test_what_waits_is_written_when_nothing_more_comes():
    pair = Pair(client_config(), server_config())
    client = pair.client_side
    assert len(frames(b"".join(client._blocks))) == 0
    assert len([one for one in frames(client.capture) if one.payload]) == 1


def test_application_data_is_written_at_once():
    pair = Pair(client_config(certificates.client()), server_config())
    pair.settle()
    before = len(b"".join(pair.client_side._blocks))
    pair.client.send(b"data")
    assert len(b"".join(pair.client_side._blocks)) > before


# tshark


def tshark(path: Any, *arguments: str) -> str:
    command = [require_peer("tshark"), "-n", "-r", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_everything() -> Pair:
    """HelloRetryRequest, client certificate, a split flight, KeyUpdate both ways."""
    groups = (NamedGroup.x25519, NamedGroup.secp384r1)
    pair = Pair(
        client_config(certificates.client(), groups=groups, key_share_groups=groups[:1], max_fragment=300),
        server_config(groups=groups[1:], max_fragment=300),
        mss=250,
    )
    pair.settle()
    pair.client.update_keys(request=True)
    pair.say(pair.client, REQUEST)
    pair.say(pair.server, RESPONSE)
    pair.close()
    return pair


@pytest.mark.parametrize("role", [0, 1], ids=["the client's recording", "the server's recording"])
def test_tshark_decrypts_it_without_being_told_anything(role, tmp_path):
    require_peer("tshark")
    path = tmp_path / "capture.pcapng"
    path.write_bytes(with_everything().sides[role].capture)
    http = tshark(path, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e", "http.response.code")
    assert http.split() == ["/whoami", "200"]
    messages = tshark(path, "-Y", "tls.handshake", "-T", "fields", "-e", "tls.handshake.type")
    kinds = [1, 2, 1, 2, 8, 13, 11, 15, 20, 11, 15, 20, 24, 24]
    assert [int(number) for number in re.findall(r"\d+", messages)] == kinds
    bad = "tcp.checksum.status == Bad || ip.checksum.status == Bad || tcp.analysis.flags || _ws.malformed"
    assert tshark(path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", bad) == ""


def test_tshark_shows_why_a_client_was_refused(tmp_path):
    require_peer("tshark")
    pair = Pair(client_config(), server_config(ClientAuth.REQUIRE_AND_VERIFY))
    talk(pair)
    for side in pair.sides:
        path = tmp_path / side.role
        path.write_bytes(side.capture)
        assert tshark(path, "-Y", "tls.alert_message", "-T", "fields", "-e", "tls.alert_message.desc").split() == [
            "116"
        ]
    assert "requires one" in tshark(tmp_path / "server", "-Y", "frame.comment", "-T", "fields", "-e", "frame.comment")
