"""One HTTP/2 request at the client, by h2, which is an extra. RFC 9113."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from handfast import limits
from handfast.cli.http import BadResponse, Request, Stream, as_typed
from handfast.cli.responses import Head
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from h2.events import Event

ALPN = "h2"
_CHUNK = 64 * 1024
# What HTTP/2 has no use for. RFC 9113 8.2.2.
_OF_HTTP_1 = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})


def available() -> bool:
    """Whether h2 is installed."""
    return find_spec("h2") is not None


def fields(request: Request) -> list[tuple[str, str]]:
    """The header fields of a request that HTTP/2 has too; Host is sent as :authority."""
    return [(name, value) for name, value in request.headers if name.lower() not in _OF_HTTP_1]


def request(stream: Stream, request: Request) -> Iterator[Head | bytes]:
    """Send the request; yields the heads as they come, then the body in pieces.

    Raises BadResponse when the response is malformed, reset or cut short. That the request is HTTP is for the caller to
    check.
    """
    from h2.exceptions import H2Error

    try:
        yield from _Exchange(stream, request).run()
    except H2Error as error:
        raise BadResponse(f"HTTP/2: {escape(str(error), limits.MAX_PEER_TEXT)}") from None


class _Exchange:
    """A connection with one stream."""

    def __init__(self, stream: Stream, request: Request) -> None:
        # h2 is an extra, and what is made of it with it.
        from h2.config import H2Configuration

        from handfast.http2_bounds import client_connection
        from handfast.http2_frames import Frames

        self._stream = stream
        self._request = request
        self._connection = client_connection(H2Configuration(client_side=True, header_encoding=None))
        self._id = self._connection.get_next_available_stream_id()
        self._frames = Frames()
        self._heard = False
        self._unsent = memoryview(request.body)

    def run(self) -> Iterator[Head | bytes]:
        """Heads and data, until the response is complete."""
        self._connection.initiate_connection()
        self._connection.send_headers(self._id, _headers(self._request), end_stream=not self._request.body)
        while True:
            self._send()
            data = self._stream.recv(_CHUNK)
            if not data:
                raise BadResponse("the server closed the connection before the response was complete")
            for event in self._events(data):
                done, parts = self._answer(event)
                yield from parts
                if done:
                    self._connection.close_connection()
                    self._flush()
                    return

    def _send(self) -> None:
        """As much of the body as the server takes now."""
        while self._unsent and (room := self._connection.local_flow_control_window(self._id)) > 0:
            step = min(room, self._connection.max_outbound_frame_size, len(self._unsent))
            self._connection.send_data(self._id, bytes(self._unsent[:step]), end_stream=step == len(self._unsent))
            self._unsent = self._unsent[step:]
        self._flush()

    def _flush(self) -> None:
        if data := self._connection.data_to_send():
            self._stream.sendall(data)

    def _events(self, data: bytes) -> Iterator[Event]:
        from handfast.http2_frames import Goaway, error_name

        if data.startswith(b"HTTP/1") and not self._heard:
            raise BadResponse("the server chose HTTP/2 and answers in HTTP/1")
        self._heard = True
        for piece in self._frames.split(data):
            if not isinstance(piece, Goaway):
                yield from self._connection.receive_data(piece)
            elif piece.code or piece.last < self._id:
                raise BadResponse(f"HTTP/2: the server ended the connection, {error_name(piece.code)}")

    def _answer(self, event: Event) -> tuple[bool, Sequence[Head | bytes]]:
        """Whether that was the end, and what of the response it brought."""
        from h2 import events

        from handfast.http2_frames import error_name

        match event:
            case events.InformationalResponseReceived() | events.ResponseReceived():
                return False, [_head(event.headers or [])]
            case events.DataReceived(data=data, flow_controlled_length=length):
                self._connection.acknowledge_received_data(length or 0, self._id)
                return False, [data or b""]
            case events.StreamEnded():
                return True, []
            case events.StreamReset(error_code=code):
                raise BadResponse(f"HTTP/2: the server reset the stream, {error_name(code or 0)}")
        return False, []


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    named = next((value for name, value in request.headers if name.lower() == "host"), "")
    pseudo = [(":method", request.method), (":scheme", "https"), (":authority", named), (":path", request.target)]
    rest = [(name.lower(), value) for name, value in fields(request) if name.lower() != "host"]
    return [(as_typed(name), as_typed(value)) for name, value in (*(one for one in pseudo if one[1]), *rest)]


def _head(headers: Sequence[tuple[bytes, bytes]]) -> Head:
    status = next((value for name, value in headers if name == b":status"), b"")
    if len(status) != 3 or not status.isdigit():
        raise BadResponse(f"HTTP/2: {escape(status, limits.MAX_PEER_TEXT)!r} is no status")
    return Head("2", int(status), b"", [(name, value) for name, value in headers if not name.startswith(b":")])
