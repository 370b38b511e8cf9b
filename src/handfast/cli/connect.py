"""``handfast connect``: request an https:// URL, or talk over TLS with host:port."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from handfast import limits
from handfast.cli import connect_options, options, trust_options, ui, verdict_words
from handfast.cli.connection import Connector, is_refusal
from handfast.cli.deadline import deadline
from handfast.cli.lenses import Lenses, keylog_of_environment, log_to_terminal
from handfast.cli.output import ScreenLine, output_file, standard_output
from handfast.cli.patience import Interruptible
from handfast.cli.reach import Route
from handfast.cli.session import HexWhereBinary, Session
from handfast.cli.session_file import SessionFile
from handfast.cli.starttls import PROTOCOLS
from handfast.cli.target import HttpOptions, Target
from handfast.cli.verbose import Verbose
from handfast.engine import ClientConfig
from handfast.errors import PeerRejected
from handfast.io.failure_log import address_text
from handfast.registry import ProtocolVersion
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import pem
from handfast.x509.loading import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from handfast.cli import http
    from handfast.cli.fetch import Fetched
    from handfast.io import sockets
    from handfast.lens.outcome import Outcome
    from handfast.trust.verifiers import Verifier

# With --fail, statuses from here on are failures.
_HTTP_ERROR = 400
# How long a server may take to give a ticket, in seconds; all that give any do so right after the handshake.
_TICKET_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is said on the connection, beside what the keyboard says."""

    http: HttpOptions
    key_update: bool
    early_data: bytes
    show_certificates: bool
    # Whether standard output has something else to hold than what the server says.
    muted: bool


