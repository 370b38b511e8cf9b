"""``handfast connect``: request an https:// URL, or talk over TLS with host:port."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import options, ui, verdict_words
from handfast.cli.deadline import deadline
from handfast.cli.lenses import Lenses, ended, keylog_of_environment, log_to_terminal
from handfast.cli.output import ScreenLine, output_file, standard_output
from handfast.cli.target import HttpOptions, Target, parse_address, parse_target, port_hint, redirected
from handfast.engine import ClientConfig
from handfast.errors import ApiMisuse, ConfigError, ConnectionLost, HandfastError, PeerRejected, bad_option
from handfast.io import sockets
from handfast.io.failure_log import address_text
from handfast.lens.outcome import Outcome
from handfast.outcome.cause import Cause, CauseCode, Manner
from handfast.registry import ProtocolVersion
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.trust.verifiers import PathVerifier
from handfast.x509.loading import read

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from handfast.trust.verifiers import Verifier

_HTTP = "http/1.1"
# With --fail, statuses from here on are failures.
_HTTP_ERROR = 400
# How long a server may take to give a ticket, in seconds; all that give any do so right after the handshake.
_TICKET_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the target."""

    server_name: str | None
    connect_to: tuple[str, ...]
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is said on the connection, beside what the keyboard says."""

    http: HttpOptions
    key_update: bool
    early_data: bytes


@click.command(
    cls=options.Verb,
    examples=(
        "handfast connect https://example.com/",
        "handfast connect --trace https://example.com/",
        "handfast connect --html page.html https://example.com/  (every byte explained, for a browser)",
        "handfast connect --trace=bytes --secrets https://localhost:1337/ --cacert handfast-demo/ca.pem",
        "handfast connect https://localhost:1337/whoami --cacert ca.pem --cert client.pem --key client.key",
        "handfast connect --resume --trace https://example.com/  (connects twice)",
        "handfast connect localhost:1337 --cacert ca.pem  (type, and read what comes back)",
    ),
)
@click.argument("target")
@options.together(
    click.option("-X", "--request", "method", metavar="METHOD", help="The request method."),
    click.option("-d", "--data", multiple=True, metavar="DATA", help="A request body; @FILE reads it, @- from stdin."),
    click.option("-H", "--header", "headers", multiple=True, metavar="LINE", help="A header, 'Name: value'."),
    click.option("-i", "--include", is_flag=True, help="Print the response's head too."),
    click.option("-f", "--fail", is_flag=True, help="An HTTP status of 400 or more is a failure, without its body."),
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the body to FILE."),
    click.option("--post-handshake-auth", is_flag=True, help="Let the server ask for the certificate later."),
    click.option("-k", "--insecure", is_flag=True, help="Go on with a server that is not verified."),
    click.option("--max-time", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Give up after this."),
    click.option("--servername", metavar="NAME", help="Ask for, and verify, this name instead of the target's."),
    click.option("--connect-to", multiple=True, metavar="HOST:PORT:TOHOST:TOPORT", help="Connect elsewhere, as curl."),
    click.option("--proxy", metavar="http://HOST:PORT", help="Go through an HTTP proxy, by CONNECT."),
)
@click.option(
    "--cacert",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_DIR",
    help="Trust these CAs, not those of $SSL_CERT_FILE or the system.",
)
@options.revocation_options
@click.option("--pin", multiple=True, metavar="sha256//BASE64", help="The server's key must be this or another pinned.")
@click.option(
    "--trust-on-first-use",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trust the key that the server had when it was first met, kept in FILE.",
)
@options.identity_options
@options.parameter_options
@options.session_options
@click.option(
    "--early-data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With HOST:PORT, resume and send FILE before the handshake is over (0-RTT).",
)
@options.lens_options
def command(
    target: str,
    method: str | None,
    data: tuple[str, ...],
    headers: tuple[str, ...],
    include: bool,
    fail: bool,
    output: Path | None,
    post_handshake_auth: bool,
    insecure: bool,
    max_time: float | None,
    servername: str | None,
    connect_to: tuple[str, ...],
    proxy: str | None,
    cacert: Path | None,
    crl: Path | None,
    ocsp: str | None,
    pin: tuple[str, ...],
    trust_on_first_use: Path | None,
    key_update: bool,
    resume: bool,
    early_data: Path | None,
    trace: str | None,
    explain: bool,
    secrets: str | None,
    keylog: Path | None,
    pcapng: Path | None,
    html: Path | None,
    lang: str | None,
    **shared: Any,
) -> None:
    """Request an https:// URL and print the body, or hold a TLS session with HOST:PORT: lines typed are sent, bytes
    received are printed."""
    log_to_terminal(quiet=True)
    wanted = parse_target(target)
    http = HttpOptions(method, data, headers, include, output, fail)
    if wanted.path is None and http.given:
        raise bad_option("TARGET", "-X -d -H -i -f -o are for an https:// URL", f"did you mean https://{target} ?")
    if early_data is not None and wanted.path is not None:
        raise bad_option("--early-data", "a request is not sent early by itself", f"give {wanted.authority} instead")
    settings = options.server_verification(cacert, crl, ocsp, pin, trust_on_first_use, insecure=insecure)
    settings["post_handshake_auth"] = post_handshake_auth
    if wanted.path is not None:
        settings["application_protocols"] = (_HTTP,)
    sessions = SessionCache() if resume or early_data is not None else None
    settings |= {"sessions": sessions, "early_data_with_client_identity": sessions is not None}
    config = _config(settings, traced=trace is not None, **shared)
    conversation = Conversation(http, key_update, b"" if early_data is None else read(early_data))
    keys = keylog if keylog is not None else keylog_of_environment()
    lenses = Lenses(Role.CLIENT, trace, secrets, keys, pcapng, html, lang, explain=explain)
    if not config.enforce_verdict:
        ui.warn("-k: whoever answers is believed; the line below says who it was, and whether that was verified")
    with deadline(max_time):
        route = Route(servername, connect_to, proxy)
        if sessions is not None:
            _fetch_ticket(wanted, route, config, lenses, sessions)
        _run(wanted, route, config, lenses, conversation)


def _config(
    settings: dict[str, Any],
    *,
    traced: bool,
    cert: Path | None,
    key: str | None,
    key_password_file: Path | None,
    **parameters: Any,
) -> ClientConfig:
    if traced:
        ui.note(f"trusting {_trusted(settings['verifier'])}")
    return ClientConfig(
        credentials=options.credentials(cert, key, key_password_file),
        **settings | options.parameters(**parameters),
    )


def _trusted(verifier: Verifier) -> str:
    """Who is trusted, in a line."""
    return verifier.roots.source if isinstance(verifier, PathVerifier) else repr(verifier)


def _run(target: Target, route: Route, config: ClientConfig, lenses: Lenses, conversation: Conversation) -> None:
    """One connection from start to end, told in one line, or in two if it failed."""
    http = conversation.http
    # First, so that nothing is asked of a server whose answer has no place.
    with (
        standard_output() if http.output is None else output_file(http.output) as write,
        _connection(target, route, config, lenses, conversation.early_data) as (tls, outcome),
    ):
        if tls.info.early_data:
            ui.note(f"early data: {tls.info.early_data}")
        if conversation.key_update:
            tls.update_keys(request=True)
        screen = ScreenLine(write)
        try:
            if target.path is None:
                _session(tls, screen)
            else:
                _request(tls, target, http, screen, outcome)
        finally:
            screen.end(shown=http.output is None)


@contextmanager
def _connection(
    target: Target, route: Route, config: ClientConfig, lenses: Lenses, early_data: bytes = b""
) -> Iterator[tuple[sockets.TLSSocket, Outcome]]:
    """A connection that is told in one line when it ends, or in two if it failed or the server refused us."""
    outcome, observers, sinks = lenses.watch()
    try:
        sock, server_name = _open(target, route)
        flow = lenses.record(sock.getsockname(), sock.getpeername(), observers, sinks)
        if flow is not None:
            click.get_current_context().call_on_close(flow.finish)
        with sockets.client(
            sock, config, server_name=server_name, early_data=early_data, observers=observers, secret_sinks=sinks
        ) as tls:
            yield tls, outcome
    except HandfastError as error:
        ended(observers, error)
        _tell_failure(outcome, error, redirected(target, route.connect_to)[1])
    except (KeyboardInterrupt, ui.CommandFailed):
        # What was reached is worth a line also where what followed is another matter.
        if outcome.info is not None:
            ui.note(verdict_words.verdict_line(outcome))
        raise
    if _is_refusal(outcome.cause()):
        ui.fail(verdict_words.verdict_line(outcome), PeerRejected.fault, verdict_words.verdict_hint(outcome))
    ui.note(verdict_words.verdict_line(outcome))
    if (cause := outcome.cause()) is not None and cause.tells_more:
        ui.note(f"if that is about the certificate: {verdict_words.verdict_hint(outcome)}")


def _is_refusal(cause: Cause | None) -> bool:
    """Whether the server refused us although the connection ended in order.

    An HTTP status counts where the answer speaks of a certificate, or the server had asked for one in a second
    handshake: any other may be about the path.
    """
    if cause is None or cause.manner is not Manner.HTTP or cause.code is CauseCode.RENEGOTIATION:
        return cause is not None
    return cause.http is not None and cause.http.about_certificate


def _fetch_ticket(target: Target, route: Route, config: ClientConfig, lenses: Lenses, sessions: SessionCache) -> None:
    """A connection for nothing but the ticket that it brings."""
    with _connection(target, route, config, lenses) as (tls, _):
        deadline_at = time.monotonic() + _TICKET_TIMEOUT
        while not sessions and (left := deadline_at - time.monotonic()) > 0 and tls.wait(left):
            pass
    if not sessions:
        ui.warn(_nothing_to_resume(tls.info.version, config))


def _nothing_to_resume(version: ProtocolVersion | None, config: ClientConfig) -> str:
    """Why a connection that came off left no session."""
    if version == ProtocolVersion.TLS12 and not config.require_extended_main_secret:
        why = "the server named no session, or has no extended main secret, without which none is kept (RFC 7627)"
    elif version == ProtocolVersion.TLS12:
        why = "the server named no session, by ticket or by id"
    else:
        why = f"the server gave no ticket within {_TICKET_TIMEOUT:g} s"
    return f"{why}, so there is nothing to resume"


def _tell_failure(outcome: Outcome, error: HandfastError, port: int) -> None:
    """A handshake that failed is told by its verdict; one that came off, and what went wrong later, by both."""
    if isinstance(error, ConfigError | ApiMisuse):
        raise error
    cause = outcome.cause(error)
    if outcome.info is None or cause is not None or (isinstance(error, PeerRejected) and not outcome.answered):
        silent = isinstance(error, ConnectionLost) and cause is None
        what = error.what if silent else verdict_words.verdict_line(outcome, error)
        if error.code == "too_slow":
            what += f"; the handshake stood {outcome.stage}"
        hint = port_hint(port) if cause is None or cause.code is CauseCode.LARGE_HELLO else ""
        if outcome.heard_nothing and isinstance(error, ConnectionLost) and hint:
            ui.fail(what, error.fault, hint)
        ui.fail(what, error.fault, verdict_words.verdict_hint(outcome, error))
    ui.note(verdict_words.verdict_line(outcome))
    raise error


def _open(target: Target, route: Route) -> tuple[socket.socket, str]:
    """The connection to the target, before TLS, and the name that the server's certificate must have."""
    host, port = redirected(target, route.connect_to)
    server_name = route.server_name or target.host
    if route.proxy is None:
        return sockets.open_tcp(host, port), server_name
    from handfast.cli.tunnel import through_proxy

    address = route.proxy.removeprefix("http://").rstrip("/")
    if "://" in address or "@" in address:
        raise bad_option("--proxy", "only http:// proxies without user names are known", "give http://HOST:PORT")
    return through_proxy(parse_address(address, "--proxy"), host, port), server_name


