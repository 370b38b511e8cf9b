"""Whether a certificate has the name it must have. RFC 9525.

The rules, which are stricter than some and the same for every peer:

- A reference identity is a DNS name or an IP address. Addresses match iPAddress entries, byte for byte; DNS names match
  dNSName entries, without regard to ASCII case and to one trailing dot.
- ``*`` stands for exactly one label, is the whole left-most label, and has at least one label after it.
- International names are compared as A-labels (xn--...), which ``host_names`` makes of what the user gives. A U-label
  inside a certificate matches nothing.
- The common name is not looked at, unless a policy asks for what OpenSSL does: a certificate without any dNSName entry
  then has its subject's common names matched like dNSName entries. Never for IP addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from handfast.errors import ConfigError, bad_option
from handfast.host_names import MAX_NAME, is_host_name, with_a_labels
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADVICE = "give a DNS name or an IP address, without a port"


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """What a certificate says its holder is called, by kind, unescaped and unverified.

    ``common_names`` and ``organizational_units`` are the subject's. Entries of other kinds (directory names, other
    names) are not names we compare.
    """

    dns: tuple[str, ...] = ()
    ip: tuple[IPv4Address | IPv6Address, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()
    common_names: tuple[str, ...] = ()
    organizational_units: tuple[str, ...] = ()

    def labelled(self) -> tuple[str, ...]:
        """The subjectAltName entries as "DNS:localhost", "IP:127.0.0.1", "URI:spiffe://...", escaped."""
        kinds: tuple[tuple[str, Iterable[object]], ...] = (
            ("DNS", self.dns), ("IP", self.ip), ("URI", self.uri), ("email", self.email),
        )  # fmt: skip
        return tuple(f"{kind}:{escape(str(value))}" for kind, values in kinds for value in values)


# Few names serve many connections, and no peer chooses them.
@lru_cache(maxsize=256)
def reference_identity(server_name: str) -> str | IPv4Address | IPv6Address:
    """What a server must be called: an IP address, or a DNS name in lower-case A-labels without a trailing dot.

    Raises ConfigError bad_option when ``server_name`` is neither. Brackets around an IPv6 address are allowed.
    """
    bare = server_name[1:-1] if server_name.startswith("[") and server_name.endswith("]") else server_name
    try:
        address = ip_address(bare)
    except ValueError:
        return _dns_name(server_name)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address


def sni(server_name: str | None) -> str | None:
    """The HostName for the server_name extension, or None when there is none to send. RFC 6066 3."""
    if server_name is None:
        return None
    reference = reference_identity(server_name)
    return reference if isinstance(reference, str) else None


def matches(names: CertificateNames, server_name: str, *, common_name_fallback: bool = False) -> bool:
    """Whether one of the names is ``server_name``; ConfigError bad_option when that is no name at all."""
    reference = reference_identity(server_name)
    if not isinstance(reference, str):
        return any(reference.packed == address.packed for address in names.ip)
    candidates = names.common_names if common_name_fallback and not names.dns else names.dns
    return any(_covers(pattern, reference) for pattern in candidates)


def dns_matches(pattern: str, name: str) -> bool:
    """Whether a certificate's dNSName covers ``name``, which is in lower-case A-labels. RFC 9525 6.3."""
    return _covers(pattern, name) and is_host_name(name)


def _covers(pattern: str, name: str) -> bool:
    """``dns_matches`` for what is known to be a host name."""
    if not pattern.isascii():
        return False
    pattern = pattern.lower().removesuffix(".")
    covered = name.partition(".")[2] if pattern.startswith("*.") else name
    return covered != "" and pattern.removeprefix("*.") == covered


def _dns_name(text: str) -> str:
    try:
        name = with_a_labels(text).lower().removesuffix(".")
    except ValueError as error:
        raise _not_a_name(text, str(error)) from None
    if not is_host_name(name):
        raise _not_a_name(text, _ADVICE)
    return name


def _not_a_name(text: str, advice: str) -> ConfigError:
    return bad_option(f"server name {escape(text, MAX_NAME)!r}", "not a DNS name", advice)
