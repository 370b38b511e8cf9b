"""Backends that lie, break off or say nothing: 502 or 504, or an answer that is cut; never wrong bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.proxy.settings import Backend, Listener, Service
from tests.proxy.http.support import OK, Origin, Seen, Web, web
from tests.proxy.support import LOCAL, mutual

if TYPE_CHECKING:
    from tests.aio.conftest import Runner

# The first answer is believed as far as it says it goes; what is behind it is no one's.
BAD_GATEWAY = {
    "nothing": Origin.CLOSE,
    "a reset": Origin.RESET,
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le" + Origin.CLOSE,
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "HTTP/0.9": b"hello" + Origin.CLOSE,
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "a length and chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
    "a NUL": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
    "a status that is none": b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok",
    "interim responses without end": b"HTTP/1.1 102 Processing\r\n\r\n" * (limits.PROXY_INTERIM_RESPONSES + 1),
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
}
CUT = {
    "a body that is shorter": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc" + Origin.CLOSE,
    "a body that is reset": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc" + Origin.RESET,
    "chunks that end early": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc" + Origin.CLOSE,
    "no last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + Origin.CLOSE,
    "a chunk that is none": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
}
TOO_MUCH = {
    "more than the length": OK + b"smuggled",
    "a second answer": OK + b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
    "more than the last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsmuggled",
    "a body where there is none": b"HTTP/1.1 204 No Content\r\ncontent-length: 8\r\n\r\nsmuggled",
}


@pytest.mark.parametrize("name", BAD_GATEWAY)
def test_what_is_no_answer_is_answered_for(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web(Origin(lambda seen: OK if seen.target == "/ok" else BAD_GATEWAY[name])) as proxy:
            client = await proxy.asker()
            answer = await client.get("/")
            assert answer.status == 502
            assert answer["content-type"].startswith("text/plain")
            # The client's connection goes on, with another one to the backend.
            assert (await client.get("/ok")).body == b"ok"
            client.close()
            entry = (await proxy.requests(2))[0]
            assert entry.status == 502
            assert entry.code in ("backend_protocol", "backend_closed", "backend_reset")
            assert entry.backend in entry.why

    run(main())


@pytest.mark.parametrize("name", CUT)
def test_an_answer_that_is_not_whole_is_not_taken_for_whole(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web(Origin(lambda _: CUT[name])) as proxy:
            client = await proxy.asker()
            # Without close_notify, which would make an end of it.
            with pytest.raises(Exception, match=r"truncat|without close_notify|reset|closed"):
                await client.get()
            client.close()
            (entry,) = await proxy.requests()
            assert entry.status == 200
            assert entry.code in ("backend_protocol", "backend_closed", "backend_reset")

    run(main())


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_comes_behind_an_answer_reaches_no_client(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web(Origin(lambda seen: OK if seen.target == "/ok" else TOO_MUCH[name])) as proxy:
            for _ in range(2):
                client, other = await proxy.asker(), await proxy.asker()
                answer = await client.get()
                assert answer.status in (200, 204)
                assert b"smuggled" not in answer.body
                for one in (other, client):
                    assert (await one.get("/ok")).body == b"ok"
                    one.close()

    run(main())


def test_a_backend_that_speaks_unasked_is_not_listened_to(run: Runner) -> None:
    async def main() -> None:
        answered, dropped, connections = asyncio.Event(), asyncio.Event(), []

        async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(OK)
                    if len(connections) == 1:
                        await answered.wait()
                        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled")
            dropped.set()

        origin = Origin()
        origin.handle = talkative  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            assert (await client.get()).body == b"ok"
            answered.set()
            await dropped.wait()
            for _ in range(3):
                assert (await client.get()).body == b"ok"
            assert len(connections) == 2
            client.close()

    run(main())


def refusing() -> tuple[socket.socket, tuple[str, int]]:
    """A port at which nothing listens, and what keeps it so."""
    taken = socket.socket()
    taken.bind(LOCAL)
    return taken, taken.getsockname()


def test_a_backend_that_is_down_is_a_502_that_says_why_in_the_journal(run: Runner) -> None:
    async def main() -> None:
        taken, address = refusing()
        proxy = Web(Listener(LOCAL, Service(Backend(address)), mutual()))
        await proxy.start()
        client = await proxy.asker()
        for body in ("", "x" * 1_000_000):
            answer = await client.ask(f"POST / HTTP/1.1\nhost: localhost\ncontent-length: {len(body)}", body.encode())
            assert answer.status == 502
            assert str(address[1]) not in answer.body.decode()
            if body:
                assert answer["connection"] == "close"
        client.close()
        for entry in await proxy.requests(2):
            assert (entry.status, entry.code) == (502, "backend_refused")
        await proxy.proxy.close(0)
        taken.close()

    run(main())


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example ESMTP\r\n"], ids=["closes", "speaks"])
def test_a_backend_that_does_not_wait_for_a_request_is_a_502(run: Runner, greeting: bytes) -> None:
    async def main() -> None:
        async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            if greeting:
                await reader.read()

        origin = Origin()
        origin.handle = hasty  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            for _ in range(20):
                assert (await client.get()).status == 502
            client.close()

    run(main())


def once_then_gone(origin: Origin, end: bytes) -> None:
    """A backend that answers each connection's first request, and at the second one ends it without a word."""
    counts: dict[int, int] = {}

    def answer(seen: Seen) -> bytes:
        counts[seen.connection] = counts.get(seen.connection, 0) + 1
        return OK if counts[seen.connection] == 1 else end

    origin.answer = answer


