"""``handfast proxy``: TLS before a service that speaks none, or from a program that speaks none, and who may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import (
    fleet_options,
    http,
    options,
    proxy_operation,
    proxy_options,
    serve_options,
    trust_options,
    ui,
    who_may,
)
from handfast.cli.lenses import Lenses, log_to_terminal
from handfast.cli.proxy_operation import Program
from handfast.engine import ClientAuth, ServerConfig
from handfast.errors import bad_option
from handfast.proxy.operation.plan import Plan
from handfast.proxy.operation.stores import Stores
from handfast.proxy.settings import IdentityForm, Listener, Mode, Service, StartTls, is_local
from handfast.reload.handles import ReloadingVerifier
from handfast.roles import Role

if TYPE_CHECKING:
    from handfast.events import Observer, SecretSink
    from handfast.io.arguments import ObserverFactory
    from handfast.proxy.settings import Address
    from handfast.reload.handles import Reloading

_OURS = "--cert server.pem --key server.key"
_AS_SSL_PROXY = "-cert service.pem -key service-key.pem -from 0.0.0.0:7853 -to 127.0.0.1:3000"
_THEIRS = "--to-cert client.pem --to-key client.key --to-cacert ca.pem"
_PARAMETERS = ("tls", "suites", "groups", "alpn", "old_main_secret", "crypto_provider")
# What says how TLS is spoken with clients.
_FOR_CLIENTS = (
    "key", "key_password_file", "staple", "client_ca", "client_auth", "crl", "ocsp", "policy", "resume",
    *who_may.ALLOW,
)  # fmt: skip
_LENSES = ("trace", "explain", "secrets", "html", "lang", "keylog", "pcapng")


@click.command(
    cls=proxy_options.ProxyVerb,
    examples=(
        f"handfast proxy {_OURS} --client-ca ca.pem --from 0.0.0.0:7853 --to 127.0.0.1:3000",
        f"handfast proxy {_AS_SSL_PROXY}  (as ssl-proxy has it; clients are asked for no certificate)",
        f"handfast proxy {_OURS} --client-ca ca.pem --allow-cn alice --from 0.0.0.0:6380 --to tcp://127.0.0.1:6379",
        f"handfast proxy {_OURS} --client-ca ca.pem --identity rfc9440 --from 0.0.0.0:443 --to http://unix:/run/app",
        f"handfast proxy {_OURS} --client-ca ca.pem --proxy-protocol --from 0.0.0.0:7853 --to tcp://127.0.0.1:3000",
        f"handfast proxy {_OURS} --client-ca ca.pem --from 0.0.0.0:443 --to h2c://127.0.0.1:50051  (gRPC, HTTP/2)",
        "handfast proxy --config proxy.toml --reload  (several listeners; --check only checks the file)",
        f"handfast proxy --from 127.0.0.1:6379 --to tls://redis.example:6380 {_THEIRS}  (for those that speak no TLS)",
    ),
)
@proxy_options.end_options
@click.option(
    "--client-ca", type=click.Path(path_type=Path), metavar="FILE_OR_DIR", help="Who may issue client certificates."
)
@click.option(
    "--client-auth",
    type=click.Choice([mode.value for mode in ClientAuth]),
    help="What is asked of clients. Default: require_and_verify with --client-ca, else none.",
)
@who_may.allow_options
@trust_options.policy_option
@trust_options.revocation_options
@serve_options.identity_options
@proxy_options.upstream_options
@options.parameter_options
@fleet_options.fleet_options
@click.option("--resume", is_flag=True, help="Let clients resume: give them tickets.")
@click.option("--reload", is_flag=True, help="Follow changes of the files named here; SIGHUP reads them at once.")
@proxy_operation.operation_options
@options.lens_options
def command(
    listen_at: str | None,
    to: str | None,
    config_file: Path | None,
    check: bool,
    tcp: bool,
    starttls: str | None,
    from_anywhere: bool,
    to_anywhere: bool,
    identity: tuple[str, ...],
    proxy_protocol: str | None,
    reload: bool,
    redis: str | None,
    redis_key: Path | None,
    **given: Any,
) -> int:
    """Let clients in by TLS, ask who they are, and hand what they say to a service: HTTP, or the bytes of any other
    protocol. Without --cert: let programs on this machine in that speak no TLS, and speak it for them."""
    log_to_terminal(quiet=False)
    program, stores = Program(), Stores()
    click.get_current_context().call_on_close(stores.close)
    if config_file is not None:
        proxy_operation.refuse_beside_config()
        return program.serve_file(config_file, stores, watch=reload, check=check)
    if check:
        raise bad_option("--check", "it is for a file", "give --config FILE too")
    if listen_at is None or to is None:
        raise proxy_operation.no_ends(listen_at)
    ceilings, operation = proxy_operation.operation(**_taken(given, proxy_operation.OPERATION))
    tls_in = bool(given["cert"])
    address = proxy_options.parse_listen(listen_at, program.names)
    upstream = _taken(given, proxy_options.UPSTREAM)
    target = proxy_options.parse_to(to, tcp=tcp, tls=not tls_in or any(upstream.values()))
    if not tls_in:
        _check_plain(address, target, given, anywhere=from_anywhere)
    elif from_anywhere:
        raise bad_option("--from-anywhere", "clients come by TLS, and may come from anywhere", "leave it out")
    if not program.is_worker:
        proxy_options.tell_assumed(target)
        _tell_unasked(given)
    proxy_operation.refuse_lenses(given, operation)
    watch = _watch(Role.SERVER if tls_in else Role.CLIENT, address, _taken(given, _LENSES))
    parameters = options.parameters(**_taken(given, _PARAMETERS))
    # Those are of the end that faces clients, or of the only one; who computes does so for both.
    for_service = {name: value for name, value in parameters.items() if not tls_in or name == "crypto_provider"}
    backend, handles = proxy_options.backend(target, upstream, for_service, anywhere=to_anywhere, reload=reload)
    backend = replace(backend, proxy_protocol=proxy_options.header(proxy_protocol), observe=None if tls_in else watch)
    config = None
    handles += _share(stores, redis, redis_key, tls_in=tls_in, reload=reload)
    if tls_in:
        config, more = _server_config(target.mode, parameters, stores, reload=reload, **given)
        handles += more
    service = Service(backend, target.mode, identity=_identity(identity, target.mode, config))
    asked = _starttls(starttls, target.mode, tls_in=tls_in)
    listener = Listener(address, service, tls=config, anywhere=from_anywhere, starttls=asked)
    plan = Plan((listener,), ceilings, operation)
    watched = watch if tls_in else None
    return program.serve(plan, stores, handles, watch=reload, observe=watched)


def _share(
    stores: Stores, redis: str | None, redis_key: Path | None, *, tls_in: bool, reload: bool
) -> tuple[Reloading[Any], ...]:
    """Share sessions by Redis, if asked to; what of that can be loaded anew."""
    if redis is not None and not tls_in:
        raise bad_option("--redis", "clients come without TLS, and have no sessions", "give --cert and --key")
    stores.fleet = fleet_options.fleet(redis, redis_key)
    return fleet_options.key_file(stores.fleet, redis_key) if reload else ()


def _taken(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """These out of what is given."""
    return {name: given.pop(name) for name in names}


def _check_plain(address: Address, target: proxy_options.Target, given: dict[str, Any], *, anywhere: bool) -> None:
    """ConfigError for what cannot be where clients come without TLS."""
    if not target.tls:
        reason = f"there is no --cert, and with {target.text} no TLS is spoken either: there is nothing to do"
        raise bad_option("--to", reason, "give --cert and --key for clients, or write https:// or tls://")
    for name, value in given.items():
        if value and name in _FOR_CLIENTS:
            option = "--" + name.replace("_", "-")
            raise bad_option(option, "clients come without TLS, as there is no --cert", "give --cert and --key")
    if anywhere and is_local(address):
        raise bad_option("--from-anywhere", "clients can come from this machine only, at this --from", "leave it out")
    if not anywhere and not is_local(address):
        reason = "clients come without TLS, and any that reaches it would speak with our certificate"
        raise bad_option("--from", reason, "listen on 127.0.0.1 or unix:PATH, or say --from-anywhere")


def _server_config(
    mode: Mode,
    parameters: dict[str, Any],
    stores: Stores,
    *,
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
    **allow: Any,
) -> tuple[ServerConfig, tuple[Reloading[Any], ...]]:
    """How TLS is spoken with clients, and what of it can be loaded anew."""
    identities, reloading = serve_options.identities(cert, key, key_password_file, staple, reload=reload)
    wanted = client_auth or (None if client_ca is not None else ClientAuth.NONE.value)
    auth, verification = serve_options.client_verification(
        client_ca, wanted, crl, ocsp, policy=policy, reload=reload, **allow
    )
    settings = parameters | verification | stores.settings(resume=resume, early_data=False)
    if mode is Mode.HTTP:
        settings["application_protocols"] = serve_options.spoken(settings, http2=True)
    config = ServerConfig(credentials=identities, client_auth=auth, **settings)
    trust = (config.verifier,) if isinstance(config.verifier, ReloadingVerifier) else ()
    return config, (*reloading, *trust)


def _tell_unasked(given: dict[str, Any]) -> None:
    asked = given["client_ca"] is not None or given["client_auth"] not in (None, ClientAuth.NONE.value)
    if given["cert"] and not asked:
        ui.note("clients are asked for no certificate: --client-ca FILE lets in only those that have one")


def _identity(forms: tuple[str, ...], mode: Mode, config: ServerConfig | None) -> tuple[IdentityForm, ...]:
    """Which headers a service is told by. Raises ConfigError."""
    if forms and mode is not Mode.HTTP:
        raise bad_option("--identity", "these are headers of HTTP, and --to is none", "give --proxy-protocol")
    if forms and (config is None or config.verifier is None):
        raise bad_option("--identity", "no client certificate is verified that it could speak of", "give --client-ca")
    return tuple(IdentityForm(form) for form in dict.fromkeys(forms))


def _starttls(protocol: str | None, mode: Mode, *, tls_in: bool) -> StartTls | None:
    """How clients ask for TLS. Raises ConfigError."""
    if protocol is not None and mode is not Mode.TCP:
        raise bad_option("--starttls", "HTTP has none", "write tcp:// or tls://, or leave it out")
    if protocol is not None and not tls_in:
        raise bad_option("--starttls", "clients come without TLS, as there is no --cert", "give --cert and --key")
    return proxy_options.starttls(protocol)


def _watch(role: Role, listen: Address, asked: dict[str, Any]) -> ObserverFactory | None:
    """What makes the lenses of each connection; None where none is asked for."""
    if not any(asked.values()):
        return None
    if asked["pcapng"] is not None and isinstance(listen, str):
        raise bad_option("--pcapng", "a Unix socket has no packets", "take --html, or --from HOST:PORT")
    lenses = Lenses(role, **asked)

    def watch(address: Any) -> tuple[list[Observer], list[SecretSink]]:
        _, observers, sinks = lenses.watch()
        if isinstance(address, tuple) and not isinstance(listen, str):
            ends = (address, http.reached(listen, address))
            client, server = ends if role is Role.SERVER else ends[::-1]
            lenses.record(client, server, observers, sinks)
        return observers, sinks

    return watch
