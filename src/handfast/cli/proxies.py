"""Which HTTP proxy a connection goes through: the one that is named, or that of the environment."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from handfast.cli.target import Target
from handfast.errors import ConfigError, bad_option
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

# As for curl.
_PROXY_PORT = 1080
# In this order: for curl and its kin the lower case goes first.
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host, port: where it is.
        authorization: what it is told of who asks, b"" for nothing. RFC 9110 11.7.2.
        source: who named it, for people: "--proxy", "$HTTPS_PROXY".
    """

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)
    source: str = "--proxy"

    @property
    def address(self) -> str:
        """Host and port, without the password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_proxy(text: str, source: str) -> Proxy:
    """``[http://][USER:PASSWORD@]HOST[:PORT]``. Raises ConfigError, which names ``source`` and shows no password."""
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme.lower() != "http":
        hint = "give http://HOST:PORT, or an empty one for none"
        raise bad_option(source, f"{escape(scheme)}:// proxies are not known, only http:// ones", hint)
    try:
        url = urlsplit(f"http://{rest}")
        host, port = url.hostname, url.port
    except ValueError as error:
        raise _bad_proxy(source, str(error)) from None
    if not host or url.path not in ("", "/"):
        raise _bad_proxy(source, "is not HOST:PORT")
    credentials = b""
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        credentials = b"Basic " + b64encode(pair.encode("utf-8", "surrogateescape"))
    return Proxy(host, _PROXY_PORT if port is None else port, credentials, source)


def proxy_of_environment(target: Target, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an https:// URL, by $HTTPS_PROXY, $ALL_PROXY and $NO_PROXY. Raises ConfigError."""
    excepted = next((environ[name] for name in _EXCEPTIONS if environ.get(name)), "")
    if is_excepted(target, excepted):
        return None
    for name in _VARIABLES:
        if environ.get(name):
            return parse_proxy(environ[name], f"${name}")
    return None


def is_excepted(target: Target, exceptions: str) -> bool:
    """Whether a list as of $NO_PROXY names the target: ``*``, names with all below them, addresses, networks."""
    return any(_fits(target, one) for one in exceptions.replace(",", " ").split())


def _fits(target: Target, exception: str) -> bool:
    if exception == "*":
        return True
    host = target.host.rstrip(".").lower()
    try:
        address = ip_address(host)
    except ValueError:
        name, _, port = exception.lower().partition(":")
        named = name.removeprefix("*").strip(".")
        return bool(named) and port in ("", str(target.port)) and (host == named or host.endswith(f".{named}"))
    bare = exception.strip("[]")
    try:
        return address in ip_network(bare, strict=False)
    except ValueError:
        return exception.lower() in (f"{host}:{target.port}", f"[{host}]:{target.port}")


def _bad_proxy(source: str, reason: str) -> ConfigError:
    # What it says may hold a password.
    return bad_option(source, f"it {reason}" if reason.startswith("is") else reason, "give http://HOST:PORT")
