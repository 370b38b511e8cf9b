"""``handfast serve``: an HTTPS server that tells each client who it is."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast import limits
from handfast.cli import http, options, ui, verdict_words, whoami
from handfast.cli.lenses import Lenses, log_to_terminal
from handfast.cli.target import parse_address
from handfast.engine import ClientAuth, ServerConfig
from handfast.errors import ConfigError, HandfastError, bad_option
from handfast.fork import renew_in_children
from handfast.io import sockets
from handfast.io.failure_log import address_text
from handfast.registry import ProtocolVersion
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.contrib.asgi import Application
    from handfast.engine import ConnectionInfo
    from handfast.events import Observer, SecretSink
    from handfast.lens.outcome import Outcome
    from handfast.reload.watcher import FileWatcher

_ACCEPT_PAUSE = 0.05
# The application protocols that this server speaks, whatever --alpn says.
_SPOKEN = ("http/1.1",)
_MODES = [mode.value for mode in ClientAuth]


@click.command(
    cls=options.Verb,
    examples=(
        "handfast serve --cert server.pem --key server.key",
        "handfast serve --cert server.pem --key server.key --client-ca ca.pem",
        "handfast serve --cert server.pem --key server.key --client-ca ca.pem --client-auth verify_if_given",
        "handfast serve --cert server.pem --key server.key --client-ca ca.pem --require-later",
        "handfast serve --cert server.pem --key server.key --client-ca ca.pem --reload",
        "handfast serve --cert server.pem --key server.key --client-ca ca.pem --app main:app",
        "curl --cacert ca.pem --cert client.pem --key client.key https://localhost:1337/whoami",
    ),
)
@click.option("--listen", default="127.0.0.1:1337", show_default=True, metavar="HOST:PORT", help="Port 0: a free one.")
@click.option(
    "--app", metavar="MODULE:ATTRIBUTE", help="Serve this ASGI application: its scopes say who the client is."
)
@click.option("--client-ca", type=click.Path(path_type=Path), metavar="FILE", help="Who may issue client certificates.")
@click.option(
    "--client-auth",
    type=click.Choice(_MODES),
    help="What is asked of clients. Default: require_and_verify with --client-ca, else request.",
)
@click.option("--require-later", is_flag=True, help="Ask at the first request, after the handshake, not in it.")
@options.revocation_options
@options.identity_options
@options.parameter_options
@options.session_options
@click.option("--reload", is_flag=True, help="Follow changes of the files named here; SIGHUP reads them at once.")
@click.option("--early-data", is_flag=True, help="Take early data (0-RTT); it is answered after the handshake.")
@options.lens_options
def command(
    listen: str,
    app: str | None,
    client_ca: Path | None,
    client_auth: str | None,
    crl: Path | None,
    ocsp: str | None,
    require_later: bool,
    cert: Path | None,
    key: str | None,
    key_password_file: Path | None,
    key_update: bool,
    resume: bool,
    reload: bool,
    early_data: bool,
    trace: str | None,
    explain: bool,
    secrets: str | None,
    keylog: Path | None,
    pcapng: Path | None,
    **parameters: Any,
) -> None:
    """Serve HTTPS: / says in words who the client is, /whoami as JSON; POST /print sends the body back."""
    log_to_terminal(quiet=False)
    if cert is None:
        raise ConfigError("no_credentials")
    host, port = parse_address(listen, "--listen")
    mode, verification = options.client_auth(client_auth, client_ca, crl, ocsp, reload=reload)
    settings = {"application_protocols": _SPOKEN, **_spoken(options.parameters(**parameters)), **verification}
    identity = options.credentials(cert, key, key_password_file, reload=reload)
    settings |= _sessions(resume=resume, early_data=early_data)
    at_once, later = (ClientAuth.NONE, mode) if require_later else (mode, None)
    if later is ClientAuth.NONE:
        raise bad_option("--require-later", "--client-auth none asks for no certificate", "leave one of them out")
    config = ServerConfig(credentials=identity, client_auth=mode, **settings)
    if later is not None and ProtocolVersion.TLS13 not in config.enabled_versions:
        raise bad_option("--require-later", "only TLS 1.3 can ask after the handshake", "let --tls have 1.3")
    config = replace(config, client_auth=at_once)
    application = _application(app, key_update=key_update, require_later=require_later)
    lenses = Lenses(Role.SERVER, trace, secrets, keylog, pcapng, explain=explain)
    with _watcher(config) if reload else nullcontext():
        if application is not None:
            _serve_application(application, host, port, config, lenses)
            return
        server = Server(lenses, key_update=key_update, later=later)
        with listener_for(host, port, config, server) as listener:
            _announce(listener.address)
            server.run(listener)


def _application(name: str | None, *, key_update: bool, require_later: bool) -> Application | None:
    """What --app names, if it is given, and with options that applications can be served under."""
    if name is None:
        return None
    for option, given in (("--key-update", key_update), ("--require-later", require_later)):
        if given:
            raise bad_option(option, "it is for the server that answers by itself", "leave it out, or --app")
    from handfast.cli import applications

    return applications.load(name)


def _spoken(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with no application protocol that a client could then not be answered in. RFC 7301 3.2."""
    wanted = settings.get("application_protocols")
    if wanted is None:
        return settings
    spoken = tuple(name for name in wanted if name in _SPOKEN)
    ours, others = ", ".join(_SPOKEN), ", ".join(name for name in wanted if name not in _SPOKEN)
    if not spoken:
        raise bad_option("--alpn", f"this server speaks {ours} only, not {others or 'nothing'}", "leave --alpn out")
    if others:
        ui.warn(f"--alpn: {others} is not offered, as this server speaks {ours} only")
    return settings | {"application_protocols": spoken}


