"""A client of HTTP/2, which may send what h2 would not let it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.aio.support import client_config
from tests.proxy.support import mutual
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast.config.config import ServerConfig
    from tests.proxy.http.support import Web

Pairs = list[tuple[str, str]]


def tls(**options: Any) -> ServerConfig:
    return mutual(application_protocols=("h2", "http/1.1"), **options)


@dataclass
class Got:
    """What came on one stream."""

    status: int = 0
    headers: Pairs = field(default_factory=list)
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    ended: bool = False
    reset: ErrorCodes | int | None = None

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]


class Browser:
    """One connection. Windows are widened only if it says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, takes: bool = True) -> None:
        config = H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.reader, self.writer = reader, writer
        self.takes = takes
        self.got: dict[int, Got] = {}
        self.goodbye: ConnectionTerminated | None = None
        self.over = False
        self.pongs = 0
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, path: str = "/", *more: tuple[str, str], method: str = "GET", end: bool = True, **pseudo: Any) -> int:
        """Send the head of a request; a pseudo-header whose value is None is left out."""
        heads = {"method": method, "scheme": "https", "authority": "localhost", "path": path, **pseudo}
        fields = [(f":{name}", value) for name, value in heads.items() if value is not None]
        return self.ask_raw([*fields, *more], end=end)

    def ask_raw(self, fields: Pairs, *, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields, end_stream=end)
        self.got[number] = Got()
        self.flush()
        return number

    def send(self, number: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(number, data, end_stream=end)
        self.flush()

    async def receive(self) -> bool:
        """Take what comes next; whether anything did."""
        async with asyncio.timeout(LIMIT):
            data = await self.reader.read(65536)
        self.over = not data
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()
        return bool(data)

    def _take(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goodbye = event
            return
        self.pongs += isinstance(event, PingAckReceived)
        got = self.got.get(getattr(event, "stream_id", 0) or 0)
        if got is None:
            return
        match event:
            case ResponseReceived(headers=headers):
                got.headers = [(str(name), str(value)) for name, value in headers]
                got.status = int(got[":status"])
            case InformationalResponseReceived(headers=headers):
                got.interim += [int(value) for name, value in headers if str(name) == ":status"]
            case DataReceived(data=data):
                got.body += data
                if self.takes:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case TrailersReceived(headers=headers):
                got.trailers = [(str(name), str(value)) for name, value in headers]
            case StreamEnded():
                got.ended = True
            case StreamReset(error_code=code):
                got.reset = code

    async def answer(self, number: int) -> Got:
        """The answer on this stream, once it has ended or was reset."""
        got = self.got[number]
        while not got.ended and got.reset is None and not self.over:
            await self.receive()
        return got

    async def get(self, path: str = "/", *more: tuple[str, str], **options: Any) -> Got:
        return await self.answer(self.ask(path, *more, **options))

    async def ping(self) -> None:
        """Wait until all that was sent before was looked at."""
        self.h2.ping(b"12345678")
        self.flush()
        seen = self.pongs
        while self.pongs == seen and await self.receive():
            pass

    def close(self) -> None:
        self.writer.close()


async def browser(proxy: Web, *, takes: bool = True, **options: Any) -> Browser:
    return Browser(*await proxy.client(application_protocols=("h2",), **options), takes=takes)


__all__ = ["Browser", "Got", "browser", "client_config", "tls"]
