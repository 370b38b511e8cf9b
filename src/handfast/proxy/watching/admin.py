"""What an operator asks a proxy, on a listener of its own: metrics, health, and a capture of one client.

HTTP/1.1 without TLS, so on this machine only unless said otherwise. A request and its answer are small and bounded in
time; each has a connection of its own. A page in a browser cannot use it: requests with an Origin are refused, those
that a page asked for by the browser's word (Sec-Fetch-Site), and those for a name that may be the page's own, which it
leads here by DNS (rebinding).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_UNIX
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

import h11

from handfast import limits
from handfast.errors import bad_option
from handfast.proxy.settings import Address, address_words, is_local

if TYPE_CHECKING:
    import socket

METRICS = "text/plain; version=0.0.4; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
# RFC 9110 7.2. A dot at the end of a name changes nothing.
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]+?)\.?)(?::[0-9]*)?")
_OTHER_NAME = b"ask by an address, as localhost, or by a name that the listener is given; other names are a page's\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a status, a body, and what that is."""

    status: int
    body: bytes
    kind: str = TEXT


Handler: TypeAlias = Callable[[dict[str, str]], Awaitable[Answer]]
"""Is given the query's parameters."""


def check_address(address: Address, *, anywhere: bool) -> None:
    """Raises ConfigError bad_option for an address that can be reached from elsewhere, unless ``anywhere``."""
    if not anywhere and not is_local(address):
        reason = f"{address_words(address)} can be reached from elsewhere, and tells all about the proxy without TLS"
        raise bad_option("admin", reason, "listen on 127.0.0.1, or say that it may be anywhere")


class Admin:
    """Answers ``handlers``, by method and path, on a socket that listens. ``names`` are the hosts that it may be."""

    def __init__(self, handlers: Mapping[tuple[str, str], Handler], names: Iterable[str] = ()) -> None:
        self._handlers = handlers
        self._names = frozenset({"localhost", *(name.lower().removesuffix(".") for name in names)})
        # None can be led to a Unix socket.
        self._any_name = False
        self._room = asyncio.Semaphore(limits.PROXY_ADMIN_CONNECTIONS)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        """Take requests from clients of this socket."""
        self._any_name = sock.family == AF_UNIX
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=limits.HTTP_HEAD)

    async def close(self) -> None:
        """Stop, and let the answers that are under way be given, within a bounded time."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limits.SHUTDOWN_TIMEOUT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(limits.PROXY_ADMIN_TIMEOUT), self._room:
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD)
                request = await _asked(connection, reader)
                answer = await self._answer(request)
                head = request is not None and request.method == b"HEAD"
                writer.write(_written(connection, answer, head=head))
                await writer.drain()
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _is_ours(self, host: bytes) -> bool:
        """Whether no other than us leads this Host here: an address, or a name that we have."""
        found = _HOST.fullmatch(host.decode("latin-1").lower())
        return found is not None and (found["name"] in self._names or _is_address(found["v6"] or found["name"]))

    async def _answer(self, request: h11.Request | None) -> Answer:
        if request is None:
            return Answer(400, b"this is no request of HTTP/1.1\n")
        method, (path, _, query) = request.method.decode(), request.target.decode("latin-1").partition("?")
        for field, value in request.headers:
            # "none" is a request of the browser's user.
            if field == b"origin" or (field == b"sec-fetch-site" and value != b"none"):
                return Answer(403, b"this is not for pages in a browser\n")
            if field == b"host" and not (self._any_name or self._is_ours(value)):
                return Answer(403, _OTHER_NAME)
        handler = self._handlers.get(("GET" if method == "HEAD" else method, path))
        if handler is not None:
            return await handler(dict(parse_qsl(query)))
        if any(known == path for _, known in self._handlers):
            return Answer(405, b"this path is for another method\n")
        there = ", ".join(f"{known} {path}" for known, path in self._handlers)
        return Answer(404, f"there are {there}\n".encode())


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _asked(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The request; None for what is none."""
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await reader.read(limits.HTTP_HEAD))
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def _written(connection: h11.Connection, answer: Answer, *, head: bool) -> bytes:
    length = str(len(answer.body)).encode()
    headers = [(b"Content-Type", answer.kind.encode()), (b"Content-Length", length), (b"Connection", b"close")]
    response = h11.Response(status_code=answer.status, headers=headers)
    # h11 lets HEAD have no body.
    events = (response, *(() if head else (h11.Data(answer.body),)), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)