@pytest.mark.parametrize("end", [Origin.CLOSE, Origin.RESET], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_what_may_be_repeated_is_repeated_once_on_a_new_connection(run: Runner, method: str, end: bytes) -> None:
    async def main() -> None:
        origin = Origin()
        once_then_gone(origin, end)
        async with web(origin) as proxy:
            client = await proxy.asker()
            assert (await client.get("/1")).body == b"ok"
            assert (await client.ask(f"{method} /2 HTTP/1.1\nhost: localhost")).status == 200
            assert [(seen.connection, seen.target) for seen in origin.seen] == [(0, "/1"), (0, "/2"), (1, "/2")]
            client.close()

    run(main())


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [("POST", Origin.CLOSE), ("PATCH", Origin.CLOSE), ("PUT", Origin.CLOSE), ("GET", b"HTTP/1." + Origin.CLOSE)],
)
def test_what_may_not_be_repeated_is_not(run: Runner, request_line: str, answer: bytes) -> None:
    """Neither a request that does something, nor one with a body, nor one whose answer has begun."""

    async def main() -> None:
        origin = Origin()
        once_then_gone(origin, answer)
        async with web(origin) as proxy:
            client = await proxy.asker()
            assert (await client.get("/1")).body == b"ok"
            body = "" if request_line == "GET" else "\ncontent-length: 2"
            got = await client.ask(f"{request_line} /2 HTTP/1.1\nhost: localhost{body}", b"hi" if body else b"")
            assert got.status == 502
            assert [seen.target for seen in origin.seen] == ["/1", "/2"]
            client.close()

    run(main())


def test_a_request_is_repeated_no_second_time(run: Runner) -> None:
    async def main() -> None:
        origin = Origin(lambda seen: OK if seen.target == "/1" else Origin.CLOSE)
        async with web(origin) as proxy:
            client = await proxy.asker()
            assert (await client.get("/1")).body == b"ok"
            assert (await client.get("/2")).status == 502
            assert len(origin.seen) == 3
            client.close()

    run(main())


def test_what_cannot_be_repeated_gets_no_connection_that_was_idle(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_FRESH", -1.0)

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            await client.get()
            assert (await client.ask("POST / HTTP/1.1\nhost: localhost\ncontent-length: 2", b"hi")).status == 200
            await client.get()
            assert [seen.connection for seen in proxy.origin.seen] == [0, 1, 1]
            client.close()

    run(main())


def test_a_client_that_leaves_takes_its_request_along(run: Runner) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            gone.set()

        asked = asyncio.Event()
        origin = Origin()
        origin.handle = slow  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await asked.wait()
            client.writer.transport.abort()
            await gone.wait()
            (entry,) = await proxy.requests()
            assert (entry.status, entry.code) == (0, "client_closed")

    run(main())
