"""What the tests of the proxy's HTTP share: a backend that remembers what it read, and a client that writes bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import h11

from handfast.proxy.journal import RequestEnded
from handfast.proxy.settings import Backend, Listener, Service
from tests.proxy.support import LOCAL, Running, backend, mutual, running
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from handfast.config.config import ServerConfig

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Seen:
    """One request as h11 read it at the backend; ``connection`` counts the backend's connections from 0."""

    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


class Origin:
    """A backend: keeps all bytes and all requests, and answers with what ``answer`` makes of each.

    An answer is bytes that are sent as they are; ``CLOSE`` behind them closes the connection, ``RESET`` resets it.
    """

    CLOSE, RESET = b"<close>", b"<reset>"

    def __init__(self, answer: Callable[[Seen], bytes] | None = None) -> None:
        self.answer = answer or (lambda _: OK)
        self.raw: list[bytearray] = []
        self.seen: list[Seen] = []
        self.early: Callable[[Seen], bytes] | None = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A request that is cut is not seen; what it was stands in ``raw``.
        with contextlib.suppress(h11.RemoteProtocolError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.raw)
        self.raw.append(bytearray())
        connection = h11.Connection(h11.SERVER)
        seen: Seen | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                self.raw[number] += data
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                seen = Seen(number, event.method.decode(), event.target.decode("latin-1"), headers)
                if self.early is not None and not await self.send(writer, self.early(seen)):
                    return
            elif isinstance(event, h11.Data) and seen is not None:
                seen.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and seen is not None:
                seen.trailers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                self.seen.append(seen)
                if not await self.send(writer, self.answer(seen)):
                    return
                # h11 here is a reader only: the next request is another one's.
                rest = connection.trailing_data[0]
                connection = h11.Connection(h11.SERVER)
                connection.receive_data(rest) if rest else None
            else:
                return

    async def send(self, writer: asyncio.StreamWriter, answer: bytes) -> bool:
        for end in (self.CLOSE, self.RESET):
            if answer.endswith(end):
                writer.write(answer.removesuffix(end))
                await writer.drain()
                if end is self.RESET:
                    writer.transport.abort()
                writer.close()
                return False
        writer.write(answer)
        await writer.drain()
        return True


class SlowOrigin(Origin):
    """A backend of one request: ``asked`` is set when it has come, and it is answered when ``go`` is."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.go.wait()
        writer.write(OK)


def stop_reading(writer: asyncio.StreamWriter) -> None:
    """Read no more, and let the kernel keep little: by itself it keeps many megabytes."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    cast(asyncio.Transport, writer.transport).pause_reading()


def read_on(writer: asyncio.StreamWriter) -> None:
    """Read again."""
    cast(asyncio.Transport, writer.transport).resume_reading()


def echo(seen: Seen) -> bytes:
    """An answer that says what the backend saw."""
    told = {"method": seen.method, "target": seen.target, "headers": seen.headers, "body": seen.body.decode("latin-1")}
    body = json.dumps(told).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]
    interim: list[int]

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.headers)


class Asker:
    """A client of HTTP/1.1 that writes bytes; h11 reads what it is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "GET") -> Answer:
        """The next one. Raises what h11 does for one that is cut."""
        connection = h11.Connection(h11.CLIENT)
        upgrade = [("connection", "upgrade"), ("upgrade", "websocket")] if method == "upgrade" else []
        connection.send(h11.Request(method="GET" if upgrade else method, target="/", headers=[("host", "x"), *upgrade]))
        if self._rest:
            connection.receive_data(self._rest)
            self._rest = b""
        answer = Answer(0, [], b"", [], [])
        parts = []
        async with asyncio.timeout(LIMIT):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await self.reader.read(65536))
                elif isinstance(event, h11.InformationalResponse):
                    answer.interim.append(event.status_code)
                    if event.status_code == 101:
                        answer.status = 101
                        self._rest = connection.trailing_data[0]
                        return answer
                elif isinstance(event, h11.Response):
                    answer.status = event.status_code
                    answer.headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
                elif isinstance(event, h11.Data):
                    parts.append(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    answer.body = b"".join(parts)
                    answer.trailers = [(name.decode(), value.decode()) for name, value in event.headers]
                    self._rest = connection.trailing_data[0]
                    return answer
                else:
                    raise AssertionError(f"no answer, but {event!r}")

    async def ask(self, head: str, body: bytes = b"") -> Answer:
        """Send a request, of lines, and read its answer."""
        lines = head.strip().splitlines()
        self.write("".join(f"{line.strip()}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body)
        return await self.answer(lines[0].split()[0].strip())

    async def get(self, target: str = "/", *more: str, host: str = "localhost") -> Answer:
        return await self.ask("\n".join([f"GET {target} HTTP/1.1", f"host: {host}", *more]))

    async def at_end(self) -> bool:
        """Whether the connection has ended in order, with nothing before."""
        async with asyncio.timeout(LIMIT):
            return self._rest == b"" and await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()


class Web(Running):
    """A proxy for HTTP, its backend and its clients."""

    origin: Origin

    async def asker(self, **options: Any) -> Asker:
        return Asker(*await self.client(**options))

    async def requests(self, count: int = 1) -> list[RequestEnded]:
        """Waits for so many entries of requests."""
        async with asyncio.timeout(LIMIT):
            while len(found := [one for one in self.entries if isinstance(one, RequestEnded)]) < count:
                self._told.clear()
                await self._told.wait()
        return found


@contextlib.asynccontextmanager
async def web(
    origin: Origin | None = None, *, tls: ServerConfig | None = None, grace: float = 0.0, **options: Any
) -> AsyncIterator[Web]:
    """A proxy before ``origin``; ``options`` are the service's."""
    origin = origin or Origin()
    async with backend(origin.handle) as address:
        service = Service(Backend((address[0], address[1])), **options)
        proxy = Web(Listener(LOCAL, service, tls or mutual()))
        proxy.origin = origin
        await proxy.start()
        try:
            yield proxy
        finally:
            if not proxy.proxy.draining:
                await proxy.proxy.close(grace)


__all__ = ["OK", "Answer", "Asker", "Origin", "Seen", "Web", "echo", "read_on", "running", "stop_reading", "web"]
