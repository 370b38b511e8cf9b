"""What a proxy is told: listeners, the services behind them, and the backends behind these.

A listener has one service for all clients, or one for each name that they ask for (SNI). A service relays bytes
(``Mode.TCP``) or speaks HTTP (``Mode.HTTP``), and in HTTP its routes may say more of some paths. What cannot be
honoured together is refused when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, TypeAlias

from handfast import limits
from handfast.config.by_name import ByName
from handfast.errors import bad_option
from handfast.errors.foreign import said_by
from handfast.proxy.http.url_paths import normal_prefix
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.config.config import ClientConfig, ServerConfig
    from handfast.connection_info import VerifiedPeer
    from handfast.io.arguments import ObserverFactory

Address: TypeAlias = tuple[str, int] | str
"""A host and a port, or the path of a Unix socket."""


class Mode(StrEnum):
    """What a service does with a connection."""

    TCP = "tcp"
    HTTP = "http"


class IdentityForm(StrEnum):
    """How a backend is told who the client is: headers of HTTP."""

    RFC9440 = "rfc9440"
    XFCC = "xfcc"
    NGINX = "nginx"


class ProxyProtocol(StrEnum):
    """What the header of PROXY protocol version 2 tells a backend."""

    ADDRESSES = "addresses"
    # ... and what was negotiated, and a verified client's common name.
    TLS = "tls"
    # ... and a verified client's certificate.
    CERTIFICATE = "certificate"


class StartTls(StrEnum):
    """A protocol in which TLS begins when it is asked for."""

    POSTGRES = "postgres"


class Rule(Protocol):
    """Who may, beyond what the verifier of the listener's configuration says."""

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        """Why this client may not, in words for a log; None where it may. ``peer`` is None for who is not verified."""


