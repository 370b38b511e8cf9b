"""HTTP/2 through the proxy."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("h2")

import contextlib
import socket

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from handfast import limits
from handfast.http2_frames import Goaway
from handfast.proxy.settings import Backend, IdentityForm, Listener, Service
from tests.proxy.http.browser import browser, tls
from tests.proxy.http.support import OK, Origin, Seen, SlowOrigin, Web, echo, read_on, stop_reading, web
from tests.proxy.support import LOCAL
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aio.conftest import Runner


def test_a_request_is_handed_on_and_answered(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo), tls=tls(), identity=(IdentityForm.RFC9440,)) as proxy:
            client = await browser(proxy)
            got = await client.get("/a?b", ("cookie", "a=1"), ("cookie", "b=2"), ("x-custom", "1"), ("te", "trailers"))
            told = json.loads(got.body)
            headers = dict(told["headers"])
            assert (got.status, told["method"], told["target"]) == (200, "GET", "/a?b")
            assert headers["host"] == "localhost"
            assert headers["cookie"] == "a=1; b=2"
            assert headers["via"] == "2.0 handfast"
            assert (headers["te"], headers["connection"]) == ("trailers", "te")
            assert headers["client-cert"].startswith(":MI")
            client.close()
            (entry,) = await proxy.requests()
            assert (entry.protocol, entry.status, entry.host) == ("HTTP/2", 200, "localhost")

    run(main())


def test_many_streams_at_once_each_get_their_own_answer(run: Runner) -> None:
    async def main() -> None:
        async with web(Origin(echo), tls=tls()) as proxy:
            client = await browser(proxy)
            numbers = {client.ask(f"/{path}", method="PUT", end=False): path for path in range(40)}
            for number, path in numbers.items():
                client.send(number, f"body {path}".encode(), end=True)
            for number, path in numbers.items():
                told = json.loads((await client.answer(number)).body)
                assert (told["target"], told["body"]) == (f"/{path}", f"body {path}")
            client.close()

    run(main())


@pytest.mark.parametrize("length", [True, False])
def test_bodies_and_trailers_go_both_ways(run: Runner, length: bool) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x\r\n\r\n2\r\nok\r\n0\r\nx-sum: 9\r\n\r\n"

    async def main() -> None:
        async with web(Origin(lambda _: chunked), tls=tls()) as proxy:
            client = await browser(proxy)
            more = [("content-length", "5")] if length else []
            number = client.ask("/", *more, method="POST", end=False)
            client.send(number, b"hel")
            client.send(number, b"lo")
            client.h2.send_headers(number, [("x-check", "1"), ("client-cert", "forged")], end_stream=True)
            client.flush()
            got = await client.answer(number)
            assert (got.body, got.trailers) == (b"ok", [("x-sum", "9")])
            assert [name for name, _ in got.headers] == [":status"]
            (seen,) = proxy.origin.seen
            assert seen.body == b"hello"
            assert seen.trailers == ([] if length else [("x-check", "1")])
            client.close()

    run(main())


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_without_a_body_ends_with_its_head(run: Runner, method: str, status: int) -> None:
    answer = b"HTTP/1.1 %d X\r\n%b\r\n" % (status, b"content-length: 9\r\n" if status != 204 else b"")

    async def main() -> None:
        async with web(Origin(lambda _: answer), tls=tls()) as proxy:
            client = await browser(proxy)
            got = await client.get(method=method)
            assert (got.status, got.body, got.ended) == (status, b"", True)
            client.close()

    run(main())


def test_interim_responses_go_through(run: Runner) -> None:
    async def main() -> None:
        origin = Origin(echo)
        origin.early = lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask("/", ("expect", "100-continue"), method="POST", end=False)
            while client.got[number].interim != [100, 103]:
                await client.receive()
            client.send(number, b"hi", end=True)
            told = json.loads((await client.answer(number)).body)
            assert told["body"] == "hi"
            client.close()

    run(main())


def pseudo(**values: str | None) -> list[tuple[str, str]]:
    heads = {"method": "GET", "scheme": "https", "authority": "localhost", "path": "/", **values}
    return [(f":{name}", value) for name, value in heads.items() if value is not None]


EVIL = "\r\nGET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
REFUSED = {
    "CR LF in a value": [*pseudo(), ("x", f"a{EVIL}")],
    "LF in a value": [*pseudo(), ("x", "a\nb: c")],
    "CR in a value": [*pseudo(), ("x", "a\rb")],
    "NUL in a value": [*pseudo(), ("x", "a\0b")],
    "a control character in a value": [*pseudo(), ("x", "a\x01b")],
    "a space before a value": [*pseudo(), ("x", " a")],
    "a tab behind a value": [*pseudo(), ("x", "a\t")],
    "CR LF in a name": [*pseudo(), (f"x{EVIL}", "a")],
    "a colon in a name": [*pseudo(), ("x: y", "a")],
    "a space in a name": [*pseudo(), ("x y", "a")],
    "capitals in a name": [*pseudo(), ("X", "a")],
    "no name": [*pseudo(), ("", "a")],
    "a name that is not ASCII": [*pseudo(), ("x\xe9", "a")],
    "a header that is a line": [*pseudo(), ("get / http/1.1", "")],
    "CR LF in the method": pseudo(method=f"GET / HTTP/1.1{EVIL}"),
    "a space in the method": pseudo(method="GET /x"),
    "no method": pseudo(method=None),
    "an empty method": pseudo(method=""),
    "CR LF in the path": pseudo(path=f"/ HTTP/1.1{EVIL}"),
    "a space in the path": pseudo(path="/a b"),
    "a path with a fragment": pseudo(path="/a#b"),
    "a path that is not ASCII": pseudo(path="/\xe9"),
    "a path without a slash": pseudo(path="a"),
    "an absolute path": pseudo(path="https://localhost/"),
    "an empty path": pseudo(path=""),
    "no path": pseudo(path=None),
    "a star for GET": pseudo(path="*"),
    "no scheme": pseudo(scheme=None),
    "another scheme": pseudo(scheme="ftp"),
    "CR LF in the scheme": pseudo(scheme=f"https{EVIL}"),
    "CR LF in the authority": pseudo(authority=f"localhost{EVIL}"),
    "a path in the authority": pseudo(authority="localhost/x"),
    "a user in the authority": pseudo(authority="a@localhost"),
    "no authority": pseudo(authority=None),
    "an empty authority": pseudo(authority=""),
    "authority and host": [*pseudo(), ("host", "other.example")],
    "two hosts": [*pseudo(authority=None), ("host", "localhost"), ("host", "localhost")],
    "the method twice": [*pseudo(), (":method", "POST")],
    "the path twice": [(":path", "/x"), *pseudo()],
    "a pseudo-header behind a header": [*pseudo(path=None), ("x", "y"), (":path", "/")],
    "a pseudo-header that is none": [*pseudo(), (":x", "y")],
    "the pseudo-header of an answer": [*pseudo(), (":status", "200")],
    "transfer-encoding": [*pseudo(), ("transfer-encoding", "chunked")],
    "connection": [*pseudo(), ("connection", "keep-alive")],
    "keep-alive": [*pseudo(), ("keep-alive", "5")],
    "upgrade": [*pseudo(), ("upgrade", "websocket")],
    "proxy-connection": [*pseudo(), ("proxy-connection", "close")],
    "te": [*pseudo(), ("te", "gzip")],
    "two lengths": [*pseudo(), ("content-length", "0"), ("content-length", "5")],
    "a length that is none": [*pseudo(), ("content-length", "+0")],
    "a length and no body": [*pseudo(), ("content-length", "5")],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_http_1_would_read_otherwise_is_refused(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask_raw(REFUSED[name])
            got = await client.answer(number)
            # h2 itself counts the bytes of a body, and ends the connection.
            if got.status or got.reset is not None:
                assert got.status == 400
                assert (await client.get("/next")).body == b"ok"
                assert [seen.target for seen in proxy.origin.seen] == ["/next"]
            else:
                assert client.over
                assert "length" in name
                assert proxy.origin.raw == []
            assert b"smuggled" not in b"".join(proxy.origin.raw)
            client.close()

    run(main())


def test_a_body_that_is_not_as_long_as_it_says_is_never_a_request(run: Runner) -> None:
    async def main() -> None:
        async with web(tls=tls()) as proxy:
            for body in (b"hello", b"hello hello"):
                client = await browser(proxy)
                number = client.ask("/", ("content-length", "10"), method="POST", end=False)
                client.send(number, body, end=True)
                await client.answer(number)
                assert client.got[number].status == 0
                client.close()
            await proxy.told(4)
            assert proxy.origin.seen == []

    run(main())


def test_a_backend_that_breaks_off_resets_one_stream_only(run: Runner) -> None:
    def answer(seen: Seen) -> bytes:
        if seen.target == "/cut":
            return b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc" + Origin.CLOSE
        return Origin.CLOSE if seen.target == "/none" else OK

    async def main() -> None:
        async with web(Origin(answer), tls=tls()) as proxy:
            client = await browser(proxy)
            cut, none, fine = (client.ask(path) for path in ("/cut", "/none", "/fine"))
            got = await client.answer(cut)
            assert (got.status, got.ended, got.reset) == (200, False, ErrorCodes.INTERNAL_ERROR)
            assert (await client.answer(none)).status == 502
            assert (await client.answer(fine)).body == b"ok"
            client.close()

    run(main())


def test_an_answer_before_the_end_of_the_request_ends_the_stream(run: Runner) -> None:
    async def main() -> None:
        origin = Origin()
        origin.early = lambda _: b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno" + Origin.CLOSE
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask(method="POST", end=False)
            got = await client.answer(number)
            assert (got.status, got.body) == (413, b"no")
            # What still comes of it is dropped, and counts for nothing.
            for _ in range(3):
                client.send(number, b"x" * 10_000)
            await client.ping()
            assert client.h2.outbound_flow_control_window > 60_000
            client.close()

    run(main())


SIZE = 2_000_000


def test_a_stream_that_is_not_read_stops_its_backend_and_no_other_stream(run: Runner) -> None:
    async def main() -> None:
        large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE + bytes(SIZE)
        async with web(Origin(lambda seen: large if seen.target == "/large" else OK), tls=tls()) as proxy:
            client = await browser(proxy, takes=False)
            client.h2.increment_flow_control_window(10_000_000)
            client.flush()
            number = client.ask("/large")
            while len(client.got[number].body) < 65_535:
                await client.receive()
            for _ in range(3):
                assert (await client.get("/small")).body == b"ok"
            assert len(client.got[number].body) == 65_535
            client.h2.increment_flow_control_window(SIZE, number)
            client.flush()
            assert len((await client.answer(number)).body) == SIZE
            client.close()

    run(main())


def test_what_streams_that_are_not_read_hold_is_bounded(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them as much as one read of its backend brings, and no more."""
    monkeypatch.setattr(limits, "PROXY_STREAM_READ", 1000)
    large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE + bytes(SIZE)

    async def main() -> None:
        async with web(Origin(lambda _: large), tls=tls()) as proxy:
            client = await browser(proxy, takes=False)
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            numbers = [client.ask() for _ in range(20)]
            while not all(client.got[number].status for number in numbers):
                await client.receive()
            for _ in range(20):
                await client.ping()
            (there,) = proxy.proxy.clients
            streams = there.transport.get_protocol()._streams  # type: ignore[attr-defined]
            assert len(streams) == 20
            assert all(0 < sum(map(len, stream._out._pending)) <= 2000 for stream in streams.values())
            client.close()

    run(main())


