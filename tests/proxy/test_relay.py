"""The relay: bytes both ways, and ends as they came."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from handfast import limits
from handfast.errors import ConnectionLost, PeerRejected
from handfast.proxy.settings import Backend, Listener, Mode, Service
from tests.aio.support import client_config
from tests.proxy.support import LOCAL, backend, echo, mutual, running, tcp
from tests.waiting import with_growing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.aio.conftest import Runner
    from tests.proxy.support import Running

# More than sockets and transports hold by themselves.
MUCH = 16 * 1024 * 1024


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(Exception):
        await writer.wait_closed()


def test_bytes_go_both_ways(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert proxy.proxy.journal.connections == 1
            writer.write_eof()
            assert await reader.read() == b""
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.received, entry.sent, entry.code, entry.why) == (5, 5, "", "")
            assert entry.info is not None
            assert entry.info.verified_peer is not None
            assert entry.backend == f"127.0.0.1:{address[1]}"
            assert proxy.proxy.journal.connections == 0

    run(main())


def test_no_byte_is_lost_or_out_of_order(run: Runner) -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)

    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()

            async def send() -> None:
                for start in range(0, len(data), 70_001):
                    writer.write(data[start : start + 70_001])
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            assert await reader.read() == data
            await sending
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.received, entry.sent, entry.code) == (len(data), len(data), "")

    run(main())


def test_a_backend_that_has_ended_still_hears_the_client(run: Runner) -> None:
    async def main() -> None:
        heard = asyncio.get_running_loop().create_future()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"bye")
            writer.write_eof()
            heard.set_result(await reader.read())

        async with backend(greet) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            assert await reader.read() == b"bye"
            writer.write(b"one thing more")
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.received, entry.sent, entry.code) == (14, 3, "")
            assert await heard == b"one thing more"

    run(main())


def _reading_side(writer: asyncio.StreamWriter) -> asyncio.Transport:
    # uvloop's is one without being derived from it.
    return cast("asyncio.Transport", writer.transport)


class Flood:
    """Writes without end, and knows how much was taken."""

    def __init__(self) -> None:
        self.sent = 0
        self.stopped = asyncio.Event()

    async def write_to(self, writer: asyncio.StreamWriter) -> None:
        chunk = b"x" * 65536
        while self.sent < 16 * MUCH:
            writer.write(chunk)
            self.sent += len(chunk)
            try:
                async with asyncio.timeout(0.1):
                    await writer.drain()
            except TimeoutError:
                # Nothing is taken any more, or only slowly: enough was sent.
                self.stopped.set()
                await writer.drain()
                return


def waiting(proxy: Running) -> int:
    """Bytes that wait in the proxy for a client that does not read."""
    (client,) = proxy.proxy.clients
    return client.transport.get_write_buffer_size()


def test_a_client_that_does_not_read_stops_the_backend(run: Runner) -> None:
    async def main() -> None:
        flood = Flood()
        async with (
            backend(lambda _, writer: flood.write_to(writer)) as address,
            running(tcp(address)) as proxy,
        ):
            reader, writer = await proxy.client()
            _reading_side(writer).pause_reading()
            await flood.stopped.wait()
            held = waiting(proxy)
            # A high-water mark and what one read brings, sealed.
            assert held <= limits.PROXY_RELAY_BUFFER + 2 * 256 * 1024
            assert flood.sent < MUCH
            _reading_side(writer).resume_reading()
            taken = 0
            while data := await reader.read(1 << 20):
                taken += len(data)
            await closed(writer)
            assert (await proxy.ended()).sent == taken == flood.sent

    run(main())


def test_a_backend_that_does_not_read_stops_the_client(run: Runner) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        flood = Flood()

        async def sleepy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            while await reader.read(1 << 20):
                pass

        async with backend(sleepy) as address, running(tcp(address)) as proxy:
            _, writer = await proxy.client()
            flooding = asyncio.create_task(flood.write_to(writer))
            await flood.stopped.wait()
            assert flood.sent < MUCH
            go_on.set()
            flooding.cancel()
            sent = flood.sent
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.received, entry.code) == (sent, "")

    run(main())


def test_a_backend_that_is_down(run: Runner) -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(LOCAL)
            async with running(tcp(sock.getsockname())) as proxy:
                reader, writer = await proxy.client()
                with pytest.raises(ConnectionLost):
                    await reader.read()
                await closed(writer)
                entry = await proxy.ended()
                assert entry.code == "backend_refused"
                assert entry.why == f"127.0.0.1:{sock.getsockname()[1]}: Connection refused"

    run(main())


def test_a_backend_that_accepts_late_gets_what_was_sent_before(run: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "late")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as late, socket.socket(socket.AF_UNIX) as first:
            late.bind(path)
            # One waits to be accepted, and there is no room for another.
            late.listen(0)
            late.setblocking(False)
            first.connect(path)
            async with running(tcp(path)) as proxy:
                reader, writer = await proxy.client()
                data = os.urandom(4 * limits.PROXY_RELAY_BUFFER)
                writer.write(data)
                writer.write_eof()
                # What is sent meets a relay that reads no more than its bound.
                while not any(client.info and client.info.complete for client in proxy.proxy.clients):
                    await asyncio.sleep(0)
                (await loop.sock_accept(late))[0].close()
                peer, _ = await loop.sock_accept(late)
                with peer:
                    came = bytearray()
                    while piece := await loop.sock_recv(peer, 1 << 20):
                        came += piece
                    assert came == data
                    await loop.sock_sendall(peer, b"thanks")
                assert await reader.read() == b"thanks"
                await closed(writer)
                entry = await proxy.ended()
                assert (entry.received, entry.sent, entry.code) == (len(data), 6, "")

    run(main())


def test_a_client_that_leaves_before_the_backend_is_there(run: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "full")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
            full.bind(path)
            full.listen(0)
            first.connect(path)
            async with running(tcp(path)) as proxy:
                _, writer = await proxy.client()
                writer.transport.abort()
                entry = await proxy.ended()
                assert entry.code == "unexpected_eof"

    run(main())


def test_a_backend_that_takes_too_long(run: Runner) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main(seconds: float) -> None:
        tls = client_config()
        async with (
            backend(silent) as address,
            running(tcp(address, tls_out=tls, connect_timeout=seconds)) as proxy,
        ):
            reader, writer = await proxy.client()
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            entry = await proxy.ended()
            assert entry.code == "backend_timeout"
            assert f"did not answer within {seconds:g} seconds" in entry.why

    with_growing(0.05, lambda seconds: run(main(seconds)))


def test_a_backend_that_resets(run: Runner) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"a part")
        await reader.readexactly(2)
        # Closed with data unread: the kernel resets the connection.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def main() -> None:
        async with backend(reset) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            assert await reader.readexactly(6) == b"a part"
            writer.write(b"go")
            # No close_notify: a part must not look like the whole.
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.code, entry.sent) == ("backend_reset", 6)

    run(main())


def test_a_client_that_breaks_off_leaves_what_it_sent(run: Runner) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began, came = asyncio.Event(), loop.create_future()

        async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = bytearray()
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 16):
                    data += piece
                    began.set()
            came.set_result(bytes(data))

        async with backend(collect) as address, running(tcp(address)) as proxy:
            _, writer = await proxy.client()
            writer.write(b"the beginning ")
            await began.wait()
            writer.write(b"of something")
            writer.transport.abort()
            entry = await proxy.ended()
            assert entry.code == "unexpected_eof"
            assert await came == b"the beginning of something"

    run(main())


def test_a_hundred_at_once_get_their_own(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:

            async def one(number: int) -> None:
                reader, writer = await proxy.client()
                mine = b"%d," % number * 1000
                writer.write(mine)
                assert await reader.readexactly(len(mine)) == mine
                await closed(writer)

            await asyncio.gather(*map(one, range(100)))
            entries = await proxy.told(100)
            assert {getattr(entry, "code", None) for entry in entries} == {""}

    run(main())


def test_a_client_without_a_certificate_is_refused_and_told_why(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client(anonymous=True)
            with pytest.raises(PeerRejected, match="certificate_required"):
                await reader.read()
            await closed(writer)
            entry = await proxy.refused()
            assert entry.code == "certificate_required"
            assert "the client sent no certificate" in entry.why
            assert proxy.proxy.journal.connections == 0

    run(main())


def test_a_connection_over_which_nothing_moves_is_ended(run: Runner) -> None:
    async def main(seconds: float) -> None:
        async with backend(echo) as address, running(tcp(address, idle_timeout=seconds)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            entry = await proxy.ended()
            assert (entry.code, entry.received) == ("idle", 1)

    with_growing(0.02, lambda seconds: run(main(seconds)))


def test_what_does_not_read_at_the_end_is_not_waited_for(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client broke off, and its backend takes nothing of what it had sent."""

    async def main() -> None:
        gone = asyncio.Event()

        async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _reading_side(writer).pause_reading()
            await gone.wait()
            while True:
                # The second write to somebody who is gone tells.
                writer.write(b"x")
                await asyncio.sleep(0)

        flood = Flood()
        async with backend(stuck) as address, running(tcp(address)) as proxy:
            _, writer = await proxy.client()
            flooding = asyncio.create_task(flood.write_to(writer))
            await flood.stopped.wait()
            flooding.cancel()
            monkeypatch.setattr(limits, "SHUTDOWN_TIMEOUT", 0.01)
            writer.transport.abort()
            gone.set()
            entry = await proxy.ended()
            assert entry.code

    run(main())