@click.command(
    cls=options.Verb,
    examples=(
        "handfast connect https://example.com/",
        "handfast connect -v -I https://example.com/  (who is there, and what it asks for)",
        "handfast connect --html page.html https://example.com/  (every byte explained, for a browser)",
        "handfast connect https://localhost:1337/whoami --cacert ca.pem --cert client.pem --key client.key",
        "handfast connect --trace=bytes --secrets https://localhost:1337/ --cacert handfast-demo/ca.pem",
        "handfast connect --resume --trace https://example.com/  (connects twice)",
        "handfast connect localhost:1337 --cacert ca.pem  (type, and read what comes back; ~? lists commands)",
        "handfast connect --starttls smtp --showcerts mail.example.com",
        "handfast connect --json - -o body https://example.com/",
    ),
)
@click.argument("target")
@options.together(
    click.option("-X", "--request", "method", metavar="METHOD", help="The request method."),
    click.option("-d", "--data", multiple=True, metavar="DATA", help="A request body; @FILE reads it, @- from stdin."),
    click.option("-H", "--header", "headers", multiple=True, metavar="LINE", help="A header, 'Name: value'."),
    click.option("-I", "--head", is_flag=True, help="Ask for the head alone, and print it."),
    click.option("-i", "--include", is_flag=True, help="Print the response's head too."),
    click.option("-f", "--fail", is_flag=True, help="An HTTP status of 400 or more is a failure, without its body."),
    click.option(
        "-L",
        "--location",
        is_flag=True,
        help="Follow redirects to https:// URLs. Another server gets no credentials, and no client certificate.",
    ),
    click.option(
        "--max-redirs",
        "max_redirects",
        type=click.IntRange(0),
        metavar="NUMBER",
        help=f"Follow no more redirects than this; without it, {limits.MAX_REDIRECTS}.",
    ),
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the body to FILE."),
    click.option("--post-handshake-auth", is_flag=True, help="Let the server ask for the certificate later."),
    click.option("-k", "--insecure", is_flag=True, help="Go on with a server that is not verified."),
    click.option("--max-time", type=options.MAX_TIME, metavar="SECONDS", help="Give up after this."),
    click.option("--servername", metavar="NAME", help="Ask for, and verify, this name instead of the target's."),
    click.option(
        "--starttls",
        type=click.Choice(list(PROTOCOLS)),
        help="With HOST[:PORT], ask for TLS in this protocol, as its servers want it.",
    ),
    click.option("-4", "--ipv4", "family", flag_value="4", help="Use IPv4 addresses only."),
    click.option("-6", "--ipv6", "family", flag_value="6", help="Use IPv6 addresses only."),
    click.option("--connect-to", multiple=True, metavar="HOST:PORT:TOHOST:TOPORT", help="Connect elsewhere, as curl."),
    click.option(
        "--resolve", multiple=True, metavar="HOST:PORT:ADDRESS[,ADDRESS]", help="Take these addresses, ask no DNS."
    ),
    click.option(
        "--proxy",
        metavar="[http://][USER:PASSWORD@]HOST:PORT",
        help="Go through an HTTP proxy, by CONNECT, instead of $HTTPS_PROXY or $ALL_PROXY ($NO_PROXY); '' for none.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Say what is sent, received and shown, as curl does."),
    click.option("-s", "--silent", is_flag=True, help="Say nothing but errors."),
    click.option("-S", "--show-error", is_flag=True, hidden=True, expose_value=False),
    click.option(
        "--showcerts", "show_certificates", is_flag=True, help="Print the server's chain as PEM, and ask for nothing."
    ),
)
@click.option(
    "--cacert",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_DIR",
    help="Trust these CAs, not those of $SSL_CERT_FILE or the system.",
)
@trust_options.policy_option
@trust_options.revocation_options
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
    "--session",
    "session_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Resume a session that FILE holds, and keep those there that the server gives.",
)
@click.option(
    "--early-data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With HOST:PORT, resume and send FILE before the handshake is over (0-RTT).",
)
@options.json_option
@options.lens_options
def command(
    target: str,
    family: str | None,
    servername: str | None,
    connect_to: tuple[str, ...],
    resolve: tuple[str, ...],
    proxy: str | None,
    starttls: str | None,
    max_time: float | None,
    early_data: Path | None,
    key_update: bool,
    show_certificates: bool,
    verbose: bool,
    silent: bool,
    trace: str | None,
    explain: bool,
    secrets: str | None,
    keylog: Path | None,
    pcapng: Path | None,
    html: Path | None,
    lang: str | None,
    json: Path | None,
    **shared: Any,
) -> None:
    """Request an https:// URL and print the body, or hold a TLS session with HOST[:PORT]: lines typed are sent, bytes
    received are printed."""
    if silent:
        ui.silence()
    log_to_terminal(quiet=True)
    asked = HttpOptions(**{name: shared.pop(name) for name in connect_options.HTTP})
    wanted = connect_options.wanted(
        target, asked, starttls, show_certificates=show_certificates, early_data=early_data is not None
    )
    muted = json is not None and str(json) == "-" and asked.output is None
    data = b"" if early_data is None else read(early_data)
    conversation = Conversation(asked, key_update, data, show_certificates, muted)
    sessions = _sessions(shared.pop("session_file"), resume=shared.pop("resume") or early_data is not None)
    config = _config(wanted, sessions, **shared)
    options.check_tls13(config, key_update=key_update, early_data=early_data)
    say = Verbose(shown=verbose)
    (say.say if verbose else ui.note if trace is not None else lambda _: None)(_trusted(config.verifier))
    keys = keylog if keylog is not None else keylog_of_environment()
    lenses = Lenses(Role.CLIENT, trace, secrets, keys, pcapng, html, lang, explain=explain, json=json)
    if not config.enforce_verdict:
        ui.warn("-k: whoever answers is believed; the line below says who it was, and whether that was verified")
    route = Route(servername, connect_to, resolve, proxy, family or "", starttls or "")
    with deadline(max_time):
        told = wanted.path is None and _on_a_terminal(sys.stdin)
        _run(wanted, Connector(route, config, lenses, say, told), conversation, sessions)


def _sessions(path: Path | None, *, resume: bool) -> SessionFile | SessionCache | None:
    """What sessions are kept in, if any are. Raises ConfigError."""
    if path is not None:
        return SessionFile(path)
    return SessionCache() if resume else None