def refusal_by(rule: Rule | None, peer: VerifiedPeer | None) -> str | None:
    """Why a rule does not let this client in, None where it does, or where there is none. One that fails refuses."""
    if rule is None:
        return None
    try:
        return rule.why_not(peer)
    except Exception as error:  # noqa: BLE001 (the program's own, whatever it is)
        return f"the rule failed: {said_by(error)}"


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections go.

    Attributes:
        address: a host and port, or the path of a Unix socket.
        tls: how TLS is spoken with it, our client certificate and its trust included; None for plain bytes.
        server_name: the name its certificate must be for; by default the host.
        proxy_protocol: what a header of PROXY protocol version 2, with which each connection begins, says of the
            client; None for no header. Such a connection is one client's, and is shared with no other.
        connect_timeout: seconds for TCP and TLS together.
        anywhere: whether a backend outside of this machine may be reached without TLS.
        starttls: the protocol in which the backend is asked for TLS, None where TLS begins at once.
        http2: whether HTTP is spoken with it in version 2: at once, or with TLS by ALPN; else in version 1.1.
        observe: makes the observers and secret sinks of each connection by TLS, given the backend's address.
    """

    address: Address
    tls: ClientConfig | None = None
    server_name: str | None = None
    proxy_protocol: ProxyProtocol | None = None
    connect_timeout: float = limits.PROXY_CONNECT_TIMEOUT
    anywhere: bool = False
    starttls: StartTls | None = None
    http2: bool = False
    observe: ObserverFactory | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_seconds("connect timeout", self.connect_timeout)
        if self.http2 and find_spec("h2") is None:
            raise bad_option("http2", "h2 is not installed, which it takes", "pip install 'handfast[http2]'")
        if self.tls is None:
            for what, value in (("server name", self.server_name), ("starttls", self.starttls)):
                if value is not None:
                    raise bad_option(what, "the backend is not spoken to by TLS", "leave it out, or speak TLS")
            if not self.anywhere and not is_local(self.address):
                reason = f"{self.text} is not on this machine, and what goes there would be readable on the way"
                raise bad_option("backend", reason, "speak TLS with it, or say that it may be anywhere")
            return
        if self.http2 and (self.tls.application_protocols != ("h2",) or self.starttls is not None):
            reason = "a backend of HTTP/2 is asked for h2 (ALPN), for nothing else, and without STARTTLS"
            raise bad_option("backend", reason, 'let the application protocols be ("h2",), or http2 False')
        if isinstance(self.address, str) and self.server_name is None:
            reason = "a Unix socket has no name that its certificate could be for"
            raise bad_option("backend", reason, "give the server name")

    @property
    def text(self) -> str:
        """The address, for people."""
        return address_words(self.address)


@dataclass(frozen=True, slots=True)
class Route:
    """What holds for the paths that begin with ``prefix`` (whole segments), of HTTP.

    ``prefix`` is plain text, or has escapes of what may not stand in a path. ``rule`` is None where the service's own
    rule is enough; ``backend`` likewise.
    """

    prefix: str
    rule: Rule | None = None
    backend: Backend | None = None

    def __post_init__(self) -> None:
        normal_prefix(self.prefix)


@dataclass(frozen=True, slots=True)
class Service:
    """What stands behind a listener, or behind one of its names.

    Attributes:
        backend: where its connections go.
        mode: whether bytes are relayed, or HTTP is spoken.
        identity: the headers by which the backend is told who a verified client is; HTTP only.
        rule: who may; in TCP mode a client that may not is closed, in HTTP it gets 403. What should be refused in the
            handshake belongs into the verifier of the listener's configuration.
        routes: the longest prefix that matches holds; HTTP only.
        early_data: whether requests that came as early data are handed on at once, marked (RFC 8470); else they wait
            for the end of the handshake. They wait too where a rule or an identity header needs to know the client.
        idle_timeout: seconds after which a connection over which nothing moves is ended: of TCP mode, of WebSockets and
            of calls of gRPC; HTTP has its own limits.
    """

    backend: Backend
    mode: Mode = Mode.HTTP
    identity: tuple[IdentityForm, ...] = ()
    rule: Rule | None = None
    routes: tuple[Route, ...] = ()
    early_data: bool = False
    idle_timeout: float = limits.PROXY_IDLE_TIMEOUT

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Its own, and those of its routes."""
        return (self.backend, *(route.backend for route in self.routes if route.backend is not None))

    @property
    def serves_early_data(self) -> bool:
        """Whether requests are handed on before the client has proven to be there."""
        needs_client = self.identity or self.rule is not None or any(route.rule is not None for route in self.routes)
        return self.early_data and not needs_client

    def __post_init__(self) -> None:
        _check_seconds("idle timeout", self.idle_timeout)
        if self.mode is not Mode.HTTP:
            given = {"identity headers": self.identity, "routes": self.routes, "early data": self.early_data}
            for what, value in given.items():
                if value:
                    raise bad_option(what, "they are for HTTP, and this service relays bytes", "let the mode be http")
            if self.backend.http2:
                raise bad_option("http2", "it is for HTTP, and this service relays bytes", "let the mode be http")
        for backend in self.backends if self.mode is Mode.HTTP else ():
            if not backend.http2 and backend.tls is not None and "h2" in backend.tls.application_protocols:
                reason = f"h2 is offered to {backend.text}, which is spoken to in HTTP/1.1"
                raise bad_option("application protocols", reason, "let http2 be true, or leave h2 out")
        prefixes = [normal_prefix(route.prefix) for route in self.routes]
        for route, prefix in zip(self.routes, prefixes, strict=True):
            if prefixes.count(prefix) > 1:
                raise bad_option("route", f"{escape(route.prefix)!r} is there twice", "leave one of them out")


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients come in.

    Attributes:
        address: a host and port (0 for a free one), or the path of a Unix socket.
        service: one for all clients, or one for each name; a client that asks for a name without one is refused.
        tls: the configuration of TLS in, whose ``choose_config`` may hold another for each name; None where clients
            come without TLS, which they may from this machine only.
        anywhere: whether clients may come without TLS from outside of this machine.
        starttls: the protocol in which clients ask for TLS, None where TLS begins at once.
    """

    address: Address
    service: Service | ByName[Service]
    tls: ServerConfig | None = None
    anywhere: bool = False
    starttls: StartTls | None = None

    def __post_init__(self) -> None:
        if self.starttls is not None and any(service.mode is not Mode.TCP for service in self.services):
            raise bad_option("starttls", "HTTP has none", "leave it out, or relay bytes")
        if self.tls is not None:
            return
        if self.starttls is not None:
            raise bad_option("starttls", "clients come without TLS", "leave it out, or give the configuration of TLS")
        if isinstance(self.service, ByName):
            raise bad_option("listener", "only TLS tells the name that a client asks for", "give it one service")
        if not self.anywhere and not is_local(self.address):
            reason = f"{address_words(self.address)} can be reached from elsewhere, and would lend anyone our identity"
            raise bad_option("listener", reason, "listen on 127.0.0.1 or a Unix socket, or say that it may be anywhere")

    @property
    def services(self) -> tuple[Service, ...]:
        """All of them."""
        return self.service.values if isinstance(self.service, ByName) else (self.service,)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Those of all services."""
        return tuple(backend for service in self.services for backend in service.backends)


def _check_seconds(what: str, seconds: float) -> None:
    if not 0 < seconds <= limits.PROXY_SECONDS:
        advice = f"give seconds, above 0 and up to {limits.PROXY_SECONDS:.0f}"
        raise bad_option(what, f"{seconds:g} is no time in which something could happen", advice)


def is_local(address: Address) -> bool:
    """Whether only this machine can be at, or reach, this address: a Unix socket, localhost, a loopback address."""
    if isinstance(address, str):
        return True
    host = address[0].lower().removesuffix(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_words(address: Address) -> str:
    """An address as people write it: ``host:port``, ``[::1]:port``, or ``unix:/path``."""
    if isinstance(address, str):
        return f"unix:{escape(address)}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{escape(host)}:{port}"
