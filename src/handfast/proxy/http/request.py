"""A request as both versions of HTTP have it, checked: what is judged, and then written anew for the backend.

What two readers could understand differently is refused here with 400: that is what request smuggling lives on. h11 and
h2 have refused before what is no HTTP at all; the checks here are those that they leave to a proxy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast import limits
from handfast.proxy.http.header_fields import Fields, Kind, options, request_kind

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 9110 4.2.1, 7.2: a host in brackets, or a name or address, and a port.
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
# RFC 3986 3.3 and 3.4, and what browsers send besides: visible ASCII, without a fragment.
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
# What would take the identity headers that a backend gets back to the client (TRACK is IIS's TRACE), and what is for
# other proxies.
_NOT_SERVED = frozenset({b"TRACE", b"TRACK", b"CONNECT"})
# Methods are case-sensitive (RFC 9110 9.1), and not all servers keep to that: to them "head" would have no body in its
# answer. PATCH is left out, which browsers send as a script spells it.
_ONE_SPELLING = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"}) | _NOT_SERVED
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


class Refused(Exception):
    """A request is answered by us. ``code`` and ``why`` are for the journal, ``told`` is what the client may know."""

    def __init__(self, status: int, code: str, why: str, told: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.code = code
        self.why = why
        self.told = told or why


def bad(why: str) -> Refused:
    """400, with a reason that the client may know."""
    return Refused(400, "bad_request", why)


@dataclass(slots=True)
class Request:
    """A request's head. ``fields`` are those that are handed on as they are; names are in lower case.

    Attributes:
        target: in origin form, or ``*``.
        authority: the host it is for, with its port if it says one.
        version: "HTTP/1.1", "HTTP/1.0" or "HTTP/2".
        length: of its body; None for one whose end the framing tells.
        upgrade: the protocol it asks to go on with, b"" for none.
        trailers: whether the client takes trailers, and says so.
        via: what came as Via, b"" if nothing.
        early: whether it is marked as early data of a hop before. RFC 8470 5.1.
        keep_alive: whether the client's connection may go on after it; of HTTP/1.
    """

    method: bytes
    target: bytes
    authority: bytes
    version: str
    fields: Fields
    length: int | None = 0
    upgrade: bytes = b""
    trailers: bool = False
    expects: bool = False
    via: bytes = b""
    early: bool = False
    keep_alive: bool = True

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent once more when a connection broke without an answer. RFC 9110 9.2.2."""
        return self.length == 0 and not self.upgrade and self.method in _IDEMPOTENT

    @property
    def is_grpc(self) -> bool:
        """Whether it is a call of gRPC, in which both sides may be silent for long."""
        return any(name == b"content-type" and value.startswith(b"application/grpc") for name, value in self.fields)

    @property
    def path(self) -> bytes:
        """The target's part before the question mark: what rules hold for. Of ``*`` it is that of all paths."""
        return b"/" if self.target == b"*" else self.target.partition(b"?")[0]


class Special:
    """The fields of a head that are looked at one by one."""

    __slots__ = ("connection", "cookies", "early", "expects", "host", "lengths", "te", "transfer", "upgrade", "via")

    def __init__(self) -> None:
        self.connection: list[bytes] = []
        self.cookies: list[bytes] = []
        self.early = False
        self.expects = False
        self.host: list[bytes] = []
        self.lengths: list[bytes] = []
        self.te: list[bytes] = []
        self.transfer: list[bytes] = []
        self.upgrade: list[bytes] = []
        self.via: list[bytes] = []

    def take(self, name: bytes, value: bytes) -> None:
        match name:
            case b"host":
                self.host.append(value)
            case b"content-length":
                self.lengths.append(value)
            case b"connection":
                self.connection += options(value)
            case b"transfer-encoding":
                self.transfer += options(value)
            case b"te":
                self.te += options(value)
            case b"upgrade":
                self.upgrade += [one.strip() for one in value.split(b",")]
            case b"via":
                self.via.append(value)
            case b"cookie":
                self.cookies.append(value)
            case b"early-data":
                self.early = True
            case b"expect":
                if value.lower() != b"100-continue":
                    raise Refused(417, "unknown_expectation", "the request expects something else than 100-continue")
                self.expects = True


