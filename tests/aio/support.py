"""What the tests of handfast.aio share: configurations, protocols that remember, and a peer moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any

from handfast import (
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credentials,
    Data,
    PathVerifier,
    Roots,
    ServerConfig,
    ServerConnection,
    aio,
    limits,
)
from tests import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from handfast.io.aio.protocol import TLSProtocol
from handfast.io.aio.transport import TLSTransport
from handfast.pki.authority import Issued

MUTUAL = ClientAuth.REQUIRE_AND_VERIFY


def identity(issued: Issued) -> Credentials:
    return Credentials.from_pem(issued.cert_pem, issued.key_pem)


def verifier() -> PathVerifier:
    return PathVerifier(Roots.from_der([certificates.ca().certificate_der]))


def client_config(*, anonymous: bool = False, **options: Any) -> ClientConfig:
    if not anonymous:
        options.setdefault("credentials", [identity(certificates.client())])
    return ClientConfig(**{"verifier": verifier(), **options})


def server_config(**options: Any) -> ServerConfig:
    return ServerConfig(**{"credentials": [identity(certificates.server())], "verifier": verifier(), **options})


def below(transport: TLSTransport) -> TLSProtocol:
    """What a transport writes to."""
    from handfast.io.aio.protocol import TLSProtocol

    link = transport._below
    assert isinstance(link, TLSProtocol)
    return link


def port_of(server: asyncio.AbstractServer) -> int:
    port: int = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    return port


@contextlib.asynccontextmanager
async def listening(server: asyncio.AbstractServer) -> AsyncIterator[int]:
    try:
        yield port_of(server)
    except BaseException:
        # From Python 3.12 on wait_closed would wait for the connections that a failed test leaves open.
        server.close()
        raise
    server.close()
    await server.wait_closed()


class Recorder(asyncio.Protocol):
    """Remembers what it is told, in order."""

    keep_open = False

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.told: list[str] = []
        self.data = bytearray()
        self.changed = asyncio.Event()
        self.made: asyncio.Future[aio.TLSTransport] = loop.create_future()
        self.lost: asyncio.Future[Exception | None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, aio.TLSTransport)
        self.transport = transport
        self._tell("made")
        self.made.set_result(transport)

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self._tell("data")

    def eof_received(self) -> bool:
        self._tell("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self._tell("pause")

    def resume_writing(self) -> None:
        self._tell("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell("lost")
        self.lost.set_result(exc)

    def _tell(self, what: str) -> None:
        if self.told[-1:] != [what]:
            self.told.append(what)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class HalfOpen(Recorder):
    """Goes on writing after the peer's end."""

    keep_open = True


class Made:
    """A protocol factory that keeps what it made."""

    def __init__(self, kind: Callable[[], Recorder] = Recorder) -> None:
        self.kind = kind
        self.all: list[Recorder] = []

    def __call__(self) -> Recorder:
        self.all.append(self.kind())
        return self.all[-1]


class ByHand:
    """A peer over plain TCP whose bytes the test moves itself, so that it can misbehave."""

    def __init__(self, connection: ClientConnection | ServerConnection, sock: socket.socket) -> None:
        self.connection = connection
        self.sock = sock
        self.data = bytearray()
        sock.setblocking(False)

    @classmethod
    async def connect(cls, port: int, config: ClientConfig | None = None) -> ByHand:
        sock = socket.create_connection(("127.0.0.1", port))
        return cls(ClientConnection(config or client_config(), server_name="localhost"), sock)

    async def flush(self) -> None:
        loop = asyncio.get_running_loop()
        if data := self.connection.outgoing():
            await loop.sock_sendall(self.sock, data)

    async def read(self) -> bool:
        """Read once. False at the end of the connection."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if data:
            for result in self.connection.receive(data):
                if isinstance(result, Data):
                    self.data += result.data
            if self.connection.error is not None:
                raise self.connection.error
        return bool(data)

    async def handshake(self) -> None:
        await self.flush()
        while not self.connection.connected:
            assert await self.read()
            await self.flush()

    async def send(self, data: bytes) -> None:
        self.connection.send(data)
        await self.flush()

    async def read_to_end(self) -> None:
        while await self.read():
            pass

    def reset(self) -> None:
        """Close so that the kernel sends a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@contextlib.asynccontextmanager
async def server_by_hand(config: ServerConfig | None = None) -> AsyncIterator[tuple[int, asyncio.Future[ByHand]]]:
    """A listening socket: its port, and the one connection that will come, before its handshake."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def accept() -> ByHand:
            sock, _ = await loop.sock_accept(listener)
            return ByHand(ServerConnection(config or server_config()), sock)

        accepting = loop.create_task(accept())
        try:
            yield listener.getsockname()[1], accepting
        finally:
            accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await accepting).sock.close()


@contextlib.asynccontextmanager
async def client_by_hand(
    kind: Callable[[], Recorder] = Recorder, shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT, **config: Any
) -> AsyncIterator[tuple[ByHand, Recorder]]:
    """A client moved by hand and a server's protocol, connected; closed at the end if the test has not done so."""
    made = Made(kind)
    server = await aio.create_server(made, "127.0.0.1", 0, server_config(**config), shutdown_timeout=shutdown_timeout)
    async with listening(server) as port:
        peer = await ByHand.connect(port)
        await peer.handshake()
        (near,) = made.all
        await near.made
        yield peer, near
        peer.sock.close()
        near.transport.abort()
        await near.lost


@contextlib.asynccontextmanager
async def connected(
    *,
    client: Callable[[], Recorder] = Recorder,
    server: Callable[[], Recorder] = Recorder,
    client_options: dict[str, Any] | None = None,
    server_options: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """A client's and a server's protocol, whose connection is closed at the end if the test has not done so."""
    made = Made(server)
    options = server_options or {}
    async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config(**config), **options)) as port:
        _, near = await aio.create_connection(client, "127.0.0.1", port, client_config(), **client_options or {})
        far = made.all[0]
        await far.made
        yield near, far
        for end in (near, far):
            end.transport.abort()
            await end.lost
