"""Resuming sessions on the client's side: which session is offered, with what proof, and which tickets are kept.

A session is offered only if its server would be accepted today: the chain that it had proved is judged again in full,
for the same name, by the verifier of this connection. RFC 9846 2.2, 4.3.11, 4.7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast import limits, logs
from handfast.connection_info import UnverifiedPeer, VerifiedPeer, stored_size
from handfast.crypto.hashes import SHA256
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.errors.foreign import said_by
from handfast.handshake import negotiate
from handfast.handshake.identity import ProvenChain, judge_restored
from handfast.handshake.server_resumption import bound_to, trusted_by
from handfast.registry import ExtensionType
from handfast.sessions.state import ClientSession
from handfast.wire.extensions import (
    EarlyDataIndicationNewSessionTicket,
    Extensions,
    OfferedPsks,
    PskIdentity,
)
from handfast.wire.messages import HANDSHAKE_HEADER, ClientHello, NewSessionTicket

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig
    from handfast.handshake.context import ClientHandshake, Step
    from handfast.keys.schedule import EarlySecret, ResumptionSecret
    from handfast.keys.transcript import Transcript
    from handfast.trust.verifiers import Verifier


# What stands before a ticket in pre_shared_key: the extension's type and length, the lengths of all identities and of
# this one.
_BEFORE_TICKET = Struct(">HHHH")
_PRE_SHARED_KEY = int(ExtensionType.pre_shared_key)


@dataclass(slots=True)
class SessionOffer:
    """A session that is offered, the server it speaks of, and the secret that it starts the key schedule with.

    ``partition`` is where it was kept; what comes of it belongs there, whatever was loaded anew meanwhile.
    """

    session: ClientSession
    partition: bytes
    peer: VerifiedPeer | UnverifiedPeer
    early_secret: EarlySecret = field(repr=False)

    @property
    def suite(self) -> Suite13:
        """The suite whose hash is the PSK's."""
        return SUITES_13[self.session.suite]


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


def find_offer(
    hs: ClientHandshake, verifier: Verifier, server_name: str | None
) -> Generator[Step, Any, SessionOffer | None]:
    """A session to offer to this server, if one is kept and would be trusted today."""
    config = hs.config
    if config.sessions is None or server_name is None or negotiate.TLS13 not in config.enabled_versions:
        return None
    own_partition = partition(config, server_name)
    for _ in range(limits.SESSIONS_PER_PARTITION):
        session = quietly(config.sessions.take, own_partition)
        if not isinstance(session, ClientSession):
            return None
        if not may_resume(session, config, hs.seams.clock()):
            continue
        proven = ProvenChain(session.chain, session.ocsp_response, config.asks_for_ocsp_response)
        peer = yield from judge_restored(hs, proven, verifier, server_name=server_name)
        if config.enforce_verdict and not isinstance(peer, VerifiedPeer):
            return None
        return SessionOffer(session, own_partition, peer, hs.early_secret(SUITES_13[session.suite], session.psk))
    return None


def may_resume(session: ClientSession, config: ClientConfig, now: float) -> bool:
    """Whether a session may be offered, as far as that needs no verifier's judgement. RFC 9846 4.3.11."""
    suite = SUITES_13.get(session.suite)
    if suite is None:
        return False
    # What must be offered is its hash, not the suite itself.
    if session.suite not in config.suites and all(
        other not in SUITES_13 or SUITES_13[other].hash is not suite.hash for other in config.suites
    ):
        return False
    return now < session.received_at + session.lifetime and now < session.authenticated_at + limits.SESSION_LIFETIME


def why_no_early_data(config: ClientConfig, offer: SessionOffer | None, size: int) -> str:
    """Why early data of ``size`` bytes cannot be sent; "" if it can. RFC 9846 4.3.10."""
    if offer is None:
        return "there is no session to resume"
    session = offer.session
    if size > session.max_early_data:
        return f"the session allows {session.max_early_data} bytes"
    if session.suite not in config.suites:
        return "the session's suite is not offered"
    if session.application_protocol is not None and session.application_protocol not in config.application_protocols:
        return "the session's application protocol is not offered"
    if session.identified and not config.early_data_with_client_identity:
        return "the session carries a client identity"
    return ""


class BoundHello(NamedTuple):
    """A hello with its PSK binder, its encoding, and the transcript hash that the binder is over."""

    hello: ClientHello
    encoded: bytes
    transcript_hash: bytes
    binder: bytes


def with_psk(hello: ClientHello, raw: bytes, offer: SessionOffer, before: Transcript, now: float) -> BoundHello:
    """The hello with pre_shared_key as its last extension, bound to all before it. RFC 9846 4.3.11.2.

    ``raw`` is its encoding so far, ``before`` the transcript up to this hello.
    """
    hash_, ticket = offer.suite.hash, offer.session.ticket
    age = offer.session.obfuscated_age(now)
    # Its encoding stays as it is, but for two lengths and for what comes behind it: one identity, one binder.
    identity = 2 + len(ticket) + 4
    size = 2 + identity + 2 + 1 + hash_.size
    longer = len(raw) + 4 + size
    at = HANDSHAKE_HEADER + 2 + 32 + 1 + len(hello.legacy_session_id) + 2 + 2 * len(hello.cipher_suites) + 2
    start = b"%b%b%b%b%b%b%b%b" % (
        raw[:1],
        (longer - HANDSHAKE_HEADER).to_bytes(3, "big"),
        raw[HANDSHAKE_HEADER:at],
        (longer - at - 2).to_bytes(2, "big"),
        raw[at + 2 :],
        _BEFORE_TICKET.pack(_PRE_SHARED_KEY, size, identity, len(ticket)),
        ticket,
        age.to_bytes(4, "big"),
    )
    transcript_hash = before.digest_with(hash_, start)
    binder = offer.early_secret.binder_key().finished(transcript_hash)
    extensions = Extensions(hello.extensions)
    extensions[_PRE_SHARED_KEY] = OfferedPsks((PskIdentity(ticket, age),), (binder,))
    version, suites, methods = hello.legacy_version, hello.cipher_suites, hello.legacy_compression_methods
    bound = ClientHello(version, hello.random, hello.legacy_session_id, suites, methods, extensions)
    encoded = start + bytes((0, 1 + hash_.size, hash_.size)) + binder
    return BoundHello(bound, encoded, transcript_hash, binder)


def send_with_psk(hs: ClientHandshake, hello: ClientHello, raw: bytes, offer: SessionOffer) -> ClientHello:
    """Send the hello, whose encoding so far is ``raw``, with its PSK."""
    bound = with_psk(hello, raw, offer, hs.transcript, hs.seams.clock())
    sent = hs.send(bound.hello, bound.encoded)
    hs.checked(hs.role.sends, "PSK binder", bound.transcript_hash, bound.binder, bound.binder, True)
    return sent


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
