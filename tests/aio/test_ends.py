"""The ends that are not in order: cut, reset, cancelled, overdue, refused."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from handfast import aio, limits
from handfast.errors import (
    ApiMisuse,
    BadMessage,
    ConnectionLost,
    HandfastError,
    LocalFailure,
    PeerMisbehaved,
    PeerRejected,
)
from handfast.record.layer import RecordLayer
from tests.aio.support import (
    MUTUAL,
    ByHand,
    HalfOpen,
    Made,
    Recorder,
    below,
    client_by_hand,
    client_config,
    connected,
    listening,
    server_by_hand,
    server_config,
)
from tests.ports import own_port
from tests.waiting import TEST_LIMIT, with_growing

if TYPE_CHECKING:
    from tests.aio.conftest import Runner

SOON = 0.05


def test_a_cut_connection_is_not_an_end(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            await peer.send(b"first half")
            peer.sock.close()
            error = await server.lost
            assert isinstance(error, ConnectionLost)
            assert (error.code, error.details["received"]) == ("unexpected_eof", 10)
            assert server.told == ["made", "data", "lost"]

    run(main())


@pytest.mark.parametrize(
    ("kind", "told"), [(Recorder, ["made", "data", "eof", "lost"]), (HalfOpen, ["made", "data", "eof"])]
)
def test_a_cut_connection_may_be_configured_to_be_an_end(run: Runner, kind: type[Recorder], told: list[str]) -> None:
    async def main() -> None:
        async with client_by_hand(kind, unexpected_eof="end") as (peer, server):
            await peer.send(b"all of it")
            peer.sock.shutdown(socket.SHUT_WR)
            await server.until(lambda: server.told == told)
            if kind is HalfOpen:
                server.transport.write(b"the answer")
                while peer.data != b"the answer":
                    assert await peer.read()
                server.transport.close()
            assert await server.lost is None

    run(main())


def test_a_record_that_is_cut_is_no_end(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(unexpected_eof="end") as (peer, server):
            peer.connection.send(b"all of it")
            await asyncio.get_running_loop().sock_sendall(peer.sock, peer.connection.outgoing()[:-1])
            peer.sock.close()
            error = await server.lost
            assert isinstance(error, ConnectionLost)
            assert (error.code, error.details["received"], error.details["cut"]) == ("unexpected_eof", 0, True)

    run(main())


def test_a_stream_reader_hears_of_a_cut_connection(run: Runner) -> None:
    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            connecting = asyncio.create_task(aio.open_connection("127.0.0.1", port, client_config()))
            peer = await accepting
            await peer.handshake()
            reader, writer = await connecting
            await peer.send(b"x")
            peer.sock.close()
            with pytest.raises(ConnectionLost, match="without close_notify"):
                await reader.read()
            with pytest.raises(ConnectionLost, match="without close_notify"):
                await writer.wait_closed()

    run(main())


def test_a_reset(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            peer.reset()
            error = await server.lost
            assert isinstance(error, ConnectionLost)
            assert error.code == "reset"

    run(main())


def test_abort_is_at_once_and_drops_what_waits(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            transport = server.transport
            transport.write(bytes(20_000_000))
            transport.abort()
            transport.abort()
            transport.close()
            transport.write(b"dropped")
            assert transport.get_write_buffer_size() < 2 * limits.SEAL_STEP
            assert await server.lost is None
            await peer.read_to_end()
            with pytest.raises(ConnectionLost):
                peer.connection.eof()

    run(main())


async def closed_by_peer(peer: ByHand) -> None:
    """Wait until the other side has closed; with nothing unread it can only be an end or a reset."""
    try:
        while await asyncio.get_running_loop().sock_recv(peer.sock, 65536):
            pass
    except ConnectionResetError:
        pass


def test_connecting_can_be_cancelled(run: Runner) -> None:
    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            made = Made()
            connecting = asyncio.create_task(aio.create_connection(made, "127.0.0.1", port, client_config()))
            peer = await accepting
            assert await peer.read()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await closed_by_peer(peer)
            assert made.all[0].told == []

    run(main())


def test_connecting_can_be_cancelled_at_any_step(run: Runner) -> None:
    async def main() -> None:
        done = cancelled = 0
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            while not done:
                connecting = asyncio.create_task(aio.create_connection(Recorder, "127.0.0.1", port, client_config()))
                for _ in range(cancelled):
                    await asyncio.sleep(0)
                connecting.cancel()
                try:
                    transport, protocol = await connecting
                except asyncio.CancelledError:
                    cancelled += 1
                else:
                    done += 1
                    transport.abort()
                    await protocol.lost
            for server in made.all:
                if server.told:
                    await server.lost
        assert cancelled > 3

    run(main())


def test_the_handshakes_deadline_at_a_client(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)

    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            config = client_config(handshake_timeout=SOON)
            with pytest.raises(ConnectionLost) as caught:
                await aio.open_connection("127.0.0.1", port, config)
            assert caught.value.code == "handshake_timeout"
            assert "ServerHello" in caught.value.what
            peer = await accepting
            # It was told, which for the engine there is not what a silent end is.
            with pytest.raises(HandfastError) as told:
                await peer.read_to_end()
            assert "user_canceled" in told.value.what or "close_notify" in told.value.what

    run(main())


def test_the_handshakes_deadline_at_a_server(
    run: Runner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)

    async def main() -> None:
        made = Made()
        config = server_config(handshake_timeout=SOON)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port)
            await closed_by_peer(peer)
            peer.sock.close()
            assert [protocol.told for protocol in made.all] == [[]]

    run(main())
    assert [record.levelname for record in caplog.records if record.name == "handfast"] == ["WARNING"]
    assert "did not finish within 0.05 s" in caplog.text


def test_a_server_logs_a_failed_handshake_and_tells_nobody_else(run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        made = Made()
        config = server_config(client_auth=MUTUAL)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port, client_config(anonymous=True))
            await peer.handshake()
            with pytest.raises(PeerRejected, match="certificate_required"):
                await peer.read_to_end()
            peer.sock.close()
            assert [protocol.told for protocol in made.all] == [[]]
            with socket.create_connection(("127.0.0.1", port)) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                plain.setblocking(False)
                await asyncio.get_running_loop().sock_recv(plain, 100)

    with caplog.at_level(logging.WARNING, "handfast"):
        run(main())
    lines = [record.getMessage() for record in caplog.records if record.name == "handfast"]
    assert len(lines) == 2
    assert lines[0].startswith("127.0.0.1:")
    assert "handshake failed waiting for the client's " in lines[0]
    assert "the client sent no certificate" in lines[0]
    assert "speaks plain HTTP" in lines[1]


def test_closing_waits_for_the_peer_only_so_long(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(shutdown_timeout=SOON) as (peer, near):
            transport = near.transport
            passed = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(SOON / 2, passed.set_result, None)
            transport.close()
            assert await near.lost is None
            assert passed.done()
            # close_notify came, then the end.
            await peer.read_to_end()
            assert peer.connection.peer_closed

    run(main())


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("how", ["close_notify", "end", "reset"])
def test_closing_ends_with_the_peer(run: Runner, how: str, paused: bool) -> None:
    async def main() -> None:
        # Longer than any test may take.
        async with client_by_hand(shutdown_timeout=2 * TEST_LIMIT) as (peer, near):
            transport = near.transport
            if paused:
                transport.pause_reading()
            transport.close()
            await peer.read_to_end()
            if how == "close_notify":
                peer.connection.close()
                await peer.flush()
            elif how == "end":
                peer.sock.close()
            else:
                peer.reset()
            assert await near.lost is None

    run(main())


def test_closing_gives_up_on_a_peer_that_does_not_read(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(shutdown_timeout=SOON) as (_, near):
            transport = near.transport
            transport.write(bytes(20_000_000))
            transport.close()
            error = await near.lost
            assert isinstance(error, ConnectionLost)
            assert error.code == "shutdown_timeout"
            assert int(str(error.details["unsent"])) > 10_000_000

    run(main())


@pytest.mark.parametrize("size", [1, 20_000_000])
def test_closing_after_the_peer_waits_for_what_is_unsent(run: Runner, size: int) -> None:
    """The peer's end came first: what it does not read is given up, and where nothing waits the end comes at once."""

    async def main() -> None:
        # Where nothing waits, longer than any test may take.
        async with client_by_hand(shutdown_timeout=SOON if size > 1 else 2 * TEST_LIMIT) as (peer, near):
            near.transport.write(bytes(size))
            peer.connection.close()
            await peer.flush()
            error = await near.lost
            if size == 1:
                assert error is None
                await peer.read_to_end()
                assert peer.connection.peer_closed
            else:
                assert isinstance(error, ConnectionLost)
                assert error.code == "shutdown_timeout"

    run(main())


