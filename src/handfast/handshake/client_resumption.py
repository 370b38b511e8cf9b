"""Resuming sessions on the client's side: which session is offered, and which tickets are kept.

A session is offered only if its server would be accepted today: the chain that it had proved is judged again in full,
for the same name, by the verifier of this connection. RFC 9846 2.2, 4.3.11, 4.7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from handfast import limits, logs
from handfast.connection_info import UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.errors.foreign import said_by
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.handshake.psk import SessionOffer
from handfast.handshake.server_resumption import bound_to, trusted_by
from handfast.sessions.state import ClientSession
from handfast.wire.extensions import (
    EarlyDataIndicationNewSessionTicket,
)
from handfast.wire.messages import NewSessionTicket

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.keys.schedule import ResumptionSecret
    from handfast.sessions.cache import Sessions
    from handfast.sessions.state12 import ClientSession12
    from handfast.trust.verifiers import Verifier


def partition(config: ClientConfig, server_name: str) -> bytes:
    """What keeps sessions apart: the server's name, who judged it and how, and who we said we are.

    What a function will say of that is not known, so its sessions stay with the configuration that holds it.
    """
    chains = own_chains(config)
    who = (config.own_id,) if chains is None else chains
    return _partition(trusted_by(config), server_name, config.enforce_verdict, tuple(config.application_protocols), who)


@lru_cache(maxsize=256)
def _partition(
    judge: bytes,
    server_name: str,
    enforced: bool,
    protocols: tuple[str, ...],
    who: tuple[bytes | tuple[bytes, ...], ...],
) -> bytes:
    identities = [one if isinstance(one, bytes) else SHA256.digest(b"".join(one)) for one in who]
    return bound_to(judge, server_name, str(enforced), ",".join(protocols), *identities)


def own_chains(config: ClientConfig) -> tuple[tuple[bytes, ...], ...] | None:
    """Whom we may say that we are; None if a function says that."""
    ours = config.credentials
    return None if callable(ours) else tuple([one.current.chain for one in ours])


def usable_suite(session: ClientSession, config: ClientConfig) -> bool:
    """Whether we offer the hash of the session's suite, which is all that a PSK is tied to. RFC 9846 4.3.11."""
    suite = SUITES_13.get(session.suite)
    if suite is None:
        return False
    return session.suite in config.suites or any(
        other in SUITES_13 and SUITES_13[other].hash is suite.hash for other in config.suites
    )


def session_offer(
    hs: ClientHandshake, session: ClientSession, own_partition: bytes, peer: VerifiedPeer | UnverifiedPeer
) -> SessionOffer:
    """What a session is offered as."""
    return SessionOffer(session, own_partition, peer, hs.early_secret(SUITES_13[session.suite], session.psk))


K = TypeVar("K", "ClientSession", "ClientSession12")
Offered = TypeVar("Offered")


@dataclass(frozen=True, slots=True)
class SessionKind(Generic[K, Offered]):
    """What differs between versions: a session's class, where it is kept, what suites it needs, what offers it."""

    session: type[K]
    partition: Callable[[ClientConfig, str], bytes]
    usable_suite: Callable[[K, ClientConfig], bool]
    offer: Callable[[ClientHandshake, K, bytes, VerifiedPeer | UnverifiedPeer], Offered]


SESSIONS_13 = SessionKind(ClientSession, partition, usable_suite, session_offer)


def find_offer(
    hs: ClientHandshake, store: Sessions, verifier: Verifier, server_name: str, kind: SessionKind[K, Offered]
) -> Generator[Step, Any, Offered | None]:
    """A session of this kind to offer to this server, if one is kept and would be trusted today.

    It is taken out of the store, whatever comes of it, and so are those before it that are too old.
    """
    config = hs.config
    own_partition = kind.partition(config, server_name)
    for _ in range(limits.SESSIONS_PER_PARTITION):
        session = quietly(store.take, own_partition)
        if not isinstance(session, kind.session):
            return None
        now = hs.seams.clock()
        if now >= session.received_at + session.lifetime or now >= session.authenticated_at + limits.SESSION_LIFETIME:
            continue
        if not kind.usable_suite(session, config):
            continue
        proven = ProvenChain(session.chain, session.ocsp_response, config.asks_for_ocsp_response)
        peer = yield from judge_restored(hs, proven, verifier, server_name=server_name)
        if config.enforce_verdict and not isinstance(peer, VerifiedPeer):
            return None
        return kind.offer(hs, session, own_partition, peer)
    return None


def ticket_keeper(
    hs: ClientHandshake, server_name: str | None, suite: Suite13, secret: ResumptionSecret, resumed: SessionOffer | None
) -> Callable[[NewSessionTicket], None] | None:
    """What keeps the tickets of this connection; None when none are wanted. RFC 9846 4.7.1."""
    sessions = hs.config.sessions
    if sessions is None or server_name is None:
        return None
    chains, present = own_chains(hs.config), partition(hs.config, server_name)
    own_partition = present if resumed is None else resumed.partition
    now = hs.seams.clock
    authenticated_at = now() if resumed is None else resumed.session.authenticated_at
    identified = resumed is not None and resumed.session.identified
    left = limits.MAX_TICKETS_KEPT

    def keep(message: NewSessionTicket) -> None:
        nonlocal left
        if chains is None and hs.info.client_auth_requested:
            # Whose credentials the function would give next time is not known.
            return
        # What we show after the handshake counts for the tickets that come after that.
        shown = hs.info.certificate_sent
        if shown and chains is not None and (own_partition != present or hs.info.own_chain not in chains):
            # Our credentials were loaded anew since: this session is not of who the partition is for.
            return
        size = stored_size(hs.info) + len(message.ticket)
        if not message.ticket_lifetime or left <= 0 or size > limits.MAX_STORED_CHAIN:
            return
        left -= 1
        early_data = message.find(EarlyDataIndicationNewSessionTicket)
        session = ClientSession(
            ticket=message.ticket,
            psk=secret.psk(message.ticket_nonce),
            suite=suite.id,
            received_at=now(),
            authenticated_at=authenticated_at,
            lifetime=min(message.ticket_lifetime, limits.MAX_TICKET_LIFETIME),
            ticket_age_add=message.ticket_age_add,
            max_early_data=0 if early_data is None else early_data.max_early_data_size,
            application_protocol=hs.info.application_protocol,
            chain=hs.info.peer_chain,
            identified=identified or shown,
            ocsp_response=hs.info.ocsp_response,
            timestamps=hs.info.signed_certificate_timestamps,
        )
        quietly(sessions.put, own_partition, session)

    return keep


def quietly(call: Callable[..., object], *arguments: object) -> object:
    """What somebody's store of sessions answers. Where it fails there is no session, and the connection goes on."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 (whatever it raises: a session is only a convenience)
        reason = said_by(error)
        logs.warn("failures of stores", lambda: f"the store of sessions failed, and was done without: {reason}")
        return None
