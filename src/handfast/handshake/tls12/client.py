"""The TLS 1.2 client, from the ServerHello to both Finished. RFC 5246 figure 1, RFC 8422 2.

Nothing of ours is shown or signed before the server has proven who it is and was accepted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handfast.errors import PeerMisbehaved
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import adopt_resumed_peer, client_choice, judge_identity
from handfast.handshake.negotiate import TLS12
from handfast.handshake.tls12 import keys as keys12
from handfast.handshake.tls12 import negotiate as negotiate12
from handfast.handshake.tls12.client_resumption import SessionOffer12, remember_session_12
from handfast.handshake.tls12.identity import (
    check_params_signature,
    note_staple,
    prove_possession,
    receive_chain,
    schemes_for,
    show_certificate,
)
from handfast.keys import secret_names as keylog
from handfast.keys.established12 import Established12
from handfast.keys.schedule12 import MainSecret12
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.wire.extensions import CertificateStatusAcknowledged
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import (
    MESSAGES_12,
    CertificateRequest,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)

if TYPE_CHECKING:
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.trust.verifiers import Verifier


def client12(
    hs: ClientHandshake,
    verifier: Verifier,
    server_name: str | None,
    hello: ClientHello,
    answer: ServerHello,
    session: SessionOffer12 | None,
) -> Generator[Step, Any, Established12]:
    """What follows a ServerHello that chose TLS 1.2; ``session`` is what we offered to resume."""
    hs.switch_version(MESSAGES_12, keylog.SECRETS_12)
    hs.records.expect_tls12_change_cipher_spec()
    choice = negotiate12.check_server_hello(hello, answer, require_extended=hs.config.require_extended_main_secret)
    suite, randoms = choice.suite, (hello.random, answer.random)
    hs.info.version, hs.info.suite, hs.info.application_protocol = TLS12, suite.id, choice.protocol
    if choice.resumes:
        negotiate12.check_resumption(choice, None if session is None else session.session.suite)
        if session is not None:
            return (yield from resumed_client12(hs, server_name, hello, answer, choice, session))

    chain = yield from server_chain(hs, answer)
    exchange = yield from hs.expect(ServerKeyExchange)
    hs.info.group = group = negotiate12.check_params(hello, exchange.params)
    proven = replace(
        check_params_signature(hs, chain, exchange, b"".join(randoms), suite, hs.config.schemes),
        ocsp_response=hs.info.ocsp_response,
        asked_for_ocsp_response=ExtensionType.status_request in hello.extensions,
    )
    tell_negotiated(hs, hello)
    wanted = yield from certificate_wanted(hs)
    judged = yield from judge_identity(hs, proven, verifier, server_name=server_name, enforce=hs.config.enforce_verdict)

    mine = None
    if wanted is not None:
        mine = yield from client_choice(hs, wanted.asked, schemes_for(wanted))
        show_certificate(hs, mine, wanted.ca_names)
    share = hs.seams.generate(group)
    shared_secret = share.shared_secret(exchange.params.public)
    hs.send(ClientKeyExchange(share.public))
    main_secret = keys12.main_secret(hs, suite, shared_secret, randoms, extended=choice.extended)
    keys = main_secret.keys()
    if mine is not None and mine.credentials is not None:
        yield from prove_possession(hs, mine)
    hs.transcript.start(suite.hash)
    keys12.write_with(hs, suite, keys[Role.CLIENT])
    first_finished = send_finished(hs, main_secret.finished_key(Role.CLIENT))

    ticket = None
    if choice.ticket:
        ticket = yield from hs.expect(NewSessionTicket)
    keys12.read_with(hs, suite, keys[Role.SERVER], after=NewSessionTicket if choice.ticket else ServerHelloDone)
    yield from check_finished(hs, main_secret.finished_key(Role.SERVER))
    hs.info.peer = judged
    remember_session_12(hs, server_name, main_secret, ticket, answer.session_id, None)
    return Established12(suite, main_secret.exporter(), first_finished)


def server_chain(hs: ClientHandshake, answer: ServerHello) -> Generator[Step, Any, tuple[bytes, ...]]:
    """The certificates that the server shows, never none, and what it staples to them. RFC 5246 7.4.2, RFC 6066 8."""
    chain = yield from receive_chain(hs)
    if not chain:
        raise PeerMisbehaved("empty_server_certificate")
    status = None
    if answer.find(CertificateStatusAcknowledged) is not None:
        status = yield from hs.maybe(CertificateStatus, before=ServerKeyExchange)
    note_staple(hs, answer, status)
    return chain


def certificate_wanted(hs: ClientHandshake) -> Generator[Step, Any, negotiate12.CertificateWanted12 | None]:
    """What the server asks of us, with which its flight ends. RFC 5246 7.4.4."""
    wanted = None
    request = yield from hs.maybe(CertificateRequest, before=ServerHelloDone)
    if request is not None:
        wanted = negotiate12.CertificateWanted12.from_request(request)
        hs.info.client_auth_requested = True
        hs.info.ca_names = wanted.ca_names
    yield from hs.expect(ServerHelloDone)
    hs.require_boundary(ServerHelloDone)
    return wanted


def resumed_client12(
    hs: ClientHandshake,
    server_name: str | None,
    hello: ClientHello,
    answer: ServerHello,
    choice: negotiate12.ServerChoice,
    offered: SessionOffer12,
) -> Generator[Step, Any, Established12]:
    """The abbreviated handshake. RFC 5246 figure 2, RFC 5077 figure 2."""
    suite, session = choice.suite, offered.session
    hs.transcript.start(suite.hash)
    tell_negotiated(hs, hello)
    main_secret = MainSecret12.restored(suite, session.main_secret, (hello.random, answer.random), hs.report)
    keys = main_secret.keys()
    ticket = None
    if choice.ticket:
        ticket = yield from hs.expect(NewSessionTicket)
    keys12.read_with(hs, suite, keys[Role.SERVER], after=NewSessionTicket if choice.ticket else ServerHello)
    first_finished = yield from check_finished(hs, main_secret.finished_key(Role.SERVER))
    adopt_resumed_peer(hs, offered.peer, session.ocsp_response, session.timestamps)
    hs.info.session_identified = session.identified
    keys12.write_with(hs, suite, keys[Role.CLIENT])
    send_finished(hs, main_secret.finished_key(Role.CLIENT))
    remember_session_12(hs, server_name, main_secret, ticket, b"", offered)
    return Established12(suite, main_secret.exporter(), first_finished)
