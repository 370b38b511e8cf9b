"""Resuming sessions on the server's side: which one a PSK names, which tickets are given. RFC 9846 2.2, 4.3.11, 4.7.1.

A ticket is only a claim that somebody was here before. Before it decides anything its binder is checked; then the chain
that the client had proved is judged again in full, against the configuration chosen for this very hello, and where the
verdict is a refusal that matters the PSK is declined: the handshake goes on as a full one. PSKs are only ever used with
(EC)DHE. What the session was trusted under, the policy, is associated data of its ticket.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.connection_info import ConnectionInfo, UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.handshake.early_data import allowed_by_tickets
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.handshake.needs import Issue, Redeem
from handfast.handshake.psk import Resumption, check_binder
from handfast.handshake.server_names import may_have_credentials
from handfast.sessions.state import FORMAT, TicketState
from handfast.wire.extensions import (
    EarlyDataIndicationNewSessionTicket,
    Extensions,
    OfferedPsks,
)
from handfast.wire.messages import NewSessionTicket

if TYPE_CHECKING:
    from handfast.config.config import Config, ServerConfig
    from handfast.handshake.context import ServerHandshake, Step
    from handfast.handshake.negotiate import Offer
    from handfast.keys.schedule import ResumptionSecret
    from handfast.keys.transcript import Transcript


def trusted_by(config: Config) -> bytes:
    """Who judges: the first part of what sessions are bound to, looked up each time as verifiers may load anew.

    A verifier says by ``policy_id`` (bytes) when it is the same as another; one that does not is like no other, and its
    sessions stay with the configuration that holds it.
    """
    from handfast.trust.verifiers import policy_id

    own = policy_id(config.verifier)
    return b"?" + config.own_id if own is None else b"=" + own


def bound_to(*parts: str | bytes) -> bytes:
    """32 bytes for these parts, in this order, and for no others."""
    # A client may ask for a name as long as its hello.
    return _digest(*parts) if sum(map(len, parts)) > limits.MAX_KEPT_NAME else _digest_or_recall(*parts)


def _digest(*parts: str | bytes) -> bytes:
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return SHA256.digest(b"".join(len(part).to_bytes(4, "big") + part for part in encoded))


_digest_or_recall = lru_cache(maxsize=256)(_digest)


def server_policy(config: ServerConfig, server_name: str | None) -> bytes:
    """What a server's tickets are bound to: how clients are authenticated, by whom if by anybody, and under which name.

    32 bytes that are equal for two connections only if all that made a session trusted is.
    """
    judge = b"" if config.verifier is None else trusted_by(config)
    return bound_to(judge, config.client_auth, server_name or "")


# Accepting a PSK


def find_session(
    hs: ServerHandshake, offer: Offer, suite: Suite13, before: Transcript | None
) -> Generator[Step, Any, Resumption | None]:
    """The session that the client wants to resume, if we know it and it still holds. RFC 9846 4.3.11.

    ``before`` is the transcript up to the hello of ``offer``, without it; None for an empty one.
    """
    config = hs.config
    if config.tickets is None or not offer.parameters.resumes:
        return None
    offered = offer.hello.find(OfferedPsks)
    if offered is None:
        return None
    policy = server_policy(config, hs.info.server_name)
    for index, identity in enumerate(offered.identities[: limits.MAX_PSK_IDENTITIES]):
        state = TicketState.decode((yield from hs.ask(Redeem(config.tickets, identity.identity, policy))))
        if state is None or not may_resume(state, config, suite, hs.info.server_name, hs.seams.clock()):
            continue
        early_secret = hs.early_secret(suite, state.psk)
        binder = check_binder(hs, early_secret, offer.hello, index, before, external=bool(state.external))
        peer: VerifiedPeer | UnverifiedPeer | None = None
        if state.chain:
            proven = ProvenChain(state.chain, state.ocsp_response, config.asks_for_ocsp_response)
            peer = yield from judge_restored(hs, proven, config.verifier, server_name=None)
            if config.client_auth.enforces_verdict and not isinstance(peer, VerifiedPeer):
                return None
        hs.info.external_psk = bool(state.external)
        return Resumption(index, state, peer, early_secret, binder)
    return None


def may_resume(state: TicketState, config: ServerConfig, suite: Suite13, server_name: str | None, now: float) -> bool:
    """Whether a session may be resumed under this configuration, as far as that needs no judgement."""
    if state.suite not in SUITES_13 or SUITES_13[state.suite].hash is not suite.hash:
        return False
    if not state.external and not may_have_credentials(config, server_name):
        return False
    enough = state.chain or (state.external and config.psk_satisfies_client_auth)
    if config.client_auth.requires_certificate and not enough:
        return False
    if now * 1000 >= state.issued_at + state.ticket_lifetime * 1000:
        return False
    return now * 1000 < state.authenticated_at + config.session_lifetime * 1000


# Giving tickets


def tickets_to_send(config: ServerConfig, offer: Offer, *, resumed: bool) -> int:
    """How many, by what the client asked for, unless we give none. RFC 9149."""
    if config.tickets is None or not config.ticket_count or not offer.parameters.resumes:
        return 0
    asked = offer.parameters.tickets
    return config.ticket_count if asked is None else min(asked[resumed], limits.MAX_TICKETS_SENT)


def known_client(info: ConnectionInfo) -> bytes:
    """The certificate of a client that the verifier accepted, b"" of any other: whose sessions stay longest."""
    return info.peer_chain[0] if isinstance(info.peer, VerifiedPeer) else b""


def send_tickets(
    hs: ServerHandshake, suite: Suite13, secret: ResumptionSecret, resumption: Resumption | None, count: int
) -> Generator[Step, Any, None]:
    """Give the client its tickets: after its Finished and the verdict, never before. RFC 9846 4.7.1."""
    config = hs.config
    info = hs.info
    known = info.peer is not None
    chain, ocsp_response = (info.peer_chain, info.ocsp_response) if known else ((), b"")
    if config.tickets is None or (known and stored_size(info) > limits.MAX_STORED_CHAIN):
        return
    now = int(hs.seams.clock() * 1000)
    authenticated_at = now if resumption is None else resumption.state.authenticated_at
    left = config.session_lifetime - (now - authenticated_at) / 1000
    lifetime = int(min(config.ticket_lifetime, left))
    if lifetime <= 0:
        return
    early_data, scope = allowed_by_tickets(config, identified=bool(chain))
    policy = server_policy(config, info.server_name)
    client = known_client(info)
    if chain and not client:
        # A chain that anybody can make is kept no more often than we would by ourselves: stores have one budget.
        count = min(count, config.ticket_count)
    for number in range(count):
        nonce = bytes((number,))
        state = TicketState(
            format=FORMAT,
            suite=suite.id,
            psk=secret.psk(nonce),
            ticket_age_add=int.from_bytes(hs.seams.random_bytes(4), "big"),
            issued_at=now,
            authenticated_at=authenticated_at,
            ticket_lifetime=lifetime,
            application_protocol=(info.application_protocol or "").encode(),
            server_name=(info.server_name or "").encode(),
            max_early_data=early_data,
            replay_scope=scope,
            external=0,
            chain=chain,
            ocsp_response=ocsp_response,
            timestamps=info.signed_certificate_timestamps if known else (),
        )
        ticket = yield from hs.ask(Issue(config.tickets, state.encode(), policy, lifetime, client))
        if not isinstance(ticket, bytes) or not 1 <= len(ticket) < 2**16:
            return
        extensions = Extensions()
        if state.max_early_data:
            extensions = Extensions.of(EarlyDataIndicationNewSessionTicket(state.max_early_data))
        hs.send_after(NewSessionTicket(lifetime, state.ticket_age_add, nonce, ticket, extensions))
