"""A transport that joins two small writes: what shares a record, and that nothing waits for long or is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from handfast import ServerConnection, limits
from handfast.errors import ApiMisuse, HandfastError
from handfast.io.aio.ends import ServerProtocol
from handfast.io.aio.joining import JoiningTransport
from handfast.io.aio.setup import Setup, refuse_deferred
from tests.aio.support import ByHand, HalfOpen, Made, Recorder, below, listening, server_config
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.aio.conftest import Runner

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"hello"


class Joining(ServerProtocol):
    __slots__ = ()

    _transport_class = JoiningTransport


@contextlib.asynccontextmanager
async def answering(kind: Callable[[], Recorder] = Recorder) -> AsyncIterator[tuple[ByHand, Recorder]]:
    """A client moved by hand, and the protocol of a server that joins."""
    loop = asyncio.get_running_loop()
    made = Made(kind)
    setup = Setup(loop, LIMIT, LIMIT, refuse_deferred)
    config = server_config()
    server = await loop.create_server(
        lambda: Joining(setup, lambda _: ServerConnection(config), made()), "127.0.0.1", 0
    )
    async with listening(server) as port:
        peer = await ByHand.connect(port)
        await peer.handshake()
        (near,) = made.all
        await near.made
        yield peer, near
        peer.sock.close()
        near.transport.abort()
        await near.lost


def sealed(end: Recorder) -> int:
    """How many records this end sent."""
    protection = below(end.transport).connection._records.write_protection
    assert protection is not None
    return protection.records


async def read(peer: ByHand, size: int) -> bytes:
    while len(peer.data) < size:
        assert await peer.read()
    return bytes(peer.data)


def test_two_small_writes_are_one_record(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            before = sealed(server)
            server.transport.write(HEAD)
            assert sealed(server) == before
            assert server.transport.get_write_buffer_size() == len(HEAD)
            server.transport.write(BODY)
            assert (sealed(server), server.transport.get_write_buffer_size()) == (before + 1, 0)
            assert await read(peer, len(HEAD + BODY)) == HEAD + BODY

    run(main())


def test_one_small_write_leaves_by_itself(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            server.transport.write(BODY)
            await asyncio.sleep(0)
            assert server.transport.get_write_buffer_size() == 0
            assert await read(peer, len(BODY)) == BODY

    run(main())


def test_a_large_body_goes_with_its_head(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            before = sealed(server)
            body = bytes(range(256)) * 4096
            server.transport.write(HEAD)
            server.transport.write(body)
            assert await read(peer, len(HEAD + body)) == HEAD + body
            assert sealed(server) - before == -(-len(HEAD + body) // limits.MAX_PLAINTEXT)

    run(main())


def test_writes_of_all_kinds_stay_in_order(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            sent = b""
            for number, size in enumerate((1, 2, 3, 0, limits.JOINED_WRITE, limits.JOINED_WRITE + 1, 5, 200_000, 7, 8)):
                for kind in (bytes, bytearray, memoryview):
                    data = bytes([number]) * size
                    sent += data
                    server.transport.write(kind(data))
            server.transport.writelines([HEAD, BODY])
            sent += HEAD + BODY
            assert await read(peer, len(sent)) == sent
            with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
                server.transport.write("text")  # type: ignore[arg-type]

    run(main())


def test_more_than_the_limit_does_not_wait(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (_, server):
            for size, waits in ((limits.JOINED_WRITE, limits.JOINED_WRITE), (limits.JOINED_WRITE + 1, 0)):
                server.transport.write(bytes(size))
                assert server.transport.get_write_buffer_size() == waits
                await asyncio.sleep(0)

    run(main())


def test_a_program_that_wants_to_know_of_all_that_waits_has_nothing_wait(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            server.transport.write(HEAD)
            server.transport.set_write_buffer_limits(high=0)
            server.transport.write(BODY)
            assert server.transport.get_write_buffer_size() == 0
            assert await read(peer, len(HEAD + BODY)) == HEAD + BODY

    run(main())


@pytest.mark.parametrize("end", [JoiningTransport.close, JoiningTransport.write_eof])
def test_what_waits_leaves_before_the_end(run: Runner, end: Callable[[JoiningTransport], None]) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            transport = server.transport
            assert isinstance(transport, JoiningTransport)
            transport.write(HEAD)
            end(transport)
            while not peer.connection.peer_closed:
                assert await peer.read()
            assert peer.data == HEAD

    run(main())


def test_what_waits_leaves_before_tls_ends(run: Runner) -> None:
    async def main() -> None:
        async with answering(HalfOpen) as (peer, server):
            server.transport.write(HEAD)
            with pytest.raises(ApiMisuse, match="has not ended"):
                server.transport.unwrap(asyncio.Protocol())
            assert await read(peer, len(HEAD)) == HEAD

    run(main())


def test_after_an_abort_nothing_leaves(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            server.transport.write(HEAD)
            server.transport.abort()
            server.transport.write(BODY)
            await server.lost
            with contextlib.suppress(HandfastError, ConnectionError):
                while await peer.read():
                    pass
            assert peer.data == b""

    run(main())


def test_a_peer_that_does_not_read_is_waited_for(run: Runner) -> None:
    async def main() -> None:
        async with answering() as (peer, server):
            sent = bytearray()
            write = server.transport.write
            while server.told[-1] != "pause":
                for data in (HEAD, bytes(50_000)):
                    write(data)
                    sent += data
            for data in (HEAD, BODY, BODY):
                write(data)
                sent += data
            assert await read(peer, len(sent)) == sent
            await server.until(lambda: server.told[-1] == "resume")

    run(main())
