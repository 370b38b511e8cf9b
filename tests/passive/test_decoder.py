"""What a recording tells that lacks something, or was never TLS 1.3: what there is, and what there is not."""

from __future__ import annotations

import ssl
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from handfast.cli.verdict_words import DESCRIBER
from handfast.events import (
    AlertSeen,
    Checked,
    Closed,
    Epoch,
    Event,
    EventDispatcher,
    KeysChanged,
    MessageSeen,
    Negotiated,
    Noted,
    RecordSeen,
    SecretDerived,
)
from handfast.lens.recorded import RecordedOutcome
from handfast.limits import MAX_CIPHERTEXT_12, MAX_HANDSHAKE_MESSAGE, RECORDED_CONNECTIONS, RECORDED_OVER
from handfast.passive import Flow, RecordedConnection, decode, replay
from handfast.passive.conversations import Conversations
from handfast.passive.decoder import Decoder
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.packets import FIN, RST, SYN, Endpoint, Segment
from handfast.roles import Direction
from tests import certificates
from tests.lens.connections import client_config, server_config
from tests.passive.recorded import C2S, S2C, Pair, blocks, talk, without_secrets

LABELS = (
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
)  # fmt: skip
PACKET = 6


@cache
def mutual() -> Pair:
    pair = Pair(client_config(certificates.client()), server_config())
    talk(pair)
    return pair


def with_keys(*labels: str) -> RecordedConnection:
    """The connection as it is told by a key log with these labels only."""
    side = mutual().client_side
    keys = b"".join(line.encode() for line in side.keylog if line.split()[0] in labels)
    (connection,) = decode(without_secrets(side.capture), keys).connections
    return connection


def messages(connection: RecordedConnection, direction: Direction) -> list[str]:
    return [
        type(event.message).__name__
        for event in connection.events
        if isinstance(event, MessageSeen) and event.direction is direction
    ]


def sealed(connection: RecordedConnection, direction: Direction) -> list[tuple[Epoch, str]]:
    return [
        (event.epoch, event.unreadable_reason)
        for event in connection.events
        if isinstance(event, RecordSeen) and event.direction is direction and event.unreadable_reason
    ]


def data(connection: RecordedConnection) -> bytes:
    return b"".join(
        event.content for event in connection.events if isinstance(event, RecordSeen) and event.content_type == 23
    )


def keys_of(connection: RecordedConnection) -> list[tuple[Direction, Epoch]]:
    return [(event.direction, event.epoch) for event in connection.events if isinstance(event, KeysChanged)]


def of(connection: RecordedConnection, kind: type[Event]) -> list[Any]:
    return [event for event in connection.events if isinstance(event, kind)]


# Partial key logs

SERVER_FLIGHT = [
    "ServerHello",
    "EncryptedExtensions",
    "CertificateRequest",
    "Certificate",
    "CertificateVerify",
    "Finished",
]
CLIENT_FLIGHT = ["ClientHello", "Certificate", "CertificateVerify", "Finished"]


def test_without_any_key():
    connection = with_keys()
    assert messages(connection, C2S) == ["ClientHello"]
    assert messages(connection, S2C) == ["ServerHello"]
    assert sealed(connection, S2C) == [(Epoch.UNKNOWN, "SERVER_HANDSHAKE_TRAFFIC_SECRET is not known")] * 3
    assert sealed(connection, C2S) == [(Epoch.UNKNOWN, "CLIENT_HANDSHAKE_TRAFFIC_SECRET is not known")] * 3
    assert keys_of(connection) == []
    assert [event.how for event in of(connection, Closed)] == ["eof", "eof"]


def test_without_the_clients_handshake_secret():
    connection = with_keys(LABELS[1], LABELS[2], LABELS[3])
    assert messages(connection, S2C) == SERVER_FLIGHT
    assert messages(connection, C2S) == ["ClientHello"]
    assert sealed(connection, C2S) == [(Epoch.UNKNOWN, "CLIENT_HANDSHAKE_TRAFFIC_SECRET is not known")]
    assert data(connection) == b"a questionan answer"
    assert keys_of(connection) == [
        (S2C, Epoch.HANDSHAKE), (S2C, Epoch.APPLICATION), (C2S, Epoch.APPLICATION),
    ]  # fmt: skip
    assert [event.what for event in of(connection, Checked)] == ["CertificateVerify", "Finished"]


