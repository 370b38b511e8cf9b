"""The TLS 1.2 server, from its own hello to both Finished. RFC 5246 figure 1, RFC 8422 2."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.config.by_name import no_such_name
from handfast.config.config import ClientAuth
from handfast.handshake import negotiate
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import ProvenChain, adopt_resumed_peer, candidates, judge_client
from handfast.handshake.negotiate import TLS12, certificate_form, choose_protocol
from handfast.handshake.selection import Choice
from handfast.handshake.tls12 import keys as keys12
from handfast.handshake.tls12 import negotiate as negotiate12
from handfast.handshake.tls12.identity import (
    choose_server_credentials,
    prove_params,
    receive_chain,
    show_certificate,
    verify_possession,
)
from handfast.handshake.tls12.negotiate import CERTIFICATE_TYPES
from handfast.handshake.tls12.server_resumption import (
    Resumption12,
    find_session_12,
    keep_session_12,
    send_ticket_12,
    session_ids,
    ticket_is_due,
)
from handfast.keys import secret_names as keylog
from handfast.keys.established12 import Established12
from handfast.keys.schedule12 import MainSecret12
from handfast.registry import CertificateStatusType, ECCurveType, ECPointFormat
from handfast.roles import Role
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
    SessionTicketAcknowledged,
    SignedCertificateTimestampList,
)
from handfast.wire.messages import CertificateVerify, ClientHello
from handfast.wire.messages12 import (
    MESSAGES_12,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    ServerECDHParams,
    ServerHello,
    ServerHelloDone,
)

if TYPE_CHECKING:
    from handfast.handshake.context import ServerHandshake, Step


def server12(hs: ServerHandshake, hello: ClientHello, sentinel: bytes) -> Generator[Step, Any, Established12]:
    """What follows a ClientHello that is answered by TLS 1.2. ``sentinel`` is the end of our random, or b""."""
    config = hs.config
    hs.switch_version(MESSAGES_12, keylog.SECRETS_12)
    hs.records.expect_tls12_change_cipher_spec()
    offer = negotiate12.check_client_hello(hello, require_extended=config.require_extended_main_secret)
    resumption = yield from find_session_12(hs, offer)
    if resumption is not None:
        return (yield from resumed_server12(hs, offer, resumption, sentinel))
    suites = negotiate12.common_suites(config.suites, offer)
    group = negotiate12.choose_group(config.groups, offer.groups)
    ours = yield from candidates(hs, lambda: negotiate.seen(hello))
    if not ours:
        raise no_such_name(hs.info.server_name)
    suite, mine = choose_server_credentials(ours, suites, offer, hs.info.server_name, config.signing_schemes)
    protocol = choose_protocol(config.application_protocols, offer, required=config.require_application_protocol)
    hs.info.version, hs.info.suite, hs.info.group = TLS12, suite.id, group
    hs.info.application_protocol = protocol

    ticket = ticket_is_due(hs, offer, None)
    by_id = offer.extended and not ticket and config.ticket_count and session_ids(config) is not None
    session_id = hs.seams.random_bytes(32) if by_id else b""
    random = hs.seams.random_bytes(32 - len(sentinel)) + sentinel
    extensions = Extensions(
        server_hello_extensions(offer, protocol, ticket=ticket, resumed=False) | staple(hello, mine)
    )
    answer = hs.send(ServerHello(TLS12, random, session_id, suite.id, 0, extensions))
    randoms = hello.random, answer.random
    show_certificate(hs, mine, None)
    if mine.credentials is not None and extensions.find(CertificateStatusAcknowledged) is not None:
        hs.send(CertificateStatus(CertificateStatusType.ocsp, mine.credentials.ocsp_response))
    share = hs.seams.generate(group)
    params = ServerECDHParams(ECCurveType.named_curve, group, share.public)
    yield from prove_params(hs, mine, params, b"".join(randoms))
    tell_negotiated(hs, hello)
    if config.client_auth is not ClientAuth.NONE:
        hs.send(certificate_request(hs))
    hs.send(ServerHelloDone())

    chain: tuple[bytes, ...] = ()
    if config.client_auth is not ClientAuth.NONE:
        chain = yield from receive_chain(hs)
    exchange = yield from hs.expect(ClientKeyExchange)
    shared_secret = share.shared_secret(exchange.public)
    main_secret = keys12.main_secret(hs, suite, shared_secret, randoms, extended=offer.extended)
    keys = main_secret.keys()
    proven = yield from proof_of(hs, chain)
    hs.transcript.start(suite.hash)
    keys12.read_with(hs, suite, keys[Role.CLIENT], after=CertificateVerify if chain else ClientKeyExchange)
    first_finished = yield from check_finished(hs, main_secret.finished_key(Role.CLIENT))

    yield from judge_client(hs, hs.config.client_auth, proven)
    if ticket:
        yield from send_ticket_12(hs, suite, main_secret.value, None)
    elif by_id:
        yield from keep_session_12(hs, suite, session_id, main_secret.value)
    keys12.write_with(hs, suite, keys[Role.SERVER])
    send_finished(hs, main_secret.finished_key(Role.SERVER))
    return Established12(suite, main_secret.exporter(), first_finished)


def proof_of(hs: ServerHandshake, chain: tuple[bytes, ...]) -> Generator[Step, Any, ProvenChain | None]:
    """The client's proof that it has the key of this chain, if it showed one. RFC 5246 7.4.8."""
    if not chain:
        return None
    content = hs.transcript.messages
    return verify_possession(hs, chain, (yield from hs.expect(CertificateVerify)), content, hs.config.schemes)


