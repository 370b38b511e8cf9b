"""Backends that speak HTTP/2: what they are asked, what becomes of their answers, and how they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("h2")

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from handfast import limits
from handfast.errors import ConfigError
from handfast.proxy.settings import Backend, IdentityForm, Listener, Mode, ProxyProtocol, Service
from tests.aio.support import client_config, server_config
from tests.proxy.http.browser import browser
from tests.proxy.http.http2_origin import Asked, Http2Origin, Link, Web2, nothing, web2, well
from tests.proxy.support import LOCAL, backend
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.aio.conftest import Runner


def test_a_request_is_written_anew(run: Runner) -> None:
    async def main() -> None:
        async with web2(identity=(IdentityForm.RFC9440,)) as proxy:
            client = await browser(proxy)
            forged = (("client-cert", ":AAAA:"), ("x-forwarded-for", "192.0.2.9"))
            got = await client.get("/a?b", ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), *forged)
            assert (got.status, got["content-length"], got.body) == (200, "2", b"ok")
            (asked,) = proxy.behind.asked
            pseudo = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": "/a?b"}
            assert dict(asked.headers[:4]) == pseudo
            assert (asked["cookie"], asked["te"], asked["via"]) == ("a=1; b=2", "trailers", "2.0 handfast")
            assert (asked["client-cert"][:3], asked["x-forwarded-for"]) == (":MI", "127.0.0.1")
            assert not {"host", "connection", "transfer-encoding", "content-length"} & dict(asked.headers).keys()
            client.close()
            (entry,) = await proxy.requests()
            assert (entry.status, entry.sent, entry.code) == (200, 2, "")

    run(main())


@pytest.mark.parametrize("framing", ["content-length: 5", "transfer-encoding: chunked"])
def test_a_client_of_http1_is_served_too(run: Runner, framing: str) -> None:
    def answer(link: Link, asked: Asked) -> None:
        link.head(asked.number, ("x-mine", "1"))
        link.data(asked.number, asked.body)
        link.trailers(asked.number, ("x-sum", "9"), ("content-length", "7"), ("bad\r\nname", "1"))

    async def main() -> None:
        async with web2(Http2Origin(answer)) as proxy:
            client = await proxy.asker(application_protocols=("http/1.1",))
            chunked = "chunked" in framing
            body = b"5\r\nhello\r\n0\r\nx-check: 1\r\nclient-cert: x\r\n\r\n" if chunked else b"hello"
            got = await client.ask(f"POST / HTTP/1.1\nhost: localhost\n{framing}", body)
            assert (got.status, got["x-mine"], got.body, got.trailers) == (200, "1", b"hello", [("x-sum", "9")])
            assert got["transfer-encoding"] == "chunked"
            (asked,) = proxy.behind.asked
            assert (asked.body, asked.trailers) == (b"hello", [("x-check", "1")] if chunked else [])
            assert ("content-length" in asked) is not chunked
            assert "transfer-encoding" not in asked
            client.close()

    run(main())


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200"), ("GET", "204"), ("GET", "304")])
@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_an_answer_without_a_body(run: Runner, method: str, status: str, protocol: str) -> None:
    def answer(link: Link, asked: Asked) -> None:
        link.head(asked.number, *([("content-length", "9")] if method == "HEAD" else []), status=status, end=True)

    async def main() -> None:
        async with web2(Http2Origin(answer)) as proxy:
            got: Any
            if protocol == "h2":
                client: Any = await browser(proxy)
                got = await client.get(method=method)
            else:
                client = await proxy.asker(application_protocols=("http/1.1",))
                got = await client.ask(f"{method} / HTTP/1.1\nhost: localhost")
            assert (got.status, got.body) == (int(status), b"")
            client.close()

    run(main())


def test_interim_responses_go_through(run: Runner) -> None:
    def on_head(link: Link, asked: Asked) -> None:
        for status in ("100", "103"):
            link.head(asked.number, status=status)

    async def main() -> None:
        async with web2(Http2Origin(on_head=on_head)) as proxy:
            client = await browser(proxy)
            number = client.ask("/", ("expect", "100-continue"), method="POST", end=False)
            while client.got[number].interim != [100, 103]:
                await client.receive()
            client.send(number, b"hi", end=True)
            assert (await client.answer(number)).body == b"ok"
            assert proxy.behind.asked[0]["expect"] == "100-continue"
            client.close()

    run(main())


# One connection for many


def test_all_clients_share_a_connection(run: Runner) -> None:
    async def main() -> None:
        async with web2() as proxy:
            clients = [await browser(proxy) for _ in range(3)]
            for client in (*clients, *clients):
                assert (await client.get()).body == b"ok"
            numbers = {client: [client.ask("/") for _ in range(20)] for client in clients}
            for client, asked in numbers.items():
                for number in asked:
                    assert (await client.answer(number)).body == b"ok"
            assert len(proxy.behind.links) == 1
            for client in clients:
                client.close()

    run(main())


def test_no_more_streams_than_the_backend_allows(run: Runner) -> None:
    """Five requests at once, of which a connection takes two, are on three connections."""

    async def main() -> None:
        origin = Http2Origin(nothing, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        async with web2(origin) as proxy:
            client = await browser(proxy)
            numbers = [client.ask(f"/{n}") for n in range(5)]
            await origin.until(lambda: len(origin.asked) == 5)
            assert sorted(asked.connection for asked in origin.asked) == [0, 0, 1, 1, 2]
            for link in origin.links:
                for one in link.asked.values():
                    well(link, one)
            assert [(await client.answer(number)).body for number in numbers] == [b"ok"] * 5
            client.close()

    run(main())


def test_no_more_streams_than_our_own_limit(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_BACKEND_STREAMS", 3)

    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            for n in range(4):
                client.ask(f"/{n}")
            await origin.until(lambda: len(origin.asked) == 4)
            assert sorted(asked.connection for asked in origin.asked) == [0, 0, 0, 1]
            client.close()

    run(main())


def test_what_begins_with_a_clients_header_is_that_clients_alone(run: Runner) -> None:
    seen: list[bytes] = []

    async def main() -> None:
        origin = Http2Origin()
        handle = origin.handle

        async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readexactly(16)
            seen.append(head[:12])
            await reader.readexactly(int.from_bytes(head[14:]))
            await handle(reader, writer)

        origin.handle = behind  # type: ignore[method-assign]
        async with web2(origin, to={"proxy_protocol": ProxyProtocol.TLS}) as proxy:
            clients = [await browser(proxy) for _ in range(2)]
            for client in (*clients, *clients):
                assert (await client.get()).body == b"ok"
            assert [asked.connection for asked in origin.asked] == [0, 1, 0, 1]
            assert set(seen) == {b"\r\n\r\n\0\r\nQUIT\n"}
            for client in clients:
                client.close()

    run(main())


# Slow sides


def test_a_client_that_takes_nothing_stops_its_own_stream_alone(run: Runner) -> None:
    """What is sent to it is bounded by windows, and another client has its answer by the same connection."""
    content = b"x" * 3_000_000

    async def send(link: Link, number: int) -> None:
        link.head(number)
        sent = 0
        while sent < len(content):
            room = min(link.h2.local_flow_control_window(number), link.h2.max_outbound_frame_size)
            if room <= 0:
                await asyncio.sleep(0)
                continue
            link.data(number, content[sent : sent + room])
            sent += room
            progress[number] = sent
            await asyncio.sleep(0)
        link.h2.end_stream(number)
        link.flush()

    progress: dict[int, int] = {}
    tasks = []

    def answer(link: Link, asked: Asked) -> None:
        if asked[":path"] == "/large":
            tasks.append(asyncio.get_running_loop().create_task(send(link, asked.number)))
        else:
            well(link, asked)

    async def main() -> None:
        async with web2(Http2Origin(answer)) as proxy:
            slow, quick = await browser(proxy, takes=False), await browser(proxy)
            number = slow.ask("/large")
            # Its own window is 64 KiB, and so is ours for the stream.
            while len(slow.got[number].body) < 65535:
                await slow.receive()
            for _ in range(200):
                assert (await quick.get()).body == b"ok"
            # What the client's window took, what ours has room for, and half of that, which is given back at once.
            assert max(progress.values()) <= 3 * 65535
            slow.takes = True
            slow.h2.acknowledge_received_data(65535, number)
            slow.flush()
            assert (await slow.answer(number)).body == content
            await asyncio.gather(*tasks)
            assert len(proxy.behind.links) == 1
            slow.close()
            quick.close()

    run(main())


def test_a_backend_that_takes_nothing_stops_the_client(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(takes=False)
        async with web2(origin) as proxy:
            client, other = await browser(proxy), await browser(proxy)
            number = client.ask("/", method="POST", end=False)
            sent = quiet = 0
            # The client's window is not widened until the backend's is.
            while quiet < 20:
                room = min(client.h2.local_flow_control_window(number), client.h2.max_outbound_frame_size)
                quiet = 0 if room else quiet + 1
                if room:
                    client.send(number, b"x" * room)
                    sent += room
                else:
                    assert (await other.get()).body == b"ok"
                    await client.ping()
            assert sent <= 3 * 65535
            (post,) = [asked for asked in origin.asked if asked[":method"] == "POST"]
            assert len(post.body) == 65535
            link = origin.links[0]
            link.takes = True
            link.h2.acknowledge_received_data(65535, post.number)
            link.flush()
            while client.h2.local_flow_control_window(number) < 1000:
                await client.receive()
            client.send(number, b"x" * 1000, end=True)
            assert (await client.answer(number)).body == b"ok"
            assert len(origin.links) == 1
            assert len(post.body) == sent + 1000
            client.close()
            other.close()

    run(main())


def test_windows_are_given_back_when_a_client_leaves(run: Runner) -> None:
    """Answers that were given up must not use up the window that all streams of the connection share."""

    def answer(link: Link, asked: Asked) -> None:
        link.head(asked.number)
        for _ in range(3):
            link.data(asked.number, b"x" * 16000)

    async def main() -> None:
        origin = Http2Origin(answer)
        async with web2(origin) as proxy:
            client = await browser(proxy, takes=False)
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
            client.flush()
            await client.receive()
            whole = None
            for _ in range(5):
                number = client.ask("/")
                while len(client.got[number].body) < 100:
                    await client.receive()
                client.h2.reset_stream(number)
                client.flush()
                await origin.until(lambda: origin.asked[-1].reset is not None)
                await client.ping()
                window = origin.links[0].h2.outbound_flow_control_window
                whole = whole or window
                # h2 gives back half of it at once, not every byte.
                assert window >= whole - limits.PROXY_BACKEND_STREAMS * 65535 // 2
            assert [asked.connection for asked in origin.asked] == [0] * 5
            client.close()

    run(main())


# Ends


def test_goaway_lets_what_was_begun_end(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            first = client.ask("/first")
            await origin.until(lambda: origin.asked)
            origin.links[0].goaway(2**31 - 1)
            origin.links[0].goaway(1)
            # Another one does not go there any more, once the proxy knows.
            origin.answer = well
            link = origin.links[0]
            link.head(1, ("x-late", "1"))
            while not client.got[first].status:
                await client.receive()
            assert (await client.get("/second")).body == b"ok"
            link.data(1, b"all of it", end=True)
            assert (await client.answer(first)).body == b"all of it"
            assert [asked.connection for asked in origin.asked] == [0, 1]
            client.close()

    run(main())


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["goaway", "refused"])
def test_a_request_that_was_not_looked_at(run: Runner, method: str, how: str) -> None:
    """It is sent again where it has no body: with one it is answered with 502."""

    def refuse(link: Link, asked: Asked) -> None:
        link.origin.answer = well
        if how == "goaway":
            link.goaway(0)
        else:
            link.reset(asked.number, ErrorCodes.REFUSED_STREAM)

    async def main() -> None:
        async with web2(Http2Origin(refuse)) as proxy:
            origin = proxy.behind
            client = await browser(proxy)
            number = client.ask("/", method=method, end=method == "GET")
            if method == "POST":
                client.send(number, b"hello", end=True)
            got = await client.answer(number)
            client.close()
            (entry,) = await proxy.requests()
            if method == "GET":
                assert (got.status, got.body, entry.code, len(origin.asked)) == (200, b"ok", "", 2)
            else:
                code = "backend_closed" if how == "goaway" else "backend_reset"
                assert (got.status, entry.code, len(origin.asked)) == (502, code, 1)

    run(main())


def test_a_request_is_sent_again_once(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(lambda link, asked: link.reset(asked.number, ErrorCodes.REFUSED_STREAM))
        async with web2(origin) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 502
            assert len(origin.asked) == 2
            client.close()

    run(main())


def test_a_stream_that_is_reset_behind_its_head_is_cut(run: Runner) -> None:
    def answer(link: Link, asked: Asked) -> None:
        link.head(asked.number)
        link.data(asked.number, b"some")
        link.reset(asked.number, ErrorCodes.INTERNAL_ERROR)

    async def main() -> None:
        origin = Http2Origin(answer)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            got = await client.get()
            assert (got.ended, got.reset) == (False, ErrorCodes.INTERNAL_ERROR)
            origin.answer = well
            assert (await client.get()).body == b"ok"
            assert len(origin.links) == 1
            client.close()
            entry = (await proxy.requests(2))[0]
            assert (entry.status, entry.code) == (200, "backend_reset")
            assert "INTERNAL_ERROR" in entry.why

    run(main())


def test_a_client_that_takes_its_request_back(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            number = client.ask("/")
            await origin.until(lambda: origin.asked)
            client.h2.reset_stream(number)
            client.flush()
            await origin.until(lambda: origin.asked[0].reset is not None)
            assert origin.asked[0].reset == ErrorCodes.CANCEL
            client.close()

    run(main())


def test_an_answer_before_the_request_is_complete(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(on_head=well)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            number = client.ask("/", method="POST", end=False)
            assert (await client.answer(number)).body == b"ok"
            await origin.until(lambda: origin.asked[0].reset is not None)
            client.close()

    run(main())


def test_a_backend_that_breaks_off(run: Runner) -> None:
    async def main() -> None:
        origin = Http2Origin(lambda link, _: link.writer.transport.abort())
        async with web2(origin) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 502
            client.close()
            (entry,) = await proxy.requests()
            assert entry.code in ("backend_reset", "backend_closed")

    run(main())


# Lies


def headers(*fields: tuple[str, str], status: str = "200") -> Callable[[Link, Asked], object]:
    return lambda link, asked: link.head(asked.number, *fields, status=status, end=True)


def with_body(link: Link, asked: Asked) -> None:
    link.head(asked.number, status="204")
    link.data(asked.number, b"body", end=True)


def interims(link: Link, asked: Asked) -> None:
    for _ in range(limits.PROXY_INTERIM_RESPONSES + 1):
        link.head(asked.number, status="103")


COST_A_STREAM = {
    "a header's value goes on in a line of its own": headers(("x-a", "1\r\nx-b: 2")),
    "a header's name is none": headers(("x a", "1")),
    "a header of one connection": headers(("transfer-encoding", "chunked")),
    "a pseudo-header of requests": headers((":path", "/")),
    "no number as its status": headers(status="2x0"),
    "a status of four digits": headers(status="2000"),
    "a switch of protocols": lambda link, asked: link.head(asked.number, status="101"),
    "a body behind 204": with_body,
    "too many interim responses": interims,
}


@pytest.mark.parametrize("lie", COST_A_STREAM)
def test_what_is_no_answer_costs_its_stream(run: Runner, lie: str) -> None:
    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin) as proxy:
            client, other = await browser(proxy), await browser(proxy)
            waiting = other.ask("/waits")
            await origin.until(lambda: origin.asked)
            origin.answer = COST_A_STREAM[lie]
            got = await client.get("/lied")
            assert got.status == 502 or got.reset is not None
            well(origin.links[0], origin.asked[0])
            assert (await other.answer(waiting)).body == b"ok"
            assert len(origin.links) == 1
            client.close()
            other.close()
            entry = (await proxy.requests(2))[0]
            assert (entry.target, entry.code) == ("/lied", "backend_protocol")

    run(main())


def too_long(link: Link, asked: Asked) -> None:
    link.head(asked.number, ("content-length", "2"))
    link.data(asked.number, b"too much", end=True)


def pings(link: Link, _: Asked) -> None:
    for _each in range(2 * limits.HTTP2_IDLE_FRAMES_AT_ONCE):
        link.raw(6, 0, 0, b"12345678")


COST_A_CONNECTION: dict[str, Callable[[Link, Asked], object]] = {
    "a body longer than it says": too_long,
    "two lengths": headers(("content-length", "2"), ("content-length", "3")),
    "headers without end": headers(*[(f"x-{n}", "x" * 1000) for n in range(limits.HTTP_HEADERS // 1000 + 1)]),
    "a push": lambda link, asked: link.raw(5, 4, asked.number, b"\0\0\0\2\x82"),
    "frames that ask for nothing": pings,
    "a frame that is too large": lambda link, _: link.raw(0, 0, 1, bytes(2**14 + 1)),
    "a GOAWAY that is none": lambda link, _: link.raw(7, 0, 0, b"\0"),
    "a stream of its own": lambda link, _: link.raw(1, 5, 2, b"\x88"),
}


@pytest.mark.parametrize("lie", COST_A_CONNECTION)
def test_what_is_no_http2_costs_the_connection(run: Runner, lie: str) -> None:
    async def main() -> None:
        origin = Http2Origin(COST_A_CONNECTION[lie])
        async with web2(origin) as proxy:
            client = await browser(proxy)
            got = await client.get()
            assert got.status == 502 or (got.status == 200 and got.reset is not None)
            origin.answer = well
            assert (await client.get()).body == b"ok"
            assert len(origin.links) == 2
            client.close()
            entry = (await proxy.requests(2))[0]
            assert entry.code == "backend_protocol"
            assert entry.why.startswith("127.0.0.1:")

    run(main())


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "backend_protocol"),
        (b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), "backend_closed"),
    ],
    ids=["http1", "goaway"],
)
def test_a_backend_that_does_not_begin_with_http2(run: Runner, first: bytes, code: str) -> None:
    async def main() -> None:
        async with web2(Http2Origin(first=first)) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 502
            client.close()
            (entry,) = await proxy.requests()
            assert entry.code == code
            assert ("it does not speak HTTP/2" in entry.why) is (code == "backend_protocol")

    run(main())


@pytest.mark.parametrize("spoken", [(), ("http/1.1",)], ids=["nothing", "http1"])
def test_a_backend_whose_tls_knows_no_http2(run: Runner, spoken: tuple[str, ...]) -> None:
    async def main() -> None:
        config = server_config(application_protocols=spoken)
        async with backend(Http2Origin().handle, config=config) as (host, port, *_):
            tls_out = client_config(application_protocols=("h2",))
            to = Backend((host, port), tls=tls_out, server_name="localhost", http2=True)
            async with Web2.before(to) as proxy:
                client = await browser(proxy)
                assert (await client.get()).status == 502
                client.close()
                (entry,) = await proxy.requests()
                # With protocols of its own the backend refuses ours in the handshake.
                assert entry.code == ("backend_refused_us" if spoken else "backend_protocol")

    run(main())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="for nothing else"):
        Backend(("localhost", 1), tls=client_config(application_protocols=("h2", "http/1.1")), http2=True)
    with pytest.raises(ConfigError, match="which is spoken to in"):
        Service(Backend(("localhost", 1), tls=client_config(application_protocols=("h2",))))
    with pytest.raises(ConfigError, match="relays bytes"):
        Service(Backend(("127.0.0.1", 1), http2=True), mode=Mode.TCP)


def test_a_backend_that_says_nothing(run: Runner) -> None:
    async def main() -> None:
        async with web2(Http2Origin(first=b""), to={"connect_timeout": 0.05}) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 504
            client.close()
            (entry,) = await proxy.requests()
            assert entry.code == "backend_timeout"

    run(main())


def test_a_backend_that_takes_no_request(run: Runner) -> None:
    async def main() -> None:
        async with web2(Http2Origin(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0})) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 502
            client.close()
            (entry,) = await proxy.requests()
            assert entry.code == "backend_protocol"

    run(main())


# Time


def test_a_backend_that_does_not_answer(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", 0.05)

    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin) as proxy:
            client = await browser(proxy)
            assert (await client.get()).status == 504
            assert origin.asked[0].reset is None or origin.asked[0].reset == ErrorCodes.CANCEL
            # It is asked by another connection then.
            monkeypatch.undo()
            origin.answer = well
            assert (await client.get()).body == b"ok"
            assert [asked.connection for asked in origin.asked] == [0, 1]
            client.close()

    run(main())


def test_calls_of_grpc_may_be_silent(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as connections of TCP: here another request is given up, and the call that came before goes on."""
    monkeypatch.setattr(limits, "PROXY_STALL_TIMEOUT", 0.05)

    async def main() -> None:
        origin = Http2Origin(nothing)
        async with web2(origin, idle_timeout=LIMIT) as proxy:
            client = await browser(proxy)
            number = client.ask("/", ("content-type", "application/grpc"), method="POST", end=False)
            await origin.until(lambda: origin.asked)
            for _ in range(2):
                assert (await client.get()).status == 504
            link = origin.links[0]
            well(link, origin.asked[0])
            assert (await client.answer(number)).body == b"ok"
            client.close()

    run(main())