def _config(
    wanted: Target,
    sessions: SessionFile | SessionCache | None,
    *,
    cacert: Path | None,
    crl: Path | None,
    ocsp: str | None,
    pin: tuple[str, ...],
    trust_on_first_use: Path | None,
    insecure: bool,
    policy: str | None,
    post_handshake_auth: bool,
    cert: Path | None,
    key: str | None,
    key_password_file: Path | None,
    **parameters: Any,
) -> ClientConfig:
    settings = trust_options.server_verification(
        cacert, crl, ocsp, pin, trust_on_first_use, insecure=insecure, policy=policy
    )
    settings["post_handshake_auth"] = post_handshake_auth
    if wanted.path is not None:
        from handfast.cli.fetch import protocols

        settings["application_protocols"] = protocols()
    settings |= {"sessions": sessions, "early_data_with_client_identity": sessions is not None}
    return ClientConfig(
        credentials=options.credentials(cert, key, key_password_file),
        **settings | options.parameters(**parameters),
    )


def _trusted(verifier: Verifier | None) -> str:
    """Who is trusted, in a line."""
    return f"trusting {verifier.roots.source if isinstance(verifier, PathVerifier) else repr(verifier)}"


def _run(
    target: Target, connector: Connector, conversation: Conversation, sessions: SessionFile | SessionCache | None
) -> None:
    """All connections of one run."""
    if isinstance(sessions, SessionCache):
        _fetch_ticket(target, connector, sessions)
    # First, so that nothing is asked of a server whose answer has no place.
    with _place(conversation) as write:
        screen = ScreenLine(write)
        if conversation.show_certificates:
            _show_certificates(target, connector, screen)
        elif target.path is None:
            _session(target, connector, conversation, screen)
        else:
            _request(target, connector, conversation, screen)
    if isinstance(sessions, SessionFile):
        _tell_sessions(sessions)


def _place(conversation: Conversation) -> AbstractContextManager[Callable[[bytes], None]]:
    """Where what the server says goes to."""
    if conversation.http.output is not None:
        return output_file(conversation.http.output)
    return nullcontext(lambda _: None) if conversation.muted else standard_output()


@contextmanager
def _talk(
    target: Target, connector: Connector, conversation: Conversation, screen: ScreenLine
) -> Iterator[tuple[sockets.TLSSocket, Outcome]]:
    """A connection on which something is said."""
    with connector.connection(target, conversation.early_data) as (tls, outcome):
        if tls.info.early_data:
            ui.note(f"early data: {tls.info.early_data}")
        if conversation.key_update:
            _update_keys(tls)
        try:
            yield tls, outcome
        finally:
            screen.end(shown=conversation.http.output is None)


def _update_keys(tls: sockets.TLSSocket) -> None:
    """Change the keys of both directions. Raises CommandFailed in TLS 1.2, which cannot."""
    if tls.info.version != ProtocolVersion.TLS13:
        reason = f"the server chose {tls.info.version}, which cannot change the keys of a connection"
        ui.fail(reason, "the two sides do not fit", "leave --key-update out")
    tls.update_keys(request=True)


def _fetch_ticket(target: Target, connector: Connector, sessions: SessionCache) -> None:
    """A connection for nothing but the ticket that it brings."""
    with connector.connection(target) as (tls, _):
        deadline_at = time.monotonic() + _TICKET_TIMEOUT
        while not sessions and (left := deadline_at - time.monotonic()) > 0 and tls.wait(left):
            pass
    if not sessions:
        ui.warn(_nothing_to_resume(tls.info.version, connector.config))


def _nothing_to_resume(version: ProtocolVersion | None, config: ClientConfig) -> str:
    """Why a connection that came off left no session."""
    if version == ProtocolVersion.TLS12 and not config.require_extended_main_secret:
        why = "the server named no session, or has no extended main secret, without which none is kept (RFC 7627)"
    elif version == ProtocolVersion.TLS12:
        why = "the server named no session, by ticket or by id"
    else:
        why = f"the server gave no ticket within {_TICKET_TIMEOUT:g} s"
    return f"{why}, so there is nothing to resume"