def _session(tls: sockets.TLSSocket, write: Callable[[bytes], None]) -> None:
    from handfast.cli.session import run_session

    if sys.stdin is not None and sys.stdin.isatty():
        where = f"{address_text(tls.peer_address)} by {tls.info.version}"
        ui.note(f"connected to {where}; what you type is sent, Ctrl-D ends it")
    # A program without standard input has None there.
    with open(os.devnull, "rb") as nothing:
        run_session(tls, (sys.stdin or nothing).fileno(), write)


def _request(
    tls: sockets.TLSSocket, target: Target, options: HttpOptions, write: Callable[[bytes], None], outcome: Outcome
) -> None:
    from handfast.cli.fetch import fetch
    from handfast.cli.http import BadResponse

    if tls.info.application_protocol not in (None, _HTTP):
        ui.fail(
            f"the server chose ALPN {tls.info.application_protocol}, and this command speaks {_HTTP} only",
            "the two sides do not fit",
            f"leave --alpn out, or name {_HTTP} first",
        )
    try:
        outcome.http = answer = fetch(tls, target, options, write)
    except BadResponse as error:
        if outcome.cause() is not None:
            # It closed without a word, which the verdict tells.
            return
        ui.fail(f"not a complete HTTP response: {error}", "the peer's fault", "does an HTTP server answer there?")
    if options.fail and answer.status >= _HTTP_ERROR and not _is_refusal(outcome.cause()):
        hint = verdict_words.verdict_hint(outcome) or "the body, without --fail, may say more"
        ui.fail(f"the server answered HTTP {answer.status} {answer.reason}".rstrip(), PeerRejected.fault, hint)