def _watcher(config: ServerConfig) -> FileWatcher:
    """What loads the configuration's handles anew."""
    from handfast.reload.handles import Reloading
    from handfast.reload.watcher import FileWatcher

    ours = () if callable(config.credentials) else config.credentials
    things = (*ours, config.verifier)
    return FileWatcher(*(thing for thing in things if isinstance(thing, Reloading)), on_signal=signal.SIGHUP)


def _sessions(*, resume: bool, early_data: bool) -> dict[str, Any]:
    """The settings for --resume and --early-data."""
    from handfast.sessions.replay import MemoryReplayGuard
    from handfast.sessions.tickets import SealedTickets

    if early_data and not resume:
        raise bad_option("--early-data", "only a resumed session can send any", "give --resume too")
    settings: dict[str, Any] = {"tickets": SealedTickets()} if resume else {}
    if early_data:
        # Nothing is answered before the client has completed its handshake, so what it sends early is no replay.
        settings |= {
            "max_early_data": limits.SKIPPED_EARLY_DATA,
            "replay_guard": MemoryReplayGuard(),
            "early_data_with_client_identity": True,
        }
    return settings


def listener_for(host: str, port: int, config: ServerConfig, server: Server) -> sockets.Listener:
    """Listens on the address for ``server``. Raises ConfigError when it cannot be had."""
    with _taken(host, port):
        return sockets.listen(host, port, config, timeout=limits.HTTP_IDLE_TIMEOUT, observe=server.watch)


@contextmanager
def _taken(host: str, port: int) -> Iterator[None]:
    """OSError, for an address that cannot be had, as ConfigError."""
    try:
        yield
    except OSError as error:
        raise bad_option("--listen", f"{host}:{port}: {ui.reason(error)}", "give another address, or port 0") from None


def _serve_application(app: Application, host: str, port: int, config: ServerConfig, lenses: Lenses) -> None:
    from handfast.cli import applications

    with _taken(host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=limits.SERVE_CONNECTIONS)
    with listening:
        _announce(listening.getsockname())
        applications.run(app, listening, config, lenses)