def check_http1_head(head: bytes | bytearray) -> None:
    """Raises Refused for a head that h11 reads and another reader might read otherwise. RFC 9112 2.2, 5.2.

    That is lines that end in CR or LF alone, lines that go on in the next one, and control characters.
    """
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise bad("a line of the request's head does not end in CR LF")
    if b"\n " in head or b"\n\t" in head:
        raise bad("a line of the request's head begins with a space")
    if len(head.translate(None, _CONTROLS)) != len(head):
        raise bad("the request's head has control characters")


_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\r\n"))


def sort(fields: Iterable[tuple[bytes, bytes]]) -> tuple[Fields, Special]:
    """The fields that are handed on, and the others. Raises Refused."""
    kept: Fields = []
    special = Special()
    for field in fields:
        kind = request_kind(field[0])
        if kind is Kind.KEPT:
            kept.append(field)
        elif kind is Kind.SPECIAL:
            special.take(*field)
    if special.connection:
        # RFC 9110 7.6.1. What we say ourselves is added later, so a client cannot name it away.
        named = frozenset(special.connection)
        kept = [field for field in kept if field[0] not in named]
    if special.cookies:
        kept.append((b"cookie", b"; ".join(special.cookies)))
    return kept, special


def from_sorted(method: bytes, target: bytes, version: bytes, fields: tuple[Fields, Special]) -> Request:
    """The request of a head whose fields are sorted already. Raises Refused."""
    if not version.startswith(b"1."):
        raise Refused(505, "bad_request", "this is not HTTP/1.1")
    kept, special = fields
    old = version < b"1.1"
    if len(special.host) > 1 or not (old or special.host):
        raise bad("the request has no Host, or several")
    target, authority = _where(method, target, special.host)
    length: int | None = 0
    if special.transfer:
        # RFC 9112 6.1: either is how a request is smuggled past a reader that takes the other one.
        if special.lengths:
            raise bad("the request has both Content-Length and Transfer-Encoding")
        if old:
            raise bad("HTTP/1.0 has no Transfer-Encoding")
        length = None
    elif special.lengths:
        length = _length(special.lengths)
    upgrade = b""
    if special.upgrade and not old and b"upgrade" in special.connection and length == 0 and method == b"GET":
        upgrade = next((one for one in special.upgrade if one.lower() == b"websocket"), b"")
    return Request(
        method,
        target,
        authority,
        "HTTP/1.0" if old else "HTTP/1.1",
        kept,
        length,
        upgrade,
        trailers=b"trailers" in special.te and not old,
        expects=special.expects and not old and length != 0,
        via=b", ".join(special.via),
        early=special.early,
        keep_alive=_keeps(special.connection, old=old),
    )


def _keeps(connection: list[bytes], *, old: bool) -> bool:
    return b"close" not in connection and (not old or b"keep-alive" in connection)


def _length(lengths: list[bytes]) -> int:
    if len(frozenset(lengths)) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise bad("the request's Content-Length is none, or there are several")
    return int(lengths[0])


def _where(method: bytes, target: bytes, hosts: list[bytes]) -> tuple[bytes, bytes]:
    """The target in origin form, and the authority. RFC 9112 3.2."""
    host = hosts[0] if hosts else b""
    _check_method(method)
    if not target.startswith(b"/") and target != b"*":
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise bad("the request's target is no path")
        absolute, target = found.groups()
        if host and absolute.lower() != host.lower():
            raise bad("the request's target and its Host name two different hosts")
        host, target = absolute, target or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
    check_target(method, target)
    if (host or hosts) and not _AUTHORITY.fullmatch(host):
        raise bad("the request's Host is none")
    return target, host


def _check_method(method: bytes) -> None:
    """Raises Refused for a method that is not served, and for one that some servers take for another one."""
    known = method.upper()
    if known in _NOT_SERVED:
        raise Refused(405, "bad_method", "this method is not served here")
    if known != method and known in _ONE_SPELLING:
        raise bad(f"methods are case-sensitive, and this one differs from {known.decode()}")


def check_target(method: bytes, target: bytes) -> None:
    """Raises Refused for a target that is no path, or ``*`` where that has no meaning."""
    if target == b"*":
        if method != b"OPTIONS":
            raise bad("only OPTIONS is asked of the server as a whole")
    elif not _TARGET.fullmatch(target):
        raise bad("the request's path has characters that are none of a path's")