def test_closing_waits_while_a_slow_peer_still_reads(run: Runner) -> None:
    async def main(seconds: float) -> None:
        async with client_by_hand(shutdown_timeout=seconds) as (peer, near):
            transport = near.transport
            size = 20_000_000
            transport.write(bytes(size))
            transport.close()
            passed = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
            while len(peer.data) < size:
                for _ in range(5):
                    await peer.read()
                if not passed.done():
                    await asyncio.sleep(seconds / 40)
            timer.cancel()
            assert passed.done(), "it was closed before its time had passed once"
            peer.connection.close()
            await peer.flush()
            assert await near.lost is None

    with_growing(4 * SOON, lambda seconds: run(main(seconds)))


def test_the_peers_garbage_ends_a_connection(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)

    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            connecting = asyncio.create_task(aio.create_connection(Recorder, "127.0.0.1", port, client_config()))
            peer = await accepting
            await peer.handshake()
            transport, client = await connecting
            await asyncio.get_running_loop().sock_sendall(peer.sock, b"\x17\3\3\0\x20" + bytes(32))
            transport.write(b"x")
            with pytest.raises(PeerRejected, match="bad_record_mac"):
                await peer.read_to_end()
            error = await client.lost
            assert isinstance(error, PeerMisbehaved)
            assert error.code == "bad_record_mac"
            assert client.told == ["made", "lost"]

    run(main())


