"""What to connect to, an https:// URL or host:port, and what to ask for there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from handfast.errors import ConfigError, bad_option
from handfast.host_names import is_ip_address, resolvable, with_a_labels
from handfast.text import escape

if TYPE_CHECKING:
    from pathlib import Path

HTTPS_PORT = 443
# What a host may be that stands without a port: anything but what separates the parts of a URL, and paths.
_BARE_HOST = re.compile(r"[^\s:/?#@\[\]\\]+|\[[0-9A-Fa-f:.%a-z]+\]")
# Ports whose servers say nothing to a hello, and what they wait for.
_WAITING = {
    80: "port 80 is that of http://; https:// is usually on 443",
    389: "port 389 is LDAP's, where TLS starts when it is asked for: --starttls ldap; port 636 speaks it at once",
    1433: "port 1433 is SQL Server's, where TLS starts inside its own protocol",
    3389: "port 3389 is RDP's, where TLS starts inside its own protocol",
    5222: "port 5222 is XMPP's, where TLS starts when it is asked for: --starttls xmpp; port 5223 speaks it at once",
    5432: "port 5432 is PostgreSQL's, where TLS starts when it is asked for: --starttls postgres",
    6379: "port 6379 is Redis's without TLS; it has TLS on the port of its tls-port",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask for what.

    Attributes:
        host, port: whom; IPv6 addresses without brackets.
        path: what stands in the request line, or None for a session that is not HTTP.
    """

    host: str
    port: int
    path: str | None

    @property
    def authority(self) -> str:
        """For the Host header: the port is left out where it is the usual one. RFC 9110 7.2."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """The options that only an https:// URL has."""

    method: str | None
    data: tuple[str, ...]
    headers: tuple[str, ...]
    include: bool
    output: Path | None
    fail: bool = False
    head: bool = False
    location: bool = False
    max_redirects: int | None = None

    @property
    def given(self) -> bool:
        """Whether anything is asked for that only a request has."""
        return self != HttpOptions(None, (), (), include=False, output=None)

    @property
    def only_output(self) -> bool:
        """Whether a file for the output is all that is asked for."""
        return self == HttpOptions(None, (), (), include=False, output=self.output)


def parse_target(text: str, port: int = HTTPS_PORT) -> Target:
    """The target that the command line names; ``port`` is that of a host without one. Raises ConfigError."""
    if "://" in text:
        return parse_url(text)
    if _BARE_HOST.fullmatch(text) and not text.isdigit():
        return Target(_host_name(_without_brackets(text), text), port, None)
    host, port = parse_address(text, "TARGET")
    return Target(_host_name(host, text), port, None)


def _without_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") else host


def parse_url(text: str) -> Target:
    """The target that an https:// URL names. Raises ConfigError."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise _bad_target(text, str(error)) from None
    if url.scheme != "https":
        raise _bad_target(text, f"{url.scheme}:// is not HTTP over TLS")
    if not host:
        raise _bad_target(text, "it names no host")
    if url.username is not None:
        raise bad_option("TARGET", "user names in URLs are not supported", "give -H 'Authorization: ...'")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise _bad_target(text, "its path has characters that must be percent-encoded")
    return Target(_host_name(host, text), HTTPS_PORT if port is None else port, path)


def parse_address(text: str, option: str) -> tuple[str, int]:
    """``host:port`` or ``[IPv6]:port``. Raises ConfigError, which names the option."""
    host, colon, number = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    hint = "give host:port, or an https:// URL" if option == "TARGET" else "give host:port"
    if not colon or not _is_port(number):
        raise bad_option(option, f"{escape(text)!r} does not end in :PORT", hint)
    if ":" in host and not bracketed:
        raise bad_option(option, f"{escape(text)!r} is ambiguous", f"write the IPv6 address as [{host}]:{number}")
    try:
        return resolvable(host[1:-1] if bracketed else host), int(number)
    except ValueError as error:
        raise bad_option(option, f"{escape(text)!r}: {error}", hint) from None


def _is_port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit() and int(text) <= 0xFFFF


def _host_name(host: str, text: str) -> str:
    """An international name in its ASCII form."""
    if not host:
        raise _bad_target(text, "it names no host")
    try:
        return with_a_labels(host)
    except ValueError as error:
        raise _bad_target(text, str(error)) from None


def _bad_target(text: str, reason: str) -> ConfigError:
    return bad_option("TARGET", f"{escape(text)!r}: {reason}", "give an https:// URL, or host:port")


def port_hint(port: int) -> str:
    """What a server on this port may wait for, that said nothing at all; "" for ports that mean nothing."""
    return _WAITING.get(port, "")


def redirected(target: Target, rules: tuple[str, ...]) -> tuple[str, int]:
    """Where to connect for ``target`` under curl's --connect-to rules ``HOST:PORT:TOHOST:TOPORT``; empty means any."""
    for rule in rules:
        parts = _split_rule(rule)
        if _is_host(parts[0], target.host) and parts[1] in ("", str(target.port)):
            there = replace(target, host=parts[2] or target.host, port=int(parts[3] or target.port))
            return there.host, there.port
    return target.host, target.port


def resolved(host: str, port: int, rules: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses that curl's --resolve rules ``HOST:PORT:ADDRESS[,ADDRESS]`` give a host; () for none."""
    found: tuple[str, ...] = ()
    for rule in rules:
        name, number, addresses = _split_resolve(rule)
        # The last one that fits counts, as for curl; "*" is every host, whose own rule goes before it.
        if number == port and _is_host(name, host):
            found = addresses
        elif number == port and name == "*":
            found = found or addresses
    return found


def _is_host(named: str, host: str) -> bool:
    """Whether a rule's host is this one: names have no case, and "" is any. RFC 4343."""
    return named == "" or _compared(named) == _compared(host)


def _compared(name: str) -> str:
    """A name as names are compared: without case, and in A-labels. RFC 5890 2.3.2.1."""
    try:
        return with_a_labels(name).rstrip(".").lower()
    except ValueError:
        return name.rstrip(".").lower()


def _split_rule(rule: str) -> list[str]:
    parts = _split(rule)
    if len(parts) != 4 or not all(_is_port(part) for part in (parts[1], parts[3]) if part):
        raise bad_option("--connect-to", f"{escape(rule)!r} is not HOST:PORT:TOHOST:TOPORT", "leave any part empty")
    return parts


def _split_resolve(rule: str) -> tuple[str, int, tuple[str, ...]]:
    """curl's "+" before it, an entry that may expire, means nothing to one run."""
    host, number, addresses = [*_split(rule.removeprefix("+"), most=2), "", "", ""][:3]
    known = tuple(map(_without_brackets, addresses.split(",")))
    if not host or not _is_port(number) or not all(map(is_ip_address, known)):
        hint = "give numbers: --resolve example.com:443:127.0.0.1"
        raise bad_option("--resolve", f"{escape(rule)!r} is not HOST:PORT:ADDRESS[,ADDRESS]", hint)
    return host, int(number), known


def _split(rule: str, most: int = -1) -> list[str]:
    """The parts between colons that stand outside of brackets, without those; the last takes the rest."""
    parts = [""]
    inside = False
    for position, character in enumerate(rule):
        if len(parts) - 1 == most:
            return [*parts[:-1], rule[position:]]
        inside = character == "[" or (inside and character != "]")
        if character == ":" and not inside:
            parts.append("")
        elif character not in "[]":
            parts[-1] += character
    return parts
