"""The options that ``handfast proxy`` alone has, and what they come to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from handfast.cli import options, trust_options, ui
from handfast.cli.in_options import in_options
from handfast.cli.target import parse_address
from handfast.config.by_name import ByName
from handfast.errors import ConfigError, bad_option
from handfast.proxy.settings import Backend, IdentityForm, Mode, ProxyProtocol, StartTls, address_words, is_local
from handfast.text import counted, escape
from handfast.trust.revocation.crl_store import OcspPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handfast.config.config import ClientConfig
    from handfast.proxy.settings import Address, Listener
    from handfast.reload.handles import Reloading

    F = TypeVar("F", bound=Callable[..., object])

_FILE = click.Path(path_type=Path)
_UNIX = "unix:"
_SYSTEMD = "systemd:"


class Scheme(NamedTuple):
    """What a scheme says: whether it is HTTP and TLS, the port that a URL leaves out, and whether HTTP is version 2."""

    mode: Mode
    tls: bool
    port: int | None
    http2: bool = False


_SCHEMES = {
    "http": Scheme(Mode.HTTP, tls=False, port=80),
    "https": Scheme(Mode.HTTP, tls=True, port=443),
    "tcp": Scheme(Mode.TCP, tls=False, port=None),
    "tls": Scheme(Mode.TCP, tls=True, port=None),
    "h2c": Scheme(Mode.HTTP, tls=False, port=80, http2=True),
    "h2": Scheme(Mode.HTTP, tls=True, port=443, http2=True),
}
# The parameters that say how TLS is spoken with the service.
UPSTREAM = (
    "to_cert", "to_key", "to_key_password_file", "to_cacert", "to_crl", "to_ocsp", "to_pin", "to_name", "to_starttls",
)  # fmt: skip
# What an option that is for clients is called where it is for the service.
_THEIR_OPTION = re.compile(r"--(?=(?:cert|key|key-password-file|cacert|crl|ocsp|pin)\b)")
# The spellings of ssl-proxy, whose users find them here as they were.
_SINGLE_DASH = {f"-{name}": f"--{name}" for name in ("cert", "key", "from", "to")}


class ProxyVerb(options.Verb):
    """The verb, whose ``--cert``, ``--key``, ``--from`` and ``--to`` may be spelled with one dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [_with_two_dashes(argument) for argument in args]
        return super().parse_args(ctx, given)


