"""What came of one connection, as data: what was seen, how it ended, and the cause where this side can know it.

``Outcome`` is an observer. ``lens.verdict`` makes words of it, for the command line, the endpoint and whatever else
tells of a connection. A ``Cause`` has a stable code and the evidence it rests on: alerts alone are not enough, since
one alert stands for many causes and many servers send none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from handfast.errors import ConnectionLost, HandfastError, PeerRejected
from handfast.events import (
    AlertSeen,
    CertificateChosen,
    Closed,
    Epoch,
    Event,
    HandshakeComplete,
    MessageSeen,
    RecordSeen,
)
from handfast.lens import offered
from handfast.lens.summary import REQUESTS, presented, requested_names
from handfast.registry import AlertDescription, ContentType
from handfast.roles import Direction, Role
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.messages import ClientHello, Finished, HelloRetryRequest, NewSessionTicket

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.connection_info import ConnectionInfo

_A = AlertDescription
# What is said of a certificate, or of its absence.
ABOUT_CERTIFICATES = frozenset(
    {
        _A.handshake_failure, _A.bad_certificate, _A.unsupported_certificate, _A.certificate_revoked,
        _A.certificate_expired, _A.certificate_unknown, _A.unknown_ca, _A.access_denied, _A.decrypt_error,
        _A.certificate_required,
    }
)  # fmt: skip
# What a server says of a hello that it can do nothing with.
_ABOUT_HELLOS = frozenset({_A.handshake_failure, _A.insufficient_security, _A.illegal_parameter, _A.protocol_version})
# The ends by which a peer leaves without a word, and the waits that end without one.
_CLOSED = frozenset({"eof_in_handshake", "reset", "unexpected_eof"})
_WAITED = frozenset({"handshake_timeout", "timeout", "too_slow"})
# HTTP statuses by which servers refuse a client: 495 and 496 are nginx's own.
HTTP_REFUSALS = frozenset({400, 401, 403, 495, 496})
# A hello that leaves one TCP segment of a usual path behind: some middleboxes read no more than that.
LARGE_HELLO = 1400


class CauseCode(StrEnum):
    """Why a client's connection failed, or ended in a refusal. The codes are stable."""

    # The server asked for a certificate and got none.
    NO_CERTIFICATE = "no_certificate"
    CERTIFICATE_WITHHELD = "certificate_withheld"
    # It got one, and this is known against it.
    ISSUER_NOT_NAMED = "issuer_not_named"
    ISSUER_ENCODING = "issuer_encoding"
    ISSUER_REKEYED = "issuer_rekeyed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_PURPOSE = "wrong_purpose"
    KEY_MAY_NOT_SIGN = "key_may_not_sign"
    # It got one, and nothing is known against it; the second: nor was anything else sent than it.
    CERTIFICATE_REFUSED = "certificate_refused"
    LEAF_ALONE = "leaf_alone"
    # It wants the certificate in a second handshake of TLS 1.2.
    RENEGOTIATION = "renegotiation"
    # It said no before it asked for anything.
    NOTHING_IN_COMMON = "nothing_in_common"
    # Nothing came back at all, and our hello was large.
    LARGE_HELLO = "large_hello"


class Manner(StrEnum):
    """How the server made its refusal known."""

    ALERT = "alert"
    CLOSE = "close"
    HTTP = "http"


