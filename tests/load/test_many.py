"""Many connections: two thousand at once, five thousand one after the other, ten thousand that say nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.load.support import Census, Door, closed, demand_room, eventually, room_for, run, serving
from tests.sslcontext.pairs import OURS, Files, client_context, server_context
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 2_000
ONE_AFTER_ANOTHER = 5_000
WARM_UP = 300
# How many of those are open at a time.
ABREAST = 10
IDLE = 10_000
CLIENTS = Path(__file__).with_name("idle_clients.py")


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


def test_two_thousand_at_once(door: Door) -> None:
    """All of them are open before the first one is asked, and each gets its own answer."""
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

        async with serving(door, echo_line, **patience(door)) as port, asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(one(number))

    run(main())


def patience(door: Door) -> dict[str, float]:
    """Two thousand handshakes in one process take their time, and none of them is late for that."""
    return {"ssl_handshake_timeout": LIMIT} if door.name == "context" else {}


def test_five_thousand_leave_nothing(door: Door) -> None:
    """Some at a time, one batch after the other; afterwards there is what there was after the first few."""

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

    def one(data: bytes) -> None:
        plain = socket.create_connection(address, LIMIT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(data)
            if data != b"stop":
                assert tls.recv() == data
                tls.unwrap().close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        for number in range(WARM_UP):
            one(b"%d" % number)
        before = Census.take()
        for number in range(ONE_AFTER_ANOTHER):
            one(b"%d" % number)
        after = Census.take()
        one(b"stop")
        thread.join(LIMIT)
    assert after.grown_since(before, others=ONE_AFTER_ANOTHER // 50) == {}
