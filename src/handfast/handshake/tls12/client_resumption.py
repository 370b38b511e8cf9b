"""Resuming sessions of TLS 1.2 on the client's side: which is offered, and which are kept. RFC 5077, RFC 5246 F.1.4.

As in ``offer_session`` a session is offered only if its server would be accepted today. A session that the server does
not replace by a new one may be used again.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.connection_info import UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites12 import SUITES_12
from handfast.handshake.client_resumption import own_chains, partition, quietly
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.sessions.state12 import ClientSession12

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.keys.schedule12 import MainSecret12
    from handfast.trust.verifiers import Verifier
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


def find_offer_12(
    hs: ClientHandshake, verifier: Verifier, server_name: str | None
) -> Generator[Step, Any, SessionOffer12 | None]:
    """A session to offer to this server, if one is kept and would be trusted today."""
    config = hs.config
    if config.sessions is None or server_name is None:
        return None
    own_partition = partition_12(config, server_name)
    for _ in range(limits.SESSIONS_PER_PARTITION):
        session = quietly(config.sessions.take, own_partition)
        if not isinstance(session, ClientSession12):
            return None
        if not still_good_12(session, config, hs.seams.clock()):
            continue
        proven = ProvenChain(session.chain, session.ocsp_response, config.asks_for_ocsp_response)
        peer = yield from judge_restored(hs, proven, verifier, server_name=server_name)
        if config.enforce_verdict and not isinstance(peer, VerifiedPeer):
            return None
        return SessionOffer12(session, own_partition, peer)
    return None


def still_good_12(session: ClientSession12, config: ClientConfig, now: float) -> bool:
    """Whether a session may be offered, as far as that needs no judgement."""
    return (
        session.suite in SUITES_12
        and session.suite in config.suites
        and now < session.received_at + session.lifetime
        and now < session.authenticated_at + limits.SESSION_LIFETIME
    )


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
