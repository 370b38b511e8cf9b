"""A refused client learns why, although in TLS 1.3 the refusal comes after its own handshake, and a reset with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from handfast import ServerConnection, aio, limits
from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, PeerRejected
from tests.aio.support import MUTUAL, ByHand, Made, client_config, listening, server_config
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.aio.conftest import Runner

TRIALS = 30


class Hasty:
    """A server that refuses its clients, and resets the connection right after the alert."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = threading.Event()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                with sock:
                    sock.settimeout(LIMIT)
                    self.refuse(sock)
                self.closed.set()

    def refuse(self, sock: socket.socket) -> None:
        connection = ServerConnection(server_config(client_auth=MUTUAL))
        with contextlib.suppress(CertificateRejected):
            while True:
                connection.receive(sock.recv(65536))
                sock.sendall(connection.outgoing())
        sock.sendall(connection.outgoing())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    server = Hasty()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join()


async def talk_with_a_busy_loop(server: Hasty) -> HandfastError:
    """The loop is kept from reading until the reset has come, and then the first thing it does is a write."""
    server.closed.clear()
    reader, writer = await aio.open_connection("127.0.0.1", server.port, client_config(anonymous=True))
    assert server.closed.wait(LIMIT)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandfastError) as caught:
        await reader.read()
    with pytest.raises(HandfastError):
        await writer.drain()
    writer.close()
    with pytest.raises(HandfastError):
        await writer.wait_closed()
    return caught.value


def test_the_alert_is_recovered_when_the_loop_was_busy(run: Runner, hasty: Hasty) -> None:
    async def main() -> None:
        for _ in range(TRIALS):
            error = await talk_with_a_busy_loop(hasty)
            assert isinstance(error, PeerRejected)
            assert error.code == "certificate_required"

    run(main())


def test_without_the_duplicate_the_alert_is_lost(run: Runner, hasty: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the trials above are the hard case: without what they test, all of them fail."""
    monkeypatch.setattr("handfast.io.aio.ends.ClientProtocol._rest", lambda self: iter(()))

    async def main() -> None:
        for _ in range(3):
            error = await talk_with_a_busy_loop(hasty)
            assert isinstance(error, ConnectionLost)
            assert error.code == "reset"

    run(main())


def test_a_client_that_has_closed_still_learns_it(run: Runner, hasty: Hasty) -> None:
    async def main() -> None:
        _, writer = await aio.open_connection("127.0.0.1", hasty.port, client_config(anonymous=True))
        writer.write(b"fire and forget")
        writer.close()
        with pytest.raises(PeerRejected, match="certificate_required"):
            await writer.wait_closed()

    run(main())


def test_a_server_does_not_reset_its_alert_away(run: Runner) -> None:
    async def main() -> None:
        made = Made()
        config = server_config(client_auth=MUTUAL)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port, client_config(anonymous=True))
            await peer.handshake()
            loop = asyncio.get_running_loop()
            # The client sends, and sends again when the server must have closed if it did so at once.
            for _ in range(5):
                await peer.send(bytes(8000))
                for _ in range(20):
                    await asyncio.sleep(0)
            alert = await loop.sock_recv(peer.sock, 1000)
            assert await loop.sock_recv(peer.sock, 1000) == b""
            with pytest.raises(PeerRejected, match="certificate_required"):
                peer.connection.receive(alert)
            peer.sock.close()

    run(main())


@pytest.mark.parametrize("streams", [False, True], ids=["protocol", "streams"])
def test_an_answer_for_those_who_speak_http_without_tls(run: Runner, streams: bool) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    async def main() -> None:
        where = "127.0.0.1", 0, server_config()
        with pytest.raises(TypeError, match="plain_http_answer is bytes"):
            await aio.create_server(Made(), *where, plain_http_answer="HTTP")  # type: ignore[arg-type]
        if streams:
            server = await aio.start_server(lambda _reader, _writer: None, *where, plain_http_answer=answer)
        else:
            server = await aio.create_server(Made(), *where, plain_http_answer=answer)
        async with listening(server) as port:
            for request, told in ((b"GET / HTTP/1.1\r\n", answer), (b"SSH-2.0-x\r\n", b"")):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                writer.write_eof()
                assert (await reader.read()).startswith(told + b"\x15\x03\x03\x00\x02\x02")
                writer.close()
                await writer.wait_closed()

    run(main())


def test_a_server_lingers_only_so_long(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)

    async def main() -> None:
        made = Made()
        config = server_config(client_auth=MUTUAL)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port, client_config(anonymous=True))
            await peer.handshake()
            with pytest.raises(PeerRejected):
                await peer.read()
            # From here on the peer neither closes nor says anything, and still the server lets go: writing tells.
            loop = asyncio.get_running_loop()
            with contextlib.suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(peer.sock, b"x")
                    await asyncio.sleep(0)
            peer.sock.close()

    run(main())


def test_a_server_reads_only_so_much_of_a_refused_client(run: Runner) -> None:
    async def main() -> None:
        made = Made()
        config = server_config(client_auth=MUTUAL)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port, client_config(anonymous=True))
            await peer.handshake()
            sent = 0
            with contextlib.suppress(ConnectionError):
                while True:
                    await peer.send(bytes(16_000))
                    sent += 16_000
                    await asyncio.sleep(0)
            # What the kernel holds comes on top.
            assert limits.LINGER_BYTES <= sent < 20_000_000
            peer.sock.close()

    run(main())
