"""A socket's timeout bounds a whole call, however the peer's bytes come: by a clock that only moves while we wait."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from handfast.io.sslcontext import transports
from tests.sslcontext.pairs import OURS, Files, client_context, server_context

STEP, TIMEOUT = 0.25, 1.0


class Dripping:
    """A socket of ours; whenever it is waited for, a quarter of a second passes and its peer does something little."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, self.peer = socket.socketpair()
        self.now = 1000.0
        self.allowed: list[float | None] = []
        self.act: Callable[[], object] = lambda: None
        self.wrapped: list[Any] = []
        monkeypatch.setattr(f"{transports.__name__}.time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(transports, "ready", self._ready)

    def _ready(self, descriptor: int, events: int, seconds: float | None) -> int:
        if seconds != 0:
            self.allowed.append(seconds)
            self.now += STEP
            self.act()
        return events

    def drip(self, data: bytes) -> None:
        """One byte at a time."""
        left = iter(data)
        self.act = lambda: self.peer.send(bytes((next(left),)))


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dripping]:
    made = Dripping(monkeypatch)
    with made.ours, made.peer:
        yield made
    for one in made.wrapped:
        one.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def wrapped(context: Any, dripping: Dripping, **given: Any) -> Any:
    dripping.ours.settimeout(TIMEOUT)
    dripping.wrapped.append(context.wrap_socket(dripping.ours, do_handshake_on_connect=False, **given))
    return dripping.wrapped[-1]


def connected(dripping: Dripping, files: Files) -> tuple[Any, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A client over the socket, and its server over buffers, which have carried the handshake."""
    client = wrapped(client_context(OURS, files), dripping, server_hostname="localhost")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(OURS, files).wrap_bio(to_server, to_client, server_side=True)

    def serve() -> None:
        to_server.write(dripping.peer.recv(65536))
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        finally:
            dripping.peer.sendall(to_client.read())

    dripping.act = serve
    client.do_handshake()
    serve()
    server.do_handshake()
    dripping.peer.setblocking(False)
    dripping.act = lambda: None
    dripping.allowed.clear()
    return client, server, to_server, to_client


def test_a_handshake(dripping: Dripping, files: Files) -> None:
    server = wrapped(server_context(OURS, files), dripping, server_side=True)
    dripping.drip(b"\x16\x03\x01\x02\x00\x01" + bytes(50))
    with pytest.raises(TimeoutError, match=r"^The handshake operation timed out$"):
        server.do_handshake()
    assert dripping.allowed == [1.0, 0.75, 0.5, 0.25]
    # The next call has its own time.
    with pytest.raises(TimeoutError):
        server.do_handshake()
    assert dripping.allowed == [1.0, 0.75, 0.5, 0.25] * 2


@pytest.mark.parametrize("read", [lambda sock: sock.recv(10), lambda sock: sock.recv_into(bytearray(10))])
def test_a_read(dripping: Dripping, files: Files, read: Callable[[Any], object]) -> None:
    client, server, _, to_client = connected(dripping, files)
    while client._sslobj.session is None:
        client.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        client.settimeout(TIMEOUT)
    server.write(b"hello")
    record = to_client.read()
    dripping.drip(record)
    for _ in range(len(record) // 4):
        dripping.allowed.clear()
        with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
            read(client)
        assert dripping.allowed == [1.0, 0.75, 0.5, 0.25]
    assert read(client) in (b"hello", 5)


def test_a_read_that_makes_the_handshake(dripping: Dripping, files: Files) -> None:
    server = wrapped(server_context(OURS, files), dripping, server_side=True)
    dripping.drip(b"\x16\x03\x01\x02\x00\x01" + bytes(50))
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        server._sslobj.read(1)
    assert dripping.allowed == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("name", ["send", "sendall"])
def test_a_write(dripping: Dripping, files: Files, name: str) -> None:
    client, *_ = connected(dripping, files)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = bytes(1_000_000)
    dripping.act = lambda: dripping.peer.recv(4096)
    with pytest.raises(TimeoutError, match=r"^The write operation timed out$"):
        getattr(client, name)(data)
    assert dripping.allowed == [1.0, 0.75, 0.5, 0.25]


def test_an_unwrap(dripping: Dripping, files: Files) -> None:
    client, *_ = connected(dripping, files)
    dripping.drip(b"\x17\x03\x03\x02\x00" + bytes(50))
    with pytest.raises(TimeoutError, match=r"^The read operation timed out$"):
        client.unwrap()
    assert dripping.allowed == [1.0, 0.75, 0.5, 0.25]


def test_a_socket_without_timeout_waits_as_long_as_it_takes(dripping: Dripping, files: Files) -> None:
    client, server, _, to_client = connected(dripping, files)
    client.settimeout(None)
    server.write(b"hello")
    dripping.peer.sendall(to_client.read())
    assert client.recv(10) == b"hello"
    assert transports.Call("read").left() is None


def test_what_is_said_of_another_protocol_waits_for_nothing(dripping: Dripping, files: Files) -> None:
    client = wrapped(client_context(OURS, files), dripping, server_hostname="localhost")
    dripping.peer.sendall(b"HTTP/")
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
        client.do_handshake()
    assert dripping.allowed == []


def test_readiness_is_that_of_the_socket() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        assert transports.ready(ours.fileno(), select.POLLIN, 0) == 0
        assert transports.ready(ours.fileno(), select.POLLIN | select.POLLOUT, None) == select.POLLOUT
        peer.send(b"x")
        assert transports.ready(ours.fileno(), select.POLLIN, 1) == select.POLLIN
