"""A TLS 1.3 peer that meets one of our connections in memory: it does everything right, and lies where it is told to.

It stands on wire, keys, record protection and crypto alone, so it shares no judgement with what it tests, and it checks
what ours sends: certificates with their proofs, and Finished. A test says what goes wrong and reads what ours made of
it: the code of our error, the alert that the peer got, and under which keys::

    peer = Server(client(), lies={"ServerHello": change(cipher_suite=0x1304)}).run()
    assert peer.refusal == ("suite_not_offered", "illegal_parameter", "plaintext")

A lie is about one step of the script. The steps have the names of the messages sent there; the hello that answers a
HelloRetryRequest is ``SecondClientHello``. ``lies.py`` has the ways to lie,
``scripted.py`` what both roles share.

Handshake bytes enter the peer's transcript as they were sent. A lie is therefore signed and authenticated like the
truth: ours can refuse it for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from handfast.crypto import groups, signatures
from handfast.crypto.groups import KeyShare
from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites import SUITES_13
from handfast.events import Epoch
from handfast.keys.schedule import EarlySecret
from handfast.pki.authority import Issued
from handfast.registry import ExtensionType, NamedGroup
from handfast.wire import extensions as ext
from handfast.wire.extensions import ExtensionBody, Extensions
from handfast.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    Certificate,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    HelloRetryRequest,
    ServerHello,
)
from tests import certificates
from tests.lies import (
    DUMMY_CHANGE_CIPHER_SPEC,
    TLS12,
    TLS13,
)
from tests.scripted import Peer


@dataclass
class Server(Peer):
    """A server; without options it takes the client's first suite and first share and asks for no certificate.

    ``group`` without a share, or a ``cookie``, makes it send a HelloRetryRequest.
    """

    _: KW_ONLY
    identity: Issued | None = field(default_factory=certificates.server)
    chosen_suite: int | None = None
    group: int | None = None
    cookie: bytes = b""
    requests_certificate: bool = False
    ca_names: tuple[bytes, ...] = ()
    protocol: bytes = b""

    ROLE = "server"

    def script(self) -> None:
        hello = self.expect(ClientHello)
        self.suite = SUITES_13[self.chosen_suite or hello.cipher_suites[0]]
        shares = _shares(hello)
        group = self.group or next(iter(shares))
        if retried := group not in shares or bool(self.cookie):
            shares = _shares(self._retry(hello, group, shares))
        public, shared_secret = groups.encapsulate(group, shares[group])
        self.transcript.start(self.suite.hash)
        self.send("ServerHello", self._hello(hello, group, public))
        handshake_secret = EarlySecret(self.suite.hash).handshake_secret(shared_secret)
        client = handshake_secret.client_handshake_traffic_secret(self.transcript.digest())
        server = handshake_secret.server_handshake_traffic_secret(self.transcript.digest())
        self._write_pending()
        if hello.legacy_session_id and not retried:
            self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self._write_with(server)
        self._read_with(Epoch.HANDSHAKE, client)
        self._flight()
        client, server = self._application_secrets(handshake_secret)
        self._write_with(server)
        if self.requests_certificate:
            certificate = self.expect(Certificate)
            if certificate.certificate_list:
                self._check_proof(certificate, "client")
        self._check_finished()
        self._read_with(Epoch.APPLICATION, client)

    def _retry(self, hello: ClientHello, group: int, shares: Mapping[int, bytes]) -> ClientHello:
        self.transcript.start_over_with_message_hash(self.suite.hash)
        bodies: list[ExtensionBody] = [ext.SupportedVersionsServerHello(TLS13)]
        if group not in shares:
            bodies.append(ext.KeyShareHelloRetryRequest(group))
        if self.cookie:
            bodies.append(ext.Cookie(self.cookie))
        echo, suite = hello.legacy_session_id, self.suite.id
        retry = HelloRetryRequest(TLS12, HELLO_RETRY_REQUEST_RANDOM, echo, suite, 0, Extensions.of(*bodies))
        self.send("HelloRetryRequest", retry)
        self._write_pending()
        if hello.legacy_session_id:
            self.put(DUMMY_CHANGE_CIPHER_SPEC)
        return self.expect(ClientHello)

    def _hello(self, hello: ClientHello, group: int, public: bytes) -> ServerHello:
        extensions = Extensions.of(
            ext.SupportedVersionsServerHello(TLS13), ext.KeyShareServerHello(ext.KeyShareEntry(group, public))
        )
        return ServerHello(TLS12, random_bytes(32), hello.legacy_session_id, self.suite.id, 0, extensions)

    def _flight(self) -> None:
        bodies = [ext.ProtocolNameList((self.protocol,))] if self.protocol else []
        self.send("EncryptedExtensions", EncryptedExtensions(Extensions.of(*bodies)))
        if self.requests_certificate:
            extensions = Extensions.of(ext.SignatureSchemeList(signatures.SUPPORTED_SCHEMES))
            if self.ca_names:
                extensions[ExtensionType.certificate_authorities] = ext.CertificateAuthorities(self.ca_names)
            self.send("CertificateRequest", CertificateRequest(b"", extensions))
        self._prove()
        self._send_finished()


@dataclass
class Client(Peer):
    """A client; without options it shares the first of its groups, asks for localhost and has no certificate."""

    _: KW_ONLY
    suites: tuple[int, ...] = tuple(SUITES_13)
    groups: tuple[int, ...] = (NamedGroup.x25519, NamedGroup.secp256r1)
    shared_groups: tuple[int, ...] | None = None
    schemes: tuple[int, ...] = signatures.SUPPORTED_SCHEMES
    server_name: bytes = b"localhost"
    protocols: tuple[bytes, ...] = ()

    ROLE = "client"

    def script(self) -> None:
        shares = self._new_shares(self.groups[:1] if self.shared_groups is None else self.shared_groups)
        hello = self._hello(shares)
        self.send("ClientHello", hello)
        answer = self.expect(ServerHello, HelloRetryRequest)
        self.suite = SUITES_13[answer.cipher_suite]
        if isinstance(answer, HelloRetryRequest):
            shares, answer = self._try_again(hello, answer, shares)
        else:
            self.transcript.start(self.suite.hash)
        share = answer.extensions[ExtensionType.key_share]
        assert isinstance(share, ext.KeyShareServerHello)
        shared_secret = shares[share.server_share.group].shared_secret(share.server_share.key_exchange)
        handshake_secret = EarlySecret(self.suite.hash).handshake_secret(shared_secret)
        client = handshake_secret.client_handshake_traffic_secret(self.transcript.digest())
        server = handshake_secret.server_handshake_traffic_secret(self.transcript.digest())
        self._read_with(Epoch.HANDSHAKE, server)
        request = self._read_flight()
        secrets = self._application_secrets(handshake_secret)
        self._read_with(Epoch.APPLICATION, secrets[1])
        self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self._write_with(client)
        if request is not None:
            self._prove()
        self._send_finished()
        self._write_with(secrets[0])

    def _new_shares(self, wanted: Sequence[int]) -> dict[int, KeyShare]:
        return {group: groups.generate(group) for group in wanted}

    def _hello(self, shares: Mapping[int, KeyShare]) -> ClientHello:
        bodies: list[ExtensionBody] = [
            ext.ServerNameList((ext.ServerName(0, self.server_name),)),
            ext.SupportedVersionsClientHello((TLS13,)),
            ext.NamedGroupList(self.groups),
            ext.SignatureSchemeList(self.schemes),
            _key_shares(shares),
        ]
        if self.protocols:
            bodies.append(ext.ProtocolNameList(self.protocols))
        return ClientHello(TLS12, random_bytes(32), random_bytes(32), self.suites, b"\0", Extensions.of(*bodies))

    def _try_again(
        self, hello: ClientHello, retry: HelloRetryRequest, shares: dict[int, KeyShare]
    ) -> tuple[dict[int, KeyShare], ServerHello]:
        self.transcript.start_over_with_message_hash(self.suite.hash)
        extensions = Extensions(hello.extensions)
        if (wanted := retry.find(ext.KeyShareHelloRetryRequest)) is not None:
            shares = self._new_shares((wanted.selected_group,))
            extensions[ExtensionType.key_share] = _key_shares(shares)
        if (cookie := retry.find(ext.Cookie)) is not None:
            extensions[ExtensionType.cookie] = cookie
        self.put(DUMMY_CHANGE_CIPHER_SPEC)
        self.send("SecondClientHello", replace(hello, extensions=extensions))
        return shares, self.expect(ServerHello)

    def _read_flight(self) -> CertificateRequest | None:
        self.expect(EncryptedExtensions)
        request = None
        certificate: Certificate | CertificateRequest = self.expect(CertificateRequest, Certificate)
        if isinstance(certificate, CertificateRequest):
            request = certificate
            certificate = self.expect(Certificate)
        self._check_proof(certificate, "server")
        self._check_finished()
        return request


def _shares(hello: ClientHello) -> dict[int, bytes]:
    offered = hello.find(ext.KeyShareClientHello)
    assert offered is not None
    return {share.group: share.key_exchange for share in offered.client_shares}


def _key_shares(shares: Mapping[int, KeyShare]) -> ext.KeyShareClientHello:
    return ext.KeyShareClientHello(tuple(ext.KeyShareEntry(group, share.public) for group, share in shares.items()))
