"""What the tests of the proxy share: a proxy with a journal that remembers, and backends in the same loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from handfast import ClientAuth, aio, limits
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, Entry, HandshakeComplete, Journal
from handfast.proxy.server import Proxy
from handfast.proxy.settings import Backend, Listener, Mode, Service
from tests.aio.support import client_config, server_config
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from handfast.config.config import ClientConfig, ServerConfig

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LOCAL = ("127.0.0.1", 0)


def mutual(**options: Any) -> ServerConfig:
    return server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY, **options)


class Running:
    """A proxy at work, and what its journal was told."""

    def __init__(self, *listeners: Listener, **options: Any) -> None:
        self.entries: list[Entry] = []
        self.listeners = listeners
        self._told = asyncio.Event()
        self.proxy = Proxy(listeners, Journal(self._tell), **options)

    def _tell(self, entry: Entry) -> None:
        # Where a handshake fails or comes off is seen by what follows.
        if isinstance(entry, HandshakeComplete):
            return
        self.entries.append(entry)
        self._told.set()

    @property
    def address(self) -> Any:
        return getattr(self, "bound", None) or self.proxy.addresses[0]

    async def start(self) -> None:
        await self.proxy.start()
        self.bound: Any = self.proxy.addresses[0]

    async def told(self, count: int = 1) -> list[Entry]:
        """Waits until the journal has so many entries."""
        async with asyncio.timeout(LIMIT):
            while len(self.entries) < count:
                self._told.clear()
                await self._told.wait()
        return self.entries

    async def ended(self, count: int = 1) -> ConnectionEnded:
        """The last of so many entries, which says how a connection ended."""
        entry = (await self.told(count))[count - 1]
        assert isinstance(entry, ConnectionEnded)
        return entry

    async def refused(self, count: int = 1) -> ConnectionRefused:
        entry = (await self.told(count))[count - 1]
        assert isinstance(entry, ConnectionRefused)
        return entry

    async def client(
        self, *, server_name: str = "localhost", **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with a client certificate."""
        host, port = self.address[:2]
        return await aio.open_connection(host, port, client_config(**options), server_name=server_name)


@contextlib.asynccontextmanager
async def running(*listeners: Listener, grace: float = 0.0, **options: Any) -> AsyncIterator[Running]:
    it = Running(*listeners, **options)
    await it.start()
    try:
        yield it
    finally:
        await it.proxy.close(grace)


@contextlib.asynccontextmanager
async def backend(handler: Handler, *, path: str | None = None, **options: Any) -> AsyncIterator[Any]:
    """A backend in this loop, plain or, with a ``config``, by TLS; its address. What it serves is over at the end."""
    tasks: set[asyncio.Task[None]] = set()
    failed: list[BaseException] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        except BaseException as error:
            failed.append(error)
        finally:
            tasks.discard(task)
            writer.close()

    server: asyncio.AbstractServer
    if path is not None:
        server = await asyncio.start_unix_server(handle, path)
    elif "config" in options:
        server = await aio.start_server(handle, "127.0.0.1", 0, **options)
    else:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    try:
        yield path or server.sockets[0].getsockname()
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failed:
        raise failed[0]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, as it comes, and ends when the other side has."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def tcp(
    address: Any,
    *,
    tls: ServerConfig | None = None,
    plain: bool = False,
    tls_out: ClientConfig | None = None,
    idle_timeout: float = limits.PROXY_IDLE_TIMEOUT,
    **options: Any,
) -> Listener:
    """A listener that relays to the backend at this address: with client certificates unless ``plain``."""
    config = None if plain else tls or mutual()
    backend = Backend(address, tls=tls_out, **options)
    return Listener(LOCAL, Service(backend, mode=Mode.TCP, idle_timeout=idle_timeout), tls=config)
