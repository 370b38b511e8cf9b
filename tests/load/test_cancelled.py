"""A task that is cancelled at any of its awaits leaves nothing: no task, transport, timer or descriptor.

A conversation is cancelled at its first await, in another run at its second, and so on until one is over before. Each
await is cancelled in two ways: before what it waits for is there, and at the moment when it is, but the task not awake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from handfast import Credentials, aio
from handfast.errors import HandfastError
from handfast.pki.authority import Issued
from tests import certificates
from tests.aio.conftest import uvloop_factory
from tests.aio.support import MUTUAL, client_config, identity, server_config
from tests.load.support import Census, Door, closed, eventually, run, serving

# More than the buffers of both ends hold, so that writing has to wait.
SIZE = 6_000_000
# Awaits of one conversation; there are far fewer.
MOST = 500


class Cancelled:
    """Awaits a coroutine, and cancels the task that does so at one of its suspensions."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, *, late: bool) -> None:
        self._coroutine = coroutine
        self._left = at
        self._late = late
        self.came = False

    def __await__(self) -> Generator[Any, None, Any]:
        error: BaseException | None = None
        while True:
            try:
                waited_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            if self._left == 0:
                self._cancel(waited_for)
            self._left -= 1
            error = None
            try:
                yield waited_for
            except BaseException as thrown:
                error = thrown

    def _cancel(self, waited_for: Any) -> None:
        self.came = True
        task = asyncio.current_task()
        assert task is not None
        if self._late and waited_for is not None:
            # Before the task's own callback, which is added when it gets this.
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


async def cancelled_everywhere(conversation: Callable[[int], Awaitable[Cancelled | None]]) -> int:
    """Has the conversation with each number until the number is too large; nothing may be left behind."""
    # What is made once, on first use, is made now.
    await conversation(MOST)
    before = await quiet(None)
    for at in range(MOST):
        cancelled = await conversation(at)
        after = await quiet(before)
        assert after.grown_since(before, others=MOST) == {}, f"left by a cancellation at the await with the number {at}"
        if cancelled is None or not cancelled.came:
            return at
    raise AssertionError("it never came to its end")


async def quiet(before: Census | None) -> Census:
    """What there is once all that goes on by itself has ended."""
    loop = asyncio.get_running_loop()
    await eventually(lambda: len(asyncio.all_tasks(loop)) == 1)
    if before is not None:
        await eventually(lambda: not Census.take().grown_since(before, others=MOST))
    return Census.take()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, first: bool) -> None:
    """Both sides write a lot, one after the other, and close."""
    try:
        for turn in (first, not first):
            if turn:
                writer.write(bytes(SIZE))
                await writer.drain()
            else:
                await reader.readexactly(SIZE)
    finally:
        writer.close()
        await writer.wait_closed()


async def through(coroutine: Awaitable[Any]) -> None:
    """What a cancelled or abandoned conversation may raise is no news."""
    try:
        await coroutine
    except (HandfastError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        return


@pytest.mark.parametrize("late", [False, True], ids=["before", "at the moment"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_at_every_await(
    door: Door, side: str, late: bool, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    if (door.name, side, late, loop_factory) == ("context", "client", True, uvloop_factory()):
        pytest.skip("uvloop keeps it until its handshake_timeout, with Python's ssl as well")

    async def client(port: int) -> None:
        reader, writer = await door.connect(port)
        await exchange(reader, writer, first=True)

    async def main() -> int:
        at_server: list[Cancelled] = []
        number = MOST

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            one = Cancelled(exchange(reader, writer, first=False), number if side == "server" else MOST, late=late)
            at_server.append(one)
            await through(one)

        async def conversation(at: int) -> Cancelled | None:
            nonlocal number
            number = at
            at_server.clear()
            one = Cancelled(client(port), at if side == "client" else MOST, late=late)
            await through(asyncio.create_task(through(one)))
            return one if side == "client" else next(iter(at_server), None)

        async with serving(door, answer) as port:
            return await cancelled_everywhere(conversation)

    assert run(main(), loop_factory) >= 3


def let_go(waiting: asyncio.Future[None]) -> None:
    """Let go who waits for it, and has not been cancelled."""
    if not waiting.done():
        waiting.set_result(None)


class SlowSigner:
    """A key that somebody else holds, who takes a few rounds of the loop; asking can be cancelled."""

    def __init__(self, issued: Issued, late: bool) -> None:
        self._local = identity(issued).signer
        self.schemes = self._local.schemes
        self.number, self.late = MOST, late
        self.asked: list[Cancelled] = []

    async def sign(self, scheme: int, message: bytes) -> bytes:
        self.asked.append(Cancelled(self._sign(scheme, message), self.number, late=self.late))
        signature: bytes = await self.asked[-1]
        return signature

    async def _sign(self, scheme: int, message: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            rounds = loop.create_future()
            loop.call_soon(let_go, rounds)
            await rounds
        signature = self._local.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


@pytest.mark.parametrize("late", [False, True], ids=["before", "at the moment"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_who_signs_in_a_handshake(
    side: str, late: bool, loop_factory: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    """Where a signer is awaited, the signing can be cancelled as well: then the handshake fails, for both."""
    caplog.set_level(logging.CRITICAL, "handfast")
    issued = certificates.client() if side == "client" else certificates.server()
    signer = SlowSigner(issued, late)
    credentials = [Credentials(issued.chain, signer)]
    at_client: dict[str, Any] = {"credentials": credentials} if side == "client" else {}
    at_server: dict[str, Any] = {"credentials": credentials} if side == "server" else {}
    client, server = client_config(**at_client), server_config(client_auth=MUTUAL, **at_server)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await closed(writer)

    async def main() -> int:
        async def ask() -> None:
            reader, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost")
            writer.write(b"line\n")
            assert await reader.read() == b"line\n"
            await closed(writer)

        async def conversation(at: int) -> Cancelled | None:
            signer.number = at
            signer.asked.clear()
            if at < 3:
                with pytest.raises(HandfastError):
                    await ask()
            else:
                await ask()
            return signer.asked[0]

        listening = await aio.start_server(answer, "127.0.0.1", 0, server)
        port = listening.sockets[0].getsockname()[1]
        try:
            return await cancelled_everywhere(conversation)
        finally:
            listening.close()

    assert run(main(), loop_factory) == 3
