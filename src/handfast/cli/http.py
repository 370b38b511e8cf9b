"""HTTP/1.1 over anything with ``recv`` and ``sendall``, by h11: one request of a client, and a server's requests."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import h11

from handfast import limits
from handfast.io.failure_log import address_text
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Headers = list[tuple[str, str]]
_CHUNK = 64 * 1024


class Stream(Protocol):
    """What HTTP runs over; ``recv`` returns b"" at a clean end and raises HandfastError at any other."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...


class BadRequest(Exception):
    """What was to be sent is no HTTP/1.1 request."""


class BadResponse(Exception):
    """What the server sent is not an HTTP/1.1 response, or ends before it is complete."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``target`` is what stands in the request line, ``path`` its part before the question mark."""

    method: str
    target: str
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class BodyCut(Exception):
    """What is sent as a body has become shorter than it was when its length was told."""


class Body:
    """A part of a file that is sent as the body of a reply: ``left`` bytes from where the file stands."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self.left = left

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; b"" at the end. Raises BodyCut."""
        wanted = min(most, self.left)
        data = self._file.read(wanted)
        if wanted and not data:
            raise BodyCut
        self.left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers; content-type and content-length are added to ``headers`` where there is a content_type.

    ``file`` stands in for ``body``, and can be sent once.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Headers = field(default_factory=list)
    file: Body | None = None

    def opened(self) -> Body:
        """The body, to be read once."""
        return self.file or Body(io.BytesIO(self.body), len(self.body))

    def fields(self) -> Headers:
        """All headers."""
        if not self.content_type:
            return list(self.headers)
        length = len(self.body) if self.file is None else self.file.left
        return [("content-type", self.content_type), ("content-length", str(length)), *self.headers]


def access_line(client: str, method: str, target: str, status: int, who: str = "-") -> str:
    """A line of an access log: where from, when, what, how it was answered, and who.

    ``who`` is escaped already, and stands last since it may hold spaces; what the client chose is escaped here.
    """
    asked = f"{escape(method, limits.MAX_PEER_TEXT)} {escape(target, limits.MAX_PEER_TEXT)}"
    return f"{client}: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {asked} {status} {who}"


def reached(listening: Any, client: Any) -> tuple[str, int]:
    """The address at which a client reached us; of a server that listens on all, the one on loopback."""
    host, port = listening[:2]
    if host in ("0.0.0.0", "::"):
        host = "::1" if ":" in client[0] else "127.0.0.1"
    return host, port


def plain_http_answer(address: Any) -> bytes:
    """What a client is told that speaks HTTP to a port of TLS. Its own Host field is not repeated to it."""
    everywhere = address[0] in ("0.0.0.0", "::")
    where = f"https:// at port {address[1]}" if everywhere else f"https://{address_text(address)}/"
    body = f"this port speaks HTTPS, and the request came without TLS: ask {where}\n".encode()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def request(stream: Stream, request: Request) -> Iterator[h11.InformationalResponse | h11.Response | bytes]:
    """Send the request; yields the heads as they come, then the body in pieces.

    Raises BadResponse when the response is malformed or cut short, BadRequest when the request is no HTTP.
    """
    connection = h11.Connection(h11.CLIENT)
    stream.sendall(_sent(connection, request))
    try:
        yield from _response(stream, connection)
    except h11.RemoteProtocolError as error:
        raise BadResponse(str(error)) from None


def check(request: Request) -> None:
    """Raises BadRequest for a request that is no HTTP."""
    _sent(h11.Connection(h11.CLIENT), request)


def as_typed(text: str) -> bytes:
    """The bytes of an argument of the command line, be they UTF-8 or not."""
    return text.encode("utf-8", "surrogateescape")


def _sent(connection: h11.Connection, request: Request) -> bytes:
    try:
        fields = [(as_typed(name), as_typed(value)) for name, value in request.headers]
        head = h11.Request(method=as_typed(request.method), target=request.target, headers=fields)
        events = (head, h11.Data(request.body), h11.EndOfMessage())
        return b"".join(connection.send(event) or b"" for event in events)
    except h11.LocalProtocolError as error:
        raise BadRequest(str(error)) from None


def _response(stream: Stream, connection: h11.Connection) -> Iterator[h11.InformationalResponse | h11.Response | bytes]:
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(stream.recv(_CHUNK))
            case h11.InformationalResponse() | h11.Response() as head:
                yield head
            case h11.Data(data=data):
                yield bytes(data)
            case h11.ConnectionClosed():
                raise BadResponse("the server closed the connection without a response")
            case _:
                return


def as_fast_as_it_likes(_seconds: float) -> None:
    """For streams whose other side is given any time."""


def serve(
    stream: Stream,
    answer: Callable[[Request], Reply],
    log: Callable[[str, str, int], object] | None = None,
    *,
    allow: Callable[[float], object] = as_fast_as_it_likes,
) -> None:
    """Answer the requests of one connection until the client or an error ends it.

    ``log`` is told method, target and status of each reply before it is sent; "-" where there was no request. ``allow``
    is told how many seconds the client has from then on, whatever ``stream.recv`` is called.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD)
    while True:
        method, target = "", "-"
        try:
            request = _next_request(stream, connection, allow)
            if request is None:
                return
            method, target = request.method, request.target
            reply = answer(request) if len(request.body) <= limits.HTTP_BODY else too_large()
        except h11.RemoteProtocolError as error:
            reply = Reply(error.error_status_hint, f"this is no whole HTTP request: {error}\n".encode())
        if log is not None:
            log(method or "-", target, reply.status)
        try:
            _send(stream, connection, reply, method)
        except BodyCut:
            return
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


def _next_request(stream: Stream, connection: h11.Connection, allow: Callable[[float], object]) -> Request | None:
    """The next whole request; None when the client is done. A body over the limit is cut one byte above it."""
    head: h11.Request | None = None
    body = bytearray()
    allow(limits.HTTP_IDLE_TIMEOUT)
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    going_on = h11.InformationalResponse(status_code=100, headers=[])
                    stream.sendall(connection.send(going_on) or b"")
                connection.receive_data(stream.recv(_CHUNK))
            case h11.Request() as head:
                allow(limits.HTTP_BODY_TIMEOUT)
            case h11.Data(data=data):
                body += data
                if len(body) > limits.HTTP_BODY and head is not None:
                    return _request(head, body)
            case h11.EndOfMessage() if head is not None:
                return _request(head, body)
            case _:
                return None


def _request(head: h11.Request, body: bytearray) -> Request:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    return Request(head.method.decode("ascii"), head.target.decode("latin-1"), headers, bytes(body))


def too_large() -> Reply:
    """The reply to a body that is larger than the limit."""
    return Reply(413, f"the body exceeds {limits.HTTP_BODY} bytes\n".encode())


def _send(stream: Stream, connection: h11.Connection, reply: Reply, method: str) -> None:
    headers = reply.fields()
    if connection.their_state is not h11.DONE:
        headers.append(("connection", "close"))
    reason = HTTPStatus(reply.status).phrase
    # A small answer leaves in one piece.
    data = connection.send(h11.Response(status_code=reply.status, headers=headers, reason=reason)) or b""
    with closing(reply.opened()) as body:
        while method != "HEAD" and (piece := body.read(_CHUNK)):
            data += connection.send(h11.Data(piece)) or b""
            if body.left:
                stream.sendall(data)
                data = b""
    stream.sendall(data + (connection.send(h11.EndOfMessage()) or b""))