def test_a_stream_whose_backend_reads_nothing_stops_no_other_stream(run: Runner) -> None:
    async def main() -> None:
        go = asyncio.Event()
        before = -1

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"GET"):
                writer.write(OK)
                head = await reader.readuntil(b"\r\n\r\n")
            stop_reading(writer)
            await go.wait()
            read_on(writer)
            size = 0
            while size < 8 * SIZE:
                size += len(await reader.read(1 << 20))
            writer.write(OK)

        origin = Origin()
        origin.handle = slow  # type: ignore[method-assign]
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask("/", ("content-length", str(8 * SIZE)), method="POST", end=False)
            left, quiet = 8 * SIZE, 0
            while left:
                room = min(left, client.h2.local_flow_control_window(number), client.h2.max_outbound_frame_size)
                if room > 0:
                    left -= room
                    client.send(number, bytes(room), end=not left)
                    await client.writer.drain()
                elif quiet < 20 and not go.is_set():
                    # Others go on, whether or not more of this one is taken.
                    quiet = quiet + 1 if left == before else 0
                    assert (await client.get("/")).body == b"ok"
                elif not go.is_set():
                    go.set()
                else:
                    await client.receive()
                before = left
            assert go.is_set()
            assert (await client.answer(number)).status == 200
            client.close()

    run(main())