def from_http2(fields: Iterable[tuple[bytes, bytes]], *, ended: bool) -> Request:
    """The request of HTTP/2, held against what HTTP/1.1 would make of it. Raises Refused. RFC 9113 8.2, 8.3, 10.3."""
    pseudo: dict[bytes, bytes] = {}
    rest: Fields = []
    for name, value in fields:
        if _VALUE_CONTROLS.search(value) or value != value.strip(b" \t"):
            raise bad("a header's value has control characters, or spaces around it")
        if name.startswith(b":"):
            if name in pseudo or rest:
                raise bad("a pseudo-header is there twice, or behind other headers")
            pseudo[name] = value
        elif not _NAME.fullmatch(name):
            raise bad("a header's name is none")
        elif name in _NOT_IN_HTTP2 or (name == b"te" and value.lower() != b"trailers"):
            raise bad("the request has a header that HTTP/2 has no use for")
        else:
            rest.append((name, value))
    method, target, authority = _pseudo(pseudo)
    kept, special = sort(rest)
    if special.host and (len(special.host) > 1 or (authority and special.host[0].lower() != authority.lower())):
        raise bad("the request's :authority and its Host name two different hosts")
    authority = authority or (special.host[0] if special.host else b"")
    if not _AUTHORITY.fullmatch(authority):
        raise bad("the request's :authority is none")
    check_target(method, target)
    length = 0 if ended else None
    if special.lengths:
        said = _length(special.lengths)
        if ended and said:
            raise bad("the request ends before its Content-Length says")
        length = said
    return Request(
        method,
        target,
        authority,
        "HTTP/2",
        kept,
        length,
        trailers=bool(special.te),
        expects=special.expects and not ended,
        via=b", ".join(special.via),
        early=special.early,
    )


def bad_field(name: bytes, value: bytes) -> bool:
    """Whether HTTP/1.1 could not have this field as HTTP/2 brought it. RFC 9113 8.2.1."""
    return not _NAME.fullmatch(name) or bool(_VALUE_CONTROLS.search(value)) or value != value.strip(b" \t")


_NOT_IN_HTTP2 = frozenset({b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"})
_PSEUDO = frozenset({b":method", b":path", b":scheme", b":authority"})


def _pseudo(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise bad("the request's method is none")
    _check_method(method)
    if not pseudo.keys() <= _PSEUDO or b":path" not in pseudo or b":scheme" not in pseudo:
        raise bad("the request's pseudo-headers are not those of a request")
    if pseudo[b":scheme"].lower() not in (b"http", b"https"):
        raise bad("the request's scheme is not https")
    return method, pseudo[b":path"], pseudo.get(b":authority", b"")


def written(request: Request, ours: bytes) -> bytes:
    """The head for a backend, in HTTP/1.1; ``ours`` are the lines that the proxy says of the client."""
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method, request.target, request.authority)]
    lines += [b"%b: %b\r\n" % field for field in request.fields]
    lines.append(ours)
    lines += [b"%b: %b\r\n" % field for field in _said_anew(request)]
    if request.length is None:
        lines.append(b"transfer-encoding: chunked\r\n")
    if request.upgrade:
        lines.append(b"connection: upgrade\r\nupgrade: %b\r\n" % request.upgrade)
    elif request.trailers:
        lines.append(b"connection: te\r\nte: trailers\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def to_http2(request: Request, ours: Fields, scheme: bytes) -> Fields:
    """The head for a backend, in HTTP/2, which has no Upgrade. RFC 9113 8.3.1."""
    pseudo = [(b":method", request.method), (b":scheme", scheme), (b":authority", request.authority)]
    fields = [*pseudo, (b":path", request.target), *request.fields, *ours, *_said_anew(request)]
    return [*fields, (b"te", b"trailers")] if request.trailers else fields


def _said_anew(request: Request) -> Fields:
    """What is not handed on as it came, and is the same in both versions."""
    received = b"2.0" if request.version == "HTTP/2" else request.version[5:].encode()
    via = b"%b handfast" % received
    fields = [(b"via", b"%b, %b" % (request.via, via) if request.via else via)]
    if request.length or (request.length is not None and request.method not in _WITHOUT_BODY):
        fields.append((b"content-length", b"%d" % request.length))
    if request.expects:
        fields.append((b"expect", b"100-continue"))
    if request.early:
        fields.append((b"early-data", b"1"))
    return fields


# Methods whose request says nothing of a body that it has not. RFC 9110 8.6.
_WITHOUT_BODY = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})


def too_many_hops(request: Request) -> bool:
    """Whether the request went through so many proxies of this kind that it goes round."""
    return bool(request.via) and request.via.lower().count(b" handfast") >= limits.PROXY_HOPS
