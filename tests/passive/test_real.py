"""What real captures are like and made ones are not: segments lost, late, cut and sent again, connections that were
recorded from their middle, other protocols before TLS, old suites, merged key logs."""

from __future__ import annotations

import ssl
import struct
import zlib
from os import urandom as random_bytes
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from handfast.crypto.suites12 import SUITES_12
from handfast.errors import PeerMisbehaved
from handfast.events import (
    Checked,
    Closed,
    Epoch,
    MessageSeen,
    Negotiated,
    Noted,
    RecordSeen,
)
from handfast.keys.schedule12 import MainSecret12
from handfast.lens.recorded import RecordedOutcome
from handfast.lens.trace import Trace
from handfast.limits import (
    INFLATED_FREELY,
    INFLATION_RATIO,
    KEY_LOG_VALUES,
    MAX_COMPRESSED,
    MAX_PLAINTEXT,
    RECORDED_PROLOGUE,
    RECORDED_WAITING,
)
from handfast.passive import Flow, conversations, legacy
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.legacy_keys import LegacyKeys, LegacySuite
from handfast.passive.packets import ACK, FIN, RST, SYN, Endpoint, Segment
from handfast.passive.prologues import prologue
from handfast.passive.records import RecordStream, is_sslv2_hello
from handfast.passive.tcp import Stream
from handfast.record.protection12 import Protection12
from handfast.registry import CipherSuite
from handfast.roles import Direction, Role
from handfast.wire import messages12
from handfast.wire.messages import ClientHello
from tests import certificates
from tests.passive.recorded import C2S, S2C
from tests.passive.test_decoder import (
    CLIENT_FLIGHT,
    SERVER_FLIGHT,
    A,
    B,
    Told,
    data,
    decoded_by_hand,
    messages,
    mutual,
    of,
    python_ssl,
    record,
    sealed,
)


def said() -> list[tuple[Direction, bytes]]:
    """What the mutual connection sent, a record each."""
    return [
        (event.direction, event.header + event.body)
        for event in mutual().client_side.events
        if isinstance(event, RecordSeen)
    ]


def ends(direction: Direction) -> tuple[Endpoint, Endpoint]:
    return (A, B) if direction is C2S else (B, A)


def notes(told: Told) -> list[tuple[Direction, str]]:
    return [(event.direction, event.code) for event in of(told.only, Noted)]


def talked(told: Told, pieces: list[tuple[Direction, bytes]]) -> None:
    for direction, piece in pieces:
        told.send(*ends(direction), piece)


# TCP


def test_a_gap_is_told_once_its_bytes_were_acknowledged_and_others_came():
    told = Told(mutual().client_side.keys)
    told.send(A, B, flags=SYN)
    told.send(B, A, flags=SYN | ACK)
    pieces = said()
    talked(told, pieces[:3])
    lost = len(pieces[3][1])
    told.sequence[B] += lost
    for direction, piece in pieces[4:]:
        told.send(*ends(direction), piece)
        seen = Segment(*ends(C2S), told.sequence[A], ACK, b"", told.sequence[B])
        told.conversations.take(1.0, seen)
    for _ in range(8):
        told.conversations.take(1.0, Segment(*ends(C2S), told.sequence[A], ACK, b"", told.sequence[B]))
    before = list(told.only.events)
    told.conversations.finish()
    assert told.only.events == before
    assert [(event.direction, event.text) for event in of(told.only, Noted)] == [
        (S2C, f"{lost} bytes are missing from the recording here")
    ]
    assert data(told.only) == b"a questionan answer"


def test_a_segment_that_is_late_is_no_gap():
    told = Told(mutual().client_side.keys)
    pieces = said()
    talked(told, pieces[:2])
    late = pieces[2][1]
    at = told.sequence[B]
    told.sequence[B] += len(late)
    talked(told, pieces[3:4])
    for _ in range(3):
        told.conversations.take(1.0, Segment(*ends(C2S), told.sequence[A], ACK, b"", told.sequence[B]))
    told.conversations.take(1.0, Segment(*ends(S2C), at, 0, late))
    talked(told, pieces[4:])
    assert notes(told) == []
    assert messages(told.only, S2C) == SERVER_FLIGHT