def resumed_server12(
    hs: ServerHandshake, offer: negotiate12.Offer, resumption: Resumption12, sentinel: bytes
) -> Generator[Step, Any, Established12]:
    """The abbreviated handshake. RFC 5246 figure 2, RFC 5077 figure 2."""
    hello, suite = offer.hello, resumption.suite
    protocol = choose_protocol(hs.config.application_protocols, offer, required=hs.config.require_application_protocol)
    hs.info.version, hs.info.suite, hs.info.application_protocol = TLS12, suite.id, protocol
    ticket = ticket_is_due(hs, offer, resumption) and not resumption.by_id
    random = hs.seams.random_bytes(32 - len(sentinel)) + sentinel
    extensions = server_hello_extensions(offer, protocol, ticket=ticket, resumed=True)
    session_id = hello.legacy_session_id
    answer = hs.send(ServerHello(TLS12, random, session_id, suite.id, 0, extensions))
    hs.transcript.start(suite.hash)
    tell_negotiated(hs, hello)
    secret = resumption.state.main_secret
    main_secret = MainSecret12.restored(suite, secret, (hello.random, answer.random), hs.report)
    keys = main_secret.keys()
    if ticket:
        yield from send_ticket_12(hs, suite, secret, resumption)
    keys12.write_with(hs, suite, keys[Role.SERVER])
    first_finished = send_finished(hs, main_secret.finished_key(Role.SERVER))
    keys12.read_with(hs, suite, keys[Role.CLIENT], after=ClientHello)
    yield from check_finished(hs, main_secret.finished_key(Role.CLIENT))
    adopt_resumed_peer(hs, resumption.peer)
    return Established12(suite, main_secret.exporter(), first_finished)


def server_hello_extensions(
    offer: negotiate12.Offer, protocol: str | None, *, ticket: bool, resumed: bool
) -> Extensions:
    """The answers to the client's hello. RFC 5746 3.6, RFC 7627 5.1, RFC 8422 5.2, RFC 7301 3.1, RFC 5077 3.2."""
    bodies: list[ExtensionBody] = []
    # RFC 6066 3: not where a session is resumed.
    if offer.hello.find(ServerNameList) is not None and not resumed:
        bodies.append(ServerNameAcknowledged())
    if offer.secure_renegotiation:
        bodies.append(RenegotiationInfo(b""))
    if offer.extended:
        bodies.append(ExtendedMainSecret())
    if offer.hello.find(ECPointFormatList) is not None:
        bodies.append(ECPointFormatList((ECPointFormat.uncompressed,)))
    if ticket:
        bodies.append(SessionTicketAcknowledged())
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


def certificate_request(hs: ServerHandshake) -> CertificateRequest:
    """RFC 5246 7.4.4."""
    hs.info.client_auth_requested = True
    hs.info.ca_names = tuple(hs.config.ca_names or ())
    return CertificateRequest(tuple(CERTIFICATE_TYPES.values()), tuple(hs.config.schemes), hs.info.ca_names)
