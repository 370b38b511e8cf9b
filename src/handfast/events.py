"""What a connection tells its observers.

An event says what crossed the wire or what was decided, in the order in which it happened; a lens is a function of
events. Directions are client to server and server to client, never sent and received, so that a live connection of
either role and a decoded capture give the same stream. Secrets do not travel here: they go to secret sinks, each asked
for by name, and a secret reaches its sinks before the ``SecretDerived`` event and before the first record it protects.

The order is the same from either side and from a recording: ``RecordSeen``; then, for every handshake message that
ends in that record and decodes, ``MessageSeen`` and what that message causes; then the next record. What the bytes
alone decide has the time of its record. docs/events.md is the contract: each event, its place, and whether a recording
can tell it. Events are built only when somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Self, TypeAlias

from handfast import logs
from handfast.errors import HandfastError
from handfast.errors.foreign import detail
from handfast.registry import AlertDescription
from handfast.roles import Direction

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo
    from handfast.verdict import Verdict
    from handfast.wire.messages import HandshakeMessage


__all__ = [
    "CHECKS",
    "AlertSeen",
    "CertificateChosen",
    "Checked",
    "Closed",
    "ConnectionSeen",
    "Considered",
    "Direction",
    "Epoch",
    "Event",
    "HandshakeComplete",
    "KeysChanged",
    "MessageSeen",
    "NeedAnswered",
    "NeedAsked",
    "Negotiated",
    "Noted",
    "Observer",
    "PeerJudged",
    "RecordSeen",
    "Secret",
    "SecretDerived",
    "SecretLevel",
    "SecretSink",
]


class Epoch(StrEnum):
    """Which keys protect a record. RFC 9846 6.1 (of RFC 9147's numbering, by name).

    Only a recording has ``unknown``: without a direction's handshake secret it cannot see where the next keys start.
    """

    PLAINTEXT = "plaintext"
    EARLY = "early data"
    HANDSHAKE = "handshake"
    APPLICATION = "application"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class Event:
    """Base of all events, which are built by keyword. ``time`` is in seconds since the Unix epoch."""

    time: float


def kinds() -> list[type[Event]]:
    """All kinds of event, in the order of this file."""
    # Of a class with slots there are two for a while, until the collector takes the one without.
    found = (one for one in globals().values() if isinstance(one, type) and issubclass(one, Event))
    return [one for one in found if one is not Event]


@dataclass(slots=True, kw_only=True)
class RecordSeen(Event):
    """One record crossed the wire, the unit in which TLS protects what it sends. RFC 9846 5.

    ``index`` counts the records of that direction from 0. ``header`` is 5 bytes; ``body`` is what stands on the wire
    after it; ``content_type`` and ``content`` are what it held once opened (equal to header[0] and body for plaintext);
    ``padding`` counts the zero bytes after the content. ``unreadable_reason`` says in words why the content could not
    be read, which then is b""; "" for a record that was opened.
    """

    direction: Direction
    index: int
    epoch: Epoch
    header: bytes
    body: bytes = field(repr=False)
    content_type: int
    content: bytes = field(repr=False)
    padding: int = 0
    unreadable_reason: str = ""


@dataclass(slots=True, kw_only=True)
class MessageSeen(Event):
    """One handshake message came to its end. RFC 9846 4.

    ``raw`` is its 4-byte header and body; ``records`` are the indexes of its records.
    """

    direction: Direction
    epoch: Epoch
    message: HandshakeMessage
    raw: bytes = field(repr=False)
    records: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class SecretDerived(Event):
    """A secret of the key schedule was derived. RFC 9846 7.1.

    ``name`` is the RFC's (``client_handshake_traffic_secret``); ``label`` the HKDF label, or "" for an extract;
    ``inputs`` names what it was made from; ``context`` is the transcript hash that went in, or b"".
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    context: bytes


@dataclass(slots=True, kw_only=True)
class KeysChanged(Event):
    """From the next record on other keys protect this direction. RFC 9846 7.3.

    That is the next which is no change_cipher_spec; the keys are those of ``epoch``.
    """

    direction: Direction
    epoch: Epoch
    suite: int


@dataclass(slots=True, kw_only=True)
class Checked(Event):
    """A proof was computed and compared. RFC 9846 4.5.

    ``what`` names it, as a key of ``CHECKS``; ``content`` is what was signed or MACed.
    """

    direction: Direction
    what: str
    content: bytes
    expected: bytes
    received: bytes
    ok: bool


# What each proof shows, by ``Checked.what``.
CHECKS: Mapping[str, str] = {
    "Finished": "The sender has the keys, and saw the same messages as the receiver. RFC 9846 4.5.3.",
    "CertificateVerify": "The sender has the private key of the certificate that it showed. RFC 9846 4.5.2.",
    "PSK binder": "The client has the pre-shared key, and its hello was not changed. RFC 9846 4.3.11.2.",
    "ServerKeyExchange": "The server has its certificate's private key, and made the key share. RFC 5246 7.4.3.",
}


@dataclass(slots=True, kw_only=True)
class NeedAsked(Event):
    """The handshake waits for something other than the peer: a signer, a verifier or a name to be looked up."""

    what: str
    where: str


@dataclass(slots=True, kw_only=True)
class NeedAnswered(Event):
    """What the handshake waited for came.

    ``NeedAsked`` spoke of it, ``seconds`` before.
    """

    what: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Negotiated(Event):
    """Both sides have agreed on version, suite, group and protocol. RFC 9846 2.

    EncryptedExtensions completes the parameters of the connection; they are numbers of their registries.
    ``server_name`` is the name that the client's hello asks for.
    """

    version: int
    suite: int
    group: int | None
    retried: bool
    server_name: str | None
    application_protocol: str | None


@dataclass(slots=True, kw_only=True)
class Considered:
    """One certificate (DER) that could have been shown, and why it was or was not.

    ``objections`` are the codes of what a client found against it: ``issuer_not_named``, ``issuer_encoding``,
    ``expired``, ``not_yet_valid``, ``wrong_purpose``, ``key_may_not_sign``, ``no_common_scheme``, ``oid_filters``,
    ``malformed``; () at a server.
    """

    certificate: bytes = field(repr=False)
    shown: bool
    why: str
    objections: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class CertificateChosen(Event):
    """This side chose the certificate to show, or to show none. RFC 9846 4.5.1.

    ``hints`` are the DER CA names of the request that it answers, None if it answers none. ``considered`` are all
    candidates in their order; a server tells them only where it has several.
    """

    direction: Direction
    chain: tuple[bytes, ...] = field(repr=False)
    scheme: int | None
    reason: str
    hints: tuple[bytes, ...] | None
    considered: tuple[Considered, ...] = ()


@dataclass(slots=True, kw_only=True)
class PeerJudged(Event):
    """The peer's certificates were judged. RFC 5280 6.

    ``chain`` is what it showed (DER, leaf first), ``verdict`` what came of it.
    """

    direction: Direction
    chain: tuple[bytes, ...] = field(repr=False)
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class HandshakeComplete(Event):
    """This side's handshake is over: it may send and receive application data. RFC 9846 2."""

    info: ConnectionInfo


@dataclass(slots=True, kw_only=True)
class AlertSeen(Event):
    """An alert crossed the wire. RFC 9846 6.

    ``authenticated`` is False for a plaintext one. ``error`` is why this side sent it, if it did: a recording does not
    know.
    """

    direction: Direction
    level: int
    description: int
    authenticated: bool
    error: HandfastError | None = None


@dataclass(slots=True, kw_only=True)
class Closed(Event):
    """One direction of the connection ended. RFC 9846 6.1.

    It is told once for each. ``how`` is ``close_notify`` or ``alert`` (any other that ends it) for what TLS itself
    said; ``eof`` or ``reset`` for a transport that ended, or that a live side gave up, without a word of TLS. Only a
    recording says ``not_tls`` (what follows is no TLS record), and then follows that direction no further.
    """

    direction: Direction
    how: str


@dataclass(slots=True, kw_only=True)
class Noted(Event):
    """A recording says something about itself.

    docs/events.md lists the codes. ``text`` is a clause in words; what of it a peer chose is escaped.
    """

    direction: Direction
    code: str
    text: str


@dataclass(slots=True, kw_only=True)
class ConnectionSeen(Event):
    """A recording tells the events of another connection from here on.

    ``number`` counts them from 1. ``client`` and ``server`` are addresses with their ports; ``prologue`` names the
    protocol that was spoken before TLS, "" for none.
    """

    number: int
    client: str
    server: str
    prologue: str = ""


Observer: TypeAlias = Callable[[Event], None]


class SecretLevel(StrEnum):
    """How much a secret gives away: ``traffic`` this connection's bytes, ``all`` more than that."""

    TRAFFIC = "traffic"
    ALL = "all"


@dataclass(slots=True, kw_only=True)
class Secret:
    """One secret for a sink that asked for secrets by name. The value never shows in the repr.

    ``keylog_label`` is the NSS key log label (RFC 9850), or "" for a secret that no key log holds.
    """

    name: str
    level: SecretLevel
    keylog_label: str
    client_random: bytes
    value: bytes = field(repr=False)


SecretSink: TypeAlias = Callable[[Secret], None]


class EventDispatcher:
    """Who listens to one connection: its observers, its secret sinks and the clock that stamps their events.

    ``active`` guards every event: nothing is built when none listens. An observer or sink that raises is dropped with
    one line in the log, because watching must never change what is watched.

    ``time`` is that of the last record: what the bytes alone decide happens then, whenever it is worked out.
    """

    __slots__ = ("_ended", "active", "clock", "observers", "sinks", "time", "wants_secrets")

    def __init__(self, observers: Iterable[Observer], sinks: Iterable[SecretSink], clock: Callable[[], float]) -> None:
        self.observers = [*observers]
        self.sinks = [*sinks]
        self.clock = clock
        self.time = 0.0
        # Whether anybody hears of events, and whether derived secrets must be reported at all.
        self.active = bool(self.observers)
        self.wants_secrets = self.active or bool(self.sinks)
        self._ended: tuple[Direction, ...] = ()

    @classmethod
    @lru_cache(maxsize=4)
    def unheard(cls, clock: Callable[[], float]) -> Self:
        """One without listeners, which nothing changes: shared by all connections with this clock."""
        return cls((), (), clock)

    def tick(self) -> float:
        """The time of a record that crosses the wire now."""
        self.time = self.clock()
        return self.time

    def emit(self, event: Event) -> None:
        """Tell every observer."""
        for observer in tuple(self.observers):
            try:
                observer(event)
            except Exception:  # noqa: BLE001 (watching must not change what is watched)
                self.observers.remove(observer)
                self._count()
                _report_broken(observer)

    def alert(
        self,
        direction: Direction,
        level: int,
        description: int,
        *,
        authenticated: bool,
        error: HandfastError | None = None,
        ends: bool = True,
    ) -> None:
        """Tell of the alert in the last record, and of the end that all but user_canceled are. RFC 9846 6.

        With ``ends`` False it is a warning of TLS 1.2, which is no end unless it is close_notify. RFC 5246 7.2.
        """
        self.emit(
            AlertSeen(
                time=self.time,
                direction=direction,
                level=level,
                description=description,
                authenticated=authenticated,
                error=error,
            )
        )
        if description == AlertDescription.close_notify or (ends and description != AlertDescription.user_canceled):
            how = "close_notify" if description == AlertDescription.close_notify else "alert"
            self.ended(direction, how, self.time)

    def ended(self, direction: Direction, how: str, time: float) -> None:
        """Tell, once, that a direction ended."""
        if direction not in self._ended:
            self._ended += (direction,)
            self.emit(Closed(time=time, direction=direction, how=how))

    def reveal(self, secret: Secret) -> None:
        """Tell every secret sink."""
        for sink in tuple(self.sinks):
            try:
                sink(secret)
            except Exception:  # noqa: BLE001 (as above)
                self.sinks.remove(sink)
                self._count()
                _report_broken(sink)

    def _count(self) -> None:
        self.active = bool(self.observers)
        self.wants_secrets = bool(self.observers or self.sinks)


def _report_broken(listener: object) -> None:
    # No traceback: that of a sink could show what it was given.
    logs.warn("failures of observers", lambda: f"{detail(repr(listener))} raised and was detached from its connection")
