"""A peer that is slow holds up nobody but itself: one that stops reading, and one that sends byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.load.support import Door, closed, run, serving
from tests.sslcontext.pairs import OURS, Files, client_context, server_context
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

OTHERS = 30
# More than the buffers of both ends and of the kernel hold.
LARGE = 20_000_000


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As many bytes as the first line says."""
    writer.write(bytes(int(await reader.readline())))
    await writer.drain()
    await closed(writer)


async def ask(door: Door, port: int, size: int = 1000) -> None:
    reader, writer = await door.connect(port)
    writer.write(b"%d\n" % size)
    assert await reader.read() == bytes(size)
    await closed(writer)


def test_one_that_stops_reading(door: Door, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        async with serving(door, answer) as port:
            reader, writer = await door.connect(port)
            writer.write(b"%d\n" % LARGE)
            # It has begun, and reads no more than its buffer holds before it is asked to.
            received = len(await reader.readexactly(1))
            for _ in range(OTHERS):
                await ask(door, port)
            while data := await reader.read(1 << 20):
                received += len(data)
            assert received == LARGE
            await closed(writer)

    run(main(), loop_factory)


def test_one_that_sends_byte_by_byte(door: Door, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Its hello, its Certificate and its data come byte by byte; between any two of them another one is answered."""

    async def main() -> None:
        async with serving(door, answer) as port:
            slow = ByteByByte(await asyncio.open_connection("127.0.0.1", port), door)
            while not slow.over:
                await slow.step()
                if slow.sent % 100 == 0:
                    await ask(door, port)
            assert slow.received == bytes(100)
            # So there was something to send byte by byte, and others were answered meanwhile.
            assert slow.sent > 1000

    run(main(), loop_factory)


class ByteByByte:
    """A client over buffers, which sends one byte of what it has at a time."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], door: Door) -> None:
        self._reader, self._writer = streams
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context: Any = door.over_buffers
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._asked = self.over = False
        self.sent = 0
        self.received = b""

    async def step(self) -> None:
        """One byte out, or what comes in."""
        self._drive()
        if byte := self._outgoing.read(1):
            self._writer.write(byte)
            await self._writer.drain()
            self.sent += 1
        elif data := await self._reader.read(65536):
            self._incoming.write(data)
            self._drive()
        else:
            self.over = True
            self._writer.close()

    def _drive(self) -> None:
        try:
            self._tls.do_handshake()
            if not self._asked:
                self._asked = True
                self._tls.write(b"100\n")
            while data := self._tls.read(65536):
                self.received += data
            self.over = True
            self._writer.close()
        except ssl.SSLWantReadError:
            return


@pytest.mark.parametrize("stage", ["before its hello", "in its hello", "after its handshake"])
def test_one_among_threads(context_files: Files, stage: str) -> None:
    """On blocking sockets each connection has its thread; none waits for what another one's peer sends."""
    server = server_context(OURS, context_files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, context_files, certificate=True)

    def serve(accepted: socket.socket) -> None:
        with accepted, server.wrap_socket(accepted, server_side=True) as tls:
            tls.sendall(tls.recv())

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def connected() -> tuple[socket.socket, threading.Thread]:
            plain = socket.create_connection(listener.getsockname(), LIMIT)
            accepted, _ = listener.accept()
            accepted.settimeout(LIMIT)
            thread = threading.Thread(target=serve, args=(accepted,))
            thread.start()
            return plain, thread

        def ask(plain: socket.socket, thread: threading.Thread) -> None:
            with client.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"question")
                assert tls.recv() == b"question"
            thread.join(LIMIT)
            assert not thread.is_alive()

        slow, its_thread = connected()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()

        def complete(act: Callable[[], Any]) -> Any:
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    slow.sendall(outgoing.read())
                    incoming.write(slow.recv(65536))

        if stage == "after its handshake":
            complete(tls.do_handshake)
        slow.sendall(outgoing.read({"before its hello": 0, "in its hello": 100}.get(stage, -1)))
        for _ in range(OTHERS):
            ask(*connected())
        assert its_thread.is_alive()
        complete(tls.do_handshake)
        tls.write(b"late")
        assert complete(lambda: tls.read(100)) == b"late"
        slow.close()
        its_thread.join(LIMIT)
        assert not its_thread.is_alive()
