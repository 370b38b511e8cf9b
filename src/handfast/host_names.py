"""What a host name is, the same for who makes certificates and for who judges them. RFC 1123 2.1, RFC 5890.

A name with other than ASCII characters given by the user is converted label by label with the standard library's IDNA
2003 codec; the four characters that IDNA 2008 reads in another way are refused, since two rules would then mean two
hosts.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

# Underscores are no host name characters, and service names in private networks have them all the same.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
MAX_NAME = 253
# German sharp s, Greek final sigma, zero width joiner and non-joiner. RFC 5894 7.2.
_IDNA_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")


def is_host_name(text: str) -> bool:
    """Whether ``text`` is a DNS name in lower-case ASCII, not an IP address and without a trailing dot."""
    labels = text.split(".")
    return len(text) <= MAX_NAME and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def with_a_labels(text: str) -> str:
    """``text`` with its international labels as A-labels (xn--...); ValueError, which says what to do, without such."""
    if text.isascii():
        return text
    if not _IDNA_DEVIATIONS.isdisjoint(text):
        raise ValueError("write this name with its xn-- labels, as the two IDNA rules differ on it")
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("write this name with its xn-- labels") from None


def is_ip_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, without brackets."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def resolvable(text: str) -> str:
    """A host name or IP address as the system's resolver takes it; ValueError for a name that DNS cannot hold."""
    name = with_a_labels(text)
    try:
        # What the resolver's functions of Python do, which raise no OSError for an empty or too long label.
        name.encode("idna")
    except UnicodeError:
        raise ValueError("this is no name that DNS could hold: a label is empty or has over 63 bytes") from None
    return name