def test_with_application_secrets_only():
    connection = with_keys(LABELS[2], LABELS[3], LABELS[4])
    assert data(connection) == b"a questionan answer"
    assert keys_of(connection) == [(C2S, Epoch.APPLICATION), (S2C, Epoch.APPLICATION)]
    assert [(event.name, event.context) for event in of(connection, SecretDerived)] == [
        ("client_application_traffic_secret_0", b""),
        ("server_application_traffic_secret_0", b""),
        ("exporter_secret", b""),
    ]
    assert of(connection, Checked) == []
    assert [event.description for event in of(connection, AlertSeen)] == [0, 0]


def test_without_application_secrets():
    connection = with_keys(*LABELS[:2])
    assert messages(connection, S2C) == SERVER_FLIGHT
    assert messages(connection, C2S) == CLIENT_FLIGHT
    assert sealed(connection, C2S) == [(Epoch.APPLICATION, "CLIENT_TRAFFIC_SECRET_0 is not known")] * 2
    assert sealed(connection, S2C) == [(Epoch.APPLICATION, "SERVER_TRAFFIC_SECRET_0 is not known")] * 2
    assert [event.ok for event in of(connection, Checked)] == [True] * 4


def test_without_the_servers_handshake_secret_no_proof_can_be_checked():
    connection = with_keys(LABELS[0], LABELS[2], LABELS[3])
    assert messages(connection, C2S) == CLIENT_FLIGHT
    assert of(connection, Checked) == []
    assert of(connection, Negotiated) == []
    assert data(connection) == b"a questionan answer"


def test_a_wrong_key_is_a_record_that_does_not_decrypt():
    side = mutual().client_side
    keys = side.keys.replace(b" ", b" ", 1)
    lines = [line.rsplit(b" ", 1) for line in keys.splitlines()]
    wrong = b"\n".join(start + b" " + (b"%064x" % number) for number, (start, _) in enumerate(lines))
    (connection,) = decode(without_secrets(side.capture), wrong).connections
    assert {reason for _, reason in sealed(connection, S2C)} == {
        "a record does not decrypt: its bytes or its keys are wrong"
    }


@pytest.mark.parametrize(
    "line", ["# a comment", "", "CLIENT_RANDOM", "A B C", "CLIENT_TRAFFIC_SECRET_0 00 00", "\xff " * 3]
)
def test_a_key_log_holds_all_kinds_of_lines(line):
    side = mutual().client_side
    noisy = b"\r\n".join(line.encode("latin-1") + b"\n" + key.strip().encode() for key in side.keylog)
    (connection,) = decode(without_secrets(side.capture), noisy).connections
    assert data(connection) == b"a questionan answer"
    assert repr(KeyLogSecrets(noisy)) == "<KeyLogSecrets of 1 connections>"


def test_a_secret_of_the_wrong_size_is_none():
    side = mutual().client_side
    short = b"".join(line[:-2] + b"\n" for line in side.keys.splitlines())
    (connection,) = decode(without_secrets(side.capture), short).connections
    assert of(connection, SecretDerived) == []
    assert keys_of(connection) == []


# Missing packets


def without_packets(capture: bytes, drop: Any) -> bytes:
    """The capture without the packets whose number, counted from 0, ``drop`` contains."""
    kept, number = [], -1
    for kind, block in blocks(capture):
        number += kind == PACKET
        if kind != PACKET or number not in drop:
            kept.append(block)
    return b"".join(kept)


def test_a_recording_that_began_after_the_syn():
    capture = mutual().client_side.capture
    (connection,) = decode(without_packets(capture, range(3))).connections
    assert str(connection.flow.client) == "127.0.0.1:51515"
    assert data(connection) == b"a questionan answer"


def test_a_recording_that_began_with_the_server_hello():
    capture = mutual().client_side.capture
    (connection,) = decode(without_packets(capture, range(4))).connections
    assert str(connection.flow.client) == "127.0.0.1:51515"
    assert messages(connection, S2C) == ["ServerHello"]
    assert data(connection) == b""


def test_behind_a_lost_segment_decoding_goes_on():
    capture = mutual().client_side.capture
    (connection,) = decode(without_packets(capture, {7})).connections
    assert messages(connection, S2C) == ["ServerHello"]
    assert [(event.direction, event.code) for event in of(connection, Noted)] == [(S2C, "gap")]
    assert messages(connection, C2S) == CLIENT_FLIGHT
    assert data(connection) == b"a questionan answer"
    assert not [event for event in of(connection, Checked) if not event.ok]
    assert [event.how for event in of(connection, Closed)] == ["close_notify", "close_notify"]