class HttpAnswer(NamedTuple):
    """The status line of the answer to our request, and whether its body speaks of a client certificate."""

    status: int
    reason: str
    about_certificate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why the server refused, as far as this side can know, and what shows it.

    Attributes:
        code: for programs.
        manner: how the refusal came.
        certificate: what we showed, DER; b"" for nothing.
        sent: how many certificates we showed.
        why: what our own choice had found, in words; "" for nothing.
        objections: the same as codes, see ``events.Considered``.
        ca_names: the CAs that the server named, DER; None when it asked for no certificate.
        alert: the alert that it sent, None if it sent none.
        http: the answer to our request, None if there was none.
    """

    code: CauseCode
    manner: Manner
    certificate: bytes = b""
    sent: int = 0
    why: str = ""
    objections: tuple[str, ...] = ()
    ca_names: tuple[bytes, ...] | None = None
    alert: int | None = None
    http: HttpAnswer | None = None

    @property
    def tells_more(self) -> bool:
        """Whether something is known here that speaks against us, and not only that we were refused."""
        return self.code not in (CauseCode.CERTIFICATE_REFUSED, CauseCode.LEAF_ALONE)


class Outcome:
    """An observer that remembers of one connection what its verdict needs.

    ``role`` is our side's. ``clock`` must be the one that stamps the events: seconds since the Unix epoch.

    Attributes:
        info: the connection's, once its handshake is complete; None before.
        answered: whether the peer has said something that it says only to one it let in.
        ca_names: the CA names of the server's request, DER; None when it made none.
        chains: what each side showed, DER; () for a side that declined.
        alerts: the last alert of each side that is no close_notify.
        choice: why we showed what we showed.
        hello: our last hello, at a client. protocols: what the client's hello offers by ALPN, in words.
        renegotiation_wanted: whether a TLS 1.2 server sent HelloRequest.
        http: the answer to our HTTP request; the caller that makes the request puts it here.
    """

    def __init__(self, role: Role, clock: Callable[[], float] = time.time) -> None:
        self.role = role
        self.info: ConnectionInfo | None = None
        self.last_message = ""
        self.answered = False
        self.ca_names: tuple[bytes, ...] | None = None
        self.chains: dict[Direction, tuple[bytes, ...]] = {}
        self.alerts: dict[Direction, int] = {}
        self.choice: CertificateChosen | None = None
        self.hello: ClientHello | None = None
        self.hello_size = 0
        self.protocols = ""
        self.renegotiation_wanted = False
        self.http: HttpAnswer | None = None
        self._clock = clock
        self._completed = 0.0
        # Whether the peer's Finished comes after it has judged us.
        self._finished_answers = False
        self._ticketed = False
        self._heard: set[Direction] = set()
        self._ended: list[Direction] = []

    def __call__(self, event: Event) -> None:
        match event:
            case RecordSeen():
                self._record(event)
            case MessageSeen():
                self._message(event)
            case AlertSeen(direction=direction, description=description) if description != _A.close_notify:
                self.alerts[direction] = description
            case CertificateChosen(direction=direction) if direction is self.role.sends:
                self.choice = event
            case HandshakeComplete():
                self.info = event.info
                self._completed = event.time
            case Closed():
                self._ended.append(event.direction)

    def _record(self, record: RecordSeen) -> None:
        self._heard.add(record.direction)
        theirs = record.direction is not self.role.sends
        data = record.content_type == ContentType.application_data and not record.unreadable_reason
        if theirs and record.epoch is Epoch.APPLICATION and data:
            self.answered = True

    def _message(self, event: MessageSeen) -> None:
        message = event.message
        self.last_message = type(message).__name__
        if isinstance(message, REQUESTS):
            self.ca_names = requested_names(message)
        elif isinstance(message, messages12.Certificate):
            self.chains[event.direction] = presented(message)
        elif (certificate := certificate_in(message)) is not None:
            self.chains[event.direction] = presented(certificate)
        elif isinstance(message, ClientHello):
            # A stranger's would be kept as long as its connection.
            self.hello = message if self.role is Role.CLIENT else None
            self.hello_size = len(event.raw)
            self.protocols = offered.protocols(message)
        elif isinstance(message, messages12.ServerHello):
            self._finished_answers = True
        elif isinstance(message, NewSessionTicket):
            self._ticketed = True
        elif isinstance(message, messages12.HelloRequest):
            self.renegotiation_wanted = True
        elif isinstance(message, Finished) and event.direction is Direction.SERVER_TO_CLIENT:
            self.answered = self.answered or self._finished_answers

    @property
    def stage(self) -> str:
        """How far the handshake came: "after ClientHello"."""
        return f"after {self.last_message}" if self.last_message else "before the first message"

    @property
    def waited(self) -> float:
        """For how many seconds the handshake has been complete."""
        return max(0.0, self._clock() - self._completed)

    @property
    def heard_nothing(self) -> bool:
        """Whether not one record came from the peer."""
        return self.role.peer.sends not in self._heard

    def withheld(self, role: Role) -> bool:
        """Whether a certificate was wanted of ``role``, and none came."""
        chain = self.chains.get(role.sends)
        return self.ca_names is not None if chain is None else not chain

    def cause(self, error: BaseException | None = None) -> Cause | None:
        """Why the server refused us; None where the error says all that is known, and where nothing was refused.

        ``error`` is what ended the connection, None if it ended in order.
        """
        ours = isinstance(error, HandfastError) and error.alert is not None and not isinstance(error, ConnectionLost)
        if self.role is Role.SERVER or ours:
            return None
        if isinstance(error, ConnectionLost) and error.code in _CLOSED | _WAITED and self.heard_nothing:
            return self._cause(CauseCode.LARGE_HELLO, Manner.CLOSE) if self.hello_size > LARGE_HELLO else None
        manner = self._manner(error)
        if manner is None:
            return None
        if self.renegotiation_wanted:
            return self._cause(CauseCode.RENEGOTIATION, manner)
        about_us = manner is not Manner.ALERT or self._said in ABOUT_CERTIFICATES
        if about_us and self.ca_names is not None and Direction.CLIENT_TO_SERVER in self.chains:
            return self._about_us(manner)
        if isinstance(error, PeerRejected) and self._said in _ABOUT_HELLOS and not self._server_spoke:
            return self._cause(CauseCode.NOTHING_IN_COMMON, manner)
        return None

    @property
    def _said(self) -> int | None:
        return self.alerts.get(Direction.SERVER_TO_CLIENT)

    @property
    def _server_spoke(self) -> bool:
        return self.last_message not in ("", ClientHello.__name__, HelloRetryRequest.__name__)

    def _manner(self, error: BaseException | None) -> Manner | None:
        """How the server refused; None where it did not, or spoke of something else than what can be known here."""
        if isinstance(error, PeerRejected):
            about = ABOUT_CERTIFICATES | _ABOUT_HELLOS | {_A.no_renegotiation}
            return Manner.ALERT if self._said in about else None
        if isinstance(error, ConnectionLost):
            return Manner.CLOSE if error.code in _CLOSED and not self._served else None
        if error is not None:
            return None
        if self.http is not None:
            return Manner.HTTP if self.http.status in HTTP_REFUSALS else None
        closed_first = self._ended[:1] == [Direction.SERVER_TO_CLIENT]
        return Manner.CLOSE if closed_first and not self._served else None

    @property
    def _served(self) -> bool:
        """Whether the server did anything for us that it does only for a client that it let in.

        Servers of TLS 1.3 give tickets once they have judged the client's certificate. What a TLS 1.2 server asks for a
        second handshake about it has not done yet.
        """
        return (self.answered or self._ticketed) and not self.renegotiation_wanted

    def _about_us(self, manner: Manner) -> Cause:
        """What there is against the certificate that we showed, or did not show."""
        if self.withheld(Role.CLIENT):
            held = self.choice is not None and self.choice.considered
            return self._cause(CauseCode.CERTIFICATE_WITHHELD if held else CauseCode.NO_CERTIFICATE, manner)
        objections = self._objections()
        known = [CauseCode(code) for code in objections if code in set(CauseCode)]
        wanted = _EXPECTED.get(self._said or 0, ())
        # What fits the alert comes first: sorted() keeps the order.
        known.sort(key=lambda code: code not in wanted)
        if known:
            return self._cause(known[0], manner)
        if self._said == _A.unknown_ca and self.ca_names:
            return self._cause(CauseCode.ISSUER_REKEYED, manner)
        alone = len(self.chains[Direction.CLIENT_TO_SERVER]) == 1 and not self.ca_names
        may_be_incomplete = alone and self._said in (None, _A.unknown_ca, _A.bad_certificate, _A.certificate_unknown)
        return self._cause(CauseCode.LEAF_ALONE if may_be_incomplete else CauseCode.CERTIFICATE_REFUSED, manner)

    def _objections(self) -> tuple[str, ...]:
        considered = () if self.choice is None else self.choice.considered
        return next((one.objections for one in considered if one.shown), ())

    def _cause(self, code: CauseCode, manner: Manner) -> Cause:
        chain = self.chains.get(Direction.CLIENT_TO_SERVER, ())
        return Cause(
            code=code,
            manner=manner,
            certificate=chain[0] if chain else b"",
            sent=len(chain),
            why="" if self.choice is None else self.choice.reason,
            objections=self._objections(),
            ca_names=self.ca_names,
            alert=self._said,
            http=self.http,
        )


# Which of our own findings an alert speaks of, where there are several.
_EXPECTED: dict[int, tuple[CauseCode, ...]] = {
    _A.unknown_ca: (CauseCode.ISSUER_NOT_NAMED, CauseCode.ISSUER_ENCODING),
    _A.certificate_expired: (CauseCode.EXPIRED, CauseCode.NOT_YET_VALID),
    _A.bad_certificate: (CauseCode.NOT_YET_VALID,),
    _A.unsupported_certificate: (CauseCode.WRONG_PURPOSE, CauseCode.KEY_MAY_NOT_SIGN),
}
