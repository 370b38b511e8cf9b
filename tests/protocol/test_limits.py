"""Limits on what a peer may make us hold and do; those of records, alerts and KeyUpdates stand with these."""

from __future__ import annotations

import pytest

from handfast.engine import ClientAuth
from handfast.errors import PeerMisbehaved
from handfast.limits import MAX_CLIENT_HELLO, MAX_HANDSHAKE_BYTES, MAX_HANDSHAKE_MESSAGE
from handfast.registry import HandshakeType, SignatureScheme
from handfast.roles import Role
from handfast.wire.extensions import Extensions, NamedGroupList, OpaqueExtension, Padding
from handfast.wire.messages import Certificate, CertificateEntry, CertificateVerify, NewSessionTicket
from tests import certificates
from tests.lies import change, extended, handshake
from tests.peer import Client, Server
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    PLAINTEXT,
    Row,
    both_roles,
    client,
    meet,
    server,
)

HEADER = 4


def header(message_type, length):
    """The first four bytes of a message that has so many in all."""
    return bytes((message_type,)) + (length - HEADER).to_bytes(3, "big")


@pytest.mark.parametrize(
    ("role", "step", "message_type", "limit", "under"),
    [
        (Role.CLIENT, "ServerHello", HandshakeType.server_hello, MAX_HANDSHAKE_MESSAGE, PLAINTEXT),
        (Role.CLIENT, "Certificate", HandshakeType.certificate, MAX_HANDSHAKE_MESSAGE, HANDSHAKE_KEYS),
        (Role.SERVER, "ClientHello", HandshakeType.client_hello, MAX_CLIENT_HELLO, PLAINTEXT),
        (Role.SERVER, "Finished", HandshakeType.finished, MAX_HANDSHAKE_MESSAGE, APPLICATION_KEYS),
    ],
)
@pytest.mark.parametrize("beyond", [1, 2**23])
def test_a_message_is_too_large_by_its_header(role, step, message_type, limit, under, beyond):
    lie = header(message_type, limit + beyond)
    Row("", lie, "message_too_large", "illegal_parameter", under).check(role, step)


@both_roles
def test_a_message_is_too_large_by_its_header_after_the_handshake(role):
    items = header(HandshakeType.key_update, MAX_HANDSHAKE_MESSAGE + 1)
    row = Row("", {}, "message_too_large", "illegal_parameter", APPLICATION_KEYS, after=lambda peer: peer.say(items))
    row.check(role)


def padded_to(size):
    """The hello padded to so many bytes in all."""

    def lie(hello):
        empty = len(extended(Padding(b""))(hello).encode())
        return extended(Padding(bytes(size - empty)))(hello)

    return lie


def test_the_largest_client_hello():
    peer = Client(server(), lies={"ClientHello": padded_to(MAX_CLIENT_HELLO)}).run()
    assert peer.complete, peer.connection.error


def test_the_largest_certificate():
    """It is refused for what it holds, not for its size."""
    room = MAX_HANDSHAKE_MESSAGE - HEADER - 4 - 5
    largest = Certificate(b"", (CertificateEntry(bytes(room)),))
    assert len(largest.encode()) == MAX_HANDSHAKE_MESSAGE
    row = Row("", largest, "malformed", "bad_certificate", HANDSHAKE_KEYS)
    row.check(Role.CLIENT, "Certificate")


def large(number):
    """An unknown extension of nearly the size of a message."""
    return OpaqueExtension(number, bytes(MAX_HANDSHAKE_MESSAGE - 2000))


# A server has four messages that may be large; each of these alone is within the limit of one message.
LARGE_FLIGHT = {
    "HelloRetryRequest": extended(OpaqueExtension(44, b"\xf8\x2e" + bytes(0xF82E))),
    "EncryptedExtensions": extended(NamedGroupList(tuple(range(0x7C00)))),
    "CertificateRequest": extended(large(0x1234)),
    "CertificateVerify": change(signature=bytes(0xFC00)),
}
LARGE_CERTIFICATE = lambda message: Certificate(  # noqa: E731
    b"", (*message.certificate_list, CertificateEntry(bytes(MAX_HANDSHAKE_MESSAGE - 2000)))
)


def test_a_handshake_that_is_too_large_in_all():
    peer = {"group": 23, "requests_certificate": True}
    lies = {**LARGE_FLIGHT, "Certificate": LARGE_CERTIFICATE}
    row = Row("", lies, "handshake_too_large", "illegal_parameter", HANDSHAKE_KEYS, peer)
    row.check(Role.CLIENT)


def test_a_handshake_that_is_just_not_too_large():
    """Without the retry, the last of those messages is judged by what it says."""
    lies = {step: lie for step, lie in LARGE_FLIGHT.items() if step != "HelloRetryRequest"}
    peer = Server(client(), requests_certificate=True, lies={**lies, "Certificate": LARGE_CERTIFICATE}).run()
    sizes = 4 * (MAX_HANDSHAKE_MESSAGE - 2000)
    assert MAX_HANDSHAKE_BYTES - 20_000 < sizes < MAX_HANDSHAKE_BYTES
    assert peer.refusal == ("bad_signature", "decrypt_error", HANDSHAKE_KEYS)


def test_what_comes_after_the_handshake_does_not_count_towards_it():
    peer = meet(Role.CLIENT).run()
    ticket = NewSessionTicket(1, 2, b"", bytes(60_000), Extensions())
    for _ in range(2 * MAX_HANDSHAKE_BYTES // 60_000):
        peer.say(ticket)
    assert peer.connection.error is None


@both_roles
def test_a_message_in_as_many_records_as_it_has_bytes(role):
    """Small records are slow, not forbidden; the limits of messages and of the handshake bound them."""
    ours = {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}
    identity = certificates.client() if role is Role.SERVER else certificates.server()
    assert meet(role, ours, identity=identity, fragment=1).run().complete


def test_a_split_message_is_judged_when_the_last_byte_of_its_header_has_come():
    announced = header(HandshakeType.server_hello, 2**24 - 1)
    ours = client()
    assert ours.receive(b"\x16\3\3\0\3" + announced[:3]) == []
    with pytest.raises(PeerMisbehaved) as caught:
        ours.receive(b"\x16\3\3\0\1" + announced[3:])
    assert caught.value.code == "message_too_large"


def test_a_signature_as_large_as_its_field():
    lie = CertificateVerify(SignatureScheme.ecdsa_secp256r1_sha256, bytes(MAX_HANDSHAKE_MESSAGE - 8))
    Row("", lie, "bad_signature", "decrypt_error", HANDSHAKE_KEYS).check(Role.CLIENT, "CertificateVerify")


def test_a_finished_as_large_as_a_message():
    lie = handshake(HandshakeType.finished, bytes(MAX_HANDSHAKE_MESSAGE - HEADER))
    Row("", lie, "length_out_of_bounds", "decode_error", HANDSHAKE_KEYS).check(Role.CLIENT, "Finished")
