"""The TLS 1.3 server, from its own hello to the client's Finished. RFC 9846 figure 1 and 4.2.3 to 4.5."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.crypto.suites import SUITES_13
from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.handshake import negotiate
from handfast.handshake.config import ClientAuth
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import (
    ProvenChain,
    check_identity,
    choose_server_credentials,
    judge_identity,
    prove_identity,
    refuse_without_certificate,
)
from handfast.keys.established import Established
from handfast.wire.extensions import (
    CertificateAuthorities,
    ExtensionBody,
    Extensions,
    KeyShareEntry,
    KeyShareServerHello,
    ProtocolNameList,
    ServerNameAcknowledged,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import (
    Certificate,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    Finished,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.handshake.config import ServerConfig
    from handfast.handshake.flow import Handshake, Step


def server13(
    hs: Handshake, config: ServerConfig, offer: negotiate.Offer, suite_id: int, group: int
) -> Generator[Step, Any, Established]:
    """What follows a ClientHello that has all we need."""
    suite = SUITES_13[suite_id]
    hs.info.version, hs.info.suite, hs.info.group = negotiate.TLS13, suite_id, group
    mine = choose_server_credentials(config.credentials, offer.schemes, hs.info.server_name)
    protocol = negotiate.choose_protocol(
        config.application_protocols, offer, required=config.require_application_protocol
    )
    hs.info.application_protocol = protocol

    public, shared_secret = hs.seams.encapsulate(group, offer.shares[group])
    hs.transcript.start(suite.hash)
    hs.send(server_hello(hs, offer, suite_id, group, public))
    handshake_secret = hs.early_secret(suite).handshake_secret(shared_secret)
    client_handshake = handshake_secret.client_handshake_traffic_secret(hs.transcript.digest())
    server_handshake = handshake_secret.server_handshake_traffic_secret(hs.transcript.digest())
    hs.write_with(server_handshake, suite, Epoch.HANDSHAKE)
    hs.read_with(client_handshake, suite, Epoch.HANDSHAKE, after=ClientHello)
    if offer.hello.legacy_session_id and not hs.info.retried:
        hs.records.write_change_cipher_spec()

    hs.send(EncryptedExtensions(encrypted_extensions(offer, protocol)))
    tell_negotiated(hs, offer.hello)
    if config.client_auth is not ClientAuth.NONE:
        hs.send(certificate_request(hs, config))
    yield from prove_identity(hs, mine, b"")
    send_finished(hs, server_handshake)
    main_secret = handshake_secret.main_secret()
    transcript_hash = hs.transcript.digest()
    client_application = main_secret.client_application_traffic_secret(transcript_hash)
    server_application = main_secret.server_application_traffic_secret(transcript_hash)
    exporter = main_secret.exporter_secret(transcript_hash)
    hs.write_with(server_application, suite, Epoch.APPLICATION)

    proven = None
    if config.client_auth is not ClientAuth.NONE:
        proven = yield from client_identity(hs, config)
    before_finished = hs.transcript.digest()
    finished = yield from hs.expect(Finished)
    check_finished(hs, client_handshake, before_finished, finished)
    resumption = main_secret.resumption_secret(hs.transcript.digest())
    hs.read_with(client_application, suite, Epoch.APPLICATION, after=Finished)
    hs.records.accepts_change_cipher_spec = False

    if proven is not None:
        hs.info.peer = yield from judge_identity(
            hs, proven, config.verifier, server_name=None, enforce=config.client_auth.enforces_verdict
        )
    elif config.client_auth.requires_certificate:
        raise refuse_without_certificate(hs)
    return Established(suite, client_application, server_application, exporter, resumption)


def server_hello(hs: Handshake, offer: negotiate.Offer, suite: int, group: int, public: bytes) -> ServerHello:
    """RFC 9846 4.2.3."""
    extensions = Extensions.of(
        SupportedVersionsServerHello(negotiate.TLS13), KeyShareServerHello(KeyShareEntry(group, public))
    )
    random = hs.seams.random_bytes(32)
    return ServerHello(negotiate.TLS12, random, offer.hello.legacy_session_id, suite, 0, extensions)


def encrypted_extensions(offer: negotiate.Offer, protocol: str | None) -> Extensions:
    """RFC 9846 4.4.1."""
    bodies: list[ExtensionBody] = []
    if offer.hello.find(ServerNameList) is not None:
        bodies.append(ServerNameAcknowledged())
    if protocol is not None:
        bodies.append(ProtocolNameList((protocol.encode(),)))
    return Extensions.of(*bodies)


def certificate_request(hs: Handshake, config: ServerConfig) -> CertificateRequest:
    """RFC 9846 4.4.2. An empty list of CA names is left out: it would be malformed."""
    bodies: list[ExtensionBody] = [SignatureSchemeList(tuple(config.schemes))]
    names = tuple(config.ca_names or ())
    if names:
        bodies.append(CertificateAuthorities(names))
    hs.info.client_auth_requested = True
    hs.info.ca_names = names
    return CertificateRequest(b"", Extensions.of(*bodies))


def client_identity(hs: Handshake, config: ServerConfig) -> Generator[Step, Any, ProvenChain | None]:
    """The client's certificate with its proof, or None when it sent none. RFC 9846 4.5.1."""
    certificate = yield from hs.expect(Certificate)
    if certificate.certificate_request_context:
        raise PeerMisbehaved("certificate_context", message="Certificate")
    if not certificate.certificate_list:
        return None
    return (yield from check_identity(hs, certificate, config.schemes, ()))
