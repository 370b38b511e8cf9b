"""What ``handfast connect -v`` says, with curl's marks: "*" of the connection, ">" sent, "<" received."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from handfast.cli import ui
from handfast.cli.verdict_words import DESCRIBER
from handfast.roles import Direction
from handfast.text import counted, escape, listed
from handfast.x509.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handfast.connection_info import ConnectionInfo
    from handfast.lens.outcome import Outcome

_MORE_NAMES = 20
_DATE = "%Y-%m-%d %H:%M:%S UTC"


class Verbose:
    """Says it, or nothing where it was not asked for."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown

    def say(self, text: str) -> None:
        """A line of the connection."""
        self._lines("*", [text])

    def sent(self, lines: Iterable[str]) -> None:
        """The head of a request."""
        self._lines(">", [*lines, ""])

    def received(self, lines: Iterable[str]) -> None:
        """The head of a response."""
        self._lines("<", [*lines, ""])

    def handshake(self, outcome: Outcome) -> None:
        """A handshake that is complete, or that failed."""
        if self.shown:
            self._lines("*", handshake_lines(outcome))

    def _lines(self, mark: str, lines: Iterable[str]) -> None:
        if self.shown:
            for line in lines:
                ui.trace(f"{mark} {escape(line)}".rstrip())


def handshake_lines(outcome: Outcome) -> Iterator[str]:
    """The parameters, the server's certificates, what it asked of us, what we sent and why."""
    info = outcome.info
    if outcome.hello is not None:
        yield f"we asked for {_asked(outcome)}"
    if info is not None:
        yield from _parameters(info)
    theirs = outcome.chains.get(Direction.SERVER_TO_CLIENT, ())
    if theirs:
        yield f"the server's chain, as it was sent ({counted(len(theirs), 'certificate')}):"
    for position, certificate in enumerate(theirs):
        yield from (f"  {line}" for line in _certificate(position, certificate))
    if info is not None and info.peer is not None:
        verdict = info.peer.verdict
        root = verdict.path[-1] if verdict.path else b""
        yield (
            f"verified, up to {DESCRIBER.name(_subject(root))}"
            if verdict.accepted and root
            else "verified"
            if verdict.accepted
            else f"NOT verified: {verdict.explanation}"
        )
    yield from _about_us(outcome)


def _asked(outcome: Outcome) -> str:
    hello = outcome.hello
    name = None if hello is None else hello.sni_name
    asked = f"the name {escape(name)}" if name else "no name (the target is an address)"
    return f"{asked}, and {f'offered {outcome.protocols}' if outcome.protocols else 'offered no ALPN'}"


def _parameters(info: ConnectionInfo) -> Iterator[str]:
    scheme = f"signed with {info.peer_scheme}" if info.peer_scheme is not None else "resumed: no signature"
    parts = [info.version, info.suite, *([] if info.group is None else [info.group]), scheme]
    yield ", ".join(map(str, parts))
    chosen = info.application_protocol
    yield f"ALPN: the server chose {escape(chosen)}" if chosen else "ALPN: the server chose nothing"


def _certificate(position: int, certificate: bytes) -> Iterator[str]:
    described = describe(certificate)
    yield f"[{position}] subject: {described.subject or '(empty)'}"
    yield f"    issuer: {described.issuer or '(empty)'}"
    if described.names:
        yield f"    names: {listed(described.names, _MORE_NAMES)}"
    yield f"    valid: {described.not_before} to {described.not_after}{_left(described.not_after)}"
    yield f"    key: {described.key}, signed with {described.signature_algorithm}"


def _left(not_after: str) -> str:
    """How many days that is away; "" for what is no date."""
    try:
        end = datetime.strptime(not_after, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return ""
    days = (end - datetime.now(UTC)).days
    return f" ({counted(days, 'day')} left)" if days >= 0 else " (EXPIRED)"


def _about_us(outcome: Outcome) -> Iterator[str]:
    """What the server asked of us, and what it got."""
    if outcome.ca_names is None:
        if outcome.info is not None and not outcome.info.resumed:
            yield "the server asked for no client certificate"
        return
    names = [DESCRIBER.name(name) for name in outcome.ca_names]
    named = f"names {counted(len(names), 'CA')}: {listed(names, _MORE_NAMES)}" if names else "names no CA"
    yield f"the server asked for a client certificate, and {named}"
    ours = outcome.chains.get(Direction.CLIENT_TO_SERVER)
    reason = f": {outcome.choice.reason}" if outcome.choice is not None and outcome.choice.reason else ""
    if ours:
        yield f"we sent {DESCRIBER.identity(ours[0])}, {counted(len(ours), 'certificate')}{reason}"
    elif ours is not None:
        yield f"we sent none{reason}"


def _subject(certificate: bytes) -> bytes:
    from handfast import der

    return der.certificate_fields(certificate).subject