def test_an_unfinished_recording_does_not_say_that_anything_ended():
    capture = mutual().client_side.capture
    total = sum(kind == PACKET for kind, _ in blocks(capture))
    (connection,) = decode(without_packets(capture, range(10, total))).connections
    assert of(connection, Closed) == []


def test_bytes_that_come_again_with_another_content_are_told():
    told = Told()
    alert = record(21, b"\1\0")
    told.send(A, B, alert[:3])
    for other in (b"GET", alert[:3] + b"\0\2\2\x28"):
        told.sequence[A] = 0
        told.send(A, B, other)
    told.sequence[A] = 0
    told.send(A, B, record(21, b"\2\0"))
    assert [event.how for event in of(told.only, Closed)] == ["alert"]
    notes = of(told.only, Noted)
    assert [(note.direction, note.code) for note in notes] == [(C2S, "changed_retransmission")] * 2
    assert [note.text.split()[0] for note in notes] == ["3", "7"]
    outcome = RecordedOutcome()
    for event in told.only.events:
        outcome(event)
    assert "2 changed retransmissions: " in outcome.line(DESCRIBER)


# What is not TLS 1.3

A, B = Endpoint(b"\x7f\0\0\1", 50000), Endpoint(b"\x7f\0\0\1", 443)


class Told:
    """Conversations fed by hand, and what is told of them."""

    def __init__(self, secrets: bytes | KeyLogSecrets = b"") -> None:
        self.connections: list[RecordedConnection] = []
        known = KeyLogSecrets(secrets) if isinstance(secrets, bytes) else secrets
        self.conversations = Conversations(self.watch, known)
        self.sequence: dict[Endpoint, int] = {}

    def watch(self, flow: Flow) -> Any:
        self.connections.append(RecordedConnection(flow))
        return [self.connections[-1].events.append], []

    def send(self, source: Endpoint, destination: Endpoint, payload: bytes = b"", flags: int = 0) -> None:
        at = self.sequence.get(source, 0)
        self.conversations.take(1.0, Segment(source, destination, at, flags, payload))
        self.sequence[source] = at + len(payload) + bool(flags & (SYN | FIN))

    @property
    def only(self) -> RecordedConnection:
        (connection,) = self.connections
        return connection


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("!BHH", kind, 0x0303, len(body)) + body


def test_other_protocols_are_left_alone():
    told = Told()
    told.send(A, B, flags=SYN)
    told.send(A, B, b"GET / HTTP/1.1\r\n\r\n")
    told.send(B, A, record(21, b"\2\x46"))
    told.send(A, B, flags=FIN)
    told.conversations.finish()
    assert told.connections == []


def test_what_stops_being_tls():
    told = Told()
    told.send(A, B, record(21, b"\2\x28") + b"bye")
    told.send(A, B, b"bye")
    told.send(B, A, record(22, b"") + b"\x16\3\3" + (MAX_CIPHERTEXT_12 + 1).to_bytes(2, "big"))
    told.conversations.finish()
    assert [(event.direction, event.how) for event in of(told.only, Closed)] == [(C2S, "alert"), (S2C, "not_tls")]


def test_the_largest_record_of_an_older_version_is_still_one():
    told = Told()
    told.send(A, B, record(22, bytes(MAX_CIPHERTEXT_12)))
    assert len(of(told.only, RecordSeen)) == 1


def test_a_record_byte_by_byte():
    told = Told()
    for byte in record(21, b"\1\0"):
        told.send(A, B, bytes((byte,)))
    assert [event.how for event in of(told.only, Closed)] == ["close_notify"]


def test_a_reset():
    told = Told()
    told.send(A, B, record(22, b"x"))
    told.send(B, A, flags=RST)
    assert [(event.direction, event.how) for event in of(told.only, Closed)] == [(S2C, "reset")]


@pytest.mark.parametrize("further", [0, 5])
def test_a_message_too_large_to_be_kept_is_named_and_skipped(further):
    told = Told()
    size = MAX_HANDSHAKE_MESSAGE + 100_000
    flight = b"\x0b" + size.to_bytes(3, "big") + bytes(size) + b"\x0e\0\0\0"
    for at in range(0, len(flight) - further, 16000):
        told.send(B, A, record(22, flight[at : min(at + 16000, len(flight) - further)]))
    if further:
        told.send(B, A, record(22, flight[-further:]))
    assert [type(event.message).__name__ for event in of(told.only, MessageSeen)] == ["ServerHelloDone"]
    (note,) = of(told.only, Noted)
    assert note.code == "message_not_kept"
    assert note.text.startswith(f"certificate of {size + 4} bytes: ")