def _announce(address: Any) -> None:
    click.echo(f"Serving on https://{address_text(address)}/ (Ctrl-C ends)")


class Server:
    """A thread per connection, and no more of them than a limit.

    With ``later``, clients are asked for their certificate at their first request, and under this mode. ``say`` is told
    of connections, ``access`` of requests.
    """

    _room: threading.BoundedSemaphore

    def __init__(
        self,
        lenses: Lenses,
        say: Callable[[str], None] = ui.note,
        *,
        key_update: bool = False,
        later: ClientAuth | None = None,
        access: Callable[[str], None] = ui.note,
    ) -> None:
        self._lenses = lenses
        self._key_update = key_update
        self._say = say
        self._access = access
        self._later = later
        renew_in_children(self, _room=partial(threading.BoundedSemaphore, limits.SERVE_CONNECTIONS))
        self._outcomes: list[Outcome] = []
        self._listening: Any = None

    def watch(self, address: Any) -> tuple[list[Observer], list[SecretSink]]:
        """The lenses of the connection that is being accepted."""
        outcome, observers, sinks = self._lenses.watch()
        self._lenses.record(address, http.reached(self._listening, address), observers, sinks)
        self._outcomes.append(outcome)
        return observers, sinks

    def run(self, listener: sockets.Listener) -> None:
        """Accept connections until interrupted, or until the listener is closed."""
        self._listening = listener.address
        while True:
            self._room.acquire()
            try:
                tls = listener.accept()
            except OSError:
                if listener.fileno() < 0:
                    return
                # The client was gone before we could accept it, or this process has too many files open for now.
                self._room.release()
                time.sleep(_ACCEPT_PAUSE)
                continue
            threading.Thread(target=self._handle, args=(tls, self._outcomes.pop()), daemon=True).start()

    def _handle(self, tls: sockets.TLSSocket, outcome: Outcome) -> None:
        try:
            with tls:
                tls.handshake()
                self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome)}")
                if self._key_update:
                    tls.update_keys(request=True)
                http.serve(tls, lambda request: self._reply(tls, outcome, request), self._access_log(tls))
        except HandfastError:
            # A failed handshake is in the log; a client that leaves without close_notify is nothing to tell.
            return
        finally:
            self._room.release()

    def _access_log(self, tls: sockets.TLSSocket) -> Callable[[str, str, int], None]:
        """The access log: who, when, what, and how it was answered."""
        client = address_text(tls.peer_address)

        def log(method: str, target: str, status: int) -> None:
            self._access(http.access_line(client, method, target, status))

        return log

    def _reply(self, tls: sockets.TLSSocket, outcome: Outcome, request: http.Request) -> http.Reply:
        mode, info = self._later, tls.info
        if mode is None or info.client_auth_requested:
            return answer(info, request)
        if info.post_handshake_auth:
            try:
                tls.request_client_certificate(client_auth=mode)
            except HandfastError as error:
                self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome, error)}")
                raise
            self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome)}")
        elif mode.requires_certificate:
            return http.Reply(
                403,
                b"a certificate is asked for after the handshake, and your client does not offer it\n"
                b"(handfast connect offers it with --post-handshake-auth, in TLS 1.3)\n",
            )
        return answer(info, request)


def answer(info: ConnectionInfo, request: http.Request) -> http.Reply:
    """The reply to one request of the client that ``info`` describes."""
    match request.path, request.method:
        case "/", "GET" | "HEAD":
            return http.Reply(200, whoami.in_words(info).encode())
        case "/whoami", "GET" | "HEAD":
            import json

            return http.Reply(200, (json.dumps(whoami.as_json(info), indent=2) + "\n").encode(), "application/json")
        case "/print", "POST":
            return http.Reply(200, request.body, "application/octet-stream")
        case "/" | "/whoami" | "/print", _:
            return http.Reply(405, b"/ and /whoami are for GET, /print is for POST\n")
    return http.Reply(404, b"there are /, /whoami and /print\n")
