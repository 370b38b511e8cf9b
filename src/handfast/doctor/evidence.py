"""What is known, as data: of connections, of each side's certificates, of log lines. Nothing here concludes anything.

Texts are escaped where they enter. Certificates and names are DER.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from handfast.doctor.inputs import Input
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.outcome.cause import CauseCode, HttpAnswer, Manner


# HTTP/2 over TLS, and gRPC on it: RFC 9113 3.1.
HTTP_2 = "h2"
NAMING_HTTP_2 = f"naming {HTTP_2} (ALPN)"
_CLOSED = frozenset({"reset", "unexpected_eof"})
# HTTP: statuses that say that the request was not served. RFC 9110 15.5.
_REFUSED_FROM = 400


class Asked(StrEnum):
    """When the server asked for a client certificate."""

    NEVER = "never"
    HANDSHAKE = "in the handshake"
    AFTERWARDS = "after the handshake"
    RENEGOTIATION = "by renegotiation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection, ours or recorded, as its client saw it.

    Attributes:
        title: what was special about it: "without a certificate", "connection 2 of the capture".
        live: whether it was ours.
        complete: whether the client's handshake came to its end.
        version, suite, group, protocol: what was negotiated, in words; "" where it is not known.
        asked: when the server asked for a client certificate. ca_names: the CAs that it named, None if it did not ask.
        schemes: the signature schemes that it accepts.
        client_chain, server_chain: what each showed; () for nothing, also where it was asked.
        cause, manner: why and how the server refused the client, as far as the client can know; None if it did not.
        alerts: the last alert of each side. plaintext: whether the server's came unprotected after keys were on.
        spoke: whether the server's hello came. heard_nothing: whether not one byte did.
        answered: whether the server said something that it says only to one it let in.
        error, what: the code of the error that ended it, and its words; "" if it ended in order.
        unread: why not all of a recording could be read; "" where all was.
        speaks: what answered in place of TLS, in words; "" for TLS.
        hello_size: bytes of the hello; offer: what it offered, in words; server_name: its SNI, "" for none.
        http: the answer to a request, None if none was made or came. clock_ahead: by how many seconds the server's
            Date header is ahead of the time here; None without one.
    """

    title: str
    live: bool = True
    complete: bool = False
    version: str = ""
    suite: str = ""
    group: str = ""
    protocol: str = ""
    asked: Asked = Asked.NEVER
    ca_names: tuple[bytes, ...] | None = field(default=None, repr=False)
    schemes: tuple[int, ...] = ()
    client_chain: tuple[bytes, ...] = field(default=(), repr=False)
    server_chain: tuple[bytes, ...] = field(default=(), repr=False)
    cause: CauseCode | None = None
    manner: Manner | None = None
    alerts: Mapping[Role, int] = field(default_factory=dict)
    plaintext: bool = False
    spoke: bool = False
    heard_nothing: bool = False
    answered: bool = False
    error: str = ""
    what: str = ""
    unread: str = ""
    speaks: str = ""
    hello_size: int = 0
    offer: str = ""
    server_name: str = ""
    http: HttpAnswer | None = None
    clock_ahead: float | None = None

    @property
    def server_alert(self) -> int | None:
        """The server's last alert."""
        return self.alerts.get(Role.SERVER)

    @property
    def let_in(self) -> bool:
        """Whether the client showed a certificate, and the server answered it as one whom it lets in."""
        if not self.client_chain or self.cause is not None:
            return False
        return self.answered if self.http is None else self.http.status < _REFUSED_FROM

    @property
    def closed_without_a_word(self) -> bool:
        """Whether the server closed after the client's handshake, and told it nothing by an alert or in HTTP."""
        return self.complete and self.error in _CLOSED and self.http is None and self.server_alert is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong with one side's certificates or files.

    Attributes:
        causes: entries of the catalogue without their side, any of which it may be.
        explanation: what was found, escaped.
        refused_by: which programs refuse it, in words; () where all do, or where it is not known.
        advice: what to do, where more is known than the catalogue has for the cause; "" for what that has.
        spares: whether one who was let in shows that it is no fault here: what is above a leaf may not be needed, and
            not all go by it.
    """

    causes: tuple[str, ...]
    explanation: str
    refused_by: tuple[str, ...] = ()
    advice: str = ""
    spares: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One side's certificates.

    Attributes:
        side: whose.
        source: where they are from: a file, or "what the server sent".
        chain: as it is sent, leaf first; () where files cannot be used.
        problems: what is wrong, the most certain first. remarks: what only browsers and the like refuse.
        accepted: what the other side's verifier says, None where it is not known what that trusts.
        accepted_by: what that verifier trusts, in words.
        revocation_checked: whether a current revocation list of the other side's was looked at, and speaks for it.
        issuers: the issuer names from the leaf upwards, with the certificates that are known besides.
        ends_in_root: whether these lead to a certificate that signs itself: then no intermediate is unknown.
        schemes: the signature schemes that its key can make; () where the key is not known.
        is_new: whether the leaf's validity began so lately that a clock which is behind refuses it.
    """

    side: Role
    source: str
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    accepted: bool | None = None
    accepted_by: str = ""
    revocation_checked: bool = False
    issuers: tuple[bytes, ...] = field(default=(), repr=False)
    ends_in_root: bool = False
    schemes: tuple[int, ...] = ()
    is_new: bool = False

    @property
    def signs_itself(self) -> bool:
        """Whether the leaf is its own issuer."""
        return self.ends_in_root and len(self.issuers) == 1


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log.

    Attributes:
        text: the line, escaped and shortened.
        causes: what it can mean; () for what is no failure by itself.
        program: who writes so, and as which side where that is known.
        tells: what would tell which of the causes it is. note: what a reader should know besides.
        otherwise: what it means from the other side's mouth, where that is possible and rare; () where it is not.
        left_by: which of our own connections leave such a line with a server: see ``log_texts.KnownText``.
        advice: what to do, where the line tells more than the catalogue has for the cause; "" for what that has.
    """

    text: str
    causes: tuple[str, ...]
    program: str = ""
    tells: Input = Input.NOTHING
    note: str = ""
    otherwise: tuple[str, ...] = ()
    left_by: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file of one side that can be read here, and that other programs do not read.

    Attributes:
        side: whose.
        explanation: which file, and why it is not read, escaped. advice: what to do.
    """

    side: Role
    explanation: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """A CA bundle of the environment that verifies the server and is not the one in use."""

    used: str
    verifies: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known.

    Attributes:
        attempts: the connections, ours first.
        client, server: each side's certificates, None where nothing is known of them.
        server_file: the chain of the server's own file; () where it is not known.
        log: what a log says. unknown_lines: how many lines of it say nothing that is known; None without a log.
        unread: files that other programs do not read.
        shadowed: the environment's bundles.
        names: what stands in fixes for files, host and port: see ``catalogue.USUAL_NAMES``.
        protocols_chosen: whether the user said which protocols (ALPN) our connections name.
    """

    attempts: tuple[Attempt, ...] = ()
    client: Identity | None = None
    server: Identity | None = None
    server_file: tuple[bytes, ...] = field(default=(), repr=False)
    log: tuple[LogLine, ...] = ()
    unknown_lines: int | None = None
    unread: tuple[Unread, ...] = ()
    shadowed: Shadowed | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    protocols_chosen: bool = False

    @property
    def last_attempts(self) -> tuple[Attempt, ...]:
        """The last of our connections, which came furthest, and each recorded one."""
        live = [one for one in self.attempts if one.live]
        return (*live[-1:], *(one for one in self.attempts if not one.live))

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing to judge by: a log without a line that is known, a capture without TLS."""
        return not (self.attempts or self.client or self.server or self.log)

    @property
    def log_alone(self) -> bool:
        """Whether all that is known is from a log."""
        return bool(self.log) and not (self.attempts or self.client or self.server)