def test_records_are_opened_behind_a_gap_of_many():
    told = Told(mutual().client_side.keys)
    pieces = said()
    application = next(number for number, piece in enumerate(pieces) if len(piece[1]) == 5 + 10 + 17)
    talked(told, pieces[:application])
    client = mutual().client
    # Nothing more can be sent on that connection; what it sent last is found behind a gap as long as forty records.
    assert client.info is not None
    told.sequence[A] += 700
    talked(told, pieces[application + 1 :])
    told.conversations.finish()
    assert (C2S, "gap") in notes(told)
    assert [event.how for event in of(told.only, Closed)] == ["close_notify", "close_notify"]


def test_bytes_that_were_cut_off_are_missing_at_once():
    told = Told(mutual().client_side.keys)
    pieces = said()
    talked(told, pieces[:1])
    direction, piece = pieces[1]
    told.conversations.take(1.0, Segment(*ends(direction), told.sequence.get(B, 0), 0, piece[:-2], 0, 2))
    told.sequence[B] = len(piece)
    talked(told, pieces[2:3])
    assert notes(told) == [(S2C, "gap")]


def test_cut_bytes_that_come_again_are_not_missed():
    stream = Stream()
    assert stream.take(Segment(A, B, 10, 0, b"abc", 0, 3)) == b"abc"
    assert stream.hopeless
    assert stream.skip() == (3, b"")
    assert stream.take(Segment(A, B, 10, 0, b"abcdefghi")) == b"ghi"


def test_a_server_that_answers_a_syn_twice():
    told = Told(mutual().client_side.keys)
    told.send(A, B, flags=SYN)
    told.conversations.take(1.0, Segment(B, A, 777, SYN | ACK, b""))
    told.send(B, A, flags=SYN | ACK)
    talked(told, said())
    assert data(told.only) == b"a questionan answer"


def test_a_hello_in_the_syn():
    told = Told(mutual().client_side.keys)
    pieces = said()
    told.conversations.take(1.0, Segment(A, B, 5000, SYN, pieces[0][1]))
    told.conversations.take(1.0, Segment(B, A, 100, SYN | ACK, b"", 5001))
    told.sequence = {A: 5001, B: 101}
    talked(told, pieces)
    assert data(told.only) == b"a questionan answer"


def test_a_port_that_is_used_again_without_its_syn():
    told = Told()
    told.send(A, B, flags=SYN)
    told.send(A, B, record(21, b"\1\0"))
    told.send(A, B, flags=FIN)
    told.sequence[A] += 100_000
    told.send(A, B, record(21, b"\1\0"))
    assert len(told.connections) == 2


def test_keep_alives_change_nothing():
    told = Told(mutual().client_side.keys)
    for direction, piece in said():
        told.send(*ends(direction), piece)
        told.conversations.take(1.0, Segment(*ends(direction), told.sequence[ends(direction)[0]] - 1, ACK, b"\0"))
    assert data(told.only) == b"a questionan answer"


def test_a_reset_ends_what_waits():
    told = Told()
    told.send(A, B, record(21, b"\1\x5a"))
    told.sequence[A] += 10
    told.send(A, B, record(21, b"\1\x5a"))
    told.send(B, A, flags=RST)
    assert notes(told) == [(C2S, "gap")]


def test_what_waits_in_all_connections_is_bounded(monkeypatch: pytest.MonkeyPatch):
    assert RECORDED_WAITING > 1000
    monkeypatch.setattr(conversations, "RECORDED_WAITING", 1000)
    told = Told()
    for number in range(3):
        source = Endpoint(bytes((1, 1, 1, number)), 1)
        told.send(source, B, record(21, b"\1\x5a"))
        told.sequence[source] += 10
        for _ in range(4):
            told.send(source, B, record(23, bytes(200)))
    assert [bool(of(one, Noted)) for one in told.connections] == [False, True, True]


def test_connections_that_are_over_are_told():
    over: list[Flow] = []
    told = Told()
    told.conversations = conversations.Conversations(told.watch, KeyLogSecrets(), over.append)
    for start in (0, 1000):
        told.sequence = {A: start}
        told.send(A, B, flags=SYN)
        told.send(A, B, record(21, b"\1\0"))
    told.conversations.finish()
    told.conversations.finish()
    assert [flow.number for flow in over] == [1, 2]


