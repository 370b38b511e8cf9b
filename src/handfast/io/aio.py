"""TLS for asyncio programs: connections, servers and streams, on any event loop.

Nothing here uses the loop's own TLS layer. The protocol that the loop's TCP transport drives is ours, and the user's
protocol gets a transport of ours: see aio_protocol.py, which has the theory, aio_roles.py and aio_transport.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from handfast import limits
from handfast.engine import ClientConnection, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost
from handfast.handshake.config import ClientConfig, ServerConfig, demand
from handfast.io.aio_protocol import NeedHandler, Setup, refuse_deferred
from handfast.io.aio_roles import ClientProtocol, ServerProtocol
from handfast.io.aio_transport import TLSTransport
from handfast.io.arguments import check_seconds

if TYPE_CHECKING:
    from handfast.events import Observer, SecretSink

P = TypeVar("P", bound=asyncio.BaseProtocol)

ConnectedCallback: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]"
WatchFactory: TypeAlias = "Callable[[], tuple[Sequence[Observer], Sequence[SecretSink]]]"
"""Gives the observers and secret sinks for one new connection of a server."""


async def create_connection(
    protocol_factory: Callable[[], P],
    host: str | None,
    port: int | None,
    config: ClientConfig,
    *,
    server_name: str | None = None,
    early_data: bytes = b"",
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    observers: Sequence[Observer] = (),
    secret_sinks: Sequence[SecretSink] = (),
    **tcp_options: Any,
) -> tuple[TLSTransport, P]:
    """Connect and complete a TLS handshake; the certificate must be for ``server_name``, or else ``host``.

    ``early_data`` and what becomes of it is as in ``ClientConnection``: see ``info.early_data``. ``tcp_options`` go to
    the loop's own create_connection: ``sock``, ``family``, ``local_addr``, ... Raises
    HandfastError, and nothing else for what a peer or a network can do. Cancelling it closes the connection.
    """
    demand(ClientConfig, config)
    check_seconds("shutdown_timeout", shutdown_timeout)
    _check_options(tcp_options)
    name = server_name or host
    if name is None:
        raise ApiMisuse("bad_argument", reason="without a host, server_name must say who the peer has to be")
    loop = asyncio.get_running_loop()
    setup = Setup(loop, config.handshake_timeout, shutdown_timeout, on_need)
    connection = ClientConnection(
        config, server_name=name, early_data=early_data, observers=observers, secret_sinks=secret_sinks
    )
    protocol = protocol_factory()
    link = ClientProtocol(setup, connection, protocol)
    transport = link.transport
    # Its declared types know nothing of a host that is left out for ``sock``.
    connect: Callable[..., Awaitable[object]] = loop.create_connection
    try:
        await connect(lambda: link, host, port, **tcp_options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ConnectionLost("connect_failed", address=f"{host or name}:{port}", reason=reason) from None
    except UnicodeError as error:
        # A name that DNS cannot hold.
        raise ConnectionLost("connect_failed", address=f"{host}:{port}", reason=error) from None
    except BaseException:
        link.abandon()
        raise
    await link.established()
    return transport, protocol


async def create_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    watch: WatchFactory | None = None,
    **tcp_options: Any,
) -> asyncio.Server:
    """Listen; each connection whose handshake is complete gets a protocol. A failed handshake is logged, no more.

    Early data that the configuration takes is given to the protocol's ``early_data_received(transport, data)``, if it
    has one, before its ``connection_made``, and may be answered at once; else it waits for the end of the handshake,
    after which it can be no replay, and is the first that ``data_received`` gets.

    ``tcp_options`` go to the loop's own create_server: ``sock``, ``backlog``, ``reuse_port``, ``start_serving``, ...
    Raises OSError if the port is taken.
    """
    demand(ServerConfig, config)
    check_seconds("shutdown_timeout", shutdown_timeout)
    _check_options(tcp_options)
    loop = asyncio.get_running_loop()
    setup = Setup(loop, config.handshake_timeout, shutdown_timeout, on_need)

    def accepted() -> ServerProtocol:
        observers, sinks = ((), ()) if watch is None else watch()
        connection = ServerConnection(config, observers=observers, secret_sinks=sinks)
        return ServerProtocol(setup, connection, protocol_factory())

    return await loop.create_server(accepted, host, port, **tcp_options)


async def open_connection(
    host: str | None, port: int | None, config: ClientConfig, *, limit: int = 64 * 1024, **options: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As ``create_connection``, with streams. The reader buffers twice ``limit`` bytes before it stops the peer."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(lambda: protocol, host, port, config, **options)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: ConnectedCallback,
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    limit: int = 64 * 1024,
    **options: Any,
) -> asyncio.Server:
    """As ``create_server``, with streams: ``client_connected_cb(reader, writer)`` may be a coroutine function."""
    loop = asyncio.get_running_loop()

    def protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return await create_server(protocol, host, port, config, **options)


def _check_options(tcp_options: dict[str, Any]) -> None:
    for option in tcp_options:
        if option.startswith(("ssl", "server_hostname")):
            reason = f"{option} belongs to the loop's own TLS; the config says what this one does"
            raise ApiMisuse("bad_argument", reason=reason)
