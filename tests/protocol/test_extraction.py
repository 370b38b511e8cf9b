"""Secrets handed over: the connection goes on in other hands, against a live peer that notices nothing."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from handfast.credentials.signers import DEFERRED
from handfast.engine import ClientConfig, Data, ExtractedSecrets, VerifiedPeer
from handfast.errors import ApiMisuse
from handfast.io import sockets
from handfast.registry import CipherSuite
from handfast.roles import Role
from handfast.verdict import accept
from handfast.wire.messages import KeyUpdate
from tests.protocol.later import our_server
from tests.protocol.ours import Judge, client, server

AEADS: dict[CipherSuite, tuple[type[AESGCM | ChaCha20Poly1305], int]] = {
    CipherSuite.TLS_AES_128_GCM_SHA256: (AESGCM, 16),
    CipherSuite.TLS_AES_256_GCM_SHA384: (AESGCM, 32),
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: (ChaCha20Poly1305, 32),
}
both_roles = pytest.mark.parametrize("role", list(Role), ids=lambda role: f"our {role}")


def pair(role, **options):
    """Ours of this role, which may be extracted, and the other end; both connected."""
    ours_is_client = role is Role.CLIENT
    settings = {"enable_secret_extraction": True, **options}
    ends = client(**(settings if ours_is_client else {})), server(**({} if ours_is_client else settings))
    carry(*ends)
    assert all(end.connected for end in ends)
    return ends if ours_is_client else ends[::-1]


def carry(one, other):
    """Bytes both ways until both are silent; the application data of both."""
    data = []
    while one.wants_write or other.wants_write:
        for sender, receiver in ((one, other), (other, one)):
            data += [bytes(got.data) for got in receiver.receive(sender.outgoing()) if isinstance(got, Data)]
    return data


@dataclass
class Kernel:
    """Goes on with the extracted keys, by hand. RFC 9846 5.2 and 5.3."""

    secrets: ExtractedSecrets

    def __post_init__(self) -> None:
        aead, length = AEADS[CipherSuite(self.secrets.suite)]
        assert len(self.secrets.read.key) == len(self.secrets.write.key) == length
        self.read, self.write = aead(self.secrets.read.key), aead(self.secrets.write.key)
        self.reads, self.writes = self.secrets.read.sequence_number, self.secrets.write.sequence_number

    def seal(self, content_type: int, content: bytes) -> bytes:
        inner = content + bytes((content_type,))
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = xor(self.secrets.write.iv, self.writes)
        self.writes += 1
        return header + self.write.encrypt(nonce, inner, header)

    def open(self, record: bytes) -> bytes:
        nonce = xor(self.secrets.read.iv, self.reads)
        self.reads += 1
        return self.read.decrypt(nonce, record[5:], record[:5])


def xor(iv: bytes, number: int) -> bytes:
    assert len(iv) == 12
    return bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big"), strict=True))


@both_roles
@pytest.mark.parametrize("suite", AEADS, ids=lambda suite: suite.name)
@pytest.mark.parametrize("before", ["nothing", "data both ways", "keys that changed"])
def test_the_connection_goes_on_by_hand(role, suite, before):
    ours, theirs = pair(role, suites=(suite,))
    if before == "data both ways":
        for sender, receiver in ((ours, theirs), (theirs, ours), (ours, theirs)):
            sender.send(b"x" * 40_000)
            assert b"".join(carry(sender, receiver)) == b"x" * 40_000
    if before == "keys that changed":
        for end in (ours, theirs, ours):
            end.update_keys()
            end.send(b"under new keys")
            assert carry(ours, theirs) == [b"under new keys"]
    kernel = Kernel(ours.extract_secrets())
    assert kernel.secrets.suite == suite
    assert theirs.receive(kernel.seal(23, b"by hand")) == [Data(b"by hand")]
    for number in range(3):
        theirs.send(b"%d" % number)
        assert kernel.open(theirs.outgoing()) == b"%d\x17" % number
    assert theirs.receive(kernel.seal(23, b"again")) == [Data(b"again")]
    theirs.receive(kernel.seal(21, b"\x01\x00"))
    assert theirs.peer_closed


@both_roles
def test_afterwards_the_connection_is_over(role):
    ours, theirs = pair(role)
    ours.extract_secrets()
    theirs.send(b"data")
    record = theirs.outgoing()
    for call in (
        lambda: ours.receive(record),
        lambda: ours.send(b"data"),
        ours.extract_secrets,
        ours.update_keys,
        ours.eof,
    ):
        with pytest.raises(ApiMisuse) as caught:
            call()
        assert caught.value.code == "secrets_extracted"
    ours.close()
    assert not ours.connected
    assert ours.outgoing() == b""
    assert ours.info.complete


def refusal(connection):
    with pytest.raises(ApiMisuse) as caught:
        connection.extract_secrets()
    return caught.value.code


@both_roles
def test_nothing_is_extracted_without_the_option(role):
    ours, theirs = pair(role, enable_secret_extraction=False)
    assert refusal(ours) == "extraction_not_enabled"
    ours.send(b"it goes on")
    assert carry(ours, theirs) == [b"it goes on"]


def test_nothing_is_extracted_before_the_handshake_is_complete():
    ours, theirs = client(enable_secret_extraction=True), server()
    assert refusal(ours) == "cannot_extract"
    theirs.receive(ours.outgoing())
    assert refusal(ours) == "cannot_extract"
    ours.receive(theirs.outgoing())
    # The client is connected, and its Finished is still to be sent.
    assert ours.connected
    assert refusal(ours) == "cannot_extract"
    carry(ours, theirs)
    assert isinstance(ours.extract_secrets(), ExtractedSecrets)


@both_roles
def test_nothing_is_extracted_while_bytes_wait(role):
    ours, theirs = pair(role)
    ours.send(b"data")
    assert refusal(ours) == "cannot_extract"
    assert carry(ours, theirs) == [b"data"]
    theirs.send(b"more data")
    record = theirs.outgoing()
    ours.receive(record[:10])
    assert refusal(ours) == "cannot_extract"
    assert ours.receive(record[10:]) == [Data(b"more data")]
    assert isinstance(ours.extract_secrets(), ExtractedSecrets)


@both_roles
def test_nothing_is_extracted_in_the_middle_of_a_message(role):
    ours, theirs = pair(role)
    kernel_of_theirs = theirs._records.write_protection
    assert kernel_of_theirs is not None
    raw = KeyUpdate(0).encode()
    ours.receive(kernel_of_theirs.seal(22, raw[:2]))
    assert refusal(ours) == "cannot_extract"


@both_roles
def test_an_answer_to_key_update_is_owed_first(role):
    ours, theirs = pair(role)
    theirs.update_keys(request=True)
    ours.receive(theirs.outgoing())
    assert refusal(ours) == "cannot_extract"
    ours.update_keys()
    carry(ours, theirs)
    kernel = Kernel(ours.extract_secrets())
    assert theirs.receive(kernel.seal(23, b"by hand")) == [Data(b"by hand")]


@both_roles
@pytest.mark.parametrize("closer", ["ours", "theirs"])
def test_nothing_is_extracted_after_a_close(role, closer):
    ours, theirs = pair(role)
    (ours if closer == "ours" else theirs).close()
    carry(ours, theirs)
    assert refusal(ours) == "cannot_extract"


def test_a_socket_whose_secrets_were_extracted_is_left_alone():
    one, other = socket.socketpair()
    tls = sockets.TLSSocket(other, server(enable_secret_extraction=True))
    thread = threading.Thread(target=tls.handshake)
    thread.start()
    with sockets.client(one, ClientConfig(verifier=Judge()), server_name="localhost") as ours:
        thread.join()
        kernel = Kernel(tls.connection.extract_secrets())
        ours.sendall(b"a question")
        for call in (tls.recv, lambda: tls.sendall(b"data"), tls.handshake):
            with pytest.raises(ApiMisuse) as caught:
                call()
            assert caught.value.code == "secrets_extracted"
        assert kernel.open(other.recv(1000)) == b"a question\x17"
        other.sendall(kernel.seal(23, b"an answer") + kernel.seal(21, b"\x01\x00"))
        assert ours.recv() == b"an answer"
        assert ours.recv() == b""
    tls.close()


def test_the_secrets_do_not_show():
    secrets = pair(Role.CLIENT)[0].extract_secrets()
    shown = repr(secrets)
    for keys in (secrets.read, secrets.write):
        assert repr(keys.key) not in shown
        assert repr(keys.iv) not in shown
        assert keys.key.hex() not in shown
    assert "sequence_number=0" in shown


@pytest.mark.parametrize("sent", range(4))
def test_nothing_is_extracted_while_a_client_is_asked_who_it_is(sent):
    peer = our_server(verifier=Judge(lambda: DEFERRED), enable_secret_extraction=True)
    for message in peer.answer()[:sent]:
        peer.say(message)
    ours = peer.listen().connection
    with pytest.raises(ApiMisuse) as caught:
        ours.extract_secrets()
    assert (caught.value.code, ours.error) == ("cannot_extract", None)
    if ours.need is not None:
        ours.answer(ours.need, accept())
        assert isinstance(ours.info.peer, VerifiedPeer)
        assert isinstance(ours.extract_secrets(), ExtractedSecrets)
