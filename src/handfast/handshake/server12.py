"""The TLS 1.2 server, from its own hello to both Finished. RFC 5246 figure 1, RFC 8422 2."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.events import Role
from handfast.handshake import keys12, negotiate, negotiate12
from handfast.handshake.by_name import no_such_name
from handfast.handshake.config import ClientAuth
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import ProvenChain, candidates, judge_identity, refuse_without_certificate
from handfast.handshake.identity12 import (
    check_possession,
    choose_server_credentials,
    presented_chain,
    prove_params,
    show_certificate,
)
from handfast.handshake.negotiate import TLS12, certificate_form, choose_protocol
from handfast.handshake.negotiate12 import CERTIFICATE_TYPES
from handfast.handshake.selection import Choice
from handfast.keys import keylog
from handfast.keys.established12 import Established12
from handfast.registry import AlertDescription, CertificateStatusType, ECCurveType, ECPointFormat
from handfast.wire.extensions import (
    CertificateStatusAcknowledged,
    ECPointFormatList,
    ExtendedMainSecret,
    ExtensionBody,
    Extensions,
    ProtocolNameList,
    RenegotiationInfo,
    ServerNameAcknowledged,
    ServerNameList,
    SignedCertificateTimestampList,
)
from handfast.wire.messages import CertificateVerify, ClientHello, HandshakeMessage
from handfast.wire.messages12 import (
    MESSAGES_12,
    Certificate,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    ServerECDHParams,
    ServerHello,
    ServerHelloDone,
)

if TYPE_CHECKING:
    from handfast.handshake.config import ServerConfig
    from handfast.handshake.flow import Handshake, Step


def server12(
    hs: Handshake, config: ServerConfig, hello: ClientHello, sentinel: bytes
) -> Generator[Step, Any, Established12]:
    """What follows a ClientHello that is answered by TLS 1.2. ``sentinel`` is the end of our random, or b""."""
    hs.speak(MESSAGES_12, keylog.SECRETS_12)
    hs.records.change_cipher_spec_means_keys()
    offer = negotiate12.check_client_hello(hello, require_extended=config.require_extended_main_secret)
    suites = negotiate12.common_suites(config.suites, offer)
    group = negotiate12.choose_group(config.groups, offer.groups)
    ours = yield from candidates(hs, config, negotiate.seen(hello))
    if not ours:
        raise no_such_name(hs.info.server_name)
    suite, mine = choose_server_credentials(ours, suites, offer, hs.info.server_name)
    protocol = choose_protocol(config.application_protocols, offer, required=config.require_application_protocol)
    hs.info.version, hs.info.suite, hs.info.group = TLS12, suite.id, group
    hs.info.application_protocol = protocol

    random = hs.seams.random_bytes(32 - len(sentinel)) + sentinel
    extensions = Extensions(server_hello_extensions(offer, protocol) | staple(hello, mine))
    answer = hs.send(ServerHello(TLS12, random, b"", suite.id, 0, extensions))
    randoms = hello.random, answer.random
    show_certificate(hs, mine, None)
    if mine.credentials is not None and extensions.find(CertificateStatusAcknowledged) is not None:
        hs.send(CertificateStatus(CertificateStatusType.ocsp, mine.credentials.ocsp_response))
    share = hs.seams.generate(group)
    params = ServerECDHParams(ECCurveType.named_curve, group, share.public)
    yield from prove_params(hs, mine, params, b"".join(randoms))
    tell_negotiated(hs, hello)
    if config.client_auth is not ClientAuth.NONE:
        hs.send(certificate_request(hs, config))
    hs.send(ServerHelloDone())

    chain: tuple[bytes, ...] = ()
    if config.client_auth is not ClientAuth.NONE:
        chain = presented_chain(hs, (yield from hs.expect(Certificate)))
    exchange = yield from hs.expect(ClientKeyExchange)
    shared_secret = share.shared_secret(exchange.public)
    main_secret = keys12.main_secret(hs, suite, shared_secret, randoms, extended=offer.extended)
    keys = main_secret.keys()
    proven: ProvenChain | None = None
    last: type[HandshakeMessage] = ClientKeyExchange
    if chain:
        content, last = hs.transcript.messages, CertificateVerify
        proven = check_possession(hs, chain, (yield from hs.expect(CertificateVerify)), content, config.schemes)
    hs.transcript.start(suite.hash)
    keys12.read_with(hs, suite, keys[Role.CLIENT], after=last)
    first_finished = yield from check_finished(hs, main_secret.finished_key(Role.CLIENT))

    if proven is not None:
        hs.info.peer = yield from judge_identity(
            hs, proven, config.verifier, server_name=None, enforce=config.client_auth.enforces_verdict
        )
    elif config.client_auth.requires_certificate:
        refusal = refuse_without_certificate(hs)
        # RFC 5246 7.4.6: there is no alert certificate_required.
        refusal.alert = AlertDescription.handshake_failure
        raise refusal
    keys12.write_with(hs, suite, keys[Role.SERVER])
    send_finished(hs, main_secret.finished_key(Role.SERVER))
    return Established12(suite, main_secret.exporter(), first_finished)


def server_hello_extensions(offer: negotiate12.Offer, protocol: str | None) -> Extensions:
    """The answers to what the client's hello asks. RFC 5746 3.6, RFC 7627 5.1, RFC 8422 5.2, RFC 7301 3.1."""
    bodies: list[ExtensionBody] = []
    if offer.hello.find(ServerNameList) is not None:
        bodies.append(ServerNameAcknowledged())
    if offer.secure_renegotiation:
        bodies.append(RenegotiationInfo(b""))
    if offer.extended:
        bodies.append(ExtendedMainSecret())
    if offer.hello.find(ECPointFormatList) is not None:
        bodies.append(ECPointFormatList((ECPointFormat.uncompressed,)))
    if protocol is not None:
        bodies.append(ProtocolNameList((protocol.encode(),)))
    return Extensions.of(*bodies)


def staple(hello: ClientHello, choice: Choice) -> Extensions:
    """What stands beside our certificate for this client: timestamps, or word that an OCSP response will follow it.

    RFC 6066 8, RFC 6962 3.3.1.
    """
    bodies: list[ExtensionBody] = []
    form, credentials = certificate_form(hello, ()), choice.credentials
    if credentials is not None and form.ocsp_response and credentials.ocsp_response:
        bodies.append(CertificateStatusAcknowledged())
    if credentials is not None and form.timestamps and credentials.sct_list:
        bodies.append(SignedCertificateTimestampList(credentials.sct_list))
    return Extensions.of(*bodies)


def certificate_request(hs: Handshake, config: ServerConfig) -> CertificateRequest:
    """RFC 5246 7.4.4."""
    hs.info.client_auth_requested = True
    hs.info.ca_names = tuple(config.ca_names or ())
    return CertificateRequest(tuple(CERTIFICATE_TYPES.values()), tuple(config.schemes), hs.info.ca_names)
