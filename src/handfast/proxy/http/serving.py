"""The door: what serves a client of an HTTP service, by the protocol that ALPN chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.proxy.http.gate import Gate
from handfast.proxy.http.http1 import Http1
from handfast.proxy.http.pool import Pool

if TYPE_CHECKING:
    import asyncio

    from handfast.config.by_name import ByName
    from handfast.proxy.client import Client
    from handfast.proxy.settings import Service

__all__ = ["Pool", "protocol"]


def protocol(client: Client, service: Service, services: Service | ByName[Service], pool: Pool) -> asyncio.Protocol:
    """What serves this client. ``services`` is what its listener has for all names; ``pool`` is for all clients."""
    gate = Gate(client, service, services)
    if any(backend.proxy_protocol is not None for backend in service.backends):
        # What begins with a header that says who the client is is that client's alone.
        pool = Pool(private=True)
    if client.info is not None and client.info.application_protocol == "h2":
        from handfast.proxy.http.http2 import Http2

        return Http2(gate, pool)
    return Http1(gate, pool)
