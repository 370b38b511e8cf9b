"""Header fields: which of them are for one connection only, which are ours to say, and which may be handed on.

Names are in lower case throughout.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

from handfast.proxy.identity import claims_identity, folded, is_or_extends

Fields = list[tuple[bytes, bytes]]


class Kind(IntEnum):
    """What becomes of a field of a request."""

    KEPT = 0
    # Of this connection alone, or for us to say: never handed on.
    DROPPED = 1
    # Looked at one by one.
    SPECIAL = 2


# RFC 9110 7.6.1; the last two are older.
_OF_ONE_CONNECTION = frozenset(
    {b"connection", b"te", b"transfer-encoding", b"upgrade", b"trailer", b"keep-alive", b"proxy-connection"}
)
_OF_PROXIES = frozenset(
    {b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info", b"http2-settings"}
)
_SPECIAL = frozenset(
    {b"connection", b"host", b"content-length", b"transfer-encoding", b"te", b"upgrade", b"expect", b"via", b"cookie"}
    | {b"early-data"}
)
# What the proxy says of the client, so what a client says of itself is dropped, by the names of other proxies and of
# clouds too: where it is, whole names or what they begin with ...
_ADDRESS = (
    b"forwarded",  # RFC 7239
    b"forwarded-for",
    b"client-ip",
    b"x-client-ip",
    b"x-real-ip",  # nginx
    b"true-client-ip",  # Akamai and Cloudflare
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"fastly-client-ip",
    b"fly-client-ip",
    b"x-cluster-client-ip",  # Rackspace
    b"x-azure-clientip",
    b"x-envoy-external-address",
    b"x-originating-ip",
    b"proxy-client-ip",  # WebLogic
    b"wl-proxy-client-ip",
)
# ... what it asks for, which rules of paths have judged, and by which scheme ...
_TARGET = (
    b"x-original-url",  # IIS
    b"x-original-uri",  # ingress-nginx
    b"x-original-method",
    b"x-original-forwarded",
    b"x-original-for",  # ASP.NET Core
    b"x-original-host",
    b"x-original-proto",
    b"x-rewrite-url",  # IIS
    b"x-host",
    b"x-scheme",
    b"x-url-scheme",
    b"front-end-https",  # Microsoft's
)
# ... and what CGI has as HTTP_PROXY, by which a service's own requests would go: httpoxy, CVE-2016-5385.
_OF_THE_CLIENT = (*_ADDRESS, *_TARGET, b"early-data", b"proxy")
# Where the end of a message is, where it goes, who asks and how it is read: not in trailers. RFC 9110 6.5.1.
_NOT_IN_TRAILERS = frozenset(
    {b"host", b"content-length", b"content-encoding", b"content-type", b"content-range", b"trailer", b"authorization"}
    | {b"cookie", b"set-cookie", b"cache-control", b"expect", b"max-forwards", b"pragma", b"range", b"via", b"age"}
    | {b"date", b"expires", b"location", b"retry-after", b"vary", b"warning", b"www-authenticate", b"early-data"}
)
# Headers whose underscores a backend might read as hyphens, with something at stake.
_FOLDED_TOO = _SPECIAL | _OF_ONE_CONNECTION | {b"authorization"}


# Clients choose names, and few of them; one that makes up others costs itself the look.
@lru_cache(maxsize=1024)
def request_kind(name: bytes) -> Kind:
    """What becomes of a field of this name in a request."""
    if name in _SPECIAL:
        return Kind.SPECIAL
    plain = folded(name)
    if name in _OF_ONE_CONNECTION or name in _OF_PROXIES or is_or_extends(plain, _OF_THE_CLIENT):
        return Kind.DROPPED
    if claims_identity(name) or (plain != name and plain in _FOLDED_TOO):
        return Kind.DROPPED
    return Kind.KEPT


@lru_cache(maxsize=1024)
def is_for_one_connection(name: bytes) -> bool:
    """Whether a field of a response is for the connection it came by."""
    return name in _OF_ONE_CONNECTION and name != b"trailer"


def options(value: bytes) -> list[bytes]:
    """The members of a list, in lower case, as of ``Connection``. RFC 9110 5.6.1."""
    return [option for one in value.lower().split(b",") if (option := one.strip(b" \t"))]


def trailers(fields: Fields) -> Fields:
    """What of a trailer section may be handed on."""
    return [
        (name, value)
        for name, value in fields
        if name not in _NOT_IN_TRAILERS and request_kind(name) is Kind.KEPT and not name.startswith(b":")
    ]


def response_fields(fields: Fields) -> Fields:
    """A response's fields without those for one connection, and without those that ``Connection`` names."""
    named: list[bytes] = []
    kept = []
    for name, value in fields:
        if not is_for_one_connection(name):
            kept.append((name, value))
        elif name == b"connection":
            named += options(value)
    if named:
        dropped = frozenset(named) - {b"close", b"keep-alive"} - _PROTECTED
        if dropped:
            return [(name, value) for name, value in kept if name not in dropped]
    return kept


# What a backend cannot take out of its answer by naming it in Connection: how long it is.
_PROTECTED = frozenset({b"content-length"})
