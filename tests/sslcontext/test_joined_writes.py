"""Writes that are joined before the transport of a loop's TLS layer, as the ``factory`` door of uvicorn's does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from handfast import limits
from handfast.contrib.joined_writes import JoinedWrites, joining
from tests.aio.support import ByHand, client_config, listening
from tests.sslcontext.pairs import OURS, Files, server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"hello"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


class Waiting(asyncio.Protocol):
    """A server's protocol whose transport the test uses."""

    def __init__(self, made: asyncio.Future[Any]) -> None:
        self.made = made

    def connection_made(self, transport: Any) -> None:
        self.made.set_result(transport)


@contextlib.asynccontextmanager
async def answering(files: Files) -> AsyncIterator[tuple[ByHand, Any]]:
    """A client moved by hand, and the transport of a server's protocol."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()
    context = server_context(OURS, files, verify=ssl.CERT_NONE)
    server = await loop.create_server(lambda: joining(Waiting)(made), "127.0.0.1", 0, ssl=context)
    async with listening(server) as port:
        peer = await ByHand.connect(port, client_config(anonymous=True))
        await peer.handshake()
        transport = await made
        assert isinstance(transport, JoinedWrites)
        yield peer, transport
        peer.sock.close()
        transport.abort()


def sealed(transport: Any) -> int:
    """How many records this end sent."""
    records: int = transport.get_extra_info("ssl_object")._sslobj.connection._records.write_protection.records
    return records


async def read(peer: ByHand, size: int) -> bytes:
    while len(peer.data) < size:
        assert await peer.read()
    return bytes(peer.data)


def test_two_small_writes_are_one_record(files: Files) -> None:
    async def main() -> None:
        async with answering(files) as (peer, transport):
            before = sealed(transport)
            transport.write(HEAD)
            transport.write(BODY)
            assert sealed(transport) == before + 1
            assert await read(peer, len(HEAD + BODY)) == HEAD + BODY

    asyncio.run(main())


def test_one_small_write_leaves_by_itself(files: Files) -> None:
    async def main() -> None:
        async with answering(files) as (peer, transport):
            transport.write(BODY)
            assert not transport.is_closing()
            assert await read(peer, len(BODY)) == BODY

    asyncio.run(main())


def test_writes_of_all_kinds_stay_in_order(files: Files) -> None:
    async def main() -> None:
        async with answering(files) as (peer, transport):
            sent = b""
            for number, size in enumerate((1, 2, 3, limits.JOINED_WRITE, limits.JOINED_WRITE + 1, 5, 200_000, 7, 8)):
                for kind in (bytes, bytearray):
                    data = bytes([number]) * size
                    sent += data
                    transport.write(kind(data))
            assert await read(peer, len(sent)) == sent

    asyncio.run(main())


@pytest.mark.parametrize("ask", ["close", "get_write_buffer_size"])
def test_whatever_else_is_asked_sends_what_waits(files: Files, ask: str) -> None:
    async def main() -> None:
        async with answering(files) as (peer, transport):
            before = sealed(transport)
            connection = transport.get_extra_info("ssl_object")._sslobj.connection
            transport.write(HEAD)
            assert connection._records.write_protection.records == before
            getattr(transport, ask)()
            assert connection._records.write_protection.records > before
            assert await read(peer, len(HEAD)) == HEAD

    asyncio.run(main())


def test_what_is_no_class_stays_as_it_is() -> None:
    assert joining(len) is len
