"""Resuming sessions on the server's side: which PSK is accepted, which tickets are given. RFC 9846 2.2, 4.3.11, 4.7.1.

A ticket is only a claim that somebody was here before. Before it decides anything its binder is checked; then the chain
that the client had proved is judged again in full, against the configuration chosen for this very hello, and where the
verdict is a refusal that matters the PSK is declined: the handshake goes on as a full one. PSKs are only ever used with
(EC)DHE. What the session was trusted under, the policy, is associated data of its ticket.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.connection_info import ConnectionInfo, UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.errors import PeerMisbehaved
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.handshake.needs import CheckReplay, Issue, Redeem
from handfast.handshake.server_names import may_have_credentials
from handfast.keys.transcript import without_binders
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
    from handfast.keys.schedule import EarlySecret, ExporterSecret, ResumptionSecret, TrafficSecret
    from handfast.keys.transcript import Transcript


@dataclass(slots=True)
class Resumption:
    """The PSK that this handshake rests on: which identity it was, what it stood for, and who the peer therefore is."""

    index: int
    state: TicketState
    peer: VerifiedPeer | UnverifiedPeer | None
    early_secret: EarlySecret = field(repr=False)
    binder: bytes = field(repr=False)


@dataclass(slots=True)
class EarlyDataKeys:
    """The secrets of early data that is accepted, and how many bytes of it may come."""

    limit: int
    traffic: TrafficSecret = field(repr=False)
    exporter: ExporterSecret = field(repr=False)


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
        binder = check_binder(hs, early_secret, offer, index, before, external=bool(state.external))
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


def check_binder(
    hs: ServerHandshake,
    early_secret: EarlySecret,
    offer: Offer,
    index: int,
    before: Transcript | None,
    *,
    external: bool,
) -> bytes:
    """Check that the client holds the PSK whose identity it sent. RFC 9846 4.3.11.2."""
    offered = offer.hello.find(OfferedPsks)
    received = b"" if offered is None else offered.binders[index]
    hash_, truncated = early_secret.hash, without_binders(offer.hello.raw, offered)
    transcript_hash = hash_.digest(truncated) if before is None else before.digest_with(hash_, truncated)
    expected = early_secret.binder_key(external=external).finished(transcript_hash)
    ok = compare_digest(expected, received)
    hs.checked(hs.role.peer.sends, "PSK binder", transcript_hash, expected, received, ok)
    if not ok:
        raise PeerMisbehaved("bad_binder")
    return received


# Early data


def consider_early_data(
    hs: ServerHandshake, offer: Offer, resumption: Resumption | None, suite: Suite13
) -> Generator[Step, Any, EarlyDataKeys | None]:
    """Whether early data that the client announced is taken; if not, ``info.early_data`` says why. RFC 9846 4.3.10."""
    if not offer.parameters.early_data:
        return None
    reason = early_data_refusal(hs, offer, resumption, suite)
    guard = hs.config.replay_guard
    if not reason and resumption is not None and guard is not None:
        first = yield from hs.ask(CheckReplay(guard, resumption.binder, 2 * limits.EARLY_DATA_TOLERANCE))
        reason = "" if first is True else "the replay guard has seen this hello, or could not say"
    if reason or resumption is None:
        hs.info.early_data = f"rejected: {reason}"
        return None
    hs.info.early_data = "accepted"
    if (peer := resumption.peer) is not None:
        hs.info.session_peer = UnverifiedPeer(peer.chain, peer.verdict)
    hello_hash = hs.transcript.digest()
    early_secret = resumption.early_secret
    return EarlyDataKeys(
        # What the ticket promised holds, even if tickets promise less by now.
        resumption.state.max_early_data,
        early_secret.client_early_traffic_secret(hello_hash),
        early_secret.early_exporter_secret(hello_hash),
    )


def early_data_refusal(hs: ServerHandshake, offer: Offer, resumption: Resumption | None, suite: Suite13) -> str:
    """Why early data cannot be taken, in words; "" if only the replay guard is left to ask. RFC 9846 4.3.10 and 8."""
    guard = hs.config.replay_guard
    if not hs.config.max_early_data or guard is None:
        return "this server takes none"
    if resumption is None or resumption.index:
        return "its PSK was not accepted"
    state = resumption.state
    if not state.max_early_data:
        return "its ticket allows none"
    if state.suite != suite.id:
        return "the suite is another one than the ticket's"
    if state.application_protocol != (hs.info.application_protocol or "").encode():
        return "the application protocol is another one than the ticket's"
    if state.server_name != (hs.info.server_name or "").encode():
        return "the server name is another one than the ticket's"
    if state.chain and not hs.config.early_data_with_client_identity:
        return "the session carries a client identity"
    now = hs.seams.clock()
    age = client_age(offer, state)
    if abs(now - state.issued_at / 1000 - age) > limits.EARLY_DATA_TOLERANCE:
        return "its ticket's age does not agree with our clock"
    scope, since = scope_and_start(guard)
    if not scope or state.replay_scope != scope:
        return "another replay guard answers for its ticket"
    # A hello cannot be older than its ticket.
    if state.issued_at / 1000 + max(0.0, age - limits.EARLY_DATA_TOLERANCE) < since:
        return "the replay guard is younger than the hello may be"
    return ""


def client_age(offer: Offer, state: TicketState) -> float:
    """The age of its ticket as the client tells it, in seconds. RFC 9846 4.3.11.1."""
    offered = offer.hello.find(OfferedPsks)
    obfuscated = 0 if offered is None else offered.identities[0].obfuscated_ticket_age
    return ((obfuscated - state.ticket_age_add) % 2**32) / 1000


def scope_and_start(guard: Any) -> tuple[bytes, float]:
    """What a guard answers for, and since when. One of somebody else's may fail: then it answers for nothing."""
    try:
        scope, since = guard.scope, float(guard.since)
    except Exception as error:  # noqa: BLE001 (whatever it raises, the early data is refused and the handshake goes on)
        reason = type(error).__name__
        logs.warn("failures of stores", lambda: f"the replay guard failed: {reason}")
        return b"", math.inf
    usable = isinstance(scope, bytes) and 1 <= len(scope) <= 255 and not math.isnan(since)
    return (scope, since) if usable else (b"", math.inf)


# Giving tickets


def tickets_to_send(config: ServerConfig, offer: Offer, *, resumed: bool) -> int:
    """How many, by what the client asked for. RFC 9149."""
    if config.tickets is None or not offer.parameters.resumes:
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
    early_data = config.max_early_data if not chain or config.early_data_with_client_identity else 0
    scope = scope_and_start(config.replay_guard)[0] if early_data else b""
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
            max_early_data=early_data if scope else 0,
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