def test_a_stream_that_is_not_read_for_long_is_reset(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", 0.05)
    large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE + bytes(SIZE)

    async def main() -> None:
        async with web(Origin(lambda seen: large if seen.target == "/large" else OK), tls=tls()) as proxy:
            client = await browser(proxy, takes=False)
            client.h2.increment_flow_control_window(10_000_000)
            got = await client.get("/large")
            assert (got.status, got.ended, got.reset) == (200, False, ErrorCodes.CANCEL)
            # ... and so is one whose request does not come.
            got = await client.answer(client.ask(method="POST", end=False))
            assert (got.status, got.reset) == (0, ErrorCodes.CANCEL)
            assert (await client.get("/small")).body == b"ok"
            client.close()
            assert [entry.code for entry in await proxy.requests(3)] == ["client_stalled", "client_stalled", ""]

    run(main())


def test_streams_that_are_taken_back_cost_the_backend_nothing_more(run: Runner) -> None:
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
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask()
            await asked.wait()
            client.h2.reset_stream(number)
            client.flush()
            await gone.wait()
            (entry,) = await proxy.requests()
            assert (entry.status, entry.code) == (0, "client_reset")
            client.close()

    run(main())


def test_a_client_that_only_takes_requests_back_is_ended(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_RESETS_AT_ONCE", 10)

    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            for _ in range(20):
                number = client.h2.get_next_available_stream_id()
                client.h2.send_headers(number, pseudo(), end_stream=True)
                client.h2.reset_stream(number)
            client.flush()
            while await client.receive():
                pass
            assert client.goodbye is not None
            assert client.goodbye.error_code == ErrorCodes.ENHANCE_YOUR_CALM
            # Taken back in the same breath, they were not begun.
            assert proxy.origin.raw == []
            client.close()
            assert (await proxy.ended()).code == "too_much"

    run(main())


def test_a_client_that_asks_for_nothing_again_and_again_is_ended(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_IDLE_FRAMES_AT_ONCE", 50)

    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            for _ in range(200):
                client.h2.ping(b"12345678")
            client.flush()
            while await client.receive():
                pass
            assert client.goodbye is not None
            client.close()

    run(main())


def test_more_streams_than_may_be_are_not_begun(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            await client.ping()
            assert client.h2.remote_settings.max_concurrent_streams == limits.HTTP2_STREAMS
            assert client.h2.remote_settings.max_header_list_size == limits.HTTP_HEAD
            number = client.ask("/", ("x", "y" * limits.HTTP_HEAD))
            await client.answer(number)
            assert client.over
            client.close()

    run(main())


def test_an_end_lets_streams_be_answered_and_takes_no_new_ones(run: Runner) -> None:
    async def main() -> None:
        origin = SlowOrigin()
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            # h2 lets nothing follow a GOAWAY that it has read, so the frames are looked at by themselves.
            number = client.ask()
            await origin.asked.wait()
            closing = asyncio.create_task(proxy.proxy.close(60))
            await asyncio.sleep(0)
            origin.go.set()
            got = client.got[number]
            data = b""
            async with asyncio.timeout(LIMIT):
                while part := await client.reader.read(65536):
                    data += part
            assert b"ok" in data
            assert got.status == 0
            client.close()
            await closing
            (entry,) = await proxy.requests()
            assert (entry.status, entry.code) == (200, "")

    run(main())


@pytest.mark.parametrize(("code", "answered"), [(0, True), (2, False)], ids=["in order", "with an error"])
def test_a_client_that_ends_in_order_gets_what_it_has_asked_for(run: Runner, code: int, answered: bool) -> None:
    async def main() -> None:
        origin = SlowOrigin()
        async with web(origin, tls=tls()) as proxy:
            client = await browser(proxy)
            number = client.ask()
            await origin.asked.wait()
            client.writer.write(Goaway(0, code).encode())
            if answered:
                await client.ping()
                origin.go.set()
            while await client.receive():
                pass
            origin.go.set()
            client.close()
            assert (client.got[number].body == b"ok") is answered
            (entry,) = await proxy.requests()
            assert entry.code == ("" if answered else "client_closed")

    run(main())


def test_an_idle_client_is_told_goodbye(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_HTTP_IDLE", 0.05)

    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 200
            while await client.receive():
                pass
            assert client.goodbye is not None
            assert client.goodbye.error_code == ErrorCodes.NO_ERROR
            client.close()

    run(main())


def test_a_client_that_reads_no_answers_cannot_make_us_hold_them(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """No window bounds heads of answers."""
    monkeypatch.setattr(limits, "PROXY_HTTP2_WINDOW", 128 * 1024)
    sent = 0
    # Longer ones take hpack long to encode.
    fields = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 300) for number in range(100))
    large = b"HTTP/1.1 204 No Content\r\n" + fields + b"\r\n"

    async def main() -> None:
        nonlocal sent
        async with web(Origin(lambda _: large), tls=tls()) as proxy:
            client = await browser(proxy)
            stop_reading(client.writer)
            async with asyncio.timeout(LIMIT):
                while proxy.proxy.clients:
                    if len(proxy.origin.seen) < sent - 50:
                        await asyncio.sleep(0)
                        continue
                    sent += 1
                    number = client.h2.get_next_available_stream_id()
                    client.h2.send_headers(number, pseudo(), end_stream=True)
                    client.flush()
                    await asyncio.sleep(0)
            client.writer.transport.abort()
            assert (await proxy.told())[-1].code == "too_much"  # type: ignore[union-attr]

    run(main())


def test_a_frame_that_is_too_large_is_refused_before_it_is_there(run: Runner) -> None:
    async def main() -> None:
        async with web(tls=tls()) as proxy:
            client = await browser(proxy)
            await client.receive()
            # The header of a frame of 16 MiB, and nothing of it.
            client.writer.write(b"\xff\xff\xff" + b"\0\0" + b"\0\0\0\1")
            while not client.over:
                await client.receive()
            assert client.goodbye is not None
            assert client.goodbye.error_code == ErrorCodes.FRAME_SIZE_ERROR
            client.close()
            assert (await proxy.ended()).code == "bad_request"

    run(main())


def test_windows_are_given_back_when_a_client_takes_its_upload_back(run: Runner, tmp_path: Path) -> None:
    """More uploads are given up than the connection's window has room for, while there is no backend to take them."""

    async def main() -> None:
        path = str(tmp_path / "full")
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
            listening.bind(path)
            # As many wait to be accepted as may.
            listening.listen(0)
            first.connect(path)
            proxy = Web(Listener(LOCAL, Service(Backend(path)), tls()))
            await proxy.start()
            client = await browser(proxy)
            await client.receive()
            for _ in range(2 * limits.PROXY_HTTP2_WINDOW // 65535):
                number = client.ask("/", method="POST", end=False)
                while room := min(client.h2.local_flow_control_window(number), client.h2.max_outbound_frame_size):
                    client.send(number, b"x" * room)
                await client.ping()
                client.h2.reset_stream(number)
                client.flush()
                await client.ping()
            # h2 gives back what was taken once that is half of it.
            assert client.h2.outbound_flow_control_window >= limits.PROXY_HTTP2_WINDOW // 2 - 65535
            client.close()
            await proxy.proxy.close(0)

    run(main())
