"""The TLS 1.3 client, from the server's keys to its own Finished. RFC 9846 figure 1 and 4.4 to 4.5."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.config.asked import CertificateWanted
from handfast.crypto.suites import SUITES_13
from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.handshake import negotiate
from handfast.handshake.client_resumption import ticket_keeper
from handfast.handshake.early_data import early_data_accepted, send_end_of_early_data
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import (
    ProvenChain,
    adopt_resumed_peer,
    certificate_kinds,
    client_choice,
    judge_identity,
    prove_identity,
    read_certificate_verify,
    receive_certificate,
)
from handfast.keys.established import Established
from handfast.registry import GROUPS, ExtensionType
from handfast.wire.messages import (
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    Finished,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.handshake.psk import SessionOffer
    from handfast.trust.verifiers import Verifier


def client13(
    hs: ClientHandshake,
    verifier: Verifier,
    server_name: str | None,
    hello: ClientHello,
    choice: negotiate.ServerChoice,
    shared_secret: bytes,
    session: SessionOffer | None,
) -> Generator[Step, Any, Established]:
    """What follows a ServerHello that chose TLS 1.3; ``session`` is what it resumes."""
    suite = SUITES_13[choice.suite]
    hs.transcript.start(suite.hash)
    hs.info.version, hs.info.suite, hs.info.group = negotiate.TLS13, suite.id, GROUPS[choice.group]

    early_secret = hs.early_secret(suite) if session is None else session.early_secret
    handshake_secret = early_secret.handshake_secret(shared_secret)
    # Each side's traffic secrets, named for who writes under them.
    client_secret, server_secret = handshake_secret.traffic_secrets(hs.transcript.digest())
    hs.read_with(server_secret, suite, Epoch.HANDSHAKE, after=ServerHello)
    # Until EncryptedExtensions answers early data, whatever we write is still under its keys.
    offered_early = ExtensionType.early_data in hello.extensions
    if not offered_early:
        hs.write_with(client_secret, suite, Epoch.HANDSHAKE)
        if hello.legacy_session_id and not hs.info.retried:
            hs.records.write_change_cipher_spec()

    encrypted_extensions = yield from hs.expect(EncryptedExtensions)
    hs.info.application_protocol = negotiate.check_encrypted_extensions(hello, encrypted_extensions)
    early = offered_early and early_data_accepted(hs, session, encrypted_extensions)
    if offered_early and not early:
        hs.write_with(client_secret, suite, Epoch.HANDSHAKE)
    tell_negotiated(hs, hello)

    asked = proven = None
    if session is None:
        asked, proven = yield from read_server_certificate(hs, hello)
    yield from check_finished(hs, server_secret)
    if session is not None:
        adopt_resumed_peer(hs, session.peer, session.session.ocsp_response, session.session.timestamps)

    main_secret = handshake_secret.main_secret()
    client_application, server_application, exporter = main_secret.application_secrets(hs.transcript.digest())
    hs.read_with(server_application, suite, Epoch.APPLICATION, after=Finished)
    hs.records.accepts_change_cipher_spec = False

    if proven is not None:
        hs.info.peer = yield from judge_identity(
            hs, proven, verifier, server_name=server_name, enforce=hs.config.enforce_verdict
        )
    if early:
        send_end_of_early_data(hs, client_secret, suite)
    if asked is not None:
        yield from send_client_certificate(hs, *asked)
    send_finished(hs, client_secret)
    wanted = hs.config.sessions is not None or hs.watch.wants_secrets
    resumption = main_secret.resumption_secret(hs.transcript.digest()) if wanted else None
    hs.write_with(client_application, suite, Epoch.APPLICATION)
    keep_ticket = None if resumption is None else ticket_keeper(hs, server_name, suite, resumption, session)
    return Established(suite, server_application, client_application, exporter, keep_ticket)


def read_server_certificate(
    hs: ClientHandshake, hello: ClientHello
) -> Generator[Step, Any, tuple[tuple[CertificateRequest, CertificateWanted] | None, ProvenChain]]:
    """What the server wants to know of us, and its certificate with its proof. RFC 9846 4.4.2 and 4.5."""
    request = yield from hs.maybe(CertificateRequest, before=certificate_kinds(hello))
    asked = None
    if request is not None:
        wanted = negotiate.check_certificate_request(request)
        hs.info.client_auth_requested, hs.info.ca_names = True, wanted.ca_names
        asked = request, wanted
    certificate = yield from receive_certificate(hs, hello)
    if not certificate.certificate_list:
        raise PeerMisbehaved("empty_server_certificate")
    return asked, (yield from read_certificate_verify(hs, certificate, hs.config.schemes, hello.extensions))


def send_client_certificate(
    hs: ClientHandshake, request: CertificateRequest, wanted: CertificateWanted
) -> Generator[Step, Any, None]:
    """Who we are, as far as the server asked; ``wanted`` is what its request says. RFC 9846 4.5."""
    mine = yield from client_choice(hs, wanted)
    form = negotiate.certificate_form(request, hs.config.certificate_compression)
    yield from prove_identity(hs, mine, form)
