"""A backend of HTTP/2 that remembers what it read, answers as it is told, and may send what h2 would not let it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from handfast.errors import ConnectionLost
from handfast.proxy.settings import Backend, Listener, Service
from tests.proxy.http.browser import tls as server_tls
from tests.proxy.http.support import Web
from tests.proxy.support import LOCAL, backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Pairs = list[tuple[str, str]]


@dataclass
class Asked:
    """One request on one stream; ``connection`` counts the backend's connections from 0."""

    connection: int
    number: int
    headers: Pairs
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.headers)


class Link:
    """One connection. ``takes`` says whether windows are widened as bodies come."""

    def __init__(self, origin: Http2Origin, number: int, writer: asyncio.StreamWriter) -> None:
        config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        if origin.settings:
            self.h2.local_settings = Settings(client=False, initial_values=dict(origin.settings))
        self.origin, self.number, self.writer = origin, number, writer
        self.takes = origin.takes
        self.asked: dict[int, Asked] = {}

    def head(self, number: int, *fields: tuple[str, str], status: str = "200", end: bool = False) -> None:
        self.h2.send_headers(number, [(":status", status), *fields], end_stream=end)
        self.flush()

    def data(self, number: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(number, data, end_stream=end)
        self.flush()

    def trailers(self, number: int, *fields: tuple[str, str]) -> None:
        self.h2.send_headers(number, list(fields), end_stream=True)
        self.flush()

    def reset(self, number: int, code: int) -> None:
        self.h2.reset_stream(number, code)
        self.flush()

    def goaway(self, last: int, code: int = 0, said: bytes = b"bye") -> None:
        self.raw(7, 0, 0, struct.pack(">II", last, code) + said)

    def raw(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """A frame as it stands."""
        self.writer.write(struct.pack(">IBI", len(payload) << 8 | kind, flags, number) + payload)

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def take(self, event: Any) -> None:
        number = getattr(event, "stream_id", None) or 0
        match event:
            case RequestReceived(headers=headers):
                pairs = [(str(name), str(value)) for name, value in headers]
                self.asked[number] = asked = Asked(self.number, number, pairs)
                self.origin.asked.append(asked)
                self.origin.on_head(self, asked)
            case DataReceived(data=data):
                self.asked[number].body += data
                if self.takes:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, number)
            case TrailersReceived(headers=headers):
                self.asked[number].trailers = [(str(name), str(value)) for name, value in headers]
            case StreamEnded():
                self.asked[number].ended = True
                self.origin.answer(self, self.asked[number])
            case StreamReset(error_code=code):
                self.asked[number].reset = int(code)


def well(link: Link, asked: Asked) -> None:
    """An answer of two bytes."""
    link.head(asked.number, ("content-length", "2"))
    link.data(asked.number, b"ok", end=True)


def nothing(link: Link, asked: Asked) -> None:
    """No answer."""


class Http2Origin:
    """The backend. ``on_head`` is told of a request's head, and ``answer`` once it is complete."""

    def __init__(
        self,
        answer: Callable[[Link, Asked], object] = well,
        *,
        on_head: Callable[[Link, Asked], object] = nothing,
        settings: dict[SettingCodes, int] | None = None,
        takes: bool = True,
        first: bytes | None = None,
    ) -> None:
        self.answer, self.on_head = answer, on_head
        self.settings = settings or {}
        self.takes = takes
        # What is sent in place of HTTP/2.
        self.first = first
        self.links: list[Link] = []
        self.asked: list[Asked] = []
        self._moved = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, len(self.links), writer)
        self.links.append(link)
        if self.first is None:
            link.h2.initiate_connection()
            link.flush()
        else:
            writer.write(self.first)
        while data := await self._read(reader):
            with contextlib.suppress(H2Error):
                for event in [] if self.first is not None else link.h2.receive_data(data):
                    link.take(event)
                link.flush()
            self._moved.set()
            await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        # A proxy that does not believe it breaks off.
        with contextlib.suppress(ConnectionLost):
            return await reader.read(65536)
        return b""

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until what came makes the condition hold."""
        while not condition():
            self._moved.clear()
            await self._moved.wait()


class Web2(Web):
    """A proxy for HTTP, a backend of HTTP/2 behind it, and its clients."""

    behind: Http2Origin

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, to: Backend, *, grace: float = 0.0, **options: Any) -> AsyncIterator[Web2]:
        """One at work; ``options`` are the service's."""
        proxy = cls(Listener(LOCAL, Service(to, **options), server_tls()))
        await proxy.start()
        try:
            yield proxy
        finally:
            if not proxy.proxy.draining:
                await proxy.proxy.close(grace)


@contextlib.asynccontextmanager
async def web2(
    origin: Http2Origin | None = None, *, to: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Web2]:
    """A proxy before ``origin``; ``to`` are options of the backend, and the others the service's."""
    origin = origin or Http2Origin()
    async with backend(origin.handle) as address:
        there = Backend((address[0], address[1]), http2=True, **(to or {}))
        async with Web2.before(there, **options) as proxy:
            proxy.behind = origin
            yield proxy