async def through(proxy: Running, talk: Callable[..., Awaitable[Any]]) -> Any:
    """A conversation over a listener without TLS."""
    address = proxy.address
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    try:
        return await talk(reader, writer)
    finally:
        await closed(writer)


async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"hello")
    writer.write_eof()
    return await reader.read()


def test_plain_in_and_tls_out(run: Runner) -> None:
    async def main() -> None:
        async with (
            backend(echo, config=mutual()) as address,
            running(tcp(address, plain=True, tls_out=client_config(), server_name="localhost")) as proxy,
        ):
            assert await through(proxy, say_hello) == b"hello"
            entry = await proxy.ended()
            assert (entry.info, entry.code, entry.received) == (None, "", 5)
            assert entry.client.startswith("127.0.0.1:")

    run(main())


def test_from_a_unix_socket_to_a_unix_socket(run: Runner, tmp_path: Path) -> None:
    inner, outer = str(tmp_path / "inner"), str(tmp_path / "outer")

    async def main() -> None:
        service = Service(Backend(inner), mode=Mode.TCP)
        outside = Service(Backend(outer, tls=client_config(), server_name="localhost"), mode=Mode.TCP)
        async with (
            backend(echo, path=inner),
            running(Listener(outer, service, tls=mutual())) as by_tls,
            running(Listener(LOCAL, outside)) as proxy,
        ):
            assert await through(proxy, say_hello) == b"hello"
            await proxy.ended()
            entry = await by_tls.ended()
            assert (entry.listener, entry.client, entry.backend) == (f"unix:{outer}", "unix:", f"unix:{inner}")
        assert not Path(outer).exists()

    run(main())


