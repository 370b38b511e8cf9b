"""The TLS 1.2 client, from the ServerHello to both Finished. RFC 5246 figure 1, RFC 8422 2.

Nothing of ours is shown or signed before the server has proven who it is and was accepted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handfast.errors import PeerMisbehaved
from handfast.events import Role
from handfast.handshake import keys12, negotiate12
from handfast.handshake.finish import check_finished, send_finished, tell_negotiated
from handfast.handshake.identity import client_choice, judge_identity
from handfast.handshake.identity12 import (
    check_params_signature,
    presented_chain,
    prove_possession,
    schemes_for,
    show_certificate,
)
from handfast.handshake.negotiate import TLS12
from handfast.keys import keylog
from handfast.keys.established12 import Established12
from handfast.registry import ExtensionType
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import (
    MESSAGES_12,
    Certificate,
    CertificateRequest,
    ClientKeyExchange,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)

if TYPE_CHECKING:
    from handfast.handshake.config import ClientConfig
    from handfast.handshake.flow import Handshake, Step
    from handfast.trust.verifiers import Verifier


def client12(
    hs: Handshake,
    config: ClientConfig,
    verifier: Verifier,
    server_name: str | None,
    hello: ClientHello,
    answer: ServerHello,
) -> Generator[Step, Any, Established12]:
    """What follows a ServerHello that chose TLS 1.2."""
    hs.speak(MESSAGES_12, keylog.SECRETS_12)
    hs.records.change_cipher_spec_means_keys()
    choice = negotiate12.check_server_hello(hello, answer, require_extended=config.require_extended_main_secret)
    suite, randoms = choice.suite, (hello.random, answer.random)
    hs.info.version, hs.info.suite, hs.info.application_protocol = TLS12, suite.id, choice.protocol

    chain = presented_chain(hs, (yield from hs.expect(Certificate)))
    if not chain:
        raise PeerMisbehaved("empty_server_certificate")
    exchange = yield from hs.expect(ServerKeyExchange)
    hs.info.group = group = negotiate12.check_params(hello, exchange.params)
    proven = check_params_signature(hs, chain, exchange, b"".join(randoms), suite, config.schemes)
    # A server must not evade its certificate's promise of a response (RFC 7633 4.2.3.1) by choosing this version.
    proven = replace(proven, asked_for_ocsp_response=ExtensionType.status_request in hello.extensions)
    tell_negotiated(hs, hello)
    wanted = None
    request = yield from hs.maybe(CertificateRequest, before=ServerHelloDone)
    if request is not None:
        wanted = negotiate12.CertificateWanted.from_request(request)
        hs.info.client_auth_requested = True
        hs.info.ca_names = wanted.ca_names
    yield from hs.expect(ServerHelloDone)
    hs.require_boundary(ServerHelloDone)
    judged = yield from judge_identity(hs, proven, verifier, server_name=server_name, enforce=config.enforce_verdict)

    mine = None
    if wanted is not None:
        mine = yield from client_choice(hs, config, wanted.asked, schemes_for(wanted))
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
    send_finished(hs, main_secret.finished_key(Role.CLIENT))

    keys12.read_with(hs, suite, keys[Role.SERVER], after=ServerHelloDone)
    yield from check_finished(hs, main_secret.finished_key(Role.SERVER))
    hs.info.peer = judged
    return Established12(suite, main_secret.exporter())