def test_another_connection_between_the_same_two():
    told = Told()
    for start in (0, 1000):
        told.sequence = {A: start, B: start}
        told.send(A, B, flags=SYN)
        told.send(B, A, flags=SYN | 16)
        told.send(A, B, record(21, b"\1\0"))
    assert [connection.flow.number for connection in told.connections] == [1, 2]
    assert [len(connection.events) for connection in told.connections] == [3, 3]


def test_so_many_connections_are_followed_at_once():
    told = Told()
    told.send(A, B, record(21, b"\1\0")[:3])
    for number in range(RECORDED_CONNECTIONS):
        told.send(Endpoint(number.to_bytes(4, "big"), 1), B, record(21, b"\1\0")[:3])
    told.send(A, B, record(21, b"\1\0")[3:])
    assert told.connections == []
    told.sequence = dict.fromkeys(told.sequence, 3)
    last = Endpoint((RECORDED_CONNECTIONS - 1).to_bytes(4, "big"), 1)
    told.send(last, B, record(21, b"\1\0")[3:])
    assert of(told.only, AlertSeen)


@pytest.mark.parametrize(("others", "told_again"), [(RECORDED_OVER - 1, False), (RECORDED_OVER, True)])
def test_late_segments_of_so_many_connections_that_are_over_are_known(others, told_again):
    told = Told()
    alert = record(21, b"\1\0")
    for number in range(others + 1):
        client = Endpoint(number.to_bytes(4, "big"), 1)
        told.send(client, B, alert)
        told.sequence[B] = 0
        told.send(B, client, flags=FIN)
        told.send(client, B, flags=FIN)
    assert len(told.connections) == others + 1
    told.sequence[Endpoint(bytes(4), 1)] = 0
    told.send(Endpoint(bytes(4), 1), B, alert)
    assert len(told.connections) == others + 1 + told_again


def decoded_by_hand(*pieces: tuple[Direction, bytes]) -> RecordedConnection:
    connection = RecordedConnection(Flow(1, A, B))
    decoder = Decoder(EventDispatcher([connection.events.append], [], lambda: 1.0), KeyLogSecrets())
    for direction, piece in pieces:
        decoder.feed(direction, piece)
    return connection


def test_an_unknown_suite_and_an_old_version_are_named():
    hello = next(event for event in mutual().client_side.events if isinstance(event, MessageSeen))
    server_hello = next(event for event in mutual().client_side.events if getattr(event, "direction", None) is S2C)
    assert isinstance(server_hello, RecordSeen)
    raw = server_hello.content
    unknown = raw[:71] + b"\x13\x09" + raw[73:]
    connection = decoded_by_hand((C2S, record(22, hello.raw)), (S2C, record(22, unknown)), (S2C, record(23, bytes(40))))
    assert sealed(connection, S2C) == [(Epoch.PLAINTEXT, "unknown(0x1309) is not decoded")]
    old = b"\2\0\0\x26\3\3" + bytes(32) + b"\0\xc0\x2f\0"
    connection = decoded_by_hand(
        (C2S, record(22, hello.raw)),
        (S2C, record(22, old) + record(22, b"\x0b\0\0\3\0\0\0")),
        (S2C, record(20, b"\1") + record(22, bytes(40)) + record(21, bytes(26))),
    )
    assert messages(connection, S2C) == ["ServerHello", "Certificate"]
    assert sealed(connection, S2C) == [(Epoch.UNKNOWN, "CLIENT_RANDOM is not known")] * 2
    for hello_12, words in (
        (old.replace(b"\3\3", b"\3\0", 1), "SSL 3.0 is not decoded"),
        (old.replace(b"\xc0\x2f", b"\0\x09"), "unknown(0x0009) is not decoded"),
    ):
        connection = decoded_by_hand(
            (C2S, record(22, hello.raw)),
            (S2C, record(22, hello_12) + record(22, b"\x0b\0\0\3\0\0\0")),
            (S2C, record(20, b"\1") + record(22, bytes(40)) + record(21, bytes(26))),
        )
        assert messages(connection, S2C) == ["ServerHello", "Certificate"]
        assert sealed(connection, S2C) == [(Epoch.UNKNOWN, words)] * 2


# Others' connections


