"""What the requests of one connection are held against, and what the backend is told of its client.

The order is: is the request for this connection's policy at all (421), is its path one (400), may this client (403).
What is said of the client is made once for each host that a connection asks for, which is one as a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.config.by_name import ByName
from handfast.proxy.http.request import Refused, Request, bad, too_many_hops
from handfast.proxy.http.targets import AmbiguousPath, Routes
from handfast.proxy.identity import Fields, IdentityTooLarge, identity_fields
from handfast.proxy.settings import refusal_by
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.proxy.client import Client
    from handfast.proxy.settings import Backend, Service


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may go to ``backend``, with ``fields`` that tell of its client, in HTTP/1.1 as ``lines``."""

    backend: Backend
    fields: Fields
    lines: bytes


class Gate:
    """Judges the requests of one client's connection."""

    def __init__(self, client: Client, service: Service, services: Service | ByName[Service]) -> None:
        self.client = client
        self.service = service
        self._services = services
        self._routes = Routes(service.routes)
        self._identity: Fields | None = None
        # The last host that was asked for, and what is said of the client then.
        self._authority: bytes | None = None
        self._fields: Fields = []
        self._lines = b""

    def admit(self, request: Request) -> Admitted:
        """Where the request goes. Raises Refused."""
        if request.authority != self._authority:
            self._meet(request)
        if too_many_hops(request):
            raise Refused(502, "loop", "the request came through too many proxies: it goes round")
        backend = self.service.backend
        route = None
        if self._routes:
            try:
                route = self._routes.find(request.path)
            except AmbiguousPath:
                raise bad("the path can be read in two ways, and rules hold for paths here") from None
        for rule in (self.service.rule, None if route is None else route.rule):
            why = refusal_by(rule, self.client.verified_peer)
            if why is not None:
                raise Refused(403, "not_allowed", why, "this client may not have that")
        if route is not None:
            backend = route.backend or backend
        return Admitted(backend, self._fields, self._lines)

    def _meet(self, request: Request) -> None:
        """A host that was not asked for last."""
        if not request.authority:
            # HTTP/1.0 needs no Host; a backend that speaks HTTP/1.1 does.
            request.authority = self._own_name()
        host = _host(request.authority)
        info = self.client.info
        if info is not None and not (info.serves(host) and self._same_service(host)):
            why = f"the connection was made for {escape(info.server_name or 'no name')}, and {escape(host)} has others"
            raise Refused(421, "misdirected", f"{why} rules", "this connection is for another host")
        self._fields = self._told(request.authority)
        self._lines = b"".join(b"%b: %b\r\n" % field for field in self._fields)
        self._authority = request.authority

    def _same_service(self, host: str) -> bool:
        return not isinstance(self._services, ByName) or self._services.find(host) is self.service

    def _own_name(self) -> bytes:
        info, bound = self.client.info, self.client.bound
        if info is not None and info.server_name:
            return info.server_name.encode("ascii", "replace")
        return _node(bound[0], bound[1]) if isinstance(bound, tuple) else b"localhost"

    def _told(self, authority: bytes) -> Fields:
        if self._identity is None:
            try:
                self._identity = identity_fields(self.service.identity, self.client.info)
            except IdentityTooLarge:
                why = "the client's certificate is too large for a header"
                raise Refused(403, "identity_too_large", why) from None
        return [*_forwarded(self.client, authority), *self._identity]


def _host(authority: bytes) -> str:
    """The host of an authority, without its port; an IPv6 address with its brackets."""
    text = authority.decode("ascii", "replace")
    address, bracket, _ = text.partition("]")
    return address + bracket if bracket else text.partition(":")[0]


def _forwarded(client: Client, authority: bytes) -> Fields:
    """Forwarded (RFC 7239) and its older relatives. What is said for a client without an address is ``unknown``."""
    proto = b"http" if client.info is None else b"https"
    address, bound = client.address, client.bound
    node = b"unknown"
    fields: Fields = []
    if isinstance(address, tuple):
        host = str(address[0]).partition("%")[0].encode()
        node = b'"[%b]"' % host if b":" in host else host
        fields.append((b"x-forwarded-for", host))
    fields.append((b"forwarded", b'for=%b;host="%b";proto=%b' % (node, authority, proto)))
    fields += [(b"x-forwarded-proto", proto), (b"x-forwarded-host", authority)]
    if isinstance(bound, tuple):
        fields.append((b"x-forwarded-port", b"%d" % bound[1]))
    return fields


def _node(host: str, port: int) -> bytes:
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
