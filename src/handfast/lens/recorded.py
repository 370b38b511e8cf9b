"""What came of a recorded connection, in one line: from the same data as a live side's verdict, seen from neither side.

A recording knows what both sides showed and whether it proves what it should, and not what they thought of it. So a
client whose certificate is proven and to whom the server went on talking is what counts as mutual TLS here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from handfast.errors import PeerRejected
from handfast.events import (
    AlertSeen,
    Checked,
    Closed,
    Epoch,
    Event,
    MessageSeen,
    Negotiated,
    Noted,
    RecordSeen,
)
from handfast.lens import fingerprints
from handfast.lens import verdict_line as verdict
from handfast.lens.outcome import Outcome
from handfast.outcome import offered
from handfast.outcome.cause import CauseCode
from handfast.outcome.describer import Describer
from handfast.outcome.diagnosed import diagnosed
from handfast.registry import AlertDescription, AlertLevel, CipherSuite, ContentType, NamedGroup, ProtocolVersion
from handfast.roles import Direction, Role
from handfast.text import counted, escape
from handfast.wire import messages12
from handfast.wire.extensions import SelectedPsk
from handfast.wire.messages import ClientHello, Finished, ServerHello

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECKS_SHOWN = 6
TICK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"
_SENDERS = {role.sends: role for role in Role}
_SILENT = frozenset({AlertDescription.close_notify, AlertDescription.user_canceled})


class Judgement(NamedTuple):
    """What a verifier said of a chain that one side showed."""

    shown_by: Role
    accepted: bool
    explanation: str


class RecordedOutcome:
    """An observer of one recorded connection.

    Attributes:
        hello: the client's first hello.
        ja3, ja3s, ja4: fingerprints of the hellos, "" for one that was not seen.
        negotiated: the parameters, None as long as they are not known.
    """

    def __init__(self) -> None:
        self.hello: ClientHello | None = None
        self.ja3 = self.ja3s = self.ja4 = ""
        self.negotiated: Negotiated | None = None
        self._views = {role: Outcome(role) for role in Role}
        self._version = 0
        self._checks: list[Checked] = []
        self._fatal: AlertSeen | None = None
        self._finished: set[Direction] = set()
        self._unread = ""
        self._data: set[Direction] = set()
        self._notes: dict[str, int] = {}
        self._closed: list[Direction] = []
        self._resumed = False

    def __call__(self, event: Event) -> None:
        for view in self._views.values():
            view(event)
        match event:
            case RecordSeen():
                self._record(event)
            case MessageSeen():
                self._message(event)
            case Negotiated():
                self.negotiated = event
            case Checked():
                self._check(event)
            case AlertSeen():
                self._alert(event)
            case Noted():
                self._notes[event.code] = self._notes.get(event.code, 0) + 1
            case Closed():
                self._closed.append(event.direction)

    def _check(self, check: Checked) -> None:
        """Keep a check that is shown: the first of each side, and the first that is wrong."""
        of_its_side = sum(known.direction is check.direction for known in self._checks)
        if of_its_side < _CHECKS_SHOWN or (not check.ok and all(known.ok for known in self._checks)):
            self._checks.append(check)

    def _record(self, record: RecordSeen) -> None:
        if record.unreadable_reason:
            self._unread = self._unread or record.unreadable_reason
        elif record.content_type == ContentType.application_data and record.epoch is Epoch.APPLICATION:
            self._data.add(record.direction)

    def _message(self, event: MessageSeen) -> None:
        message = event.message
        if isinstance(message, ClientHello) and self.hello is None:
            self.hello = message
            self.ja3, self.ja4 = fingerprints.ja3(message), fingerprints.ja4(message)
        elif isinstance(message, ServerHello | messages12.ServerHello) and not self.ja3s:
            self.ja3s = fingerprints.ja3s(message)
            version = getattr(message, "server_version", ProtocolVersion.TLS13)
            self._version = int(version)
            self._resumed = isinstance(message, ServerHello) and message.find(SelectedPsk) is not None
        elif isinstance(message, Finished):
            self._finished.add(event.direction)

    def _alert(self, alert: AlertSeen) -> None:
        if alert.description in _SILENT or (alert.level == AlertLevel.warning and self._is_12):
            return
        self._fatal = self._fatal or alert

    @property
    def _is_12(self) -> bool:
        return 0 < self._version < ProtocolVersion.TLS13

    @property
    def complete(self) -> bool:
        """Whether the handshake came to its end."""
        return len(self._finished) == len(Direction) or bool(self._data)

    @property
    def failed(self) -> bool:
        """Whether it is known that the connection failed: an alert, a wrong proof, an end inside the handshake."""
        ended = len(self._closed) == len(Direction) and not self.complete and not self._unread
        return self._fatal is not None or not all(check.ok for check in self._checks) or ended

    def chain(self, role: Role) -> tuple[bytes, ...]:
        """The certificates that one side showed, DER, leaf first."""
        return self._views[role].chains.get(role.sends, ())

    def line(self, describer: Describer, judgements: Sequence[Judgement] = ()) -> str:
        """The verdict in one printable line."""
        said = [self._verdict(describer)]
        if self._fatal is None and self.negotiated is not None:
            said.append(", ".join(self._parameters(self.negotiated)))
        if self._checks:
            said.append(f"checked: {self._proofs()}")
        said += [
            f"{one.shown_by}'s chain {TICK if one.accepted else f'{CROSS} {escape(one.explanation)}'}"
            for one in judgements
        ]
        notes = {code: counted(number, _NOUNS.get(code, code)) for code, number in self._notes.items()}
        said += [_NOTES[code].format(words) for code, words in notes.items() if code in _NOTES]
        return "; ".join(said)

    def _verdict(self, describer: Describer) -> str:
        if self._fatal is not None:
            return self._refusal(self._fatal, describer)
        wrong = [check for check in self._checks if not check.ok]
        if wrong:
            return f"the {_SENDERS[wrong[0].direction]}'s {wrong[0].what} is WRONG"
        if self.complete:
            return self._success(describer)
        if self._version and self._unread:
            return f"{self._name()}, read up to {self._stage()}: {self._unread}"
        if self._unread:
            return f"not read: {self._unread}"
        how = "the connection ended" if self._closed else "the recording ends"
        return f"nothing came of it: {how} {self._views[Role.CLIENT].stage}"

    def _stage(self) -> str:
        return self._views[Role.CLIENT].last_message or "its beginning"

    def _name(self) -> str:
        return ProtocolVersion.describe(self.negotiated.version if self.negotiated else self._version)

    @property
    def diagnosis(self) -> tuple[str, ...]:
        """Which causes of docs/doctor.md a failure leaves open, as codes; () where nothing failed or none is known."""
        if self._fatal is None:
            return ()
        return diagnosed(self._views[_SENDERS[self._fatal.direction].peer].failure(self._error(self._fatal)))

    @staticmethod
    def _error(alert: AlertSeen) -> PeerRejected:
        """The alert as the side that got it has it."""
        name = AlertDescription.describe(alert.description)
        code = name if name in PeerRejected.catalogue else "unknown_alert"
        return PeerRejected(code, alert=f"{name} ({int(alert.description)})", stage="")

    def _refusal(self, alert: AlertSeen, describer: Describer) -> str:
        sender = _SENDERS[alert.direction]
        view = self._views[sender.peer]
        name = AlertDescription.describe(alert.description)
        error = self._error(alert)
        cause = view.cause(error)
        if cause is not None and cause.code is CauseCode.NOTHING_IN_COMMON:
            return (
                f"{sender} refused: {name} ({int(alert.description)}); the client offers {offered.in_words(self.hello)}"
            )
        return verdict.line(view, error, describer)

    def _success(self, describer: Describer) -> str:
        def identity(role: Role) -> str:
            chain = self.chain(role)
            return describer.identity(chain[0]) if chain else "without a certificate"

        view = self._views[Role.CLIENT]
        ok = f"{self._name()} OK"
        server = f"server {identity(Role.SERVER)}" if self.chain(Role.SERVER) else ""
        if self._resumed:
            return f"{ok}: a session was resumed, for which no certificates are shown"
        if self.chain(Role.CLIENT):
            return ", ".join(part for part in (f"mutual {ok}: client {identity(Role.CLIENT)}", server) if part)
        if view.ca_names is None:
            asked = "no client certificate was requested" if server else "no certificates were read"
        else:
            offer = f"it was offered {counted(len(view.ca_names), 'CA name')}" if view.ca_names else "without CA names"
            asked = f"the client was asked for a certificate and has shown none; {offer}"
        return f"{ok}, one-way: {f'{server}; ' if server else ''}{asked}"

    def _parameters(self, negotiated: Negotiated) -> list[str]:
        said = [CipherSuite.describe(negotiated.suite)]
        if negotiated.group is not None:
            said.append(NamedGroup.describe(negotiated.group))
        if negotiated.application_protocol is not None:
            said.append(f"ALPN {escape(negotiated.application_protocol)}")
        if negotiated.retried:
            said.append("after a HelloRetryRequest")
        return said

    def _proofs(self) -> str:
        by_sender = {
            role: [
                f"{check.what} {TICK if check.ok else CROSS}" for check in self._checks if check.direction is role.sends
            ]
            for role in (Role.SERVER, Role.CLIENT)
        }
        return ", ".join(f"{role} {', '.join(found[:_CHECKS_SHOWN])}" for role, found in by_sender.items() if found)


_NOUNS = {"changed_retransmission": "changed retransmission"}
_NOTES = {
    "gap": "the recording has {}",
    "changed_retransmission": "the recording has {}: other bytes came again, the first were read",
    "renegotiation": "then another handshake (renegotiation)",
    "compressed": "records are compressed",
    "heartbleed": "a heartbeat asked for more than it held (Heartbleed)",
    "binder_not_checked": "the PSK binder is not checked, as the PSK is not known",
    "sslv2_hello": "the hello came in the framing of SSL 2.0",
}