def _with_two_dashes(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return _SINGLE_DASH.get(name, name) + equals + value


def end_options(command: F) -> F:
    """--from, --to, --tcp, --starttls, --from-anywhere, --to-anywhere."""
    return options.together(
        click.option(
            "--from",
            "listen_at",
            metavar="HOST:PORT|unix:PATH|systemd:NAME",
            help="Where clients come: by TLS with --cert and --key, without TLS where these are not given.",
        ),
        click.option(
            "--to",
            metavar="URL|HOST:PORT|unix:PATH",
            help="The service: http://, https://, or h2c:// and h2:// for HTTP/2, as of gRPC; or tcp:// and tls:// for "
            "any other protocol, whose bytes go through as they are.",
        ),
        click.option("--tcp", is_flag=True, help="Of a --to without tcp:// or tls://: relay bytes, whatever they are."),
        click.option(
            "--starttls",
            type=click.Choice([one.value for one in StartTls]),
            help="Clients ask for TLS in this protocol's way before it begins, as psql does.",
        ),
        click.option("--from-anywhere", is_flag=True, help="Let clients without TLS come from other machines."),
        click.option("--to-anywhere", is_flag=True, help="Let --to be on another machine, though no TLS goes there."),
    )(command)


def upstream_options(command: F) -> F:
    """The options of ``UPSTREAM``, --identity, --proxy-protocol."""
    return options.together(
        click.option("--to-cert", type=_FILE, metavar="FILE", help="The chain that we show the service, by TLS."),
        click.option("--to-key", metavar="FILE|URI", help="Its private key, as --key."),
        click.option("--to-key-password-file", type=_FILE, metavar="FILE", help="Holds its password, or the PIN."),
        click.option(
            "--to-cacert", type=_FILE, metavar="FILE_OR_DIR", help="Who may have issued the service's certificate."
        ),
        click.option(
            "--to-crl", type=_FILE, metavar="FILE_OR_DIR", help="Refuse a service that these revocation lists hold."
        ),
        click.option(
            "--to-ocsp",
            type=click.Choice([policy.value for policy in OcspPolicy]),
            help="What the service's CA says of it now, as --ocsp.",
        ),
        click.option(
            "--to-pin",
            multiple=True,
            metavar="sha256//BASE64",
            help="The service's key must be this or another pinned.",
        ),
        click.option(
            "--to-starttls",
            type=click.Choice([one.value for one in StartTls]),
            help="Ask the service for TLS in this protocol's way.",
        ),
        click.option("--to-name", metavar="NAME", help="The name that it must be for; by default the host of --to."),
        click.option(
            "--identity",
            multiple=True,
            type=click.Choice([form.value for form in IdentityForm]),
            help="Tell an HTTP service by headers who a verified client is; repeatable.",
        ),
        click.option(
            "--proxy-protocol",
            cls=options.OptionalValue,
            bare=ProxyProtocol.TLS.value,
            type=click.Choice([form.value for form in ProxyProtocol]),
            metavar="[=addresses|=certificate]",
            help="Begin each connection to the service with PROXY protocol version 2: the client's address, the TLS it "
            "speaks and its common name; with =certificate its certificate too.",
        ),
    )(command)


@dataclass(frozen=True, slots=True)
class Target:
    """What ``--to`` names. ``assumed`` is the scheme that it does not name, "" where it does."""

    address: Address
    mode: Mode
    tls: bool
    assumed: str
    http2: bool = False

    @property
    def text(self) -> str:
        """The whole as a URL."""
        return url(self.mode, self.address, tls=self.tls, http2=self.http2)


def _named(mode: Mode, *, tls: bool, http2: bool = False) -> str:
    """The scheme that says this."""
    return next(name for name, known in _SCHEMES.items() if (known.mode, known.tls, known.http2) == (mode, tls, http2))


def url(mode: Mode, address: Address, *, tls: bool, http2: bool = False) -> str:
    """An end of the proxy as a URL; a Unix socket's is as nginx writes it, ``http://unix:/path``."""
    return f"{_named(mode, tls=tls, http2=http2)}://{address_words(address)}"


def parse_listen(text: str, names: Mapping[str, Address]) -> Address:
    """What ``--from`` names; ``names`` are those of sockets that systemd handed over. Raises ConfigError."""
    if text.startswith(_SYSTEMD):
        name = text.removeprefix(_SYSTEMD)
        if name not in names:
            reason = f"systemd handed over no socket named {escape(name)!r}; there are: {', '.join(names) or 'none'}"
            raise bad_option("--from", reason, f"write FileDescriptorName={escape(name)} in the socket unit")
        return names[name]
    return unix_or_host(text, "--from")


def unix_or_host(text: str, option: str) -> Address:
    """``unix:path`` or ``host:port``. Raises ConfigError, which names the option."""
    return _unix(text, option) if text.startswith(_UNIX) else parse_address(text, option)


def parse_to(text: str, *, tcp: bool, tls: bool) -> Target:
    """What ``--to`` names; ``tls`` is whether TLS is spoken where its scheme is not given. Raises ConfigError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        mode = Mode.TCP if tcp else Mode.HTTP
        assumed = _named(mode, tls=tls)
        address = _unix(text, "--to") if text.startswith(_UNIX) else _host_and_port(text, text, None)
        return Target(address, mode, tls, assumed)
    known = _SCHEMES.get(scheme.lower())
    if known is None:
        raise _bad_to(text, f"{scheme}:// is not known")
    mode, spoken, port, http2 = known
    if tcp and mode is not Mode.TCP:
        raise bad_option("--tcp", f"--to says {scheme}://", "leave --tcp out, or write tcp:// or tls://")
    if rest.startswith(_UNIX):
        return Target(_unix(rest, "--to"), mode, spoken, "", http2)
    return Target(_host_and_port(_authority(text), text, port), mode, spoken, "", http2)


def _authority(text: str) -> str:
    try:
        found = urlsplit(text)
    except ValueError as error:
        raise _bad_to(text, str(error)) from None
    if found.path not in ("", "/") or found.query or found.fragment:
        raise _bad_to(text, "it has a path, and requests are handed on with the path that they have")
    if "@" in found.netloc:
        raise _bad_to(text, "it has a user name, which is handed on to no one")
    return found.netloc


def _host_and_port(authority: str, text: str, port: int | None) -> tuple[str, int]:
    if (port is not None and authority.rpartition(":")[1] == "") or authority.endswith("]"):
        authority = f"{authority}:{port}"
    name, number = parse_address(authority, "--to")
    if not name or not number:
        raise _bad_to(text, "it names no host" if number else "no service has port 0")
    return name, number


def _unix(text: str, option: str) -> str:
    path = text.removeprefix(_UNIX)
    if not path:
        raise bad_option(option, "unix: names no path", "write unix:/run/app.sock")
    return path


def _bad_to(text: str, reason: str) -> ConfigError:
    advice = "write http://127.0.0.1:3000, https://, h2c://, h2://, tcp:// or tls:// with host and port, or unix:/path"
    return bad_option("--to", f"{escape(text)!r}: {reason}", advice)


def header(form: str | None) -> ProxyProtocol | None:
    """What ``--proxy-protocol`` asks for."""
    return None if form is None else ProxyProtocol(form)


def backend(
    target: Target, upstream: dict[str, Any], parameters: dict[str, Any], *, anywhere: bool, reload: bool
) -> tuple[Backend, tuple[Reloading[Any], ...]]:
    """What ``--to`` and the options of ``UPSTREAM`` come to, and what of it can be loaded anew. Raises ConfigError."""
    for name, value in upstream.items():
        if value not in (None, ()) and not target.tls:
            option = "--" + name.replace("_", "-")
            raise bad_option(
                option, f"no TLS is spoken with {target.text}", "write https:// or tls://, or leave it out"
            )
    if anywhere and target.tls:
        raise bad_option("--to-anywhere", "TLS is spoken with it, and may go anywhere", "leave it out")
    if anywhere and is_local(target.address):
        raise bad_option("--to-anywhere", f"{target.text} is on this machine", "leave it out")
    if not target.tls and not anywhere and not is_local(target.address):
        reason = f"{target.text} is not on this machine, and what goes there can be read on the way"
        raise bad_option("--to", reason, "speak TLS with it (https://, tls://), or say --to-anywhere")
    if not target.tls:
        return Backend(target.address, anywhere=anywhere, http2=target.http2), ()
    if isinstance(target.address, str) and upstream["to_name"] is None:
        raise bad_option("--to-name", "a Unix socket has no name that a certificate could be for", "give the name")
    if upstream["to_starttls"] is not None and target.mode is not Mode.TCP:
        raise bad_option("--to-starttls", "HTTP has none", "write tls://, or leave it out")
    config, handles = _client_config(target, upstream, parameters, reload=reload)
    made = Backend(
        target.address,
        tls=config,
        server_name=upstream["to_name"],
        starttls=starttls(upstream["to_starttls"]),
        http2=target.http2,
    )
    return made, handles


def starttls(protocol: str | None) -> StartTls | None:
    """What ``--starttls`` or ``--to-starttls`` names."""
    return None if protocol is None else StartTls(protocol)


def _client_config(
    target: Target, upstream: dict[str, Any], parameters: dict[str, Any], *, reload: bool
) -> tuple[ClientConfig, tuple[Reloading[Any], ...]]:
    from handfast.config.config import ClientConfig
    from handfast.reload.handles import Reloading
    from handfast.trust.combined import AllOf

    cert, key, password_file = upstream["to_cert"], upstream["to_key"], upstream["to_key_password_file"]
    for option, value in (("--to-key", key), ("--to-key-password-file", password_file)):
        if value is not None and cert is None:
            raise bad_option(option, "there is no --to-cert that it could belong to", "give --to-cert too")
    judged = (upstream["to_cacert"], upstream["to_crl"], upstream["to_ocsp"], upstream["to_pin"])
    try:
        credentials = options.credentials(cert, key, password_file, reload=reload)
        trust = trust_options.server_verification(*judged, None, insecure=False, reload=reload)
    except ConfigError as error:
        ui.fail(error.what, error.fault, _THEIR_OPTION.sub("--to-", in_options(error.hint)), ui.BAD_USAGE)
    spoken = {"application_protocols": ("h2" if target.http2 else "http/1.1",)} if target.mode is Mode.HTTP else {}
    config = ClientConfig(credentials=credentials, **{**spoken, **trust, **parameters})
    verifier = config.verifier
    followed = (*credentials, *(verifier.verifiers if isinstance(verifier, AllOf) else (verifier,)))
    return config, tuple(one for one in followed if isinstance(one, Reloading))


def tell(listener: Listener, bound: Any) -> None:
    """Say what is proxied from where clients may come, as ssl-proxy does; ``bound`` is that as a socket gives it."""
    services = listener.services
    last = services[-1]
    at = bound[:2] if isinstance(bound, tuple) else listener.address
    where = url(last.mode, at, tls=listener.tls is not None)
    secured = " (SSL/TLS)" if listener.tls is not None else ""
    what = "calls" if last.mode is Mode.HTTP else "connections"
    names = f", by {counted(len(services), 'name')}" if isinstance(listener.service, ByName) else ""
    target = url(last.mode, last.backend.address, tls=last.backend.tls is not None, http2=last.backend.http2)
    # Standard output has what was asked for, as in serve.
    click.echo(f"Proxying {what} from {where}{secured} to {target}{names}")


def tell_assumed(target: Target) -> None:
    """Say which scheme ``--to`` was given, where it names none."""
    if target.assumed:
        ui.note(f"Assuming -to URL is using {target.assumed}://")
