"""Many connections: two thousand at once, five thousand one after the other, ten thousand that say nothing."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

import handfast
from tests.aio.support import client_config
from tests.load.support import DOORS, Census, Door, closed, demand_room, eventually, room_for, run, serving, tell
from tests.sslcontext.pairs import OURS, Files, client_context, server_context
from tests.waiting import LIMIT, until

AT_ONCE = 2_000
ONE_AFTER_ANOTHER = 5_000
WARM_UP = 300
# How many of those are open at a time.
ABREAST = 10
IDLE = 10_000
ROOT = Path(__file__).parents[2]


async def echo_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one line with itself."""
    try:
        writer.write(await reader.readline())
        await writer.drain()
    finally:
        await closed(writer)


async def ask(door: Door, port: int, number: int) -> None:
    """One connection, which must be answered with its own number."""
    reader, writer = await door.connect(port)
    try:
        writer.write(b"%d\n" % number)
        assert await reader.read() == b"%d\n" % number
    finally:
        await closed(writer)


@pytest.mark.parametrize("kind", DOORS, ids=lambda kind: kind.name)
def test_two_thousand_at_once(kind: type[Door], context_files: Files) -> None:
    """All of them are open before the first one is asked, and each gets its own answer."""
    door = kind(context_files, mutual=False)
    demand_room(AT_ONCE, door.descriptors)

    async def main() -> None:
        open_now = 0
        all_open = asyncio.Event()

        async def one(number: int) -> None:
            nonlocal open_now
            reader, writer = await door.connect(port)
            open_now += 1
            if open_now == AT_ONCE:
                all_open.set()
            await all_open.wait()
            writer.write(b"%d\n" % number)
            assert await reader.read() == b"%d\n" % number
            await closed(writer)

        async with serving(door, echo_line) as port, asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(one(number))

    run(main())


@pytest.mark.parametrize("kind", DOORS, ids=lambda kind: kind.name)
def test_five_thousand_leave_nothing(kind: type[Door], context_files: Files) -> None:
    """Some at a time, one batch after the other; afterwards there is what there was after the first few."""
    door = kind(context_files, mutual=False)

    async def main() -> None:
        async with serving(door, echo_line) as port:
            await in_batches(port, WARM_UP)
            before = await settled()
            await in_batches(port, ONE_AFTER_ANOTHER)
            assert (await settled()).grown_since(before, others=ONE_AFTER_ANOTHER // 50) == {}

    async def in_batches(port: int, count: int) -> None:
        for first in range(0, count, ABREAST):
            await asyncio.gather(*(ask(door, port, number) for number in range(first, first + ABREAST)))

    async def settled() -> Census:
        await eventually(lambda: len(asyncio.all_tasks()) == 1)
        return Census.take()

    run(main())


def test_five_thousand_on_blocking_sockets_leave_nothing(context_files: Files) -> None:
    server, client = server_context(OURS, context_files), client_context(OURS, context_files)

    def serve(listener: socket.socket) -> None:
        while True:
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with server.wrap_socket(accepted, server_side=True) as tls:
                if (line := tls.recv()) == b"stop":
                    return
                tls.sendall(line)
                tls.unwrap().close()
            served.append(line)

    def one(data: bytes) -> None:
        plain = socket.create_connection(address, LIMIT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(data)
            if data != b"stop":
                assert tls.recv() == data
                tls.unwrap().close()

    def after(count: int) -> Census:
        """What there is once so many more have come and gone, at both ends."""
        served.clear()
        for number in range(count):
            one(b"%d" % number)
        assert until(lambda: len(served) == count)
        served.clear()
        return Census.take()

    served: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        before = after(WARM_UP)
        grown = after(ONE_AFTER_ANOTHER).grown_since(before, others=ONE_AFTER_ANOTHER // 50)
        one(b"stop")
        thread.join(LIMIT)
    assert grown == {}


SERVER = """
import asyncio, resource, sys
from handfast import Credentials, ServerConfig, aio

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    credentials = Credentials.from_pem(open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read())
    config = ServerConfig(credentials=[credentials])
    server = await aio.create_server(Echo, "127.0.0.1", 0, config, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_ten_thousand_that_say_nothing(context_files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """One process holds them and each is still answered; their other ends are here."""
    count = room_for(IDLE, 1)
    command = [sys.executable, "-c", SERVER, context_files.server, context_files.server_key]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    config = client_config(anonymous=True)
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
        stack.callback(server.terminate)
        assert server.stdout is not None
        port = int(server.stdout.readline())

        def more(number: int) -> list[handfast.TLSSocket]:
            made = []
            for _ in range(number):
                plain = socket.create_connection(("127.0.0.1", port), LIMIT)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = handfast.ClientConnection(config, server_name="localhost")
                tls = stack.enter_context(handfast.TLSSocket(plain, connection, timeout=LIMIT))
                answered(tls)
                made.append(tls)
            return made

        few = more(WARM_UP)
        before = resident(server.pid)
        idle = more(count - WARM_UP)
        each = (resident(server.pid) - before) / len(idle)
        for tls in (few + idle)[:: count // 100]:
            answered(tls)
    limit = "" if count == IDLE else f" (descriptors for {IDLE} are not to be had)"
    tell(capsys, f"{count} idle connections in one process{limit}: {each / 1024:.1f} KiB each")


def answered(tls: handfast.TLSSocket) -> None:
    """The connection lives."""
    tls.sendall(b"?")
    assert tls.recv() == b"?"