# Without a beginning, or one side


def test_a_recording_that_begins_inside_a_record():
    pieces = said()
    told = Told()
    stream = b"".join(piece for direction, piece in pieces if direction is S2C)
    told.conversations.take(1.0, Segment(B, A, 50, 0, stream[200:700]))
    told.conversations.take(1.0, Segment(B, A, 550, 0, stream[700:]))
    assert [event.header[0] for event in of(told.only, RecordSeen)][-1] == 23
    assert {event.header[0] for event in of(told.only, RecordSeen)} == {20, 23}
    assert told.only.flow.prologue == ""


def test_other_data_from_its_middle_is_not_taken_for_tls():
    told = Told()
    told.conversations.take(1.0, Segment(B, A, 50, 0, b"\x17\3\3\0\x09" * 1000 + b"x"))
    told.conversations.take(1.0, Segment(A, B, 50, 0, bytes(range(256)) * 100))
    told.conversations.finish()
    assert told.connections == []


def hello_12(tmp_path: Path) -> tuple[list[tuple[Direction, bytes]], bytes]:
    return python_ssl(tmp_path, ssl.TLSVersion.TLSv1_2)


def test_tls_12_without_the_client(tmp_path):
    pieces, keys = hello_12(tmp_path)
    told = Told(keys)
    talked(told, [piece for piece in pieces if piece[0] is S2C])
    assert messages(told.only, S2C)[:4] == ["ServerHello", "Certificate", "ServerKeyExchange", "CertificateRequest"]
    assert of(told.only, Checked) == []
    assert of(told.only, Negotiated)[0].server_name is None
    assert {words for _, words in sealed(told.only, S2C)} == {"CLIENT_RANDOM is not known"}


def test_tls_12_without_the_server(tmp_path):
    pieces, keys = hello_12(tmp_path)
    told = Told(keys)
    talked(told, [piece for piece in pieces if piece[0] is C2S])
    assert messages(told.only, C2S) == ["ClientHello", "Certificate", "ClientKeyExchange", "CertificateVerify"]
    assert of(told.only, Checked) == []
    assert sealed(told.only, C2S)[0] == (
        Epoch.UNKNOWN, "the ServerHello, which would say how it is protected, is missing",
    )  # fmt: skip


def test_tls_12_without_the_servers_flight(tmp_path):
    pieces, keys = hello_12(tmp_path)
    told = Told(keys)
    direction, flight = pieces[1]
    hello = 5 + int.from_bytes(flight[3:5])
    talked(told, [pieces[0], (direction, flight[:hello]), *pieces[2:]])
    assert "CertificateVerify" in messages(told.only, C2S)
    assert [event.what for event in of(told.only, Checked) if event.what == "CertificateVerify"] == []
    assert not [event for event in of(told.only, Checked) if not event.ok]


def test_an_encrypted_finished_is_not_taken_for_messages():
    told = Told()
    told.send(B, A, record(20, b"\1") + record(22, b"\2\0\0\0" + bytes(36)))
    assert of(told.only, MessageSeen) == []
    assert [event.epoch for event in of(told.only, RecordSeen)] == [Epoch.PLAINTEXT, Epoch.UNKNOWN]


# Before TLS


PROLOGUES = {
    "PostgreSQL": ([(C2S, b"\0\0\0\x08\x04\xd2\x16\x2f"), (S2C, b"S")], b""),
    "MySQL": ([(S2C, b"\x4a\0\0\0\x0a8.0.36\0" + bytes(60)), (C2S, b"\x20\0\0\1" + bytes(32))], b""),
    "SMTP": ([(S2C, b"220 mail ESMTP\r\n"), (C2S, b"EHLO x\r\n"), (S2C, b"250 STARTTLS\r\n"), (C2S, b"STARTTLS\r\n"),
              (S2C, b"220 go\r\n")], b""),
    "IMAP": ([(S2C, b"* OK ready\r\n"), (C2S, b"a STARTTLS\r\n"), (S2C, b"a OK\r\n")], b""),
    "POP3": ([(S2C, b"+OK ready\r\n"), (C2S, b"STLS\r\n"), (S2C, b"+OK\r\n")], b""),
    "LDAP": ([(C2S, b"0\x1d\2\1\1\x77\x18\x80\x161.3.6.1.4.1.1466.20037"), (S2C, b"0\x0c\2\1\1\x78\7\n\1\0")], b""),
    "XMPP": ([(C2S, b"<?xml version='1.0'?><stream:stream>"), (S2C, b"<stream:stream>"), (C2S, b"<starttls/>"),
              (S2C, b"<proceed/>")], b""),
    "FTP": ([(S2C, b"220 FTP\r\n"), (C2S, b"AUTH TLS\r\n"), (S2C, b"234 go\r\n")], b""),
    "HTTP CONNECT": ([(C2S, b"CONNECT a:443 HTTP/1.1\r\n\r\n"), (S2C, b"HTTP/1.1 200 OK\r\n\r\n")], b""),
    "PROXY protocol": ([], b"PROXY TCP4 1.1.1.1 2.2.2.2 5 443\r\n"),
    "another protocol": ([(C2S, b"hi")], b""),
}  # fmt: skip


