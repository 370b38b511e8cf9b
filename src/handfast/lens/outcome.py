"""What came of one connection, as data: what was seen, how it ended, and the cause where this side can know it.

``Outcome`` is an observer. ``lens.verdict_line`` makes words of it, for the command line, the endpoint and all else
that tells of a connection. What is known of a failure is an ``outcome.failure.Failure``, which a log has without one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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
from handfast.lens.summary import REQUESTS, presented, requested_names
from handfast.outcome import offered
from handfast.outcome.cause import ABOUT_CERTIFICATES, HTTP_REFUSALS, Cause, CauseCode, HttpAnswer, Manner
from handfast.outcome.failure import Failure
from handfast.registry import AlertDescription, ContentType
from handfast.roles import Direction, Role, RoleWord
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.messages import ClientHello, Finished, HelloRetryRequest, NewSessionTicket
from handfast.words import mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.connection_info import ConnectionInfo

_A = AlertDescription
# What a server says of a hello that it can do nothing with.
_ABOUT_HELLOS = frozenset({_A.handshake_failure, _A.insufficient_security, _A.illegal_parameter, _A.protocol_version})
# The ends by which a peer leaves without a word, and the waits that end without one.
_CLOSED = frozenset({"eof_in_handshake", "reset", "unexpected_eof"})
_WAITED = frozenset({"handshake_timeout", "timeout", "too_slow"})
# A hello that leaves one TCP segment of a usual path behind: some middleboxes read no more than that.
LARGE_HELLO = 1400


class Outcome:
    """An observer that remembers of one connection what its verdict needs.

    ``role`` is our side's, also as "client" or "server". ``clock`` must be the one that stamps the events: seconds
    since the Unix epoch.

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

    def __init__(self, role: Role | RoleWord, clock: Callable[[], float] = time.time) -> None:
        self.role: Role = mode("role", role, Role)
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

    def failure(self, error: BaseException | None = None) -> Failure:
        """How the connection failed. ``error`` is what ended it, None if it ended in order."""
        return Failure(
            role=self.role,
            error=error,
            cause=self.cause(error),
            stage=self.stage,
            complete=self.info is not None,
            chains={role: self.chains[role.sends] for role in Role if role.sends in self.chains},
            alerts={role: self.alerts[role.sends] for role in Role if role.sends in self.alerts},
            ca_names=self.ca_names,
            reason="" if self.choice is None else self.choice.reason,
            objections=None if self.choice is None else self._objections(),
            hello=self.hello,
            hello_size=self.hello_size,
        )

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
        # Certificate came from the client, and it was empty.
        if not self.chains[Direction.CLIENT_TO_SERVER]:
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
