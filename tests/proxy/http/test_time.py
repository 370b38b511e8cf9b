"""How long each side may do nothing, and how much of what it does not take is held."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from tests.proxy.http.support import OK, Origin, read_on, stop_reading, web

if TYPE_CHECKING:
    from tests.aio.conftest import Runner

SOON = 0.05


def test_a_head_that_does_not_come_is_a_408(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_HEAD_TIMEOUT", SOON)

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost:")
            answer = await client.answer()
            assert (answer.status, answer["connection"]) == (408, "close")
            assert await client.at_end()
            client.close()
            assert (await proxy.requests())[0].code == "request_timeout"

    run(main())


@pytest.mark.parametrize("first", [False, True])
def test_an_idle_client_is_closed_without_a_word(run: Runner, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    monkeypatch.setattr(limits, "PROXY_HEAD_TIMEOUT" if first else "PROXY_HTTP_IDLE", SOON)

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            if not first:
                assert (await client.get()).status == 200
            assert await client.at_end()
            client.close()
            assert (await proxy.ended(1 if first else 2)).code == ""

    run(main())


def test_a_body_that_does_not_come_is_a_408_and_no_request(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", SOON)

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            answer = await client.ask("POST / HTTP/1.1\nhost: localhost\ncontent-length: 10", b"half")
            assert (answer.status, answer["connection"]) == (408, "close")
            assert proxy.origin.seen == []
            client.close()
            assert (await proxy.requests())[0].code == "request_timeout"

    run(main())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_backend_that_does_not_answer_is_a_504(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_ANSWER_TIMEOUT", SOON)

    async def main() -> None:
        origin = Origin()
        origin.handle = silent  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            assert (await client.get()).status == 504
            body = "POST / HTTP/1.1\nhost: localhost\ncontent-length: 2"
            assert (await client.ask(body, b"hi")).status == 504
            client.close()
            for entry in await proxy.requests(2):
                assert entry.code == "backend_timeout"

    run(main())


def test_an_answer_that_stops_is_cut(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", SOON)

    async def main() -> None:
        async with web(Origin(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")) as proxy:
            client = await proxy.asker()
            with pytest.raises(Exception, match="close"):
                await client.get()
            client.close()
            (entry,) = await proxy.requests()
            assert (entry.status, entry.code, entry.sent) == (200, "backend_timeout", 3)

    run(main())


def test_a_connection_that_waits_too_long_is_closed(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_KEPT_IDLE", SOON)

    async def main() -> None:
        ended = asyncio.Event()

        async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.set()

        origin = Origin()
        origin.handle = counting  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            await client.get()
            await ended.wait()
            client.close()

    run(main())


def test_no_more_connections_wait_than_may(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_KEPT", 2)

    async def main() -> None:
        together = asyncio.Barrier(5)

        async def all_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await together.wait()
            writer.write(OK)
            await reader.read()

        origin = Origin()
        origin.handle = all_at_once  # type: ignore[method-assign]
        async with web(origin) as proxy:
            clients = [await proxy.asker() for _ in range(5)]
            await asyncio.gather(*[client.get() for client in clients])
            assert sum(map(len, proxy.proxy._pool._kept.values())) == 2
            for client in clients:
                client.close()

    run(main())


LARGE = 16 * 1024 * 1024


def test_an_answer_waits_at_the_backend_while_the_client_reads_nothing(run: Runner) -> None:
    async def main() -> None:
        sent = 0
        blocked = asyncio.Event()

        async def generous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
            while sent < LARGE:
                writer.write(bytes(65536))
                sent += 65536
                if writer.transport.get_write_buffer_size() > 512 * 1024:
                    blocked.set()
                await writer.drain()

        origin = Origin()
        origin.handle = generous  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            stop_reading(client.writer)
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            # It stops long before the end: only sockets' buffers lie between, and two marks.
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(SOON)
            assert sent < LARGE
            read_on(client.writer)
            assert len((await client.answer()).body) == LARGE
            client.close()

    run(main())


def test_a_request_waits_at_the_client_while_the_backend_reads_nothing(run: Runner) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stop_reading(writer)
            await go.wait()
            read_on(writer)
            await reader.readuntil(b"\r\n\r\n")
            size = 0
            while size < LARGE:
                size += len(await reader.read(1 << 20))
            writer.write(OK)

        origin = Origin()
        origin.handle = slow  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            sent = 0

            async def send() -> None:
                nonlocal sent
                client.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % LARGE)
                while sent < LARGE:
                    client.write(bytes(65536))
                    sent += 65536
                    await client.writer.drain()

            sending = asyncio.create_task(send())
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(SOON)
            assert sent < LARGE
            go.set()
            await sending
            assert (await client.answer()).status == 200
            client.close()

    run(main())


def test_no_more_of_an_answer_is_read_at_once_than_may(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_READ", 1000)

    async def main() -> None:
        async with web(Origin(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000 + Origin.CLOSE)) as proxy:
            client = await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            # What one read brings is one chunk.
            body = (await client.reader.readuntil(b"\r\n0\r\n\r\n")).partition(b"\r\n\r\n")[2]
            sizes = [int(size, 16) for size in re.findall(rb"([0-9a-f]+)\r\n", body)]
            assert sum(sizes) == 20_000
            assert max(sizes) <= 1000
            client.close()

    run(main())


def test_a_client_that_takes_nothing_is_cut_off(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", 4 * SOON)

    async def main() -> None:
        large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE + bytes(LARGE)
        async with web(Origin(lambda _: large)) as proxy:
            client = await proxy.asker()
            stop_reading(client.writer)
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            (entry,) = await proxy.requests()
            assert (entry.status, entry.code) == (200, "client_stalled")
            client.writer.transport.abort()

    run(main())


def test_a_head_that_is_too_large_is_a_431(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            for filler in (b"x: %b\r\n" % (b"y" * limits.HTTP_HEAD), b"x: y\r\n" * (limits.HTTP_HEAD // 6)):
                for end in (b"", b"\r\n"):
                    client = await proxy.asker()
                    client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n" + filler + end)
                    answer = await client.answer()
                    assert (answer.status, answer["connection"]) == (431, "close")
                    client.close()
            assert proxy.origin.raw == []
            assert {entry.code for entry in await proxy.requests(4)} == {"head_too_large"}

    run(main())


def test_pipelined_requests_wait_bounded(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_PIPELINED", 1024)

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            one = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
            client.write(one * 200)
            for _ in range(200):
                assert (await client.answer()).body == b"ok"
            client.close()

    run(main())
