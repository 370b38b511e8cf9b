"""HTTP/1.1 through the proxy: requests and answers as they should be."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest

from handfast import limits
from handfast.proxy.settings import Service
from tests.proxy.http.support import OK, Origin, Seen, SlowOrigin, echo, web

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


def test_a_request_is_handed_on_and_answered(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            client = await proxy.asker()
            answer = await client.get("/a?b=c", "x-custom: 1")
            assert answer.status == 200
            told = json.loads(answer.body)
            assert (told["method"], told["target"]) == ("GET", "/a?b=c")
            assert ["x-custom", "1"] in told["headers"]
            assert ["host", "localhost"] in told["headers"]
            client.close()
            (entry,) = await proxy.requests()
            assert (entry.method, entry.target, entry.host, entry.status) == ("GET", "/a?b=c", "localhost", 200)
            assert (entry.code, entry.sent) == ("", len(answer.body))

    run(main())


def test_clients_share_the_connections_to_a_backend(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            for number in range(4):
                client = await proxy.asker()
                for target in ("/1", "/2"):
                    answer = await client.get(f"{target}?{number}")
                    assert json.loads(answer.body)["target"] == f"{target}?{number}"
                client.close()
            assert len(proxy.origin.raw) == 1

    run(main())


def test_pipelined_requests_are_answered_in_order(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            client = await proxy.asker()
            client.write(b"".join(b"GET /%d HTTP/1.1\r\nhost: localhost\r\n\r\n" % number for number in range(50)))
            for number in range(50):
                assert json.loads((await client.answer()).body)["target"] == f"/{number}"
            client.close()

    run(main())


def test_a_head_that_comes_byte_by_byte_is_read(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            for byte in b"\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n":
                client.write(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer()).body == b"ok"
            client.close()

    run(main())


@pytest.mark.parametrize("framing", ["content-length: 10", "transfer-encoding: chunked"])
def test_a_body_goes_through_under_either_framing(run: Runner, framing: str) -> None:
    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            client = await proxy.asker()
            body = b"0123456789" if framing.startswith("content") else b"4;ext=1\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"
            for _ in range(2):
                answer = await client.ask(f"POST / HTTP/1.1\nhost: localhost\n{framing}", body)
                told = json.loads(answer.body)
                assert told["body"] == "0123456789"
                assert [name for name, _ in told["headers"]].count(framing.partition(":")[0]) == 1
            client.close()

    run(main())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", b"abcdef"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef", b"abcdef"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nabcdef" + Origin.CLOSE, b"abcdef"),
        (b"HTTP/1.1 200 OK\r\n\r\nabcdef" + Origin.CLOSE, b"abcdef"),
        (b"HTTP/1.1 200 OK\nx: 1\ncontent-length: 6\n\nabcdef", b"abcdef"),
        (b"HTTP/1.1 299 Odd\r\ncontent-length: 6\r\nconnection: close\r\n\r\nabcdef", b"abcdef"),
    ],
)
def test_an_answer_comes_whole_whatever_tells_its_end(run: Runner, answer: bytes, body: bytes) -> None:
    async def main() -> None:
        async with web(Origin(lambda _: answer)) as proxy:
            client = await proxy.asker()
            for _ in range(2):
                got = await client.get()
                assert (got.status, got.body) == (int(answer[9:12]), body)
                assert "connection" not in got
            client.close()

    run(main())


def test_an_answer_to_head_has_no_body_and_keeps_its_length(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as proxy:
            client = await proxy.asker()
            for _ in range(2):
                answer = await client.ask("HEAD / HTTP/1.1\nhost: localhost")
                assert (answer["content-length"], answer.body) == ("1000", b"")
            assert len(proxy.origin.raw) == 1
            client.close()

    run(main())


def test_trailers_go_both_ways(run: Runner) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\n"
        b"x-sum: 9\r\ncontent-length: 7\r\n\r\n"
    )

    async def main() -> None:
        async with web(Origin(lambda _: answer)) as proxy:
            client = await proxy.asker()
            body = b"2\r\nhi\r\n0\r\nx-check: 5\r\nhost: evil\r\nauthorization: no\r\n\r\n"
            got = await client.ask(
                "POST / HTTP/1.1\nhost: localhost\ntransfer-encoding: chunked\nte: trailers, deflate\nconnection: te",
                body,
            )
            assert (got.body, got.trailers) == (b"ok", [("x-sum", "9")])
            assert got["trailer"] == "x-sum"
            (seen,) = proxy.origin.seen
            assert (seen.body, seen.trailers) == (b"hi", [("x-check", "5")])
            assert (seen["te"], seen["connection"]) == ("trailers", "te")
            client.close()

    run(main())


def test_an_interim_response_goes_through_and_the_body_follows_it(run: Runner) -> None:
    async def main() -> None:
        origin = Origin(echo)
        origin.early = lambda _: b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        async with web(origin) as proxy:
            client = await proxy.asker()
            client.write(b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-Continue\r\ncontent-length: 5\r\n\r\n")
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </a>")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.write(b"hello")
            told = json.loads((await client.answer()).body)
            assert told["body"] == "hello"
            assert ["expect", "100-continue"] in told["headers"]
            client.close()

    run(main())


def test_a_client_of_http_1_0_gets_an_answer_it_understands(run: Runner) -> None:
    chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def main() -> None:
        async with web(Origin(lambda seen: OK if seen.target == "/ok" else chunked)) as proxy:
            client = await proxy.asker()
            client.write(b"GET /ok HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            assert b"connection: keep-alive" in await client.reader.readuntil(b"\r\n\r\n")
            assert await client.reader.readexactly(2) == b"ok"
            client.write(b"GET /chunked HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            head, _, body = (await client.reader.read()).partition(b"\r\n\r\n")
            assert body == b"abc"
            assert b"connection: close" in head
            assert b"chunked" not in head
            # What names no host is for the name that it asked TLS for.
            assert {seen["host"] for seen in proxy.origin.seen} == {"localhost"}
            client.close()

    run(main())


def test_a_client_that_says_close_is_closed(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            answer = await client.get("/", "connection: Close")
            assert answer["connection"] == "close"
            assert await client.at_end()
            client.close()

    run(main())


def test_fields_of_one_connection_end_there(run: Runner) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nconnection: x-inner, keep-alive, content-length\r\nkeep-alive: timeout=5\r\n"
        b"x-inner: 1\r\nx-outer: 2\r\nproxy-connection: x\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nok"
    )

    async def main() -> None:
        async with web(Origin(lambda _: answer)) as proxy:
            client = await proxy.asker()
            got = await client.get(
                "/",
                "connection: X-Private, keep-alive",
                "x-private: 1",
                "connection: x-other, host",
                "x-other: 2",
                "keep-alive: 5",
                "proxy-authorization: Basic x",
                "proxy-connection: keep-alive",
                "upgrade: h2c, foo/2",
                "http2-settings: x",
                "te: gzip",
                "trailer: x",
            )
            (seen,) = proxy.origin.seen
            assert {name for name, _ in seen.headers} == {
                "host", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                "x-forwarded-port",
            }  # fmt: skip
            assert sorted(got.headers) == [("content-length", "2"), ("x-outer", "2")]
            client.close()

    run(main())


def test_the_backend_is_told_where_a_request_comes_from(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            await client.get(
                "/",
                "Forwarded: for=6.6.6.6",
                "X-Forwarded-For: 6.6.6.6",
                "X_Forwarded_Proto: ftp",
                "x-forwarded-anything: 1",
                "X-Real-IP: 6.6.6.6",
                "via: 1.0 before",
                host="localhost:99",
            )
            (seen,) = proxy.origin.seen
            assert seen["forwarded"] == 'for=127.0.0.1;host="localhost:99";proto=https'
            assert seen["x-forwarded-for"] == "127.0.0.1"
            assert seen["x-forwarded-proto"] == "https"
            assert seen["x-forwarded-host"] == "localhost:99"
            assert seen["x-forwarded-port"] == str(proxy.address[1])
            assert seen["via"] == "1.0 before, 1.1 handfast"
            assert b"6.6.6.6" not in proxy.origin.raw[0]
            assert b"ftp" not in proxy.origin.raw[0]
            client.close()

    run(main())


def test_a_request_that_goes_round_is_ended(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            via = ", ".join(["1.1 handfast"] * limits.PROXY_HOPS)
            assert (await client.get("/", f"via: {via}")).status == 502
            assert (await client.get("/", f"via: {via[14:]}")).status == 200
            client.close()
            assert (await proxy.requests(2))[0].code == "loop"

    run(main())


def test_large_bodies_go_both_ways_at_once(run: Runner) -> None:
    """An answer that begins before the request is complete, as of a service that streams."""

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(await reader.readexactly(100_000))
            await writer.drain()

    async def main() -> None:
        origin = Origin()
        origin.handle = mirror  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            body = bytes(range(250)) * 12_000

            async def send() -> None:
                client.write(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3000000\r\n\r\n")
                for start in range(0, len(body), 100_000):
                    client.write(body[start : start + 100_000])
                    await client.writer.drain()

            sending = asyncio.create_task(send())
            answer = await client.answer()
            await sending
            assert answer.body == body
            client.close()

    run(main())


def test_a_body_that_is_not_wanted_does_not_keep_the_answer_back(run: Runner) -> None:
    async def main() -> None:
        origin = Origin()
        origin.early = lambda _: b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno" + Origin.CLOSE
        async with web(origin) as proxy:
            client = await proxy.asker()
            answer = await client.ask("POST / HTTP/1.1\nhost: localhost\ncontent-length: 1000000", b"x" * 1000)
            assert (answer.status, answer.body, answer["connection"]) == (413, b"no", "close")
            assert await client.at_end()
            client.close()

    run(main())


def test_a_websocket_is_a_tunnel_after_its_handshake(run: Runner) -> None:
    async def switching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx: 1\r\n\r\nfirst"
        )
        while data := await reader.read(1000):
            writer.write(data.upper())
        writer.write(b"last")

    heads: list[bytes] = []

    async def main() -> None:
        origin = Origin()
        origin.handle = switching  # type: ignore[method-assign]
        async with web(origin) as proxy:
            client = await proxy.asker()
            client.write(
                b"GET /chat HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"
                b"sec-websocket-key: k\r\n\r\nearly"
            )
            answer = await client.answer("upgrade")
            assert answer.status == 101
            rest = client._rest + await client.reader.readexactly(10 - len(client._rest))
            assert rest == b"firstEARLY"
            client.write(b"more")
            assert await client.reader.readexactly(4) == b"MORE"
            client.writer.write_eof()
            assert await client.reader.read() == b"last"
            client.close()
            entries = await proxy.told(2)
            assert [type(entry).__name__ for entry in entries] == ["RequestEnded", "ConnectionEnded"]
            (entry,) = await proxy.requests()
            assert entry.status == 101
        assert b"connection: upgrade\r\nupgrade: WebSocket\r\n" in heads[0]

    run(main())


def test_an_upgrade_that_is_declined_is_an_answer_like_others(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            client = await proxy.asker()
            upgrade = ("connection: upgrade", "upgrade: websocket")
            told = json.loads((await client.get("/", *upgrade)).body)
            assert ["upgrade", "websocket"] in told["headers"]
            assert (await client.get("/2")).status == 200
            client.close()

    run(main())


def test_an_end_waits_for_the_answer_that_is_under_way(run: Runner) -> None:
    async def main() -> None:
        origin = SlowOrigin()
        async with web(origin) as proxy:
            client, idle = await proxy.asker(), await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await origin.asked.wait()
            closing = asyncio.create_task(proxy.proxy.close(60))
            assert await idle.at_end()
            origin.go.set()
            answer = await client.answer()
            assert (answer.body, answer["connection"]) == (b"ok", "close")
            client.close()
            idle.close()
            await closing

    run(main())


def test_a_client_that_has_ended_its_side_gets_its_answer(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            client.writer.write_eof()
            assert (await client.answer()).body == b"ok"
            client.close()

    run(main())


def test_no_answer_of_one_client_reaches_another(run: Runner) -> None:
    async def one(proxy: object, number: int) -> None:
        client = await proxy.asker()  # type: ignore[attr-defined]
        for turn in range(10):
            body = f"{number}-{turn}".encode() * 50
            answer = await client.ask(
                f"PUT /{number}/{turn} HTTP/1.1\nhost: localhost\ncontent-length: {len(body)}", body
            )
            told = json.loads(answer.body)
            assert (told["target"], told["body"]) == (f"/{number}/{turn}", body.decode())
        client.close()

    async def main() -> None:
        async with web(Origin(echo)) as proxy:
            await asyncio.gather(*[one(proxy, number) for number in range(10)])

    run(main())


def test_an_answer_that_is_cut_is_cut_for_the_client(run: Runner) -> None:
    async def main() -> None:
        cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"
        async with web(Origin(lambda seen: cut + (Origin.RESET if seen.target == "/r" else Origin.CLOSE))) as proxy:
            for target in ("/c", "/r"):
                client = await proxy.asker()
                with pytest.raises((h11.RemoteProtocolError, Exception), match=r"truncat|close|closed|reset"):
                    await client.get(target)
                client.close()
            for entry in await proxy.requests(2):
                assert entry.status == 200
                assert entry.code in ("backend_closed", "backend_reset")

    run(main())


def test_a_head_that_came_before_is_read_as_it_was(run: Runner) -> None:
    """What is remembered of heads depends on nothing that is not in them."""
    head = "HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 2\r\n\r\n"

    def answer(seen: Seen) -> bytes:
        return head.encode() + (b"" if seen.method == "HEAD" else seen.body or b"ok")

    async def main() -> None:
        async with web(Origin(answer)) as proxy:
            client = await proxy.asker()
            for _ in range(3):
                for method, body in (("GET", b"ok"), ("HEAD", b"")):
                    got = await client.ask(f"{method} / HTTP/1.1\nhost: localhost\nx: 1")
                    assert (got.body, got["content-length"]) == (body, "2")
                for body in (b"hi", b"ho"):
                    got = await client.ask("POST / HTTP/1.1\nhost: localhost\ncontent-length: 2", body)
                    assert got.body == body
                    chunk = b"2\r\n%b\r\n0\r\n\r\n" % body
                    got = await client.ask("POST / HTTP/1.1\nhost: localhost\ntransfer-encoding: chunked", chunk)
                    assert got.body == body
            client.close()
            # What HTTP/1.0 may leave out, HTTP/1.1 may not; and a target is looked at each time.
            for line, status in (
                ("GET / HTTP/1.0", 200), ("GET / HTTP/1.1", 400), ("GET  / HTTP/1.0", 400), ("GET x HTTP/1.0", 400),
                ("GET / HTTP/2.0", 505),
            ):  # fmt: skip
                client = await proxy.asker()
                assert (await client.ask(f"{line}\nx: 1")).status == status
                client.close()

    run(main())


def test_a_head_that_ends_otherwise_is_not_taken_for_longer(run: Runner) -> None:
    """h11 reads lines that end in LF alone; what ends a head is then not where others look for it."""
    body = b"a\r\n\r\nb"
    answer = b"HTTP/1.1 200 OK\ncontent-length: %d\n\n" % len(body) + body

    async def main() -> None:
        async with web(Origin(lambda _: answer)) as proxy:
            client = await proxy.asker()
            for _ in range(3):
                assert (await client.get()).body == body
            client.close()

    run(main())


def test_a_websocket_over_which_nothing_moves_is_ended(run: Runner) -> None:
    async def switching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        await reader.read()

    async def main() -> None:
        origin = Origin()
        origin.handle = switching  # type: ignore[method-assign]
        async with web(origin, idle_timeout=0.1) as proxy:
            client = await proxy.asker()
            client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            assert (await client.answer("upgrade")).status == 101
            assert (await proxy.ended(2)).code == "idle"
            client.close()

    run(main())


def test_connections_to_backends_of_before_a_reload_are_not_kept(run: Runner) -> None:
    """Neither those that wait when the new listeners come, nor one that an older client's request gives back then."""

    async def main() -> None:
        async with web() as proxy:
            old = await proxy.asker()
            assert [(await old.get()).status for _ in range(2)] == [200, 200]
            assert [seen.connection for seen in proxy.origin.seen] == [0, 0]
            listener = proxy.listeners[0]
            backend = replace(listener.services[0].backend)
            proxy.proxy.replace([replace(listener, service=Service(backend))])
            assert [(await old.get()).status for _ in range(2)] == [200, 200]
            new = await proxy.asker()
            assert [(await new.get()).status for _ in range(2)] == [200, 200]
            assert [seen.connection for seen in proxy.origin.seen] == [0, 0, 1, 2, 3, 3]
            old.close()
            new.close()

    run(main())
