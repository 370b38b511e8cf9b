"""Resuming sessions of TLS 1.2 on the server's side, by ticket or by session id. RFC 5077 3, RFC 5246 7.3 and F.1.4.

The rules are those of TLS 1.3: a ticket is only a claim, the chain behind it is judged again in full by the
configuration that was chosen for this hello, and where the verdict is a refusal that matters the handshake is a full
one. That the client holds the session's secret is shown by its Finished; nothing is known of the client before that.
Only sessions with the extended main secret are ever kept.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.connection_info import UnverifiedPeer, VerifiedPeer
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites12 import SUITES_12, Suite12
from handfast.errors import PeerMisbehaved
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.handshake.needs import Find, Issue, Keep, Redeem
from handfast.handshake.server_names import may_have_credentials
from handfast.handshake.server_resumption import known_client, server_policy
from handfast.sessions.state12 import FORMAT_12, TicketState12
from handfast.wire.extensions import SessionTicket
from handfast.wire.messages12 import NewSessionTicket

if TYPE_CHECKING:
    from handfast.config.config import ServerConfig
    from handfast.handshake.context import ServerHandshake, Step
    from handfast.handshake.tls12.negotiate import Offer
    from handfast.sessions.tickets import SessionIds


@dataclass(frozen=True, slots=True)
class Resumption12:
    """The session that this handshake rests on, and who the peer therefore is; ``by_id``: no ticket brought it."""

    state: TicketState12
    peer: VerifiedPeer | UnverifiedPeer | None
    by_id: bool

    @property
    def suite(self) -> Suite12:
        """The session's suite, which this connection has too."""
        return SUITES_12[self.state.suite]


def policy_12(config: ServerConfig, server_name: str | None, *, by_id: bool) -> bytes:
    """What a session is bound to, the version and the way to name it included.

    A session id is no secret: shown as a ticket it would be redeemed and gone. A ticket as an id would stay.
    """
    way = b"TLS 1.2 session id" if by_id else b"TLS 1.2"
    return SHA256.digest(way + server_policy(config, server_name))


def session_ids(config: ServerConfig) -> SessionIds | None:
    """Where sessions are found under their ids, if the configuration has such a store."""
    tickets: Any = config.tickets
    return tickets if hasattr(tickets, "keep") and hasattr(tickets, "find") else None


# Accepting a session


def find_session_12(hs: ServerHandshake, offer: Offer) -> Generator[Step, Any, Resumption12 | None]:
    """The session that the client wants to resume, if we know it and it still holds."""
    config = hs.config
    asked = offer.hello.find(SessionTicket)
    ticket = b"" if asked is None else asked.ticket
    session_id, store = offer.hello.legacy_session_id, session_ids(config)
    if config.tickets is None or not (ticket or session_id):
        return None
    policy = policy_12(config, hs.info.server_name, by_id=not ticket)
    state = None
    # RFC 5077 3.4: beside a ticket the session id names nothing.
    if ticket:
        state = TicketState12.decode((yield from hs.ask(Redeem(config.tickets, ticket, policy))))
    elif store is not None:
        state = TicketState12.decode((yield from hs.ask(Find(store, session_id, policy))))
    if state is None or not may_resume_12(state, config, offer, hs.seams.clock()):
        return None
    if not offer.extended:
        raise PeerMisbehaved("resumption_not_extended", message="ClientHello")
    peer: VerifiedPeer | UnverifiedPeer | None = None
    if state.chain:
        # RFC 8446 4.4.2.1: only in TLS 1.3 can a client send an OCSP response.
        peer = yield from judge_restored(hs, ProvenChain(state.chain), config.verifier, server_name=None)
        if config.client_auth.enforces_verdict and not isinstance(peer, VerifiedPeer):
            return None
    return Resumption12(state, peer, by_id=not ticket)


def may_resume_12(state: TicketState12, config: ServerConfig, offer: Offer, now: float) -> bool:
    """Whether a session may be resumed under this configuration, as far as that needs no judgement."""
    if state.suite not in SUITES_12 or state.suite not in config.suites or state.suite not in offer.suites:
        return False
    if not may_have_credentials(config, offer.hello.sni_name):
        return False
    if config.client_auth.requires_certificate and not state.chain:
        return False
    if now * 1000 >= state.issued_at + state.ticket_lifetime * 1000:
        return False
    return now * 1000 < state.authenticated_at + config.session_lifetime * 1000


# Giving tickets


def ticket_is_due(hs: ServerHandshake, offer: Offer, resumption: Resumption12 | None) -> bool:
    """Whether the client shall get a ticket: in a resumed connection, if its own is used up or more than half over."""
    if hs.config.tickets is None or not hs.config.ticket_count or not offer.extended:
        return False
    if offer.hello.find(SessionTicket) is None:
        return False
    if resumption is None:
        return True
    state = resumption.state
    half = state.issued_at + state.ticket_lifetime * 500
    return getattr(hs.config.tickets, "reusable", False) is not True or hs.seams.clock() * 1000 >= half


def send_ticket_12(
    hs: ServerHandshake, suite: Suite12, main_secret: bytes, resumption: Resumption12 | None
) -> Generator[Step, Any, None]:
    """The NewSessionTicket that our hello announced; without a ticket if there is none to give. RFC 5077 3.3."""
    ticket, lifetime = b"", 0
    state = _state(hs, suite, main_secret, resumption)
    if state is not None and hs.config.tickets is not None:
        policy = policy_12(hs.config, hs.info.server_name, by_id=False)
        lifetime = state.ticket_lifetime
        client = known_client(hs.info)
        issued = yield from hs.ask(Issue(hs.config.tickets, state.encode(), policy, lifetime, client))
        if isinstance(issued, bytes) and 1 <= len(issued) < 2**16:
            ticket = issued
    hs.send(NewSessionTicket(lifetime if ticket else 0, ticket))


def keep_session_12(
    hs: ServerHandshake, suite: Suite12, session_id: bytes, main_secret: bytes
) -> Generator[Step, Any, None]:
    """Keep the session under the id that our hello had: the client knows no tickets. RFC 5246 F.1.4.

    It is not forgotten when a connection that resumes it fails, as RFC 5246 7.2.2 has it: one who saw the id, which is
    no secret, could then end the session.
    """
    store = session_ids(hs.config)
    state = _state(hs, suite, main_secret, None)
    if store is not None and state is not None:
        policy = policy_12(hs.config, hs.info.server_name, by_id=True)
        client, lifetime = known_client(hs.info), state.ticket_lifetime
        yield from hs.ask(Keep(store, session_id, state.encode(), policy, lifetime, client))


def _state(
    hs: ServerHandshake, suite: Suite12, main_secret: bytes, resumption: Resumption12 | None
) -> TicketState12 | None:
    if resumption is not None:
        chain = resumption.state.chain
    else:
        chain = hs.info.peer_chain if hs.info.peer is not None else ()
    if sum(map(len, chain)) > limits.MAX_STORED_CHAIN:
        return None
    now = int(hs.seams.clock() * 1000)
    authenticated_at = now if resumption is None else resumption.state.authenticated_at
    left = hs.config.session_lifetime - (now - authenticated_at) / 1000
    lifetime = int(min(hs.config.ticket_lifetime, left))
    if lifetime <= 0:
        return None
    return TicketState12(FORMAT_12, suite.id, main_secret, now, authenticated_at, lifetime, chain)
