"""One line per connection: what came of it, who the peers are, and if it failed, who refused what and why.

TLS 1.3 tells a client nothing when its certificate is accepted: it only ever hears of a refusal, and after its own
handshake is over. So a client's line never says "accepted": it says that the server answered, or for how long nothing
spoke against it. In TLS 1.2 the server's Finished, which comes last, is an answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from handfast.errors import CertificateRejected, HandfastError, PeerRejected
from handfast.errors.foreign import said_by
from handfast.events import (
    AlertSeen,
    CertificateChosen,
    Direction,
    Epoch,
    Event,
    HandshakeComplete,
    MessageSeen,
    RecordSeen,
    Role,
)
from handfast.lens.describer import Describer
from handfast.lens.summary import count, presented, requested_names
from handfast.registry import AlertDescription, CipherSuite, ContentType, NamedGroup, ProtocolVersion
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.messages import CertificateRequest, Finished

if TYPE_CHECKING:
    from collections.abc import Callable

_A = AlertDescription
# What is said of a certificate, or of its absence.
_ABOUT_CERTIFICATES = frozenset(
    {
        _A.handshake_failure, _A.bad_certificate, _A.unsupported_certificate, _A.certificate_revoked,
        _A.certificate_expired, _A.certificate_unknown, _A.unknown_ca, _A.access_denied, _A.decrypt_error,
        _A.certificate_required,
    }
)  # fmt: skip


class Outcome:
    """An observer that remembers of one connection what its verdict line needs.

    ``role`` is our side's. ``clock`` must be the one that stamps the events: seconds since the Unix epoch.
    """

    def __init__(self, role: Role, describer: Describer | None = None, clock: Callable[[], float] = time.time) -> None:
        self.role = role
        self.info: Any = None
        self.last_message = ""
        self._describer = describer or Describer()
        self._clock = clock
        self._completed = 0.0
        self.answered = False
        # Whether the peer's Finished comes after it has judged us.
        self._finished_answers = False
        self._ca_names: tuple[bytes, ...] | None = None
        self._chains: dict[Direction, tuple[bytes, ...]] = {}
        self._alerts: dict[Direction, int] = {}
        self._reason_for_none = ""

    def __call__(self, event: Event) -> None:
        match event:
            case RecordSeen():
                self._record(event)
            case MessageSeen():
                self._message(event)
            case AlertSeen(direction=direction, description=description) if description != _A.close_notify:
                self._alerts[direction] = description
            case CertificateChosen(chain=(), reason=reason):
                self._reason_for_none = reason
            case HandshakeComplete():
                self.info = event.info
                self._completed = event.time

    def _record(self, record: RecordSeen) -> None:
        theirs = record.direction is not self.role.sends
        data = record.content_type == ContentType.application_data and not record.sealed
        if theirs and record.epoch is Epoch.APPLICATION and data:
            self.answered = True

    def _message(self, event: MessageSeen) -> None:
        self.last_message = type(event.message).__name__
        if isinstance(event.message, CertificateRequest | messages12.CertificateRequest):
            self._ca_names = requested_names(event.message)
        elif isinstance(event.message, messages12.Certificate):
            self._chains[event.direction] = presented(event.message)
        elif (certificate := certificate_in(event.message)) is not None:
            self._chains[event.direction] = presented(certificate)
        elif isinstance(event.message, messages12.ServerHello):
            self._finished_answers = True
        elif isinstance(event.message, Finished) and event.direction is Direction.SERVER_TO_CLIENT:
            self.answered = self.answered or self._finished_answers

    @property
    def stage(self) -> str:
        """How far the handshake came: "after ClientHello"."""
        return f"after {self.last_message}" if self.last_message else "before the first message"

    def line(self, error: BaseException | None = None) -> str:
        """The verdict; ``error`` is what ended the connection, if something did."""
        if error is not None:
            return self._failure(error)
        if self.info is None:
            return f"nothing came of it: the handshake ended {self.stage}"
        said = self._server_line() if self.role is Role.SERVER else self._client_line()
        return f"{said}; {', '.join(self._parameters())}"

    def hint(self, error: HandfastError) -> str:
        """What to do about the error that ended the connection: the error's own hint, or what we know better.

        A TLS 1.2 server has no other word for a missing certificate than handshake_failure, and when it asks for one,
        versions, suites and groups are agreed upon.
        """
        if isinstance(error, PeerRejected) and error.code == "handshake_failure" and self._withheld(self.role):
            return PeerRejected.catalogue["certificate_required"].hint
        return error.hint

    def _server_line(self) -> str:
        version = ProtocolVersion.describe(self.info.version)
        peer = self.info.peer
        if peer is not None and peer.verdict.accepted:
            return f"mutual {version} OK: client {self._identity(peer.chain)}"
        if peer is not None:
            return f"{version} OK, but the client is NOT verified: {self._unverified(peer)}"
        if not self.info.client_auth_requested:
            return f"{version} OK, one-way: no client certificate was requested"
        return f"{version} OK, one-way: the client was asked for a certificate and has shown none; {self._offer()}"

    def _client_line(self) -> str:
        version = ProtocolVersion.describe(self.info.version)
        peer = self.info.peer
        verified = peer is not None and peer.verdict.accepted
        server = f"server {self._identity(peer.chain) if verified else f'NOT VERIFIED: {self._unverified(peer)}'}"
        if self.info.session_identified:
            known = self._not_refused(
                "the session stands for the certificate that we showed when it began, and the server"
            )
            return f"{'mutual ' if verified else ''}{version} OK: {server}; {known}"
        if not self.info.client_auth_requested:
            return f"{version} OK, one-way: {server}; {self._not_refused('it requested no client certificate and')}"
        if not self.info.certificate_sent:
            named = count(len(self._ca_names), "CA") if self._ca_names else "no CAs"
            declined = self._not_refused(f"it requested a client certificate, naming {named}; we showed none and it")
            return f"{version} OK, one-way: {server}; {declined}"
        ours = self._identity(self._chains.get(Direction.CLIENT_TO_SERVER, ()))
        mutual = "mutual " if verified else ""
        return f"{mutual}{version} OK: {server}; {self._not_refused(f'we showed {ours} and the server')}"

    def _not_refused(self, so_far: str) -> str:
        if self.answered:
            return f"{so_far} answered"
        waited = max(0.0, self._clock() - self._completed)
        return f"{so_far} has not refused within {waited * 1000:.0f} ms"

    def _parameters(self) -> list[str]:
        info = self.info
        said = [CipherSuite.describe(info.suite)]
        if info.group is not None:
            said.append(NamedGroup.describe(info.group))
        if info.application_protocol is not None:
            said.append(f"ALPN {escape(info.application_protocol)}")
        if info.retried:
            said.append("after a HelloRetryRequest")
        if info.resumed:
            said.append("resumed")
        return said

    def _identity(self, chain: tuple[bytes, ...]) -> str:
        return self._describer.identity(chain[0]) if chain else "without a certificate"

    def _unverified(self, peer: Any) -> str:
        if peer is None:
            return "it has shown no certificate"
        return f"{self._identity(peer.chain)}: {peer.verdict.explanation}"

    def _offer(self) -> str:
        names = self._ca_names
        return f"it was offered {count(len(names), 'CA name')}" if names else "it was offered no CA names"

    def _failure(self, error: BaseException) -> str:
        ours, theirs = self.role, self.role.peer
        match error:
            case PeerRejected():
                return f"{theirs} refused: {self._alert(theirs, error)}{self._because(theirs)}"
            case CertificateRejected(code="certificate_required"):
                return f"{ours} refused: {self._alert(ours, error)}{self._because(ours)}"
            case CertificateRejected():
                shown = self._identity(self._chains.get(theirs.sends, ()))
                return f"{ours} refused: {self._alert(ours, error)}, because of the {theirs} {shown}: {error.what}"
            case HandfastError(alert=None):
                return f"failed {self.stage}: {error.what}"
            case HandfastError():
                return f"{ours} refused {self.stage}: {self._alert(ours, error)}: {error.what}"
        return f"failed {self.stage}: {said_by(error)}"

    def _alert(self, sender: Role, error: HandfastError) -> str:
        """The alert that ``sender`` sent, by name and number."""
        number = self._alerts.get(sender.sends, error.alert)
        if number is None:
            return escape(str(error.details.get("alert", "an alert")))
        return f"{AlertDescription.describe(number)} ({int(number)})"

    def _because(self, refuser: Role) -> str:
        """Which certificate, or lack of one, an alert about certificates speaks of."""
        if self._alerts.get(refuser.sends, _A.certificate_required) not in _ABOUT_CERTIFICATES:
            return ""
        if shown := self._chains.get(refuser.peer.sends):
            return f", after the {refuser.peer} showed {self._identity(shown)}" + self._offer_to(refuser.peer)
        if not self._withheld(refuser.peer):
            return ""
        reason = f" ({escape(self._reason_for_none)})" if self._reason_for_none and refuser is not self.role else ""
        return f", because the {refuser.peer} sent no certificate{reason}{self._offer_to(refuser.peer)}"

    def _withheld(self, role: Role) -> bool:
        """Whether a certificate was wanted of ``role``, and none came."""
        chain = self._chains.get(role.sends)
        return self._ca_names is not None if chain is None else not chain

    def _offer_to(self, role: Role) -> str:
        return f"; {self._offer()}" if role is Role.CLIENT else ""
