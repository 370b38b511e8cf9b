"""Reaching a target: by which address, through which proxy."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from handfast.cli.proxies import Proxy, parse_proxy, proxy_of_environment
from handfast.cli.target import Target, redirected, resolved
from handfast.errors import ConnectionLost
from handfast.io import sockets

if TYPE_CHECKING:
    from collections.abc import Callable

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the target.

    Attributes:
        server_name: the name that is asked for and verified instead of the target's; None for the target's.
        connect_to, resolve: curl's rules of these names.
        proxy: what --proxy says, "" for none; None leaves it to the environment.
        family: "4" or "6" where only one of them may be used, else "".
        starttls: the protocol in which TLS is asked for; "" where it starts at once.
    """

    server_name: str | None = None
    connect_to: tuple[str, ...] = ()
    resolve: tuple[str, ...] = ()
    proxy: str | None = None
    family: str = ""
    starttls: str = ""

    def elsewhere(self) -> Route:
        """The route to another server that the first one sent us to: what names the first one does not count."""
        return replace(self, server_name=None)

    def proxy_for(self, target: Target) -> Proxy | None:
        """The proxy to go through. Raises ConfigError. Of the environment's, programs other than HTTP's know none."""
        if self.proxy is not None:
            return parse_proxy(self.proxy, "--proxy") if self.proxy else None
        return None if target.path is None else proxy_of_environment(target, os.environ)


def reach(target: Target, route: Route, say: Callable[[str], None]) -> tuple[socket.socket, str]:
    """The connection to the target, before TLS, and the name that the server's certificate must have.

    ``say`` is told of each step, in a line. Raises ConfigError and ConnectionLost connect_failed.
    """
    host, port = redirected(target, route.connect_to)
    server_name = route.server_name or target.host
    proxy = route.proxy_for(target)
    if proxy is not None:
        from handfast.cli.tunnel import through_proxy

        say(f"connecting to {host}:{port} through the proxy {proxy.address} ({proxy.source})")
        sock = through_proxy(proxy, host, port, lambda: _open(proxy.host, proxy.port, route))
    else:
        sock = _open(host, port, route)
    there = sock.getpeername()
    say(f"connected to {'the proxy' if proxy else host} ({there[0]}) port {there[1]}")
    if route.starttls:
        from handfast.cli.starttls import start_tls

        start_tls(sock, route.starttls, server_name, say)
    return sock, server_name


def _open(host: str, port: int, route: Route) -> socket.socket:
    """A TCP connection to the first of the host's addresses that answers."""
    addresses = resolved(host, port, route.resolve) or (host,)
    if route.family:
        addresses = tuple(one for address in addresses for one in _addresses(address, port, route.family))
    for position, address in enumerate(addresses, 1):
        try:
            return sockets.open_tcp(address, port)
        except ConnectionLost:
            if position == len(addresses):
                raise
    raise ConnectionLost("connect_failed", address=f"{host}:{port}", reason="it has no address")


def _addresses(host: str, port: int, family: str) -> list[str]:
    """The host's addresses of one family."""
    try:
        found = socket.getaddrinfo(host, port, _FAMILIES[family], socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = f"no IPv{family} address: {getattr(error, 'strerror', None) or error}"
        raise ConnectionLost("connect_failed", address=f"{host}:{port}", reason=reason) from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
