"""Pre-shared keys: how they are offered, bound to a hello, and accepted, in both roles. RFC 9846 4.3.9 and 4.3.11.

A PSK is only ever used with (EC)DHE. What it stands for is a session, or at a server also an external PSK, which a
ticket store knows and no certificate stands behind. Which session a client offers is ``client_resumption``'s, which one
an identity names at a server, and whether it still holds, ``server_resumption``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from handfast.connection_info import UnverifiedPeer, VerifiedPeer
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.errors import PeerMisbehaved
from handfast.handshake.extension_rules import require
from handfast.keys.transcript import without_binders
from handfast.registry import CipherSuite, ExtensionType, PskKeyExchangeMode
from handfast.wire.extensions import Extensions, OfferedPsks, PskIdentity, PskKeyExchangeModes, SelectedPsk
from handfast.wire.messages import HANDSHAKE_HEADER, ClientHello

if TYPE_CHECKING:
    from handfast.handshake.context import ClientHandshake, ServerHandshake
    from handfast.keys.schedule import EarlySecret
    from handfast.keys.transcript import Transcript
    from handfast.sessions.state import ClientSession, TicketState

# What stands before a ticket in pre_shared_key: the extension's type and length, the lengths of all identities and of
# this one.
_BEFORE_TICKET = Struct(">HHHH")
# What stands before the extensions of a ClientHello beside its session id and its suites: header, version, random, the
# lengths of these two, and one compression method.
_BEFORE_EXTENSIONS = HANDSHAKE_HEADER + 2 + 32 + 1 + 2 + 2
_PRE_SHARED_KEY = int(ExtensionType.pre_shared_key)


# The client's side


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
    hash_, ticket = offer.early_secret.hash, offer.session.ticket
    age = offer.session.obfuscated_age(now)
    # Its encoding stays as it is, but for two lengths and for what comes behind it: one identity, one binder.
    identity = 2 + len(ticket) + 4
    size = 2 + identity + 2 + 1 + hash_.size
    longer = len(raw) + 4 + size
    at = _BEFORE_EXTENSIONS + len(hello.legacy_session_id) + 2 * len(hello.cipher_suites)
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
    bound = ClientHello(
        hello.legacy_version,
        hello.random,
        hello.legacy_session_id,
        hello.cipher_suites,
        hello.legacy_compression_methods,
        extensions,
    )
    encoded = start + bytes((0, 1 + hash_.size, hash_.size)) + binder
    return BoundHello(bound, encoded, transcript_hash, binder)


def send_with_psk(hs: ClientHandshake, hello: ClientHello, raw: bytes, offer: SessionOffer) -> ClientHello:
    """Send the hello, whose encoding so far is ``raw``, with its PSK."""
    bound = with_psk(hello, raw, offer, hs.transcript, hs.seams.clock())
    sent = hs.send(bound.hello, bound.encoded)
    hs.checked(hs.role.sends, "PSK binder", bound.transcript_hash, bound.binder, bound.binder, True)
    return sent


def offered_modes() -> PskKeyExchangeModes:
    """How we use a PSK: with (EC)DHE, never without. RFC 9846 4.3.9."""
    return PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,))


def check_selected(hello: ClientHello, selected: SelectedPsk) -> None:
    """The PSK that a ServerHello takes is one that we offered. RFC 9846 4.3.11."""
    if selected.selected_identity >= len(require(hello, OfferedPsks).identities):
        raise PeerMisbehaved("psk_not_offered", index=selected.selected_identity)


def check_hash(offer: SessionOffer, suite: int) -> None:
    """A PSK that was taken is of the hash of the suite that was chosen. RFC 9846 4.3.11."""
    if offer.early_secret.hash is not SUITES_13[suite].hash:
        raise PeerMisbehaved("psk_for_other_hash", suite=CipherSuite.describe(suite))


# The server's side


@dataclass(slots=True)
class Resumption:
    """The PSK that this handshake rests on: which identity it was, what it stood for, and who the peer therefore is."""

    index: int
    state: TicketState
    peer: VerifiedPeer | UnverifiedPeer | None
    early_secret: EarlySecret = field(repr=False)
    binder: bytes = field(repr=False)


def check_psk_form(hello: ClientHello) -> None:
    """An offer of PSKs is well-formed even where none of them is used. RFC 9846 4.3.9 and 4.3.11."""
    offered = hello.find(OfferedPsks)
    if offered is None:
        return
    if next(reversed(hello.extensions)) != ExtensionType.pre_shared_key:
        raise PeerMisbehaved("psk_not_last")
    if len(offered.identities) != len(offered.binders):
        raise PeerMisbehaved("binder_count", binders=len(offered.binders), identities=len(offered.identities))
    require(hello, PskKeyExchangeModes)


def allows_dhe(hello: ClientHello) -> bool:
    """Whether the client lets its PSKs be used in the one way that we do, with (EC)DHE. RFC 9846 4.3.9."""
    modes = hello.find(PskKeyExchangeModes)
    return modes is not None and PskKeyExchangeMode.psk_dhe_ke in modes.ke_modes


def psk_identities(hello: ClientHello) -> set[bytes]:
    """The PSKs that a client offers."""
    offered = hello.find(OfferedPsks)
    return set() if offered is None else {one.identity for one in offered.identities}


def check_binder(
    hs: ServerHandshake,
    early_secret: EarlySecret,
    hello: ClientHello,
    index: int,
    before: Transcript | None,
    *,
    external: bool,
) -> bytes:
    """Check that the client holds the PSK whose identity it sent. RFC 9846 4.3.11.2."""
    offered = hello.find(OfferedPsks)
    received = b"" if offered is None else offered.binders[index]
    hash_, truncated = early_secret.hash, without_binders(hello.raw, offered)
    transcript_hash = hash_.digest(truncated) if before is None else before.digest_with(hash_, truncated)
    expected = early_secret.binder_key(external=external).finished(transcript_hash)
    ok = compare_digest(expected, received)
    hs.checked(hs.role.peer.sends, "PSK binder", transcript_hash, expected, received, ok)
    if not ok:
        raise PeerMisbehaved("bad_binder")
    return received