def test_tls_on_both_sides_is_two_connections(run: Runner) -> None:
    async def main() -> None:
        async with (
            backend(echo, config=mutual()) as address,
            running(tcp(address, tls_out=client_config(), server_name="localhost")) as proxy,
        ):
            reader, writer = await proxy.client()
            assert await say_hello(reader, writer) == b"hello"
            await closed(writer)
            assert (await proxy.ended()).code == ""

    run(main())


@pytest.mark.parametrize(
    ("name", "anonymous", "code", "said"),
    [
        ("another.example", False, "backend_certificate", "another.example"),
        ("localhost", True, "backend_refused_us", "certificate_required"),
    ],
)
def test_a_backend_that_does_not_fit(run: Runner, name: str, anonymous: bool, code: str, said: str) -> None:
    async def main() -> None:
        async with (
            backend(echo, config=mutual()) as address,
            running(tcp(address, tls_out=client_config(anonymous=anonymous), server_name=name)) as proxy,
        ):
            reader, writer = await proxy.client()
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            entry = await proxy.ended()
            assert entry.code == code
            assert said in entry.why

    run(main())


def test_a_name_that_is_not_known(run: Runner) -> None:
    async def main() -> None:
        listener = tcp(("nowhere.invalid", 1), tls_out=client_config())
        async with running(listener) as proxy:
            reader, writer = await proxy.client()
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            assert (await proxy.ended()).code == "backend_unknown_name"

    run(main())


def test_a_backend_that_speaks_no_tls(run: Runner) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        await reader.read()

    async def main() -> None:
        async with backend(greet) as address, running(tcp(address, tls_out=client_config())) as proxy:
            reader, writer = await proxy.client()
            with pytest.raises(ConnectionLost):
                await reader.read()
            await closed(writer)
            assert (await proxy.ended()).code == "backend_tls"

    run(main())


def test_a_client_may_end_tls_without_a_word_where_that_is_said(run: Runner) -> None:
    """``unexpected_eof="end"``: what some clients do is an end in order."""

    async def main() -> None:
        tls = mutual(unexpected_eof="end")
        async with backend(echo) as address, running(tcp(address, tls=tls)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.transport.abort()
            assert (await proxy.ended()).code == ""

    run(main())


def test_a_client_that_leaves_in_the_moment_in_which_the_backend_is_there(run: Runner) -> None:
    """Nothing is left of either side, whichever was first."""

    async def main() -> None:
        async with backend(echo) as address, running(tcp(address, plain=True)) as proxy:
            for turns in range(12):
                _, writer = await asyncio.open_connection(*proxy.address)
                for _ in range(turns):
                    await asyncio.sleep(0)
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()
            while len(proxy.entries) < 12 or proxy.proxy.clients:
                await asyncio.sleep(0)
            assert {entry.code for entry in proxy.entries if hasattr(entry, "code")} <= {"reset"}

    run(main())
