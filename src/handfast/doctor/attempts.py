"""What one connection shows, out of its outcome: the same for a live connection and for a recorded one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.doctor.evidence import Asked, Attempt
from handfast.errors import HandfastError
from handfast.events import AlertSeen, Event, HandshakeComplete, MessageSeen, Negotiated, RecordSeen
from handfast.lens.summary import REQUESTS
from handfast.limits import MAX_PEER_TEXT
from handfast.outcome import offered
from handfast.outcome.cause import HttpAnswer
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion
from handfast.roles import Role
from handfast.text import escape
from handfast.wire import extensions as ext
from handfast.wire import messages12
from handfast.wire.messages import CertificateRequest, Finished, ServerHello

if TYPE_CHECKING:
    from handfast.lens.outcome import Outcome

# On nginx's page, in small letters.
_NONE_SENT = b"no required ssl certificate was sent"


class Watching:
    """An observer of what an ``Outcome`` leaves out: when a certificate was asked for, and what would be accepted."""

    def __init__(self) -> None:
        self.asked = Asked.NEVER
        self.schemes: tuple[int, ...] = ()
        self.spoke = False
        self.negotiated: Negotiated | None = None
        self.complete = False
        self.plaintext = False
        self.unread = ""

    def __call__(self, event: Event) -> None:
        match event:
            case MessageSeen(message=message) if isinstance(message, REQUESTS):
                self.schemes = _schemes(message)
                self.asked = Asked.AFTERWARDS if self.complete else Asked.HANDSHAKE
            case MessageSeen(message=ServerHello() | messages12.ServerHello()):
                self.spoke = True
            case MessageSeen(message=Finished(), direction=direction) if direction is Role.CLIENT.sends:
                self.complete = True
            case HandshakeComplete():
                self.complete = True
            case RecordSeen(unreadable_reason=reason) if reason:
                self.unread = self.unread or reason
            case Negotiated():
                self.negotiated = event
            case AlertSeen(direction=direction, authenticated=authenticated) if direction is Role.SERVER.sends:
                self.plaintext = self.spoke and not authenticated


def _schemes(request: object) -> tuple[int, ...]:
    """Of a CertificateRequest: RFC 9846 4.4.2, RFC 5246 7.4.4."""
    if isinstance(request, CertificateRequest):
        found = request.find(ext.SignatureSchemeList)
        return tuple(map(int, found.supported_signature_algorithms)) if found else ()
    named: Any = getattr(request, "supported_signature_algorithms", ())
    return tuple(map(int, named))


def attempt(
    title: str,
    watching: Watching,
    outcome: Outcome,
    error: HandfastError | None,
    *,
    live: bool = True,
    clock_ahead: float | None = None,
) -> Attempt:
    """What a connection showed. ``error`` is what ended it, None if it ended in order."""
    cause = outcome.cause(error)
    failure = outcome.failure(error)
    details = {} if error is None else error.details
    foreign = error is not None and error.code == "not_tls"
    negotiated = watching.negotiated
    hello = outcome.hello
    return Attempt(
        title=title,
        live=live,
        complete=watching.complete,
        version="" if negotiated is None else ProtocolVersion.describe(negotiated.version),
        suite="" if negotiated is None else CipherSuite.describe(negotiated.suite),
        group="" if negotiated is None or negotiated.group is None else NamedGroup.describe(negotiated.group),
        protocol=escape((negotiated and negotiated.application_protocol) or "", MAX_PEER_TEXT),
        asked=Asked.RENEGOTIATION if outcome.renegotiation_wanted else watching.asked,
        ca_names=outcome.ca_names,
        schemes=watching.schemes,
        client_chain=failure.chains.get(Role.CLIENT, ()),
        server_chain=failure.chains.get(Role.SERVER, ()),
        cause=None if cause is None else cause.code,
        manner=None if cause is None else cause.manner,
        alerts=failure.alerts,
        plaintext=watching.plaintext,
        spoke=watching.spoke,
        heard_nothing=outcome.heard_nothing,
        answered=outcome.answered,
        error="" if error is None else error.code,
        what="" if error is None else escape(error.what, MAX_PEER_TEXT),
        unread=watching.unread,
        speaks=escape(str(details.get("who", "")), MAX_PEER_TEXT) if foreign else "",
        hello_size=outcome.hello_size,
        offer="" if hello is None else offered.in_words(hello),
        server_name=escape((hello and hello.sni_name) or "", MAX_PEER_TEXT),
        http=outcome.http,
        clock_ahead=clock_ahead,
    )


def http_answer(response: bytes) -> tuple[HttpAnswer, str] | None:
    """The status line of an HTTP/1 response and its Date header, escaped; None for what is no such response."""
    head, _, body = response.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    words = line.split(b" ", 2)
    if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        return None
    date = next((field[5:].strip() for field in fields if field[:5].lower() == b"date:"), b"")
    reason = escape(words[2], MAX_PEER_TEXT) if len(words) > 2 else ""
    text = body.lower()
    made = HttpAnswer(int(words[1]), reason, b"certificate" in text, none_sent=_NONE_SENT in text)
    return made, escape(date, MAX_PEER_TEXT)
