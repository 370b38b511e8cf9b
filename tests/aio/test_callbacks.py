"""What the user's protocol does in the middle of a callback, and what it lets escape."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from handfast import aio
from handfast.errors import ConnectionLost
from tests.aio.support import Recorder, below, client_by_hand, client_config, connected, listening, server_config
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.aio.conftest import Runner

DATA = bytes(range(250)) * 20


class Bounded(asyncio.BufferedProtocol):
    """Takes 1000 bytes, and does then what it was made for."""

    def __init__(self, full: Callable[[Bounded], None]) -> None:
        self.buffer = bytearray(1000)
        self.size = 0
        self.full = full
        self.taken = bytearray()
        self.changed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)[self.size :]

    def buffer_updated(self, nbytes: int) -> None:
        self.taken += self.buffer[self.size : self.size + nbytes]
        self.size += nbytes
        self.changed.set()
        if self.size == len(self.buffer):
            self.full(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)


def test_a_buffered_protocol_that_is_full_pauses_and_gets_the_rest_later(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            bounded = Bounded(lambda one: server.transport.pause_reading())
            server.transport.set_protocol(bounded)
            client.transport.write(DATA)
            for taken in range(1000, len(DATA) + 1, 1000):
                while len(bounded.taken) < taken:
                    bounded.changed.clear()
                    await bounded.changed.wait()
                assert len(bounded.taken) == taken
                assert not server.transport.is_reading()
                bounded.size = 0
                server.transport.resume_reading()
            assert bounded.taken == DATA
            server.transport.abort()
            assert await bounded.lost is None
            server.lost.set_result(None)

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_buffered_protocol_that_closed_gets_nothing_more(run: Runner, end: str) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            bounded = Bounded(lambda one: getattr(server.transport, end)())
            server.transport.set_protocol(bounded)
            client.transport.write(DATA)
            await client.lost
            assert await bounded.lost is None
            assert bounded.taken == DATA[:1000]
            server.lost.set_result(None)

    run(main())


@pytest.mark.parametrize("buffered", [False, True])
def test_what_a_protocol_leaves_is_for_the_one_that_took_its_place(run: Runner, buffered: bool) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            follower = Bounded(lambda one: setattr(one, "size", 0)) if buffered else Recorder()
            bounded = Bounded(lambda one: server.transport.set_protocol(follower))
            server.transport.set_protocol(bounded)
            client.transport.write(DATA)
            while len(got := follower.taken if isinstance(follower, Bounded) else follower.data) < len(DATA) - 1000:
                await asyncio.sleep(0.001)
            assert (bytes(bounded.taken), bytes(got)) == (DATA[:1000], DATA[1000:])
            server.transport.abort()
            await follower.lost
            server.lost.set_result(None)

    run(main())


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
def test_what_pause_writing_and_resume_writing_let_out_ends_nothing(run: Runner, kind: type[BaseException]) -> None:
    class Complains(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            raise kind("paused")

        def resume_writing(self) -> None:
            super().resume_writing()
            raise kind("resumed")

    async def main() -> None:
        async with connected(client=Complains) as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(20_000_000))
            assert client.told[-1] == "pause"
            server.transport.resume_reading()
            await client.until(lambda: client.told[-1] == "resume")
            await server.until(lambda: len(server.data) == 20_000_000)

    run(main())
    assert {str(one["exception"]) for one in run.complaints} == {"paused", "resumed"}
    run.complaints.clear()


def failing(error: BaseException, *_: object) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("the program's own"), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("named", [False, True])
def test_a_connection_made_that_fails_ends_the_connection_and_no_more(
    run: Runner, error: BaseException, named: bool
) -> None:
    """Whether the callback has a name or not: a partial and a mock have none."""

    async def main() -> None:
        async with listening(await aio.create_server(asyncio.Protocol, "127.0.0.1", 0, server_config())) as port:
            protocol = mock.Mock(spec=asyncio.Protocol)
            fails = mock.Mock(side_effect=error) if named else partial(failing, error)
            protocol.connection_made = fails
            transport, _ = await aio.create_connection(lambda: protocol, "127.0.0.1", port, client_config())
            assert transport.is_closing()
            while not protocol.connection_lost.called:
                await asyncio.sleep(0.001)

    run(main())
    assert [one["exception"] for one in run.complaints] == [error]
    run.complaints.clear()


def test_a_cancellation_out_of_data_received_ends_the_connection(run: Runner) -> None:
    class Cancelled(Recorder):
        def data_received(self, data: bytes) -> None:
            raise asyncio.CancelledError

    async def main() -> None:
        async with connected(server=Cancelled) as (client, server):
            client.transport.write(b"data")
            assert isinstance(await server.lost, asyncio.CancelledError)
            await client.lost

    run(main())
    assert [one["message"] for one in run.complaints] == ["data_received() failed"]
    run.complaints.clear()


def test_an_interruption_of_data_received_ends_the_connection_though_the_loop_goes_on(run: Runner) -> None:
    """Else the program would go on behind a hole in what its peer sent. uvloop's loop goes on in any case."""

    class Interrupted(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise KeyboardInterrupt

    with asyncio.Runner(loop_factory=run.loop_factory) as runner:
        ends = connected(server=Interrupted)
        client, server = runner.run(ends.__aenter__())

        async def until_the_end() -> None:
            client.transport.write(b"data")
            await asyncio.shield(server.lost)

        with contextlib.suppress(KeyboardInterrupt):
            runner.run(until_the_end())
        assert server.data == b"data"

        async def go_on() -> None:
            error = await server.lost
            assert isinstance(error, ConnectionLost)
            assert error.code == "interrupted"
            await client.lost
            await ends.__aexit__(None, None, None)

        runner.run(go_on())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_of_connection_made_leaves_nobody_waiting(run: Runner, kind: type[BaseException]) -> None:
    class Interrupted(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise kind

    with asyncio.Runner(loop_factory=run.loop_factory) as runner:
        server = runner.run(aio.create_server(Recorder, "127.0.0.1", 0, server_config()))
        port = server.sockets[0].getsockname()[1]

        async def connect() -> tuple[asyncio.BaseTransport, Recorder]:
            return await aio.create_connection(Interrupted, "127.0.0.1", port, client_config())

        async def begin() -> asyncio.Task[tuple[asyncio.BaseTransport, Recorder]]:
            return asyncio.get_running_loop().create_task(connect())

        connecting = runner.run(begin())

        async def go_on() -> None:
            transport, near = await connecting
            assert transport.is_closing()
            error = await near.lost
            assert isinstance(error, ConnectionLost)
            assert error.code == "interrupted"
            server.close()
            await server.wait_closed()

        # asyncio's loop ends by it, uvloop's goes on in any case.
        with contextlib.suppress(kind):
            runner.run(asyncio.wait_for(asyncio.shield(connecting), LIMIT))
        runner.run(go_on())


@pytest.mark.parametrize("how", ["writes", "reads on"])
def test_a_buffered_protocol_gets_all_that_came_before_a_reset_though_it_pauses(run: Runner, how: str) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):

            def pause(one: Bounded) -> None:
                one.size = 0
                server.transport.pause_reading()

            bounded = Bounded(pause)
            server.transport.set_protocol(bounded)
            await peer.send(DATA)
            while not bounded.taken:
                bounded.changed.clear()
                await bounded.changed.wait()
            peer.reset()
            tcp = below(server.transport).tcp
            # The loop does not read what is paused, and hears of a reset by writing.
            while not tcp.is_closing():
                server.transport.write(b"data")
                await asyncio.sleep(0.001)
            if how == "reads on":
                server.transport.resume_reading()
            while not bounded.lost.done():
                server.transport.write(b"data") if how == "writes" else server.transport.resume_reading()
                await asyncio.sleep(0.001)
            assert isinstance(await bounded.lost, ConnectionLost)
            assert bounded.taken == DATA
            server.lost.set_result(None)

    run(main())