def test_kept_connections_end_in_order(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        origin = Http2Origin()
        ended = asyncio.Event()
        handle = origin.handle

        async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await handle(reader, writer)
            ended.set()

        origin.handle = behind  # type: ignore[method-assign]
        async with web2(origin) as proxy:
            client = await browser(proxy)
            assert (await client.get()).body == b"ok"
            monkeypatch.setattr(limits, "PROXY_KEPT_IDLE", 0.01)
            assert (await client.get()).body == b"ok"
            async with asyncio.timeout(LIMIT):
                await ended.wait()
            monkeypatch.undo()
            assert (await client.get()).body == b"ok"
            assert [asked.connection for asked in origin.asked] == [0, 0, 1]
            client.close()

    run(main())


def test_a_reload_leaves_what_was_begun(run: Runner) -> None:
    async def main() -> None:
        origin, other = Http2Origin(nothing), Http2Origin()
        async with web2(origin) as proxy, web2(other) as further:
            client = await browser(proxy)
            number = client.ask("/")
            await origin.until(lambda: origin.asked)
            service = further.listeners[0].service
            assert isinstance(service, Service)
            proxy.proxy.replace([Listener(LOCAL, service, proxy.listeners[0].tls)])
            later = await browser(proxy)
            assert (await later.get()).body == b"ok"
            assert len(other.asked) == 1
            well(origin.links[0], origin.asked[0])
            assert (await client.answer(number)).body == b"ok"
            client.close()
            later.close()

    run(main())
