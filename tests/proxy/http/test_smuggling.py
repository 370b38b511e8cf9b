"""Requests that two readers could take for different ones: refused, or written anew so that there is one reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy.http.browser import browser, tls
from tests.proxy.http.support import OK, Origin, web

if TYPE_CHECKING:
    from tests.aio.conftest import Runner

HOST = b"host: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
TE = b"transfer-encoding: "

# What is refused, whatever follows it; the statuses are 400 unless said.
REFUSED = {
    "two lengths": POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "two lengths in a list": POST + b"content-length: 5, 6\r\n\r\nhello",
    "a length and chunked": POST + b"content-length: 5\r\n" + TE + b"chunked\r\n\r\n0\r\n\r\n",
    "chunked and a length": POST + TE + b"chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "a length with a sign": POST + b"content-length: +5\r\n\r\nhello",
    "a negative length": POST + b"content-length: -5\r\n\r\nhello",
    "a hexadecimal length": POST + b"content-length: 0x5\r\n\r\nhello",
    "a length with a space": POST + b"content-length: 5 5\r\n\r\nhello",
    "an empty length": POST + b"content-length: \r\n\r\nhello",
    "a length without end": POST + b"content-length: " + b"9" * 30 + b"\r\n\r\nhello",
    "a length in other digits": POST + b"content-length: \xd9\xa5\r\n\r\nhello",
    "identity": POST + TE + b"chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + TE + b"chunked\r\n" + TE + b"chunked\r\n\r\n0\r\n\r\n",
    "chunked in a list": POST + TE + b"chunked, chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + TE + b"xchunked\r\n\r\n0\r\n\r\n",
    "quoted": POST + TE + b'"chunked"\r\n\r\n0\r\n\r\n',
    "gzip": POST + TE + b"gzip, chunked\r\n\r\n0\r\n\r\n",
    "vertical tab": POST + TE + b"\x0bchunked\r\n\r\n0\r\n\r\n",
    "NUL": POST + TE + b"chunked\0\r\n\r\n0\r\n\r\n",
    "folded": POST + TE + b"\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded by a tab": POST + TE + b"x\r\n\tchunked\r\n\r\n0\r\n\r\n",
    "space before the colon": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "tab before the colon": POST + b"content-length\t: 5\r\n\r\nhello",
    "space before the name": POST + b" content-length: 5\r\n\r\nhello",
    "no colon": POST + b"content-length\r\n\r\nhello",
    "no name": POST + b": 5\r\n\r\nhello",
    "bare LF at the end of a line": b"POST / HTTP/1.1\r\nhost: localhost\ncontent-length: 5\r\n\r\nhello",
    "bare LF at the end of the head": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\n\n" + SMUGGLED,
    "bare LF alone": b"GET / HTTP/1.1\nhost: localhost\n\n",
    "bare CR in a line": POST + b"x: a\rcontent-length: 5\r\n\r\nhello",
    "bare CR at the end": POST + b"x: a\r\r\ncontent-length: 5\r\n\r\nhello",
    "DEL": POST + b"x: a\x7f\r\n\r\n",
    "HTTP/1.0 with chunked": b"POST / HTTP/1.0\r\n" + TE + b"chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nhost:\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nhost: localhost/x\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nhost: a@localhost\r\n\r\n",
    "a list of hosts": b"GET / HTTP/1.1\r\nhost: localhost, other\r\n\r\n",
    "target and host differ": b"GET http://other.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target with a user": b"GET http://x@localhost/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target of another scheme": b"GET ftp://localhost/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target without a slash": b"GET x HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target with a space": b"GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "target with a fragment": b"GET /a#b HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a star that is not of OPTIONS": b"GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nhost: localhost\r\n\r\n",
    "HTTP/1.15": b"GET / HTTP/1.15\r\nhost: localhost\r\n\r\n",
    "http/1.1": b"GET / http/1.1\r\nhost: localhost\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a method that is none": b"GE(T / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two empty lines before": b"\r\n\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "TLS in TLS": b"\x16\x03\x01\x02\x00",
}
STATUSES = {
    "chunked twice": 501, "chunked in a list": 501, "identity": 501, "xchunked": 501, "quoted": 501, "gzip": 501,
    "HTTP/2.0": 505,
    "the preface of HTTP/2": 505,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(REFUSED[name] + SMUGGLED)
            answer = await client.answer()
            assert answer.status == STATUSES.get(name, 400)
            assert answer["connection"] == "close"
            assert await client.at_end()
            assert proxy.origin.raw == []
            client.close()
            (entry,) = await proxy.requests()
            assert entry.status == answer.status
            assert entry.code == "bad_request"

    run(main())


# What is one request in any reading of what the backend gets: its bytes, and its body.
NORMALISED = {
    "the same length twice": (b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "the same length in a list": (b"content-length: 5, 5\r\n\r\nhello", b"hello"),
    "capitals": (b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "tabs around chunked": (TE + b"\t chunked \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "extensions": (TE + b"chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", b"hello"),
    "zeros before a size": (TE + b"chunked\r\n\r\n0000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "a request in a body": (b"content-length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, SMUGGLED),
    "a request in a chunk": (TE + b"chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "underscores": (b"transfer_encoding: chunked\r\ncontent_length: 9\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "length named in Connection": (b"connection: content-length\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "chunked named in Connection": (
        b"connection: transfer-encoding\r\n" + TE + b"chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello",
    ),
    "host named in Connection": (b"connection: host\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMALISED)
def test_what_has_one_reading_is_written_so_that_it_has_no_other(run: Runner, name: str) -> None:
    rest, body = NORMALISED[name]

    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(POST + rest + b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
            client.close()
            first, second = proxy.origin.seen
            assert (first.method, first.target, first.body) == ("POST", "/", body)
            assert (second.method, second.target, second.body) == ("GET", "/next", b"")
            framing = [
                pair for pair in first.headers if pair[0].replace("_", "-") in ("content-length", "transfer-encoding")
            ]
            assert len(framing) == 1

    run(main())


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"f" * 21 + b"\r\nhello",
        b"0\r\nbad name: a\r\n\r\n",
        b"5;" + b"x" * 20_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_whose_chunks_are_none_is_refused_and_never_complete(run: Runner, body: bytes) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(POST + TE + b"chunked\r\n\r\n" + body + SMUGGLED)
            answer = await client.answer()
            assert answer.status == 400
            assert await client.at_end()
            # The backend got what was sound, if anything, and then an end that is none.
            assert proxy.origin.seen == []
            assert all(b"smuggled" not in raw and b"0\r\n\r\n" not in raw for raw in proxy.origin.raw)
            client.close()

    run(main())


def test_a_chunk_larger_than_any_is_passed_on_as_it_comes(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            client.write(POST + TE + b"chunked\r\n\r\nffffffffffffffffffff\r\n" + SMUGGLED)
            client.writer.write_eof()
            with pytest.raises(Exception, match=r"truncat|close"):
                await client.answer()
            assert proxy.origin.seen == []
            client.close()

    run(main())


def test_an_absolute_target_becomes_a_path_and_a_host(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            for target, path in (
                ("http://LOCALHOST/a?b", "/a?b"),
                ("https://localhost", "/"),
                ("HTTP://localhost?x", "/?x"),
            ):
                assert (await client.ask(f"GET {target} HTTP/1.1\nhost: localhost")).status == 200
                assert proxy.origin.seen[-1].target == path
            client.close()
            assert {seen["host"].lower() for seen in proxy.origin.seen} == {"localhost"}

    run(main())


METHODS = {
    "CONNECT": 405, "TRACE": 405, "TRACK": 405, "trace": 405, "Track": 405, "connect": 405,
    "get": 400, "Head": 400, "pOST": 400, "put": 400, "delete": 400, "options": 400,
    "PATCH": 200, "patch": 200, "PROPFIND": 200, "propfind": 200, "GETS": 200, "TRACER": 200,
}  # fmt: skip


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_would_give_something_away_are_not_served(run: Runner, method: str, http2: bool) -> None:
    """Nor those that a server which minds no case takes for others."""

    async def main() -> None:
        async with web(tls=tls()) as proxy:
            if http2:
                client = await browser(proxy)
                assert (await client.get(method=method)).status == METHODS[method]
                client.close()
            else:
                asker = await proxy.asker()
                target = "localhost:443" if method.upper() == "CONNECT" else "/"
                asker.write(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
                assert (await asker.answer()).status == METHODS[method]
                asker.close()
            assert [seen.method for seen in proxy.origin.seen] == [method] * (METHODS[method] == 200)

    run(main())


def test_an_upgrade_to_http_2_is_not_asked_for(run: Runner) -> None:
    """What a backend that speaks it would read behind it would be held against nothing."""

    async def main() -> None:
        async with web(Origin(lambda _: OK)) as proxy:
            client = await proxy.asker()
            upgrade = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
            assert (await client.get("/", *upgrade)).status == 200
            (seen,) = proxy.origin.seen
            assert not {"upgrade", "connection", "http2-settings"} & {name for name, _ in seen.headers}
            client.close()

    run(main())


def test_a_switch_that_was_not_asked_for_is_no_answer(run: Runner) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

    async def main() -> None:
        async with web(Origin(lambda _: switch)) as proxy:
            client = await proxy.asker()
            assert (await client.get()).status == 502
            body = "connection: upgrade\nupgrade: websocket\ncontent-length: 2"
            assert (await client.ask(f"POST / HTTP/1.1\nhost: localhost\n{body}", b"hi")).status == 502
            client.close()

    run(main())
