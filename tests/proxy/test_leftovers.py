"""What is over is freed at once: the garbage collector, which stops all connections, has nothing of ours to find."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ServerConnection
from handfast.errors import HandfastError
from handfast.proxy.client import Client
from handfast.proxy.entrance import Entrance, Link
from handfast.proxy.http.http1 import Http1
from handfast.proxy.relay import End
from handfast.proxy.settings import Backend, Listener, Mode, Service
from tests.proxy.support import LOCAL, backend, mutual, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.aio.conftest import Runner
    from tests.proxy.support import Running

KINDS = (Client, End, Entrance, Http1, Link, ServerConnection)
# More than a loop takes to forget what is over.
TURNS = 50


def there() -> list[object]:
    # Not isinstance, which asks a lazy object for its class: that of an unconfigured Django raises.
    return [one for one in gc.get_objects() if issubclass(type(one), KINDS)]


async def left(before: list[object]) -> list[object]:
    """What is there that was not before, once the loop has had time to forget."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
    return [one for one in there() if not any(one is other for other in before)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


async def asks(proxy: Running, **options: Any) -> asyncio.StreamWriter:
    reader, writer = await proxy.client(**options)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"ok")
    return writer


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(HandfastError):
        await writer.wait_closed()


async def ends_in_order(proxy: Running, **options: Any) -> None:
    await closed(await asks(proxy, **options))


async def breaks_off(proxy: Running, **options: Any) -> None:
    writer = await asks(proxy, **options)
    writer.transport.abort()
    await closed(writer)


async def is_refused(proxy: Running, **options: Any) -> None:
    with contextlib.suppress(HandfastError):
        reader, writer = await proxy.client(anonymous=True, **options)
        await closed(writer)
        await reader.read()


@pytest.mark.parametrize("version", [0x0304, 0x0303], ids=["1.3", "1.2"])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("client", [ends_in_order, breaks_off, is_refused])
def test_a_connection_that_is_over_is_gone(
    run: Runner, mode: Mode, version: int, client: Callable[..., Awaitable[None]]
) -> None:
    async def main() -> None:
        async with backend(answer) as address:
            listener = Listener(LOCAL, Service(Backend(address), mode=mode), tls=mutual())
            async with running(listener) as proxy:
                gc.collect()
                before = there()
                gc.disable()
                try:
                    await client(proxy, versions=(version,))
                    await proxy.told(2 if mode is Mode.HTTP and client is not is_refused else 1)
                    assert await left(before) == []
                finally:
                    gc.enable()

    run(main())


def test_one_whose_backend_is_down_is_gone(run: Runner) -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(LOCAL)
            listener = Listener(LOCAL, Service(Backend(free.getsockname()), mode=Mode.TCP), tls=mutual())
            async with running(listener) as proxy:
                gc.collect()
                before = there()
                gc.disable()
                try:
                    with contextlib.suppress(HandfastError):
                        reader, writer = await proxy.client()
                        await reader.read()
                    await closed(writer)
                    assert (await proxy.ended()).code == "backend_refused"
                    assert await left(before) == []
                finally:
                    gc.enable()

    run(main())
