"""The limits that no other test crosses: each is reached here and found to hold."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import handfast
from handfast import limits
from handfast.crypto.suites import SUITES_13
from handfast.engine import automatic_ca_names
from handfast.errors import ConfigError, ConnectionLost, HandfastError
from handfast.events import Event, MessageSeen
from handfast.handshake import post_handshake as post
from handfast.handshake.seams import Seams
from handfast.io import blocking, sockets
from handfast.pki.faults import build_fault
from handfast.record.protection import Protection13
from handfast.registry import CipherSuite
from handfast.text import escape
from handfast.trust.path import rules
from handfast.wire.messages import KeyUpdate
from handfast.x509.purpose import Purpose
from tests import certificates
from tests.waiting import LIMIT, TEST_LIMIT, with_growing


def credentials() -> list[handfast.Credentials]:
    issued = certificates.server()
    return [handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)]


def verifier() -> handfast.PathVerifier:
    return handfast.PathVerifier(handfast.Roots.from_der([certificates.ca().certificate_der]))


def connected(observer: list[Event]) -> tuple[handfast.ClientConnection, handfast.ServerConnection]:
    client = handfast.ClientConnection(handfast.ClientConfig(verifier=verifier()), server_name="localhost")
    config = handfast.ServerConfig(credentials=credentials())
    server = handfast.ServerConnection(config, observers=[observer.append])
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    return client, server


def test_records_per_key_are_within_the_rfcs_limits() -> None:
    by_name = {suite.name: suite.records_per_key for suite in SUITES_13.values()}
    assert by_name["TLS_AES_128_GCM_SHA256"] == limits.AES_GCM_RECORDS_PER_KEY <= 2**24.5
    assert by_name["TLS_CHACHA20_POLY1305_SHA256"] == limits.CHACHA20_RECORDS_PER_KEY < 2**64


def test_keys_change_by_themselves_before_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITES_13[CipherSuite.TLS_AES_128_GCM_SHA256]
    small = replace(suite, records_per_key=post.UPDATE_BEFORE_LIMIT + 4)
    monkeypatch.setitem(SUITES_13, suite.id, small)
    seen: list[Event] = []
    client, server = connected(seen)
    for number in range(20):
        client.send(b"%d" % number)
        assert [result.data for result in server.receive(client.outgoing()) if isinstance(result, handfast.Data)] == [
            b"%d" % number
        ]
    updates = [event for event in seen if isinstance(event, MessageSeen) and isinstance(event.message, KeyUpdate)]
    assert len(updates) == 4


def test_a_record_with_too_much_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = connected([])
    protection = client._records.write_protection
    assert isinstance(protection, Protection13)
    fits = protection.seal(23, b"x", padding=limits.MAX_INNER_PLAINTEXT - 2)
    assert server.receive(fits) == [handfast.Data(b"x")]
    with pytest.raises(HandfastError) as refused:
        server.receive(protection.seal(23, b"x", padding=limits.MAX_INNER_PLAINTEXT - 1))
    assert refused.value.code == "record_overflow"


@pytest.mark.parametrize("size", [limits.MIN_FRAGMENT - 1, limits.MAX_PLAINTEXT + 1])
def test_fragments_have_bounds(size: int) -> None:
    with pytest.raises(ConfigError):
        handfast.ClientConfig(max_fragment=size)
    assert handfast.ClientConfig(max_fragment=limits.MIN_FRAGMENT).max_fragment == limits.MIN_FRAGMENT


def test_a_silent_peer_is_given_up_after_the_handshakes_time() -> None:
    now = 1000.0
    client = handfast.ClientConnection(
        handfast.ClientConfig(verifier=verifier()), server_name="localhost", seams=Seams(monotonic=lambda: now)
    )
    assert client.deadline == now + limits.HANDSHAKE_TIMEOUT
    with pytest.raises(ConnectionLost, match="did not finish within 30 s"):
        client.timed_out()


def test_draining_stops_at_its_bytes_and_its_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = threading.Thread(target=theirs.sendall, args=(bytes(limits.DRAIN_BYTES + 1000),))
        writer.start()
        taken = sum(map(len, blocking._drain(ours, limits.DRAIN_TIMEOUT, limits.DRAIN_BYTES)))
        writer.join()
        assert taken == limits.DRAIN_BYTES
        ours.recv(1000)
        # The other side neither sends nor ends, so only the time ends it.
        assert list(blocking._drain(ours, 0.05, limits.DRAIN_BYTES)) == []


def test_closing_waits_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHUTDOWN_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    client, _ = connected([])
    with theirs:
        tls = sockets.TLSSocket(ours, client)
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        # Nobody reads, so only the time ends it.
        tls.close()


def test_a_peer_that_does_not_read_cannot_hold_a_handshake() -> None:
    with_growing(0.05, shake_hands_with_one_that_does_not_read)


def shake_hands_with_one_that_does_not_read(seconds: float) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        config = handfast.ClientConfig(verifier=verifier(), handshake_timeout=seconds)
        with pytest.raises(ConnectionLost) as given_up:
            sockets.client(ours, config, server_name="localhost")
        assert given_up.value.code == "timeout"


def test_automatic_ca_names_stay_small() -> None:
    name = bytes(100)
    fitting = limits.MAX_AUTOMATIC_CA_NAMES // len(name)
    assert len(automatic_ca_names([name] * fitting)) == fitting
    assert automatic_ca_names([name] * (fitting + 1)) == ()


def test_a_header_is_needed_before_anything_is_judged() -> None:
    client = handfast.ClientConnection(handfast.ClientConfig(verifier=verifier()), server_name="localhost")
    assert client.receive(b"\x16\x03\x03\xff\xff"[: limits.RECORD_HEADER - 1]) == []
    with pytest.raises(HandfastError) as refused:
        client.receive(b"\xff")
    assert refused.value.code == "record_overflow"


def test_rsa_keys_of_peers_have_bounds() -> None:
    assert judged(rsa.generate_private_key(65537, limits.MIN_RSA_BITS)).accepted
    assert judged(rsa.generate_private_key(65537, limits.MIN_RSA_BITS - 8)).code == "weak_key"


@pytest.mark.parametrize(
    ("bits", "exponent"),
    [(limits.MAX_RSA_BITS + 8, 65537), (limits.MIN_RSA_BITS, limits.MAX_RSA_EXPONENT + 1), (limits.MIN_RSA_BITS, 1)],
)
def test_rsa_numbers_that_would_cost_too_much(bits: int, exponent: int) -> None:
    class Certificate:
        rsa = (bits, exponent)
        weak_hash = ""
        self_issued = False
        subject_text = "CN=big"

    [reason] = rules.weaknesses([Certificate()], anchors=())  # type: ignore[arg-type, list-item]
    assert reason.code == "weak_key"


def test_explaining_and_comparing_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = build_fault("name-constraints")
    monkeypatch.setattr("handfast.trust.path.name_constraints.MAX_NAME_COMPARISONS", 0)
    presented = handfast.PresentedChain(
        chain=fault.server.chain, purpose=Purpose.SERVER, server_name=fault.host, at=datetime.now(UTC)
    )
    judge = handfast.PathVerifier(handfast.Roots.from_der(fault.roots)).verify
    assert "too many name constraints" in judge(presented).explanation
    # Without signatures to spend, the explanation no longer knows that the chain leads to a root of ours.
    monkeypatch.setattr("handfast.trust.path.analysis.MAX_ANALYSIS_SIGNATURES", 0)
    assert judge(presented).code != "name_constraint"
    assert limits.MAX_NAME_COMPARISONS > 0
    assert limits.MAX_ANALYSIS_SIGNATURES > 0


def judged(key: rsa.RSAPrivateKey) -> handfast.Verdict:
    issued = certificates.ca().issue(replace(certificates.ca().server_template("localhost"), key=key))
    return verifier().verify(
        handfast.PresentedChain(
            chain=issued.chain, purpose=Purpose.SERVER, server_name="localhost", at=datetime.now(UTC)
        )
    )


def test_text_of_peers_is_cut() -> None:
    assert len(escape("x" * 10_000, limits.MAX_PEER_TEXT)) == limits.MAX_PEER_TEXT + len("...")


def test_a_server_that_refuses_reads_on_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    with theirs:
        # The handshake's own time is longer than the whole test may take.
        config = handfast.ServerConfig(credentials=credentials(), handshake_timeout=2 * TEST_LIMIT)
        server = sockets.TLSSocket(ours, handfast.ServerConnection(config))
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        # The client keeps its side open and says no more: the server waits for it no longer than it lingers.
        with pytest.raises(HandfastError) as refused:
            server.handshake()
        assert refused.value.code == "http_request"
        assert theirs.recv(100) == b"\x15\x03\x03\x00\x02\x02\x0a"
        assert theirs.recv(100) == b""


def test_a_server_that_refuses_reads_no_more_than_so_much() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = threading.Thread(target=theirs.sendall, args=(bytes(limits.LINGER_BYTES + 1),))
        writer.start()
        assert sum(map(len, blocking._drain(ours, limits.LINGER_TIMEOUT, limits.LINGER_BYTES))) == limits.LINGER_BYTES
        ours.recv(1)
        writer.join()


def test_a_large_write_is_sealed_in_steps() -> None:
    ours, theirs = socket.socketpair()
    client, server = connected([])
    sealed: list[int] = []
    tls = sockets.TLSSocket(ours, client)
    take = client.outgoing

    def taken() -> bytes:
        data = take()
        sealed.append(len(data))
        return data

    client.outgoing = taken  # type: ignore[method-assign]
    with theirs:
        received = bytearray()

        def read() -> None:
            while data := theirs.recv(65536):
                received.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        tls.sendall(bytes(3 * limits.SEAL_STEP))
        tls.close()
        reader.join()
    results = server.receive(bytes(received))
    assert sum(len(result.data) for result in results if isinstance(result, handfast.Data)) == 3 * limits.SEAL_STEP
    assert max(sealed) < limits.SEAL_STEP + 1000


def test_data_that_comes_instead_of_an_answer_is_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_DATA", 1000)
    ours, theirs = socket.socketpair()
    with theirs:
        config = handfast.ClientConfig(verifier=verifier(), post_handshake_auth=True)
        client = handfast.ClientConnection(config, server_name="localhost")
        server = handfast.ServerConnection(handfast.ServerConfig(credentials=credentials()))
        while not (client.connected and server.connected):
            server.receive(client.outgoing())
            client.receive(server.outgoing())
        tls = sockets.TLSSocket(ours, server, timeout=LIMIT)
        client.send(bytes(1001))
        theirs.sendall(client.outgoing())
        with pytest.raises(ConnectionLost, match="more than 1000 bytes") as refused:
            tls.request_client_certificate()
        assert refused.value.code == "no_answer"
        assert tls.recv(2000) == bytes(1001)
        client.close()
        theirs.sendall(client.outgoing())
        with pytest.raises(ConnectionLost, match="closed its side"):
            tls.request_client_certificate()
        tls.close()