def test_a_server_that_is_not_one(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)

    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            connecting = asyncio.create_task(aio.open_connection("127.0.0.1", port, client_config()))
            peer = await accepting
            await asyncio.get_running_loop().sock_sendall(peer.sock, b"HTTP/1.0 400 Bad Request\r\n\r\n")
            with pytest.raises(BadMessage, match="does not speak TLS"):
                await connecting

    run(main())


@pytest.mark.parametrize("when", ["connection_made", "data_received", "eof_received"])
def test_a_protocol_that_raises(run: Runner, when: str) -> None:
    class Failing(Recorder):
        def fail(self, *_: object) -> None:
            self.told.append("failed")
            raise ZeroDivisionError(when)

    setattr(Failing, when, Failing.fail)

    async def main() -> None:
        made = Made(Failing)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            await peer.send(b"x")
            peer.connection.close()
            await peer.flush()
            error = await made.all[0].lost
            assert isinstance(error, ZeroDivisionError)
            peer.sock.close()

    run(main())
    (complaint,) = run.complaints
    assert complaint["message"] == ("fail() failed")
    assert isinstance(complaint["exception"], ZeroDivisionError)
    run.complaints.clear()


def test_nobody_listens(run: Runner) -> None:
    with (
        own_port() as port,
        pytest.raises(ConnectionLost, match=rf"cannot connect to 127.0.0.1:{port}: Connection refused"),
    ):
        run(aio.open_connection("127.0.0.1", port, client_config()))


def test_a_host_that_dns_cannot_hold(run: Runner) -> None:
    with pytest.raises(ConnectionLost, match=r"cannot connect to a\.\.b:443"):
        run(aio.open_connection("a..b", 443, client_config(), server_name="localhost"))


def test_a_protocol_factory_that_raises(run: Runner) -> None:
    def factory() -> Recorder:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(aio.create_connection(factory, "127.0.0.1", 1, client_config()))


def test_an_exporter_after_the_end(run: Runner) -> None:
    async def main() -> Any:
        async with connected(server=HalfOpen) as (client, _):
            client.transport.abort()
            await client.lost
            assert client.transport.info.complete
            assert client.transport.get_extra_info("cipher")

    run(main())


def test_an_engine_that_cannot_start_raises_before_anything_is_opened(run: Runner) -> None:
    with pytest.raises(ApiMisuse, match="server_name"):
        run(aio.open_connection(None, None, client_config(), sock=None))


