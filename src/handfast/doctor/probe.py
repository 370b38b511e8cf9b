"""Asking a server, politely: few connections, each announced, none with early data and none that is resumed.

The first shows no certificate, so that it learns what the server asks for and how a client fares that has none. The
next shows it, if the server asked and is verified. Where the first comes to nothing, it is tried again with the one
thing left out that may be in the way: a large key share, the name, a restriction of versions. Where the server closes
after the handshake without a word, it is asked again with HTTP/2 named.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from handfast.doctor.attempts import Watching, attempt, http_answer
from handfast.doctor.evidence import HTTP_2, NAMING_HTTP_2, Asked
from handfast.errors import ConnectionLost, HandfastError
from handfast.io import sockets
from handfast.lens.outcome import LARGE_HELLO, Outcome
from handfast.limits import MAX_PROBES, PROBE_ANSWER_BYTES, PROBE_PATIENCE, PROBE_TIMEOUT
from handfast.registry import AlertDescription, NamedGroup, ProtocolVersion
from handfast.roles import Role
from handfast.trust.presented import PresentedChain
from handfast.trust.verifiers import PathVerifier
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from handfast.doctor.evidence import Attempt
    from handfast.engine import ClientConfig
    from handfast.events import Observer

_SMALL_GROUPS = (NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1)
_ALL_VERSIONS = (ProtocolVersion.TLS13, ProtocolVersion.TLS12)
_CLOSED = frozenset({"eof_in_handshake", "reset"})
_SILENT = frozenset({"handshake_timeout", "timeout", "too_slow", *_CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the server is asked.

    Attributes:
        open: makes a connection on which the server awaits a hello. Raises ConnectionLost connect_failed.
        config: what the client speaks and shows, and by what it judges the server.
        server_name: whom to ask for; None for no name.
        request: what to ask once the handshake is over, an HTTP/1.1 request that wants the connection closed; b"" to
            wait what the server says of itself.
        announce: is told of each connection before it is made, in a line.
        show_to_unverified: show the certificate also to a server that is not verified.
        timeout, patience: seconds for a handshake, and for a server that was asked nothing.
    """

    open: Callable[[], socket.socket]
    config: ClientConfig
    server_name: str | None
    request: bytes
    announce: Callable[[str], None]
    show_to_unverified: bool = False
    timeout: float = PROBE_TIMEOUT
    patience: float = PROBE_PATIENCE


def probe(way: Way) -> tuple[Attempt, ...]:
    """The connections that were made, in their order."""
    return tuple(_Probing(way).attempts())


class _Probing:
    def __init__(self, way: Way) -> None:
        self.way = way
        self.made: list[Attempt] = []

    def attempts(self) -> list[Attempt]:
        config = self.way.config
        bare = replace(config, credentials=())
        first = self._try("without a certificate" if config.credentials else "as a client without a certificate", bare)
        if not first.spoke:
            self._try_again(first, bare)
            return self.made
        refusal = self._refusal(first)
        last, shown = first, bare
        if config.credentials and first.asked is not Asked.NEVER:
            if not refusal or self.way.show_to_unverified:
                last, shown = self._try("with the certificate", config), config
            else:
                self.way.announce("the certificate is not shown, as the server is not verified")
        if last.closed_without_a_word and HTTP_2 not in shown.application_protocols:
            self._try(f"{last.title}, {NAMING_HTTP_2}", replace(shown, application_protocols=(HTTP_2,)))
        if refusal == "name_mismatch" and first.server_name:
            self._try("without a name (SNI)", bare, server_name=None)
        return self.made

    def _refusal(self, first: Attempt) -> str:
        """Why the server's certificate is refused; "" where it is accepted. In TLS 1.2 a refused client never asks."""
        verifier = self.way.config.verifier
        if not first.server_chain or not isinstance(verifier, PathVerifier):
            return "certificate_required"
        now = datetime.now(UTC)
        name = self.way.server_name
        presented = PresentedChain(chain=first.server_chain, purpose=Purpose.SERVER, server_name=name, at=now)
        return verifier.verify(presented).code

    def _try_again(self, first: Attempt, bare: ClientConfig) -> None:
        """Connect again with one thing left out, where that may be what is in the way."""
        if first.error in _SILENT and first.heard_nothing and first.hello_size > LARGE_HELLO:
            small = tuple(group for group in _SMALL_GROUPS if group in bare.groups) or _SMALL_GROUPS
            if self._try("with a small hello", replace(bare, groups=small)).spoke:
                # Once may be chance.
                self._try("with the large hello again", bare)
                return
        if first.server_alert == AlertDescription.protocol_version and set(bare.versions) != set(_ALL_VERSIONS):
            self._try("with all versions", replace(bare, versions=_ALL_VERSIONS))
        elif first.server_name and (first.server_alert is not None or first.error in _CLOSED):
            self._try("without a name (SNI)", bare, server_name=None)

    def _try(self, title: str, config: ClientConfig, *, server_name: str | None = "") -> Attempt:
        """One connection. ``server_name`` "" is the target's."""
        if len(self.made) >= MAX_PROBES:
            return self.made[-1]
        self.way.announce(f"connection {len(self.made) + 1}: {title}")
        watching, outcome = Watching(), Outcome(Role.CLIENT)
        config = replace(
            config,
            enforce_verdict=False,
            sessions=None,
            handshake_timeout=self.way.timeout,
            post_handshake_auth=ProtocolVersion.TLS13 in config.versions,
        )
        name = self.way.server_name if server_name == "" else server_name
        error: HandfastError | None = None
        date = ""
        try:
            date = self._talk(config, name, watching, outcome)
        except HandfastError as caught:
            error = caught
        made = attempt(title, watching, outcome, error, clock_ahead=_ahead(date))
        self.made.append(made)
        return made

    def _talk(self, config: ClientConfig, name: str | None, watching: Watching, outcome: Outcome) -> str:
        """The Date header of the answer. Raises what ended the connection."""
        sock = self.way.open()
        observers: list[Observer] = [watching, outcome]
        with sockets.client(sock, config, server_name=name, timeout=self.way.timeout, observers=observers) as tls:
            if not self.way.request or tls.info.application_protocol not in (None, "http/1.1"):
                _wait(tls, self.way.patience)
                return ""
            tls.sendall(self.way.request)
            answer = http_answer(_read(tls, self.way.timeout))
        if answer is None:
            return ""
        outcome.http, date = answer
        return date


def _wait(tls: sockets.TLSSocket, seconds: float) -> None:
    """Wait for what the server says of itself, or for its refusal."""
    try:
        tls.recv_within(seconds)
    except ConnectionLost as error:
        if error.code != "timeout":
            raise


def _read(tls: sockets.TLSSocket, seconds: float) -> bytes:
    """An answer, as far as it comes. Raises what ended the connection before its first byte."""
    answer = b""
    end = time.monotonic() + seconds
    try:
        while len(answer) < PROBE_ANSWER_BYTES and (left := end - time.monotonic()) > 0:
            chunk = tls.recv_within(left)
            if not chunk:
                break
            answer += chunk
    except HandfastError:
        if not answer:
            raise
    return answer


def _ahead(date: str) -> float | None:
    """By how many seconds a Date header is ahead of the time here. RFC 9110 6.6.1."""
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