def _tell_sessions(sessions: SessionFile) -> None:
    """What became of the file of --session."""
    if sessions.failure:
        ui.warn(f"the session is not kept: {sessions.failure}")
    elif not sessions.given:
        ui.warn("the server gave no session while the connection lasted, so the file of --session has no new one")


def _show_certificates(target: Target, connector: Connector, write: Callable[[bytes], None]) -> None:
    """The server's chain in PEM, each certificate behind a line that names it; also of a server that is refused."""
    chain: list[bytes] = []
    try:
        with connector.connection(target, chain=chain):
            pass
    finally:
        for position, certificate in enumerate(chain):
            title = f"# [{position}] {verdict_words.DESCRIBER.identity(certificate)}\n"
            write(title.encode() + pem.encode("CERTIFICATE", certificate))


def _session(target: Target, connector: Connector, conversation: Conversation, screen: ScreenLine) -> None:
    typed = _on_a_terminal(sys.stdin)
    # A program without standard input has None there.
    with open(os.devnull, "rb") as nothing:
        write = HexWhereBinary(screen) if _on_a_terminal(sys.stdout) else screen
        session = Session(sys.stdin or nothing, write, ui.note, commands=typed)
        again = True
        while again:
            with _talk(target, connector, conversation, screen) as (tls, _):
                session.begin(tls)
                if typed:
                    where = f"{address_text(tls.peer_address)} by {tls.info.version}"
                    ui.note(f"connected to {where}; what you type is sent, ~? lists commands, Ctrl-D ends it")
                again = session.run(tls)


def _on_a_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _request(target: Target, connector: Connector, conversation: Conversation, screen: ScreenLine) -> None:
    """The request, and those that its redirects lead to, each on a connection of its own."""
    from handfast.cli.fetch import build_request
    from handfast.cli.responses import follow, redirect, same_origin

    asked = conversation.http
    request = build_request(target, asked)
    most = limits.MAX_REDIRECTS if asked.max_redirects is None else asked.max_redirects
    for _ in range(most + 1):
        with _talk(target, connector, conversation, screen) as (tls, outcome):
            fetched = _fetch(tls, request, conversation, screen, connector.verbose, outcome)
        if fetched is None or not fetched.location:
            return
        there = redirect(target, fetched.location)
        connector.verbose.say(f"redirected to https://{there.authority}{there.path}")
        if not same_origin(target, there):
            connector = connector.elsewhere()
        kept = asked.method is not None
        request = follow(request, target, there, fetched.answer.status, kept=kept)
        target = there
    ui.fail(f"more than {most} redirects", PeerRejected.fault, "allow more with --max-redirs, or see them with -v")


def _fetch(
    tls: sockets.TLSSocket,
    request: http.Request,
    conversation: Conversation,
    write: Callable[[bytes], None],
    verbose: Verbose,
    outcome: Outcome,
) -> Fetched | None:
    """What came of the request; None where the server closed without a word, which the verdict tells."""
    from handfast.cli.fetch import HTTP_1, fetch, protocols
    from handfast.cli.http import BadResponse

    protocol = tls.info.application_protocol
    if protocol is not None and protocol not in protocols():
        ui.fail(
            f"the server chose ALPN {protocol}, and this command speaks {' and '.join(protocols())} only",
            "the two sides do not fit",
            f"leave --alpn out, or name {HTTP_1} first",
        )
    try:
        fetched = fetch(Interruptible(tls), request, conversation.http, write, verbose, protocol=protocol)
    except BadResponse as error:
        if outcome.cause() is not None:
            return None
        ui.fail(f"not a complete HTTP response: {error}", "the peer's fault", "does an HTTP server answer there?")
    outcome.http = answer = fetched.answer
    if conversation.http.fail and answer.status >= _HTTP_ERROR and not is_refusal(outcome.cause()):
        hint = verdict_words.verdict_hint(outcome) or "the body, without --fail, may say more"
        ui.fail(f"the server answered HTTP {answer.status} {answer.reason}".rstrip(), PeerRejected.fault, hint)
    return fetched