def test_the_write_key_is_exhausted(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the engine in the middle of a write ends the connection once."""
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)

    def fail(*_: object) -> None:
        raise LocalFailure("key_exhausted", limit=1)

    async def main() -> None:
        async with connected() as (client, server):
            monkeypatch.setattr(RecordLayer, "write_application_data", fail)
            client.transport.write(bytes(10 * limits.SEAL_STEP))
            error = await client.lost
            assert isinstance(error, LocalFailure)
            assert error.code == "key_exhausted"
            assert isinstance(await server.lost, PeerRejected)

    run(main())


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_bare_probe_is_one_line_for_debugging(run: Runner, caplog: pytest.LogCaptureFixture, how: str) -> None:
    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "handfast"]

    async def main() -> None:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port)
            peer.reset() if how == "reset" else peer.sock.close()
            while not lines():
                await asyncio.sleep(0)

    with caplog.at_level(logging.DEBUG, "handfast"):
        run(main())
    assert [record.levelname for record in lines()] == ["DEBUG"]


def test_a_close_while_a_large_answer_leaves_is_complained_of_by_nobody(run: Runner) -> None:
    """The peer has closed its half: our close follows what is queued, and comes while TCP has room again."""

    class Answers(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(8_000_000))

    async def main() -> None:
        async with connected(client=HalfOpen, server=Answers) as (client, server):
            client.transport.write(b"go")
            client.transport.write_eof()
            await client.until(lambda: "eof" in client.told)
            assert len(client.data) == 8_000_000
            client.transport.close()
            assert await server.lost is None
            assert await client.lost is None

    run(main())


class Plain(Recorder):
    """What goes on in plaintext."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none of asyncio's classes.
        self.tcp: Any = transport


class Leaves(Recorder):
    """Leaves TLS when its peer does."""

    plain: Plain

    def eof_received(self) -> bool:
        super().eof_received()
        self.plain = Plain()
        self.transport.unwrap(self.plain)
        return False


def test_tls_is_not_left_before_a_program_that_paused_has_heard_of_the_end(run: Runner) -> None:
    class Pauses(Leaves):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = Made(Pauses)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            (near,) = made.all
            assert isinstance(near, Pauses)
            peer.connection.send(b"data")
            peer.connection.close()
            await loop.sock_sendall(peer.sock, peer.connection.outgoing())
            await near.until(lambda: near.data == b"data")
            with pytest.raises(ApiMisuse) as early:
                near.transport.unwrap(Plain())
            assert early.value.code == "still_connected"
            near.transport.resume_reading()
            await near.until(lambda: "eof" in near.told)
            while not peer.connection.peer_closed:
                assert await peer.read()
            peer.sock.close()
            assert await near.plain.lost is None

    run(main())


@pytest.mark.parametrize("ended", [False, True])
def test_a_transport_goes_on_in_plaintext(run: Runner, ended: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = Made(Leaves)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            (near,) = made.all
            assert isinstance(near, Leaves)
            with pytest.raises(ApiMisuse) as early:
                (await near.made).unwrap(Plain())
            assert early.value.code == "still_connected"
            peer.connection.send(b"data")
            peer.connection.close()
            await loop.sock_sendall(peer.sock, peer.connection.outgoing() + b"plain")
            if ended:
                peer.sock.shutdown(socket.SHUT_WR)
            await near.until(lambda: "eof" in near.told)
            plain = near.plain
            await plain.until(lambda: plain.data == b"plain")
            while not peer.connection.peer_closed:
                assert await peer.read()
            if not ended:
                plain.tcp.write(b"plain too")
                assert await loop.sock_recv(peer.sock, 100) == b"plain too"
                await loop.sock_sendall(peer.sock, b" and so on")
                await plain.until(lambda: plain.data == b"plain and so on")
            peer.sock.close()
            assert await plain.lost is None
            assert near.told == ["made", "data", "eof"]

    run(main())


class PlainInPieces(asyncio.BufferedProtocol):
    """What goes on in plaintext, three bytes at a time."""

    follower: asyncio.BaseProtocol | None = None
    tcp: Any = None

    def __init__(self) -> None:
        self.buffer = bytearray(3)
        self.data = bytearray()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]
        if self.follower is not None:
            self.tcp.set_protocol(self.follower)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.tcp = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.mark.parametrize("buffered", [False, True])
def test_what_is_behind_the_end_goes_to_the_protocol_that_took_its_place(run: Runner, buffered: bool) -> None:
    class LeavesForTwo(Recorder):
        def eof_received(self) -> bool:
            plain = PlainInPieces()
            self.follower = plain.follower = PlainInPieces() if buffered else Plain()
            self.transport.unwrap(plain)
            self.first = plain.data
            return super().eof_received()

    async def main() -> None:
        async with client_by_hand(LeavesForTwo) as (peer, near):
            assert isinstance(near, LeavesForTwo)
            peer.connection.close()
            await asyncio.get_running_loop().sock_sendall(peer.sock, peer.connection.outgoing() + b"headbody")
            await near.until(lambda: near.told[-1] == "eof")
            assert near.first == b"hea"
            assert near.follower.data == b"dbody"
            peer.sock.shutdown(socket.SHUT_WR)
            near.lost.set_result(await near.follower.lost)

    run(main())


class LeavesForOneThatFails(Recorder):
    """Leaves TLS when its peer does, for a protocol that raises in the callback of this name."""

    def __init__(self, callback: str) -> None:
        super().__init__()
        self.plain = Plain()
        self._callback = callback

    def eof_received(self) -> bool:
        usual = getattr(self.plain, self._callback)

        def failing(argument: Any) -> None:
            usual(argument)
            raise ValueError("the program's own")

        setattr(self.plain, self._callback, failing)
        with pytest.raises(ValueError, match="own"):
            self.transport.unwrap(self.plain)
        return super().eof_received()


def test_a_protocol_that_fails_at_what_is_behind_the_end_gets_no_more(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(lambda: LeavesForOneThatFails("data_received")) as (peer, near):
            assert isinstance(near, LeavesForOneThatFails)
            peer.connection.close()
            await asyncio.get_running_loop().sock_sendall(peer.sock, peer.connection.outgoing() + b"plain")
            await near.until(lambda: "eof" in near.told)
            near.lost.set_result(await near.plain.lost)
            assert near.plain.data == b"plain"

    run(main())


def test_a_buffered_protocol_goes_on_in_plaintext(run: Runner) -> None:
    class LeavesForBuffers(Recorder):
        def eof_received(self) -> bool:
            self.plain = PlainInPieces()
            self.transport.unwrap(self.plain)
            return super().eof_received()

    async def main() -> None:
        async with client_by_hand(LeavesForBuffers) as (peer, near):
            assert isinstance(near, LeavesForBuffers)
            peer.connection.close()
            await asyncio.get_running_loop().sock_sendall(peer.sock, peer.connection.outgoing() + b"plain")
            await near.until(lambda: near.told[-1] == "eof")
            assert near.plain.data == b"plain"
            await asyncio.get_running_loop().sock_sendall(peer.sock, b" and so on")
            peer.sock.shutdown(socket.SHUT_WR)
            assert await near.plain.lost is None
            assert near.plain.data == b"plain and so on"
            near.lost.set_result(None)

    run(main())


def test_what_goes_on_in_plaintext_hears_of_a_full_transport_and_may_pause_at_once(run: Runner) -> None:
    class Pausing(Plain):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.tcp.pause_reading()
            self._tell("made")

    class LeavesFull(Recorder):
        sent = 0

        def eof_received(self) -> bool:
            while below(self.transport).has_room:
                self.transport.write(bytes(1000))
                self.sent += 1000
            self.plain = Pausing()
            self.transport.unwrap(self.plain)
            return super().eof_received()

    async def main() -> None:
        async with client_by_hand(LeavesFull) as (peer, near):
            assert isinstance(near, LeavesFull)
            peer.connection.close()
            await asyncio.get_running_loop().sock_sendall(peer.sock, peer.connection.outgoing())
            await near.until(lambda: near.told[-1] == "eof")
            assert near.plain.told == ["made", "pause"]
            assert not near.plain.tcp.is_reading()
            while not peer.connection.peer_closed:
                assert await peer.read()
            assert len(peer.data) == near.sent
            await near.plain.until(lambda: near.plain.told == ["made", "pause", "resume"])
            near.plain.tcp.abort()
            near.lost.set_result(await near.plain.lost)

    run(main())


def test_a_client_whose_next_protocol_fails_keeps_no_descriptor(run: Runner) -> None:
    """The test's runner complains of sockets that are left open."""

    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            connecting = asyncio.ensure_future(
                aio.create_connection(
                    lambda: LeavesForOneThatFails("connection_made"), "127.0.0.1", port, client_config()
                )
            )
            peer = await accepting
            await peer.handshake()
            _, near = await connecting
            peer.connection.close()
            await peer.flush()
            await near.until(lambda: "eof" in near.told)
            await near.plain.lost

    run(main())
