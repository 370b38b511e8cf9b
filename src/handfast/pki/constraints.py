"""Name constraints: which names the certificates below a CA may have. RFC 5280 4.2.1.10."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from handfast.errors import bad_option
from handfast.pki.general_names import dns_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", re.ASCII)
_ALL_ADDRESSES = tuple(x509.IPAddress(ipaddress.ip_network(all_of)) for all_of in ("0.0.0.0/0", "::/0"))


def name_constraints(permitted: Iterable[str]) -> x509.NameConstraints | None:
    """The extension that permits these domains, networks (10.0.0.0/8), mail domains (@example.com) and hosts of URIs
    (spiffe://example.com) only, or None for no names.

    Without a network among them no IP address is permitted either. E-mail addresses and URIs are bound only if one of
    their kind is given. ConfigError(bad_option) if one is none of these, or if no domain is there.
    """
    subtrees = [_subtree(text) for text in permitted]
    if not subtrees:
        return None
    if not any(isinstance(one, x509.DNSName) for one in subtrees):
        advice = "add a domain, as in corp.example; the CA could speak for every host name otherwise"
        raise bad_option("constraint", "no domain is among the names", advice)
    addresses = any(isinstance(one, x509.IPAddress) for one in subtrees)
    return x509.NameConstraints(subtrees, None if addresses else list(_ALL_ADDRESSES))


def violated(cas: Iterable[x509.Certificate], names: Sequence[x509.GeneralName]) -> x509.GeneralName | None:
    """The first of the names that the constraints of one of the CAs do not permit, or None."""
    bounds = [found for found in map(of, cas) if found is not None]
    return next((name for name in names if not all(_permits(one, name) for one in bounds)), None)


def host_in_cn(common_name: str) -> tuple[x509.GeneralName, ...]:
    """A CN that OpenSSL takes for a host name, as that; so an address is one, and a single label is none."""
    return (x509.DNSName(common_name),) if _HOST.fullmatch(common_name) else ()


def of(ca: x509.Certificate) -> x509.NameConstraints | None:
    """The constraints that a CA's certificate holds, or None."""
    try:
        return ca.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _subtree(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(text))
    except ValueError as error:
        if "host bits" in str(error):
            advice = f"write {ipaddress.ip_network(text, strict=False)}"
            raise bad_option(f"constraint {text!r}", "it is an address inside of a network", advice) from None
    if "://" in text:
        return x509.UniformResourceIdentifier(dns_name(urlsplit(text).hostname or ""))
    if "@" in text:
        return x509.RFC822Name(dns_name(text.rpartition("@")[2]))
    return x509.DNSName(dns_name(text.removeprefix("*.").removeprefix(".")))


def _permits(constraints: x509.NameConstraints, name: x509.GeneralName) -> bool:
    permitted = [one for one in constraints.permitted_subtrees or () if type(one) is type(name)]
    if permitted and not any(_within(name, one) for one in permitted):
        return False
    excluded = [one for one in constraints.excluded_subtrees or () if type(one) is type(name)]
    return not any(_within(name, one) for one in excluded)


def _within(name: x509.GeneralName, subtree: x509.GeneralName) -> bool:
    if isinstance(name, x509.IPAddress):
        return name.value in subtree.value
    text = str(name.value)
    if isinstance(name, x509.UniformResourceIdentifier):
        text = urlsplit(text).hostname or ""
        # A host constraint of URIs and mail is that host alone, unless it begins with a dot.
        return text.lower() == subtree.value.lower() or _below(text, subtree.value, dotted=True)
    if isinstance(name, x509.RFC822Name):
        text = text.rpartition("@")[2]
        return text.lower() == subtree.value.lower() or _below(text, subtree.value, dotted=True)
    return text.lower() == subtree.value.lower() or _below(text, subtree.value, dotted=False)


def _below(text: str, domain: str, *, dotted: bool) -> bool:
    if dotted and not domain.startswith("."):
        return False
    return text.lower().endswith("." + domain.lower().removeprefix("."))
