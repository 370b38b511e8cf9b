"""TLS for asyncio programs: connections, servers and streams, on any event loop.

Nothing here uses the loop's own TLS layer. The protocol that the loop's TCP transport drives is ours, and the user's
protocol gets a transport of ours: see protocol.py, which has the theory, ends.py and transport.py.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from handfast import limits
from handfast.config.config import ClientConfig, ServerConfig, demand
from handfast.engine import ClientConnection, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost
from handfast.io.aio.ends import ClientProtocol, ServerProtocol
from handfast.io.aio.setup import NeedHandler, Setup, refuse_deferred
from handfast.io.aio.transport import TLSTransport
from handfast.io.arguments import ObserverFactory, check_bytes, check_shutdown_timeout, observed

if TYPE_CHECKING:
    from handfast.events import Observer, SecretSink

P = TypeVar("P", bound=asyncio.BaseProtocol)

ConnectedCallback: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]"


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
    observe: ObserverFactory | None = None,
    observers: Sequence[Observer] = (),
    secret_sinks: Sequence[SecretSink] = (),
    sock: socket.socket | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
) -> tuple[TLSTransport, P]:
    """Connect and complete a TLS handshake; the certificate must be for ``server_name``, or else ``host``.

    ``early_data`` and what becomes of it is as in ``ClientConnection``: see ``info.early_data``. From ``sock`` on the
    arguments are those of the loop's own create_connection. Raises HandfastError, and nothing else for what a peer or
    a network can do. Cancelling it closes the connection.
    """
    demand(ClientConfig, config)
    check_shutdown_timeout(shutdown_timeout)
    name = server_name or host
    if name is None:
        raise ApiMisuse("bad_argument", reason="without a host, server_name must say who the peer has to be")
    loop = asyncio.get_running_loop()
    setup = Setup(loop, config.handshake_timeout, shutdown_timeout, on_need)

    def make(address: Any) -> ClientConnection:
        watching = observed(observe, address, observers, secret_sinks)
        return ClientConnection(config, server_name=name, early_data=early_data, **watching)

    # Where no factory is given the address, what is wrong with the arguments is told before a connection is made.
    made = None if observe is not None else make(None)
    protocol = protocol_factory()
    link = ClientProtocol(setup, lambda address: made or make(address), protocol)
    transport = link.transport
    options = _given(
        sock=sock,
        family=family,
        proto=proto,
        flags=flags,
        local_addr=local_addr,
        happy_eyeballs_delay=happy_eyeballs_delay,
        interleave=interleave,
    )
    await _connect(loop, link, host, port, options, name)
    await link.established()
    return transport, protocol


async def _connect(
    loop: asyncio.AbstractEventLoop,
    link: ClientProtocol,
    host: str | None,
    port: int | None,
    options: dict[str, Any],
    name: str,
) -> None:
    # Its declared types know nothing of a host that is left out for ``sock``.
    connect: Callable[..., Awaitable[object]] = loop.create_connection
    try:
        await connect(lambda: link, host, port, **options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ConnectionLost("connect_failed", address=f"{host or name}:{port}", reason=reason) from None
    except UnicodeError as error:
        # A name that DNS cannot hold.
        raise ConnectionLost("connect_failed", address=f"{host}:{port}", reason=error) from None
    except BaseException:
        link.abandon()
        raise


async def create_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    observe: ObserverFactory | None = None,
    plain_http_answer: bytes = b"",
    sock: socket.socket | None = None,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    backlog: int = 100,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    start_serving: bool = True,
) -> asyncio.Server:
    """Listen; each connection whose handshake is complete gets a protocol. A failed handshake is logged, no more.

    Early data that the configuration takes is given to the protocol's ``early_data_received(transport, data)``, if it
    has one, before its ``connection_made``, and may be answered at once; else it waits for the end of the handshake,
    after which it can be no replay, and is the first that ``data_received`` gets.

    ``observe`` is called with the address of each new peer. ``plain_http_answer`` is the HTTP response for clients that
    speak HTTP without TLS, who get no more than an alert otherwise. From ``sock`` on the arguments are those of the
    loop's own create_server. Raises OSError if the port is taken.
    """
    demand(ServerConfig, config)
    check_shutdown_timeout(shutdown_timeout)
    check_bytes("plain_http_answer", plain_http_answer)
    loop = asyncio.get_running_loop()
    setup = Setup(loop, config.handshake_timeout, shutdown_timeout, on_need, plain_http_answer)

    def make(address: Any) -> ServerConnection:
        if observe is None:
            return ServerConnection(config)
        return ServerConnection(config, **observed(observe, address, (), ()))

    options = _given(sock=sock, family=family, reuse_address=reuse_address, reuse_port=reuse_port)
    return await loop.create_server(
        lambda: ServerProtocol(setup, make, protocol_factory()),
        host,
        port,
        flags=flags,
        backlog=backlog,
        start_serving=start_serving,
        **options,
    )


async def open_connection(
    host: str | None,
    port: int | None,
    config: ClientConfig,
    *,
    limit: int = 64 * 1024,
    server_name: str | None = None,
    early_data: bytes = b"",
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    observe: ObserverFactory | None = None,
    observers: Sequence[Observer] = (),
    secret_sinks: Sequence[SecretSink] = (),
    sock: socket.socket | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As ``create_connection``, with streams. The reader buffers twice ``limit`` bytes before it stops the peer."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(
        lambda: protocol,
        host,
        port,
        config,
        server_name=server_name,
        early_data=early_data,
        shutdown_timeout=shutdown_timeout,
        on_need=on_need,
        observe=observe,
        observers=observers,
        secret_sinks=secret_sinks,
        sock=sock,
        family=family,
        proto=proto,
        flags=flags,
        local_addr=local_addr,
        happy_eyeballs_delay=happy_eyeballs_delay,
        interleave=interleave,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: ConnectedCallback,
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    limit: int = 64 * 1024,
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    observe: ObserverFactory | None = None,
    plain_http_answer: bytes = b"",
    sock: socket.socket | None = None,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    backlog: int = 100,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    start_serving: bool = True,
) -> asyncio.Server:
    """As ``create_server``, with streams: ``client_connected_cb(reader, writer)`` may be a coroutine function."""
    loop = asyncio.get_running_loop()

    def protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return await create_server(
        protocol,
        host,
        port,
        config,
        shutdown_timeout=shutdown_timeout,
        on_need=on_need,
        observe=observe,
        plain_http_answer=plain_http_answer,
        sock=sock,
        family=family,
        flags=flags,
        backlog=backlog,
        reuse_address=reuse_address,
        reuse_port=reuse_port,
        start_serving=start_serving,
    )


def _given(**options: Any) -> dict[str, Any]:
    """The options that say something: not every loop knows all of them."""
    return {name: value for name, value in options.items() if value is not None}