@pytest.mark.parametrize("name", PROLOGUES)
@pytest.mark.parametrize("step", [10**6, 9])
def test_tls_is_found_behind_other_protocols(name, step):
    before, glued = PROLOGUES[name]
    told = Told(mutual().client_side.keys)
    told.send(A, B, flags=SYN)
    told.send(B, A, flags=SYN | ACK)
    (_, hello), *rest = said()
    for direction, piece in [*before, (C2S, glued + hello), *rest]:
        for at in range(0, len(piece), step):
            told.send(*ends(direction), piece[at : at + step])
    assert told.only.flow.prologue == name
    assert told.only.flow.client == A
    assert messages(told.only, C2S) == CLIENT_FLIGHT
    assert data(told.only) == b"a questionan answer"
    assert notes(told) == []


def test_tls_is_not_looked_for_forever():
    told = Told()
    for direction in (C2S, S2C):
        for _ in range(RECORDED_PROLOGUE // 1000 + 2):
            told.send(*ends(direction), b"x" * 1000)
    talked(told, said())
    assert told.connections == []


def test_the_tls_client_may_have_been_called():
    """As in FTP, where a server opens the connection for data."""
    told = Told()
    told.send(B, A, flags=SYN)
    told.send(A, B, flags=SYN | ACK)
    talked(told, said())
    assert told.only.flow.client == A


def test_nothing_known_of_a_prologue():
    assert prologue(b"", b"") == "another protocol"


# TLS


def test_a_hello_in_the_framing_of_sslv2():
    body = b"\1\3\1" + struct.pack("!HHH", 9, 0, 16) + b"\0\x13\1\0\xc0\x2f\1\0\x80" + bytes(range(16))
    hello = struct.pack("!H", 0x8000 | len(body)) + body
    assert is_sslv2_hello(hello)
    assert not is_sslv2_hello(hello[:5] + b"\0\1" + hello[7:])
    told = Told()
    told.send(A, B, flags=SYN)
    told.send(B, A, flags=SYN | ACK)
    for byte in hello:
        told.send(A, B, bytes((byte,)))
    told.send(A, B, record(21, b"\2\x28"))
    (seen,) = of(told.only, MessageSeen)
    assert seen.message.cipher_suites == (0x1301, 0xC02F)
    assert seen.message.random == bytes(16) + bytes(range(16))
    assert notes(told) == [(C2S, "sslv2_hello")]
    assert [event.content_type for event in of(told.only, RecordSeen)] == [22, 21]


def test_a_heartbeat_is_a_record_and_one_that_bleeds_is_named():
    told = Told()
    told.send(A, B, record(24, b"\1\0\1x") + record(24, b"\1\x40\0"))
    assert [event.content_type for event in of(told.only, RecordSeen)] == [24, 24]
    assert [(event.code, event.text) for event in of(told.only, Noted)] == [
        ("heartbleed", "a heartbeat asks for 16384 bytes and holds 0")
    ]


def test_a_hello_that_does_not_decode_is_named():
    told = Told()
    told.send(A, B, record(22, b"\1\0\0\4\3\3\0\0"))
    assert [(event.code, event.text.partition(":")[0]) for event in of(told.only, Noted)] == [
        ("undecoded", "client_hello of 8 bytes")
    ]


def test_tls_11_is_read_as_far_as_its_plaintext_goes():
    hello = next(event for event in mutual().client_side.events if isinstance(event, MessageSeen))
    name = bytes.fromhex("301b3119301706035504030c10526f6f74206365727469666963617465")
    names = len(name).to_bytes(2) + name
    asked = b"\1\x40" + len(names).to_bytes(2) + names
    flight = b"\2\0\0\x26\3\2" + bytes(32) + b"\0\xc0\x13\0"
    flight += b"\x0c\0\0\x0b\3\0\x1d\1x\0\4sign" + b"\x0d" + len(asked).to_bytes(3) + asked + b"\x0e\0\0\0"
    connection = decoded_by_hand(
        (C2S, record(22, hello.raw)), (S2C, record(22, flight)), (C2S, record(22, b"\x0f\0\0\6\0\4sign"))
    )
    assert messages(connection, S2C) == ["ServerHello", "ServerKeyExchange", "CertificateRequest", "ServerHelloDone"]
    assert messages(connection, C2S) == ["ClientHello", "CertificateVerify"]
    assert of(connection, Noted) == []
    lines: list[str] = []
    trace = Trace(lines.append, detail="fields")
    outcome = RecordedOutcome()
    for event in connection.events:
        trace(event)
        outcome(event)
    assert any("with 1 CA name" in line for line in lines)
    assert not any("undecoded" in line for line in lines)


class Compressed:
    """A TLS 1.2 connection whose records are compressed by hand, as no library does any more."""

    def __init__(self, method: int = 1) -> None:
        seen = next(event for event in mutual().client_side.events if isinstance(event, MessageSeen))
        hello = seen.message
        assert isinstance(hello, ClientHello)
        suite = SUITES_12[CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
        keys = MainSecret12(suite, bytes(48), (hello.random, bytes(32)), None, extended=False).keys()
        self.seals = {role.sends: Protection12(suite, keys[role]) for role in Role}
        self.deflaters = {role.sends: zlib.compressobj() for role in Role}
        answer = b"\2\0\0\x26\3\3" + bytes(32) + b"\0\xc0\x2f" + bytes((method,)) + b"\x0e\0\0\0"
        self.told = Told(b"CLIENT_RANDOM " + hello.random.hex().encode() + b" " + b"00" * 48)
        talked(self.told, [(C2S, record(22, seen.raw)), (S2C, record(22, answer))])
        talked(self.told, [(C2S, record(22, b"\x10\0\0\2\1x")), (C2S, record(20, b"\1")), (S2C, record(20, b"\1"))])

    def deflated(self, direction: Direction, content: bytes) -> bytes:
        deflater = self.deflaters[direction]
        return deflater.compress(content) + deflater.flush(zlib.Z_SYNC_FLUSH)

    def say(self, direction: Direction, content: bytes, *, compressed: bytes | None = None, lost: bool = False) -> None:
        body = self.deflated(direction, content) if compressed is None else compressed
        piece = self.seals[direction].seal(23, body)
        if lost:
            self.told.sequence[ends(direction)[0]] += len(piece)
        else:
            talked(self.told, [(direction, piece)])


def test_compressed_records_are_inflated():
    compressed = Compressed()
    noise = random_bytes(MAX_PLAINTEXT)
    for direction, content in ((C2S, b"a question"), (S2C, b"an answer"), (C2S, b"a question again"), (S2C, noise)):
        compressed.say(direction, content)
    assert data(compressed.told.only) == b"a questionan answera question again" + noise
    assert notes(compressed.told) == [(S2C, "compressed")]


COMPRESSED = "its content is compressed"


def test_what_is_compressed_and_cannot_be_inflated_is_told_as_such():
    other = Compressed(64)
    other.say(C2S, b"x")
    assert sealed(other.told.only, C2S) == [(Epoch.APPLICATION, f"{COMPRESSED} by a method that is not known")]
    broken = Compressed()
    broken.say(C2S, b"", compressed=b"not deflated")
    broken.say(S2C, b"the other direction")
    assert sealed(broken.told.only, C2S) == [(Epoch.APPLICATION, f"{COMPRESSED}, and does not inflate")]
    assert data(broken.told.only) == b"the other direction"


def test_behind_a_missing_record_nothing_can_be_inflated():
    compressed = Compressed()
    for lost in (False, True, False):
        compressed.say(C2S, b"text", lost=lost)
    compressed.told.conversations.finish()
    assert data(compressed.told.only) == b"text"
    ((_, reason),) = sealed(compressed.told.only, C2S)
    assert reason.startswith(f"{COMPRESSED}, and a record before it")


@pytest.mark.parametrize("size", [MAX_PLAINTEXT + 1, 5_000_000])
def test_a_record_that_inflates_to_too_much(size):
    compressed = Compressed()
    compressed.say(C2S, bytes(size))
    ((_, reason),) = sealed(compressed.told.only, C2S)
    assert reason.startswith(f"{COMPRESSED}, and inflates to more than")


def test_the_longest_compressed_content():
    for size, words in ((MAX_COMPRESSED, COMPRESSED), (MAX_COMPRESSED + 1, f"a record of {MAX_COMPRESSED + 1} bytes")):
        compressed = Compressed()
        compressed.say(C2S, b"", compressed=b"no stream".ljust(size))
        ((_, reason),) = sealed(compressed.told.only, C2S)
        assert reason.startswith(words)


def test_many_records_that_inflate_to_too_much_together():
    compressed = Compressed()
    for _ in range(INFLATED_FREELY // MAX_PLAINTEXT + 20):
        compressed.say(C2S, bytes(MAX_PLAINTEXT))
    inflated = len(data(compressed.told.only))
    assert INFLATED_FREELY <= inflated < INFLATED_FREELY + 20 * MAX_PLAINTEXT
    wire = sum(len(event.body) for event in of(compressed.told.only, RecordSeen))
    assert inflated <= INFLATED_FREELY + INFLATION_RATIO * wire


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_merged_key_log_with_a_wrong_value_first(tmp_path, version):
    pieces, keys = python_ssl(tmp_path, version)
    wrong = b"\n".join(
        b" ".join((*line.split()[:2], bytes(reversed(line.split()[2]))))
        for line in keys.splitlines()
        if line[:1] != b"#"
    )
    told = Told(wrong + b"\n" + keys)
    talked(told, pieces)
    assert data(told.only) == b"from Python" * 2
    assert sealed(told.only, C2S) == sealed(told.only, S2C) == []


def test_the_values_of_one_secret_are_bounded():
    log = KeyLogSecrets(b"".join(b"A %064x %064x\n" % (1, number) for number in range(KEY_LOG_VALUES + 5)))
    assert len(log.of((1).to_bytes(32))["A"]) == KEY_LOG_VALUES


def old_suite(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> tuple[Any, Any]:
    """A connection of Python's ssl under a suite or a version that handfast does not speak."""
    issued = certificates.server("rsa-2048") if "ECDSA" not in name else certificates.server()
    monkeypatch.setattr(certificates, "server", lambda: issued)
    create = ssl.SSLContext.__new__

    def with_suite(*args: Any, **options: Any) -> Any:
        context = create(*args, **options)
        context.set_ciphers(f"{name}:@SECLEVEL=0")
        with catch_warnings(action="ignore"):
            context.minimum_version = version
        return context

    monkeypatch.setattr(ssl.SSLContext, "__new__", with_suite)
    with catch_warnings(action="ignore"):
        return python_ssl(tmp_path, version)


OLD_SUITES = [
    ("ECDHE-ECDSA-AES128-SHA", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("ECDHE-ECDSA-AES256-SHA384", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("ECDHE-RSA-AES128-SHA256", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("AES256-SHA", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("CAMELLIA128-SHA", ssl.TLSVersion.TLSv1_2, 0x0303),
    ("ECDHE-ECDSA-AES128-SHA", ssl.TLSVersion.TLSv1_1, 0x0302),
    ("ECDHE-RSA-AES256-SHA", ssl.TLSVersion.TLSv1_1, 0x0302),
    ("ECDHE-ECDSA-AES256-SHA", ssl.TLSVersion.TLSv1, 0x0301),
    ("ECDHE-RSA-AES128-SHA", ssl.TLSVersion.TLSv1, 0x0301),
    ("CAMELLIA256-SHA", ssl.TLSVersion.TLSv1, 0x0301),
]


@pytest.mark.parametrize(("name", "version", "number"), OLD_SUITES, ids=str)
def test_suites_and_versions_that_are_only_read(tmp_path, monkeypatch, name, version, number):
    pieces, keys = old_suite(tmp_path, name, monkeypatch, version)
    told = Told(keys)
    talked(told, pieces)
    assert data(told.only) == b"from Python" * 2
    checks = [(event.what, event.ok) for event in of(told.only, Checked)]
    exchanged = [("ServerKeyExchange", True)] if "ECDHE" in name else []
    assert checks == [*exchanged, ("CertificateVerify", True), ("Finished", True), ("Finished", True)]
    assert sealed(told.only, C2S) == sealed(told.only, S2C) == []
    assert of(told.only, Negotiated)[0].version == number
    damaged = [(one, piece[:-1] + bytes((piece[-1] ^ 1,))) for one, piece in pieces[-1:]]
    talked(told, damaged)
    closed = {(Epoch.APPLICATION, "a record does not decrypt: its bytes or its keys are wrong")}
    assert set(sealed(told.only, S2C)) == closed


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_a_wrong_signature_of_an_old_version(tmp_path, monkeypatch, version):
    pieces, keys = old_suite(tmp_path, "ECDHE-RSA-AES128-SHA", monkeypatch, version)
    number, (direction, flight) = next(one for one in enumerate(pieces) if one[1][0] is S2C)
    at = flight.index(b"\x0c\0\1") + 4 + 4
    pieces[number] = direction, flight[:at] + bytes((flight[at] ^ 1,)) + flight[at + 1 :]
    told = Told(keys)
    talked(told, pieces)
    assert ("ServerKeyExchange", False) in [(event.what, event.ok) for event in of(told.only, Checked)]


HEADER = b"\x17\3\1"


def sealed_by_hand(number: int, content: bytes, suite: LegacySuite) -> bytes:
    header = number.to_bytes(8) + HEADER + len(content).to_bytes(2)
    return content + suite.mac.hmac(b"m" * suite.mac.size, header + content)


def protection_of(number: int) -> tuple[LegacySuite, Any]:
    suite = legacy.suite_for(number, 0x0301)
    assert isinstance(suite, LegacySuite)
    keys = LegacyKeys(b"m" * suite.mac.size, bytes(range(suite.key_length)), b"i" * suite.block)
    hello = messages12.ServerHello(0x0301, bytes(32), b"", number, 0)
    return suite, legacy.protection(suite, keys, hello, encrypt_then_mac=False)


@pytest.mark.parametrize("number", [0x0004, 0x0005, 0xC011])
def test_rc4_is_read(number):
    suite, opener = protection_of(number)
    encrypt = Cipher(ARC4(bytes(range(16))), None).encryptor().update
    for one, content in enumerate((b"first", b"", b"third")):
        body = encrypt(sealed_by_hand(one, content, suite))
        assert opener.open(HEADER, body) == (23, content, 0)
    with pytest.raises(PeerMisbehaved):
        opener.open(HEADER, b"")


def test_the_chain_of_initialization_vectors_goes_on_behind_a_record_that_does_not_open():
    suite, opener = protection_of(0x000A)
    encryptor = Cipher(TripleDES(bytes(range(24))), modes.CBC(b"i" * 8)).encryptor()
    bodies = []
    for one, content in enumerate((b"first", b"second", b"the third")):
        plaintext = sealed_by_hand(one, content, suite)
        padding = 8 - len(plaintext) % 8
        bodies.append(encryptor.update(plaintext + bytes((padding - 1,)) * padding))
    assert opener.open(HEADER, bodies[0])[1] == b"first"
    damaged = bytes((bodies[1][0] ^ 1,)) + bodies[1][1:]
    for _ in range(2):
        with pytest.raises(PeerMisbehaved):
            opener.open(HEADER, damaged)
    opener.records = 2
    assert opener.open(HEADER, bodies[2])[1] == b"the third"
    for body in (b"", bodies[2][:-1]):
        with pytest.raises(PeerMisbehaved):
            opener.open(HEADER, body)


def test_a_record_stream_needs_no_more_than_one_record():
    stream = RecordStream()
    stream.lose()
    for number in range(200):
        stream.feed(bytes((number % 20,)) * 1000)
        assert stream.next() is None
    assert len(stream._buffer) < 10
