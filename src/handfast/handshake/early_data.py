"""Early data, 0-RTT, in both roles: what is offered, taken, refused, passed over, and where it ends. RFC 9846 4.3.10.

It comes before the peer is known anew, and somebody may have recorded it and send it again (RFC 9846 8): so it is taken
only if its PSK is the first that was offered, all that was agreed on is as in the session, the ticket is as old as the
client says, and the replay guard, which answered for the ticket, has not seen the binder. Where one of that fails the
handshake goes on without it. How much of it came is counted where records are read: ``Driver`` holds what is taken
against ``hs.early_data_left``, the record layer what is passed over against what ``skip_early_data`` allows.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.connection_info import UnverifiedPeer
from handfast.errors import PeerMisbehaved
from handfast.events import Epoch
from handfast.handshake.needs import CheckReplay
from handfast.registry import ExtensionType
from handfast.wire.extensions import EarlyDataIndication, OfferedPsks
from handfast.wire.messages import ClientHello, EncryptedExtensions, EndOfEarlyData

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig, ServerConfig
    from handfast.crypto.suites import Suite13
    from handfast.handshake.context import ClientHandshake, ServerHandshake, Step
    from handfast.handshake.negotiate import Offer
    from handfast.handshake.psk import Resumption, SessionOffer
    from handfast.keys.schedule import ExporterSecret, TrafficSecret
    from handfast.sessions.state import TicketState
    from handfast.wire.extensions import Extensions


# The client's side


def may_offer_early_data(hs: ClientHandshake, session: SessionOffer | None, data: bytes) -> bool:
    """Whether ``data`` goes with the first hello; ``info.early_data`` says so, or why not."""
    reason = why_no_early_data(hs.config, session, len(data))
    hs.info.early_data = f"not sent: {reason}" if reason else "offered"
    return not reason


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


def send_early_data(hs: ClientHandshake, hello: ClientHello, session: SessionOffer, data: bytes) -> None:
    """Send application data under the keys of the session that the hello, just sent, offers. RFC 9846 4.3.10."""
    suite = session.suite
    # The first hello is all that the secrets are derived from: nothing else may be in the transcript yet.
    hello_hash = hs.transcript.digest_with(suite.hash, b"")
    traffic = session.early_secret.client_early_traffic_secret(hello_hash)
    hs.early_exporter = session.early_secret.early_exporter_secret(hello_hash)
    hs.write_with(traffic, suite, Epoch.EARLY)
    if hello.legacy_session_id:
        hs.records.write_change_cipher_spec()
    hs.records.write_application_data(data)


def withdraw_early_data(hs: ClientHandshake, extensions: Extensions) -> None:
    """A second hello offers none, in plaintext as the first one was: take it out of its extensions. RFC 9846 4.2.2."""
    del extensions[ExtensionType.early_data]
    reject_early_data(hs, "the handshake needed a HelloRetryRequest")
    hs.records.write_in_plaintext()


def check_old_version(hello: ClientHello) -> None:
    """The server that made the ticket speaks TLS 1.3, so it may not answer in an older version. RFC 9846 4.3.10."""
    if hello.find(EarlyDataIndication) is not None:
        raise PeerMisbehaved("early_data_and_old_version")


def early_data_accepted(hs: ClientHandshake, session: SessionOffer | None, answer: EncryptedExtensions) -> bool:
    """Whether the server takes our early data; if it does, it must go on as the session was. RFC 9846 4.3.10."""
    if answer.find(EarlyDataIndication) is None:
        reject_early_data(hs, "the server did not take it")
        return False
    if session is None:
        raise PeerMisbehaved("early_data_without_psk")
    if hs.info.suite != session.session.suite:
        raise PeerMisbehaved("early_data_changed", field="the suite")
    if hs.info.application_protocol != session.session.application_protocol:
        raise PeerMisbehaved("early_data_changed", field="the application protocol")
    hs.info.early_data = "accepted"
    return True


def reject_early_data(hs: ClientHandshake, reason: str) -> None:
    """What was sent early is lost; only the application may decide to send it again. RFC 9846 4.3.10."""
    hs.info.early_data = f"rejected: {reason}"
    hs.early_exporter = None


def send_end_of_early_data(hs: ClientHandshake, secret: TrafficSecret, suite: Suite13) -> None:
    """No more of it: what follows is under the keys of the handshake, the message itself under the old ones.

    RFC 9846 4.6. Not before the server's Finished, and before anything else of ours.
    """
    hs.send(EndOfEarlyData())
    hs.write_with(secret, suite, Epoch.HANDSHAKE)


# The server's side


@dataclass(slots=True)
class EarlyDataKeys:
    """The secrets of early data that is accepted, and how many bytes of it may come."""

    limit: int
    traffic: TrafficSecret = field(repr=False)
    exporter: ExporterSecret = field(repr=False)


def consider_early_data(
    hs: ServerHandshake, offer: Offer, resumption: Resumption | None, suite: Suite13
) -> Generator[Step, Any, EarlyDataKeys | None]:
    """Whether early data that the client announced is taken; if not, ``info.early_data`` says why. RFC 9846 4.3.10.

    Must run between the start of the transcript and our hello: its keys are derived from the client's hello alone.
    """
    reason = early_data_refusal(hs, offer, resumption, suite)
    guard = hs.config.replay_guard
    if not reason and resumption is not None and guard is not None:
        # With the scope that was compared, as a guard's may be another by the time that it is asked.
        key = resumption.state.replay_scope + resumption.binder
        first = yield from hs.ask(CheckReplay(guard, key, 2 * limits.EARLY_DATA_TOLERANCE))
        reason = "the replay guard has seen this hello, or could not say"
        if first is True:
            # Judged again: the guard may have forgotten a hello that was fresh when it was judged, but is not any more.
            reason = early_data_refusal(hs, offer, resumption, suite)
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


def take_early_data(hs: ServerHandshake, early: EarlyDataKeys, suite: Suite13) -> None:
    """From here on read it, up to its limit, before the handshake is over. RFC 9846 4.3.10."""
    hs.read_with(early.traffic, suite, Epoch.EARLY, after=ClientHello)
    hs.early_data_left, hs.early_exporter = early.limit, early.exporter


def read_end_of_early_data(hs: ServerHandshake, secret: TrafficSecret, suite: Suite13) -> Generator[Step, Any, None]:
    """Take what comes until the client says that it is all, then the rest of the handshake's keys. RFC 9846 4.6."""
    # In a resumed handshake the client was asked for nothing, so it is known by now as well as it will be.
    hs.may_write_early = True
    yield from hs.expect(EndOfEarlyData)
    # Before the keys change: a record under the new ones is no early data.
    hs.early_data_left = None
    hs.read_with(secret, suite, Epoch.HANDSHAKE, after=EndOfEarlyData)


def skip_early_data(hs: ServerHandshake) -> None:
    """Pass over early data that we do not take: as much as we would have taken, or some. RFC 9846 4.3.10."""
    hs.records.skip_early_data(max(hs.config.max_early_data, limits.SKIPPED_EARLY_DATA))


def reject_for_retry(hs: ServerHandshake) -> None:
    """Early data came with a hello that a HelloRetryRequest answers, and so is not taken. RFC 9846 4.3.10."""
    hs.info.early_data = "rejected: the handshake needed a HelloRetryRequest"
    skip_early_data(hs)


def allowed_by_tickets(config: ServerConfig, *, identified: bool) -> tuple[int, bytes]:
    """How much a ticket of ours allows, and which replay guard answers for it: (0, b"") for none. RFC 9846 4.7.1.

    ``identified``: whether the session carries a client identity.
    """
    size = config.max_early_data if not identified or config.early_data_with_client_identity else 0
    if not size:
        return 0, b""
    scope = scope_and_start(config.replay_guard)[0]
    return (size, scope) if scope else (0, b"")