def python_ssl(tmp_path: Path, version: ssl.TLSVersion) -> tuple[list[tuple[Direction, bytes]], bytes]:
    """What a client and a server of Python's ssl say to each other, and their key log."""
    files = {
        "server.pem": certificates.server().cert_pem + certificates.server().key_pem,
        "client.pem": certificates.client().cert_pem + certificates.client().key_pem,
        "ca.pem": certificates.ca().certificate_pem,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem")
    server.load_verify_locations(tmp_path / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = version
    server.keylog_filename = str(tmp_path / "keys.log")
    client = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    client.load_cert_chain(tmp_path / "client.pem")
    wires = [ssl.MemoryBIO() for _ in range(4)]
    ends = [
        client.wrap_bio(wires[0], wires[1], server_hostname="localhost"),
        server.wrap_bio(wires[2], wires[3], server_side=True),
    ]
    said: list[tuple[Direction, bytes]] = []

    def carry() -> None:
        for direction, source, target in ((C2S, wires[1], wires[2]), (S2C, wires[3], wires[0])):
            if piece := source.read():
                said.append((direction, piece))
                target.write(piece)

    for _ in range(4):
        for end in ends:
            with_retry(end.do_handshake)
            carry()
    for end in ends:
        end.write(b"from Python")
        carry()
    return said, (tmp_path / "keys.log").read_bytes()


def with_retry(step: Any) -> None:
    try:
        step()
    except ssl.SSLWantReadError:
        return


def test_a_connection_of_pythons_ssl(tmp_path):
    said, keys = python_ssl(tmp_path, ssl.TLSVersion.TLSv1_3)
    told = Told(keys)
    for direction, piece in said:
        told.send(*((A, B) if direction is C2S else (B, A)), piece)
    assert messages(told.only, C2S) == CLIENT_FLIGHT
    assert messages(told.only, S2C) == [*SERVER_FLIGHT, "NewSessionTicket", "NewSessionTicket"]
    assert [(event.what, event.ok) for event in of(told.only, Checked)] == [
        ("CertificateVerify", True), ("Finished", True), ("CertificateVerify", True), ("Finished", True),
    ]  # fmt: skip
    assert data(told.only) == b"from Python" * 2
    assert of(told.only, Negotiated)[0].server_name == "localhost"
    assert sealed(told.only, C2S) == sealed(told.only, S2C) == []


SERVER_12 = ["ServerHello", "Certificate", "ServerKeyExchange", "CertificateRequest", "ServerHelloDone"]


def test_a_connection_of_pythons_ssl_in_tls_12(tmp_path):
    said, keys = python_ssl(tmp_path, ssl.TLSVersion.TLSv1_2)
    told = Told(keys)
    for direction, piece in said:
        told.send(*((A, B) if direction is C2S else (B, A)), piece)
    assert messages(told.only, C2S) == [
        "ClientHello", "Certificate", "ClientKeyExchange", "CertificateVerify", "Finished",
    ]  # fmt: skip
    assert messages(told.only, S2C) == [*SERVER_12, "NewSessionTicket", "Finished"]
    assert [(event.what, event.ok) for event in of(told.only, Checked)] == [
        ("ServerKeyExchange", True), ("CertificateVerify", True), ("Finished", True), ("Finished", True),
    ]  # fmt: skip
    assert data(told.only) == b"from Python" * 2
    assert of(told.only, Negotiated)[0].version == 0x0303
    assert sealed(told.only, C2S) == sealed(told.only, S2C) == []


def test_a_connection_in_tls_12_without_its_keys(tmp_path):
    said, _ = python_ssl(tmp_path, ssl.TLSVersion.TLSv1_2)
    told = Told(b"")
    for direction, piece in said:
        told.send(*((A, B) if direction is C2S else (B, A)), piece)
    assert messages(told.only, S2C) == [*SERVER_12, "NewSessionTicket"]
    assert [(event.what, event.ok) for event in of(told.only, Checked)] == [
        ("ServerKeyExchange", True), ("CertificateVerify", True),
    ]  # fmt: skip
    assert set(sealed(told.only, C2S)) == {(Epoch.UNKNOWN, "CLIENT_RANDOM is not known")}
    assert of(told.only, KeysChanged) == []


def test_replay_feeds_any_observer():
    seen: list[Flow] = []
    events: list[Event] = []

    def watch(flow: Flow) -> Any:
        seen.append(flow)
        return [events.append], []

    side = mutual().client_side
    assert replay(without_secrets(side.capture), watch, side.keys) is None
    assert len(seen) == 1
    assert len(events) == len(decode(side.capture).connections[0].events)
