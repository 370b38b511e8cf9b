"""HTTP/2 with a client: a stream for each exchange. RFC 9113.

h2 reads and writes frames; what a request is, is judged by ``request.py``, whose refusals cost a stream and not the
connection. Back-pressure is a stream's own: what a backend has not taken is not acknowledged to the client, and what
the client's window does not take stops the backend, after what one read has brought.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import FrameTooLargeError, H2Error

from handfast import limits
from handfast.http2_bounds import Costs, TooMuch, server_connection
from handfast.http2_frames import PREFACE, Frames, Goaway
from handfast.proxy.http.exchange import Exchange, tell_refused
from handfast.proxy.http.http2_stream import Stream
from handfast.proxy.http.request import Refused, bad_field, from_http2
from handfast.proxy.http.time_limit import Deadline

if TYPE_CHECKING:
    from handfast.proxy.http.gate import Gate
    from handfast.proxy.http.header_fields import Fields
    from handfast.proxy.http.pool import Pool

# What is read of headers is held against HTTP/1.1 by ``request.py``, and what is sent h11 has read.
_CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_INITIAL_WINDOW = 2**16 - 1


class Http2(asyncio.Protocol):
    """A client's connection."""

    transport: asyncio.Transport

    def __init__(self, gate: Gate, pool: Pool) -> None:
        self._gate = gate
        self._client = gate.client
        self._pool = pool
        self.h2 = server_connection(_CONFIG)
        self._frames = Frames(PREFACE)
        self._streams: dict[int, Stream] = {}
        # Streams that are answered before their request was complete, and how much of it came since.
        self._unwanted: dict[int, int] = {}
        self._costs = Costs(time.monotonic)
        self.paused = False
        self._receiving = False
        self._draining = False
        self._failure = ("", "")
        self._deadline = Deadline(self._idle)
        self.received = self.sent = 0

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(limits.PROXY_HTTP2_WINDOW - _INITIAL_WINDOW)
        self.write()
        self._deadline.set(limits.PROXY_HEAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.transport.is_closing():
            return
        self._receiving = True
        try:
            for piece in self._frames.split(data):
                if not isinstance(piece, Goaway):
                    self._take(self.h2.receive_data(piece))
                elif piece.code:
                    self._end()
                    break
                else:
                    # It asks for nothing further, and what it has asked for is still wanted. RFC 9113 6.8.
                    self._draining = True
        except TooMuch as error:
            self._goodbye(ErrorCodes.ENHANCE_YOUR_CALM, "too_much", str(error))
        except FrameTooLargeError as error:
            self._goodbye(ErrorCodes.FRAME_SIZE_ERROR, "bad_request", str(error))
        except (H2Error, ValueError) as error:
            # h2 has its GOAWAY ready.
            self._failure = ("bad_request", f"HTTP/2: {type(error).__name__}")
            self._end()
        finally:
            self._receiving = False
        self.write()
        self._end_if_drained()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.end()
        for stream in tuple(self._streams.values()):
            stream.client_gone("client_closed", "the client left before its answer was complete")
        self._streams.clear()
        self._pool.client_gone()
        code, why = self._failure
        self._client.ended(received=self.received, sent=self.sent, code=code, why=why)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._pump_all()

    # For the proxy

    def drain(self) -> None:
        """Take no further requests, and end when those that are under way are answered. RFC 9113 6.8."""
        if self._draining:
            return
        self._draining = True
        last = self.h2.highest_inbound_stream_id
        self.write()
        self._send(Goaway(last, ErrorCodes.NO_ERROR).encode())
        self._end_if_drained()

    # For streams

    def write(self) -> None:
        """Send what h2 has, unless more may follow at once."""
        if not self._receiving and (data := self.h2.data_to_send()):
            self._send(data)

    def finished(self, stream: Stream, *, complete: bool) -> None:
        """The stream is answered or reset; ``complete`` says whether all of its request has come."""
        if self._streams.pop(stream.number, None) is None:
            return
        if not complete:
            self._unwanted[stream.number] = 0
        if not self._streams:
            self._deadline.set(limits.PROXY_HTTP_IDLE)
            self._end_if_drained()

    def reset(self, number: int, code: ErrorCodes) -> None:
        """Have the client notice that the stream ends here."""
        self._unwanted.pop(number, None)
        with suppress(H2Error):
            self.h2.reset_stream(number, code)
        self.write()

    # What comes

    def _take(self, events: list[Event]) -> None:
        # A request that is taken back in what has come already is not begun.
        undone = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for event in events:
            self._event(event, undone)

    def _event(self, event: Event, undone: set[Any]) -> None:
        match event:
            case RequestReceived(stream_id=int(number), headers=headers):
                if number not in undone and headers is not None:
                    self._request(number, headers, ended=event.stream_ended is not None)
            case DataReceived(stream_id=int(number), data=data, flow_controlled_length=int(size)):
                if not size and event.stream_ended is None:
                    self._costs.idle()
                self._data(number, data or b"", size)
            case TrailersReceived(stream_id=int(number), headers=headers) if number in self._streams:
                self._streams[number].trailers = _trailers(headers or [])
            case StreamEnded(stream_id=int(number)):
                self._request_ended(number)
            case StreamReset(stream_id=int(number)):
                self._taken_back(number)
            case WindowUpdated(stream_id=number) if self._streams:
                self._widened(number or 0)
            case _:
                self._costs.other(event)

    def _taken_back(self, number: int) -> None:
        self._costs.reset()
        self._unwanted.pop(number, None)
        if number in self._streams:
            self._streams[number].client_gone("client_reset", "the client took its request back")

    def _widened(self, number: int) -> None:
        """The client takes more: of one stream, or of all."""
        if not number:
            self._pump_all()
        elif number in self._streams:
            self._streams[number].pump()

    def _request(self, number: int, fields: Fields, *, ended: bool) -> None:
        if self._draining:
            self.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        self._deadline.clear()
        stream = self._streams[number] = Stream(self, number, ended=ended)
        try:
            request = from_http2(fields, ended=ended)
        except Refused as refused:
            tell_refused(self._gate, refused, "HTTP/2")
            stream.refuse(refused)
            return
        stream.start(Exchange(stream, self._gate, self._pool, request))

    def _request_ended(self, number: int) -> None:
        self._unwanted.pop(number, None)
        if number in self._streams:
            self._streams[number].request_ended()

    def _data(self, number: int, data: bytes, size: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.request_data(data, size)
            return
        self.h2.acknowledge_received_data(size, number)
        if number in self._unwanted:
            self._unwanted[number] += size
            if self._unwanted[number] > limits.HTTP_BODY:
                self._costs.reset()
                self.reset(number, ErrorCodes.NO_ERROR)

    # What goes

    def _pump_all(self) -> None:
        for stream in tuple(self._streams.values()):
            stream.pump()
        self.write()

    def _send(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.sent += len(data)
        self.transport.write(data)
        if self.paused and self.transport.get_write_buffer_size() > limits.PROXY_HTTP2_WINDOW:
            self._failure = ("too_much", "the client takes none of the answers that it makes us give")
            self.transport.abort()

    # Ends

    def _goodbye(self, code: ErrorCodes, name: str, why: str) -> None:
        self._failure = (name, why)
        with suppress(H2Error):
            self.h2.close_connection(code, additional_data=why.encode())
        self._end()

    def _end(self) -> None:
        """Nothing more is said but what h2 has ready."""
        for stream in tuple(self._streams.values()):
            stream.client_gone("client_closed", "the client's connection ended before its answer was complete")
        self._streams.clear()
        if data := self.h2.data_to_send():
            self._send(data)
        self.transport.close()

    def _end_if_drained(self) -> None:
        if self._draining and not self._streams and not self._receiving:
            self._end()

    def _idle(self) -> None:
        if not self._streams:
            self._goodbye(ErrorCodes.NO_ERROR, "", "")


def _trailers(fields: Fields) -> Fields:
    """Those that HTTP/1.1 can have."""
    return [field for field in fields if not bad_field(*field)]
