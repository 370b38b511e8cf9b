"""Resuming sessions of TLS 1.2 on the client's side: which is offered, and which are kept. RFC 5077, RFC 5246 F.1.4.

As in TLS 1.3 a session is offered only if its server would be accepted today. A session that the server does
not replace by a new one may be used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast import limits
from handfast.connection_info import UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites12 import SUITES_12
from handfast.handshake.client_resumption import SessionKind, own_chains, partition, quietly
from handfast.sessions.state12 import ClientSession12

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig
    from handfast.handshake.context import ClientHandshake
    from handfast.keys.schedule12 import MainSecret12
    from handfast.wire.messages12 import NewSessionTicket


@dataclass(frozen=True, slots=True)
class SessionOffer12:
    """A session that is offered, and the server it speaks of."""

    session: ClientSession12
    partition: bytes
    peer: VerifiedPeer | UnverifiedPeer


def partition_12(config: ClientConfig, server_name: str) -> bytes:
    """What keeps sessions apart, the version included."""
    return SHA256.digest(b"TLS 1.2" + partition(config, server_name))


def usable_suite_12(session: ClientSession12, config: ClientConfig) -> bool:
    """Whether we offer the session's suite, which stays the same."""
    return session.suite in SUITES_12 and session.suite in config.suites


def session_offer_12(
    hs: ClientHandshake, session: ClientSession12, own_partition: bytes, peer: VerifiedPeer | UnverifiedPeer
) -> SessionOffer12:
    """What a session is offered as."""
    return SessionOffer12(session, own_partition, peer)


SESSIONS_12 = SessionKind(ClientSession12, partition_12, usable_suite_12, session_offer_12)


def remember_session_12(
    hs: ClientHandshake,
    server_name: str | None,
    main_secret: MainSecret12,
    ticket: NewSessionTicket | None,
    session_id: bytes,
    resumed: SessionOffer12 | None,
) -> None:
    """Keep what this connection can be resumed by; ``ticket`` and ``session_id`` are the server's. RFC 5077 3.4."""
    config = hs.config
    if config.sessions is None or server_name is None or not main_secret.extended:
        return
    named = b"" if ticket is None else ticket.ticket
    if stored_size(hs.info) + len(named) > limits.MAX_STORED_CHAIN:
        return
    chains = own_chains(config)
    if resumed is not None:
        own_partition = resumed.partition
    elif chains is None and hs.info.client_auth_requested:
        # Whose credentials the function would give next time is not known.
        return
    elif chains is not None and hs.info.certificate_sent and hs.info.own_chain not in chains:
        # Our credentials were loaded anew since: this session is not of who we are now.
        return
    else:
        own_partition = partition_12(config, server_name)
    now = hs.seams.clock()
    if ticket is not None and ticket.ticket:
        # A hint of 0 says nothing.
        name, session_id, lifetime = ticket.ticket, b"", ticket.ticket_lifetime_hint or limits.SESSION_LIFETIME
    elif resumed is not None:
        quietly(config.sessions.put, own_partition, resumed.session)
        return
    elif session_id:
        name, lifetime = b"", limits.SESSION_LIFETIME
    else:
        return
    session = ClientSession12(
        ticket=name,
        session_id=session_id,
        main_secret=main_secret.value,
        suite=main_secret.suite.id,
        received_at=now,
        authenticated_at=now if resumed is None else resumed.session.authenticated_at,
        lifetime=min(lifetime, limits.MAX_TICKET_LIFETIME),
        chain=hs.info.peer_chain,
        identified=hs.info.certificate_sent if resumed is None else resumed.session.identified,
        ocsp_response=hs.info.ocsp_response,
        timestamps=hs.info.signed_certificate_timestamps,
    )
    quietly(config.sessions.put, own_partition, session)
