"""The TLS 1.3 client, from the server's keys to its own Finished. RFC 9846 figure 1 and 4.4 to 4.5."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.crypto.suites import SUITES_13
from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.handshake import negotiate
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import (
    certificate_kinds,
    check_identity,
    choose_client_credentials,
    judge_identity,
    prove_identity,
    receive_certificate,
)
from handfast.keys.established import Established
from handfast.wire.messages import (
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    Finished,
    ServerHello,
)

if TYPE_CHECKING:
    from handfast.handshake.config import ClientConfig
    from handfast.handshake.flow import Handshake, Step
    from handfast.trust.verifiers import Verifier


def client13(
    hs: Handshake,
    config: ClientConfig,
    verifier: Verifier,
    server_name: str | None,
    hello: ClientHello,
    choice: negotiate.ServerChoice,
    shared_secret: bytes,
) -> Generator[Step, Any, Established]:
    """What follows a ServerHello that chose TLS 1.3."""
    suite = SUITES_13[choice.suite]
    hs.transcript.start(suite.hash)
    hs.info.version, hs.info.suite, hs.info.group = negotiate.TLS13, choice.suite, choice.group

    handshake_secret = hs.early_secret(suite).handshake_secret(shared_secret)
    client_handshake = handshake_secret.client_handshake_traffic_secret(hs.transcript.digest())
    server_handshake = handshake_secret.server_handshake_traffic_secret(hs.transcript.digest())
    hs.read_with(server_handshake, suite, Epoch.HANDSHAKE, after=ServerHello)
    hs.write_with(client_handshake, suite, Epoch.HANDSHAKE)
    if hello.legacy_session_id:
        hs.records.write_change_cipher_spec()

    encrypted_extensions = yield from hs.expect(EncryptedExtensions)
    hs.info.application_protocol = negotiate.check_encrypted_extensions(hello, encrypted_extensions)
    tell_negotiated(hs, hello)

    wanted = None
    request = yield from hs.maybe(CertificateRequest, before=certificate_kinds(hello))
    if request is not None:
        wanted = negotiate.check_certificate_request(request)
        hs.info.client_auth_requested = True
        hs.info.ca_names = wanted.ca_names
    certificate = yield from receive_certificate(hs, hello)
    if not certificate.certificate_list:
        raise PeerMisbehaved("empty_server_certificate")
    proven = yield from check_identity(hs, certificate, config.schemes, hello.extensions)
    before_finished = hs.transcript.digest()
    finished = yield from hs.expect(Finished)
    check_finished(hs, server_handshake, before_finished, finished)

    main_secret = handshake_secret.main_secret()
    transcript_hash = hs.transcript.digest()
    client_application = main_secret.client_application_traffic_secret(transcript_hash)
    server_application = main_secret.server_application_traffic_secret(transcript_hash)
    exporter = main_secret.exporter_secret(transcript_hash)
    hs.read_with(server_application, suite, Epoch.APPLICATION, after=Finished)
    hs.records.accepts_change_cipher_spec = False

    hs.info.peer = yield from judge_identity(
        hs, proven, verifier, server_name=server_name, enforce=config.enforce_verdict
    )
    if request is not None and wanted is not None:
        mine = choose_client_credentials(config.credentials, wanted)
        yield from prove_identity(hs, config, mine, request)
    send_finished(hs, client_handshake)
    resumption = main_secret.resumption_secret(hs.transcript.digest())
    hs.write_with(client_application, suite, Epoch.APPLICATION)
    return Established(suite, server_application, client_application, exporter, resumption)
