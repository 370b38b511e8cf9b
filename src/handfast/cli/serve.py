"""``handfast serve``: an HTTPS server that tells each client who it is, or serves files, an application or a chat."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast import limits
from handfast.cli import fleet_options, option_sources, options, serve_options, trust_options, ui, who_may
from handfast.cli.lenses import Lenses, log_to_terminal
from handfast.cli.output import standard_output
from handfast.cli.server import Server, listener_for, taken
from handfast.cli.target import parse_address
from handfast.engine import ClientAuth, ServerConfig
from handfast.errors import bad_option
from handfast.io.failure_log import address_text
from handfast.registry import ProtocolVersion
from handfast.reload.handles import ReloadingVerifier
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.contrib.asgi import Application
    from handfast.io import sockets
    from handfast.reload.handles import Reloading

_MODES = [mode.value for mode in ClientAuth]
_OURS = "--cert server.pem --key server.key"


@click.command(
    cls=options.Verb,
    examples=(
        f"handfast serve {_OURS}",
        f"handfast serve {_OURS} --client-ca ca.pem",
        f"handfast serve {_OURS} --client-ca ca.pem --client-auth verify_if_given",
        f"handfast serve {_OURS} --client-ca ca.pem --allow-uri 'spiffe://corp.example/billing/*' --allow-cn alice",
        f"handfast serve {_OURS} --client-ca ca.pem --require-later",
        f"handfast serve {_OURS} --client-ca ca.pem --reload",
        f"handfast serve {_OURS} --www public --listen '[::1]:1337'",
        f"handfast serve {_OURS} --chat  (the other end: handfast connect localhost:1337 --cacert ca.pem)",
        f"handfast serve {_OURS} --redis rediss://redis.example:6380/0 --redis-key fleet.key",
        f"handfast serve {_OURS} --once  (one connection; the exit status says whether it came off)",
        f"handfast serve {_OURS} --cert other.pem --key other.key --staple server.ocsp",
        f"handfast serve {_OURS} --client-ca ca.pem --app main:app",
        "curl --cacert ca.pem --cert client.pem --key client.key https://localhost:1337/whoami",
    ),
)
@click.option("--listen", default="127.0.0.1:1337", show_default=True, metavar="HOST:PORT", help="Port 0: a free one.")
@click.option(
    "--www", type=click.Path(path_type=Path), metavar="DIRECTORY", help="Serve the files in it; / is index.html."
)
@click.option("--chat", is_flag=True, help="Talk with one client at a time: what is typed is sent, what comes printed.")
@click.option(
    "--app", metavar="MODULE:ATTRIBUTE", help="Serve this ASGI application: its scopes say who the client is."
)
@click.option("--once", is_flag=True, help="End after one connection, with exit status 1 if it did not come off.")
@click.option("--naccept", type=click.IntRange(1), metavar="NUMBER", help="Likewise, after so many.")
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    metavar="FILE_OR_DIR",
    help="Who may issue client certificates.",
)
@click.option(
    "--client-auth",
    type=click.Choice(_MODES),
    help="What is asked of clients. Default: require_and_verify with --client-ca, else request.",
)
@click.option("--require-later", is_flag=True, help="Ask at the first request, after the handshake, not in it.")
@who_may.allow_options
@trust_options.policy_option
@trust_options.revocation_options
@serve_options.identity_options
@options.parameter_options
@options.session_options
@click.option("--reload", is_flag=True, help="Follow changes of the files named here; SIGHUP reads them at once.")
@click.option("--early-data", is_flag=True, help="Take early data (0-RTT); it is answered after the handshake.")
@fleet_options.fleet_options
@options.lens_options
@options.json_option
def command(
    listen: str,
    www: Path | None,
    chat: bool,
    app: str | None,
    once: bool,
    naccept: int | None,
    require_later: bool,
    key_update: bool,
    trace: str | None,
    explain: bool,
    secrets: str | None,
    keylog: Path | None,
    pcapng: Path | None,
    html: Path | None,
    lang: str | None,
    json: Path | None,
    **given: Any,
) -> int:
    """Serve HTTPS, as HTTP/1.1 and HTTP/2: / says in words who the client is, /whoami as JSON; POST /print sends the
    body back. Or serve files, an application, or a chat with this terminal."""
    log_to_terminal(quiet=False)
    host, port = parse_address(listen, "--listen")
    if once:
        option_sources.refuse_idle({"naccept"}, "--once is one connection", "leave one of them out")
    most = 1 if once else naccept
    _refuse_together(www, app, most, chat=chat, json=json, key_update=key_update, require_later=require_later)
    config, reloading, later = _config(http=not chat, http2=app is None, require_later=require_later, **given)
    options.check_tls13(config, key_update=key_update)
    lenses = Lenses(Role.SERVER, trace, secrets, keylog, pcapng, html, lang, explain=explain, json=json)
    application = None if app is None else _application(app)
    with serve_options.watcher(reloading, reload=given["reload"]):
        if application is not None:
            _serve_application(application, host, port, config, lenses)
            return 0
        secret: list[str | Path | None] = [
            *(given["key"] or given["cert"]),
            given["key_password_file"],
            given["redis_key"],
            keylog,
            pcapng,
            json,
        ]
        does = _talking() if chat else _files(www, secret)
        server = Server(lenses, key_update=key_update, later=later, **does)
        with listener_for(host, port, config, server, endless=chat) as listener:
            _announce(listener.address, chat=chat)
            return _run(server, listener, most)


def _run(server: Server, listener: sockets.Listener, most: int | None) -> int:
    """Serve until Ctrl-C or as many connections as were asked for; the exit status."""
    try:
        server.run(listener, most)
    except KeyboardInterrupt:
        listener.close()
        server.close()
        raise
    return ui.FAILED if server.failures else 0


def _refuse_together(
    www: Path | None,
    app: str | None,
    most: int | None,
    *,
    chat: bool,
    json: Path | None,
    key_update: bool,
    require_later: bool,
) -> None:
    """ConfigError for options that do not go together."""
    served = [name for name, given in (("--www", www), ("--chat", chat), ("--app", app)) if given]
    if len(served) > 1:
        raise bad_option(served[0], f"{served[1]} says what is served in another way", "leave one of them out")
    own = (("--key-update", key_update), ("--require-later", require_later), ("--once and --naccept", most))
    for option, given in own:
        if given and app is not None:
            raise bad_option(option, "it is for the server that answers by itself", "leave it out, or --app")
    if json is not None and app is not None:
        raise bad_option(
            "--json", "of an application's connections no outcome is told", "take --trace, or leave --app out"
        )
    if chat and str(json) == "-":
        raise bad_option("--json", "standard output is the chat's", "give a file")
    if require_later and chat:
        raise bad_option("--require-later", "it asks at the first request, and a chat has none", "leave it out")


def _config(
    *,
    http: bool,
    http2: bool,
    require_later: bool,
    client_ca: Path | None,
    client_auth: str | None,
    crl: Path | None,
    ocsp: str | None,
    policy: str | None,
    cert: tuple[Path, ...],
    key: tuple[str, ...],
    key_password_file: Path | None,
    staple: tuple[Path, ...],
    resume: bool,
    reload: bool,
    early_data: bool,
    redis: str | None,
    redis_key: Path | None,
    **given: Any,
) -> tuple[ServerConfig, tuple[Reloading[Any], ...], ClientAuth | None]:
    """The configuration, what of it can be loaded anew, and the mode in which clients are asked later."""
    allow = {name: given.pop(name) for name in who_may.ALLOW}
    identity, reloading = serve_options.identities(cert, key, key_password_file, staple, reload=reload)
    mode, verification = serve_options.client_verification(
        client_ca, client_auth, crl, ocsp, policy=policy, reload=reload, **allow
    )
    settings = {**options.parameters(**given), **verification}
    if http:
        # Over HTTP/2 no client may be asked for a certificate after the handshake. RFC 8740 3.
        settings["application_protocols"] = serve_options.spoken(settings, http2=http2 and not require_later)
    fleet = fleet_options.fleet(redis, redis_key)
    settings |= serve_options.sessions(fleet, resume=resume, early_data=early_data)
    if require_later and mode is ClientAuth.NONE:
        raise bad_option("--require-later", "--client-auth none asks for no certificate", "leave one of them out")
    config = ServerConfig(credentials=identity, client_auth=mode, **settings)
    if require_later and ProtocolVersion.TLS13 not in config.enabled_versions:
        raise bad_option("--require-later", "only TLS 1.3 can ask after the handshake", "let --tls have 1.3")
    followed: list[Reloading[Any]] = [*reloading, *fleet_options.key_file(fleet, redis_key)]
    if isinstance(config.verifier, ReloadingVerifier):
        followed.append(config.verifier)
    at_once, later = (ClientAuth.NONE, mode) if require_later else (mode, None)
    return replace(config, client_auth=at_once), tuple(followed), later


def _files(www: Path | None, secret: list[str | Path | None]) -> dict[str, Any]:
    """What --www asks the server to do. Raises ConfigError, also where it would show one of the ``secret`` files."""
    if www is None:
        return {}
    from handfast.cli.static import Files

    files = Files(www)
    for path in secret:
        if path is not None:
            files.refuse_to_show(Path(path))
    return {"answer_with": lambda _info, request: files.answer(request)}


def _talking() -> dict[str, Any]:
    """What --chat asks the server to do."""
    from handfast.cli.chat import Chat

    # A program without standard input has None there.
    keyboard = os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
    return {"talk": Chat(keyboard, click.get_current_context().with_resource(standard_output()))}


def _application(name: str) -> Application:
    from handfast.cli import applications

    return applications.load(name)


def _serve_application(app: Application, host: str, port: int, config: ServerConfig, lenses: Lenses) -> None:
    from handfast.cli import applications

    with taken(host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=limits.SERVE_CONNECTIONS)
    with listening:
        _announce(listening.getsockname())
        applications.run(app, listening, config, lenses)


def _announce(address: Any, *, chat: bool = False) -> None:
    where = f"Chatting on {address_text(address)}" if chat else f"Serving on https://{address_text(address)}/"
    click.echo(f"{where} (Ctrl-C ends)")
