"""HTTP/1.1 with a client: its requests in order, one exchange at a time. RFC 9112.

h11 reads heads and chunked bodies; the bytes of other bodies are counted. A reader is made for each request, so nothing
of one request is left when the next one is read. What comes behind a request waits, bounded, until that is answered.
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum
from typing import TYPE_CHECKING, cast

import h11

from handfast import limits
from handfast.memory import Memory
from handfast.proxy.http import own_answers
from handfast.proxy.http.exchange import Exchange, tell_refused
from handfast.proxy.http.header_fields import Fields
from handfast.proxy.http.request import Refused, Request, Special, check_http1_head, from_sorted, sort
from handfast.proxy.http.time_limit import Deadline
from handfast.proxy.relay import Relay
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.proxy.http.gate import Gate
    from handfast.proxy.http.pool import Pool
    from handfast.proxy.http.upstream import Switching

_END = b"\r\n\r\n"


class _Stage(Enum):
    HEAD = "the head of a request is awaited"
    BODY = "the body of a request is awaited"
    ANSWER = "a request is complete, and not answered yet"
    LINGERING = "all is said; what still comes is dropped"
    OVER = "the transport has another protocol, or is gone"


class Http1(asyncio.Protocol):
    """A client's connection."""

    transport: asyncio.Transport

    def __init__(self, gate: Gate, pool: Pool) -> None:
        self._gate = gate
        self._client = gate.client
        self._pool = pool
        self._stage = _Stage.HEAD
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._reader: h11.Connection | None = None
        # Bytes of a request's body that are still to come, where its head said how many.
        self._left = 0
        self._out: list[bytes] = []
        # Of the present answer: whether it is chunked; whether the connection may go on after it.
        self._chunked = False
        self._keep = True
        self._begun = False
        self._held = False
        self._paused = False
        self._reading = False
        self._skipped = False
        self._draining = False
        self._failure = ("", "")
        self._deadline = Deadline(self._late)
        self.received = self.sent = 0

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._deadline.set(limits.PROXY_HEAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self._stage is _Stage.BODY:
            self._body(data)
        elif self._stage is _Stage.HEAD or self._stage is _Stage.ANSWER:
            if not self._buffer and self._stage is _Stage.HEAD:
                self._deadline.set(limits.PROXY_HEAD_TIMEOUT)
            self._buffer = self._buffer + data if self._buffer else data
            if self._stage is _Stage.HEAD:
                self._requests()
            elif len(self._buffer) >= limits.PROXY_PIPELINED:
                self._read_on()

    def eof_received(self) -> bool:
        if self._stage is _Stage.ANSWER:
            # It has asked, and may still listen.
            self._keep = False
            self._draining = True
            return True
        if self._stage is _Stage.BODY and self._exchange is not None:
            self._exchange.client_gone("client_closed", "the client left before its request was complete")
            self.transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stage = _Stage.OVER
        self._deadline.end()
        if self._exchange is not None:
            self._exchange.client_gone()
            self._exchange = None
        self._pool.client_gone()
        code, why = self._failure
        self._client.ended(received=self.received, sent=self.sent, code=code, why=why)

    def pause_writing(self) -> None:
        self._paused = True
        self._deadline.set(limits.PROXY_STALL_TIMEOUT)
        if self._exchange is not None:
            self._exchange.hold(True)

    def resume_writing(self) -> None:
        self._paused = False
        self._deadline.clear()
        if self._exchange is not None:
            self._exchange.hold(False)
            self._watch_body()
        elif self._stage is _Stage.HEAD:
            self._await_head()

    # For the proxy

    def drain(self) -> None:
        """End after the present answer."""
        self._draining = True
        if self._stage is _Stage.HEAD and not self._buffer:
            self._close()

    # Requests

    def _requests(self) -> None:
        """Read what is there, until one is under way or more is needed."""
        if self._reading:
            return
        self._reading = True
        try:
            # A client that takes no answers is asked for no further requests.
            while self._stage is _Stage.HEAD and self._buffer and not self._paused and self._next_request():
                pass
        finally:
            self._reading = False

    def _next_request(self) -> bool:
        """Whether a whole head was there."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n") and not self._skipped:
            # RFC 9112 2.2: an empty line before a request is nothing. Several would be a way to stay.
            self._skipped = True
            buffer = self._buffer = buffer[2:]
        end = buffer.find(_END) + len(_END)
        try:
            if end < len(_END):
                self._check_begin(buffer)
                return False
            self._buffer = buffer[end:]
            request, reader = _read_head(buffer[:end])
        except Refused as refused:
            tell_refused(self._gate, refused, "HTTP/1.1")
            self._keep = False
            self._buffer = b""
            self.refuse(refused)
            return False
        self._start(request, reader)
        return True

    def _check_begin(self, buffer: bytes) -> None:
        """Raises Refused for the beginning of a head that can come to nothing."""
        if len(buffer) > limits.HTTP_HEAD:
            raise Refused(431, "head_too_large", f"the request's head has more than {limits.HTTP_HEAD} bytes")
        begins = buffer in (b"", b"\r") or 0x20 < buffer[0] < 0x7F
        if not begins or buffer.count(b"\n") != buffer.count(b"\r\n"):
            raise Refused(400, "bad_request", "this is no HTTP/1.1 request")

    def _start(self, request: Request, reader: h11.Connection | None) -> None:
        self._keep = request.keep_alive and not self._draining
        self._begun = self._skipped = False
        self._deadline.clear()
        self._exchange = exchange = Exchange(self, self._gate, self._pool, request)
        if request.length == 0:
            self._stage = _Stage.ANSWER
            exchange.start()
            return
        self._stage = _Stage.BODY
        self._reader = reader
        self._left = request.length or 0
        exchange.start()
        self._watch_body()
        if self._buffer and self._stage is _Stage.BODY:
            rest, self._buffer = self._buffer, b""
            self._body(rest)

    # A request's body

    def _body(self, data: bytes) -> None:
        exchange, left = self._exchange, self._left
        if exchange is None:
            return
        self._watch_body()
        if not left:
            self._chunks(exchange, data)
        elif len(data) < left:
            self._left = left - len(data)
            exchange.body(data)
        else:
            self._left = 0
            self._buffer = data[left:]
            exchange.body(data[:left])
            self._body_over(exchange, [])

    def _chunks(self, exchange: Exchange, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        reader.receive_data(data)
        try:
            while self._stage is _Stage.BODY:
                event = reader.next_event()
                if isinstance(event, h11.Data):
                    exchange.body(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._buffer = reader.trailing_data[0]
                    self._body_over(exchange, list(event.headers))
                else:
                    return
        except h11.RemoteProtocolError as error:
            self._failure = ("bad_request", escape(str(error), limits.MAX_PEER_TEXT))
            exchange.client_gone(*self._failure)
            if self._begun:
                self.cut()
            else:
                self.refuse(Refused(400, "bad_request", "the request's body is not in chunks as it says"))

    def _body_over(self, exchange: Exchange, trailers: Fields) -> None:
        self._stage = _Stage.ANSWER
        self._reader = None
        if not self._paused:
            self._deadline.clear()
        exchange.body_end(trailers)

    def _watch_body(self) -> None:
        """The client is to send more of a body, unless we hold it back ourselves."""
        if self._stage is _Stage.BODY and not self._paused:
            if self._held:
                self._deadline.clear()
            else:
                self._deadline.set(limits.PROXY_STALL_TIMEOUT)

    def hold(self, holding: bool) -> None:
        """Let no more of the request's body come, or let it come again."""
        self._held = holding
        self._read_on()
        self._watch_body()

    def _read_on(self) -> None:
        """Read from the client exactly if there is room for what comes."""
        if self.transport.is_closing():
            return
        full = self._held or (self._stage is _Stage.ANSWER and len(self._buffer) >= limits.PROXY_PIPELINED)
        if full == self.transport.is_reading():
            (self.transport.pause_reading if full else self.transport.resume_reading)()

    # Answers

    @property
    def most_read(self) -> int:
        """How many bytes of an answer may come at once."""
        return limits.PROXY_READ

    def send_interim(self, status: int, fields: Fields) -> None:
        """1xx."""
        self._out.append(own_answers.head(status, own_answers.phrase(status), fields) + b"\r\n")

    def send_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None:
        """The head of an answer; with ``length`` None its end is told by chunks, or to HTTP/1.0 by the connection's."""
        exchange = self._exchange
        if exchange is None:
            return
        request = exchange.request
        self._begun = True
        if self._draining or self._stage is _Stage.BODY:
            # The rest of a request may never come, or not be looked at.
            self._keep = False
        lines = own_answers.head(status, reason, fields)
        self._chunked = False
        if length is None and request.method != b"HEAD" and status not in (204, 304):
            if request.version == "HTTP/1.0":
                self._keep = False
            else:
                self._chunked = True
                lines += b"transfer-encoding: chunked\r\n"
        if not self._keep:
            lines += b"connection: close\r\n"
        elif request.version == "HTTP/1.0":
            lines += b"connection: keep-alive\r\n"
        self._out.append(lines + b"\r\n")

    def send_data(self, data: bytes) -> None:
        """Some of the body."""
        self._out.append(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def send_end(self, fields: Fields) -> None:
        """The answer is complete."""
        if self._chunked:
            self._out.append(b"".join([b"0\r\n", *[b"%b: %b\r\n" % field for field in fields], b"\r\n"]))
        self._answered()

    def refuse(self, refused: Refused) -> None:
        """Answer in the backend's place; the connection goes on only if nothing of the request is still to come."""
        exchange = self._exchange
        head_only = exchange is not None and exchange.request.method == b"HEAD"
        if self._stage is _Stage.BODY or exchange is None:
            self._keep = False
        fields, body = own_answers.own(refused)
        if not self._keep:
            fields.append((b"connection", b"close"))
        lines = own_answers.head(refused.status, own_answers.phrase(refused.status), fields)
        self._out.append(lines + b"\r\n" + (b"" if head_only else body))
        self._answered()

    def cut(self) -> None:
        """End without an end: without close_notify the client knows that it has not all."""
        self.flush()
        self._stage = _Stage.OVER
        self.transport.abort()

    def flush(self) -> None:
        """Send what was gathered."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self.sent += len(data)
            self.transport.write(data)

    def switch(self, upstream: Switching, fields: Fields, rest: bytes) -> None:
        """The backend agreed to another protocol: what comes goes through as it is."""
        exchange = self._exchange
        if exchange is None:
            return
        token = exchange.request.upgrade
        lines = own_answers.head(101, own_answers.phrase(101), fields)
        self._out.append(b"%bconnection: upgrade\r\nupgrade: %b\r\n\r\n" % (lines, token))
        self.flush()
        self._stage = _Stage.OVER
        self._exchange = None
        self._deadline.end()
        early, self._buffer = self._buffer, b""
        relay = Relay(self._client, self._gate.service)
        relay.count, relay.other.count = self.received - len(early), self.sent
        relay.join(self.transport, upstream.transport, upstream.backend, early, rest)

    def _answered(self) -> None:
        self._exchange = None
        self.flush()
        if not self._keep or self._draining:
            self._close()
            return
        self._stage = _Stage.HEAD
        self._begun = self._held = False
        self._read_on()
        if not self._paused:
            self._await_head()

    def _await_head(self) -> None:
        self._deadline.set(limits.PROXY_HEAD_TIMEOUT if self._buffer else limits.PROXY_HTTP_IDLE)
        if self._buffer:
            self._requests()

    # Ends

    def _close(self) -> None:
        """End in order, once what was said has been taken; what still comes is not looked at."""
        self._stage = _Stage.LINGERING
        self._buffer = b""
        if self._client.info is not None:
            # TLS of ours reads on by itself until the client ends too.
            self._deadline.clear()
            self.transport.close()
            return
        self._held = False
        if not self.transport.is_closing():
            self._read_on()
            self.transport.write_eof()
            self._deadline.set(limits.LINGER_TIMEOUT)

    def _late(self) -> None:
        if self._stage is _Stage.LINGERING:
            self.transport.close()
        elif self._paused or self._begun or (self._exchange is not None and self._exchange.status):
            self._failure = ("client_stalled", "the client took nothing, or sent nothing, for too long")
            if self._exchange is not None:
                self._exchange.client_gone(*self._failure)
            self.transport.abort()
        elif self._stage is _Stage.HEAD and not self._buffer:
            self._close()
        else:
            late = Refused(408, "request_timeout", "the request did not come in time")
            if self._exchange is not None:
                self._exchange.client_gone(late.code, late.why)
                self._exchange = None
            else:
                tell_refused(self._gate, late, "HTTP/1.1")
            self._keep = False
            self.refuse(late)


# Most requests of a connection have the fields of the one before; what h11 has read of them is not read again.
_fields: Memory[bytes, tuple[Fields, Special]] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)
# RFC 9112 3, as h11 reads it.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])")


def _read_head(head: bytes) -> tuple[Request, h11.Connection | None]:
    """The request of a whole head, and what reads a chunked body. Raises Refused."""
    if len(head) > limits.HTTP_HEAD:
        raise Refused(431, "head_too_large", f"the request's head has more than {limits.HTTP_HEAD} bytes")
    line, _, block = head.partition(b"\r\n")
    fields = _fields.get(block)
    parts = None if fields is None else _LINE.fullmatch(line)
    if fields is not None and parts is not None:
        request = from_sorted(parts[1], parts[2], parts[3], fields)
        if request.length is not None:
            return request, None
    check_http1_head(head)
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD)
    reader.receive_data(head)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError as error:
        status = error.error_status_hint
        raise Refused(status, "bad_request", escape(str(error), limits.MAX_PEER_TEXT), "bad request") from None
    if not isinstance(event, h11.Request):
        raise Refused(400, "bad_request", "this is no HTTP/1.1 request")
    fields = sort(event.headers)
    request = from_sorted(event.method, event.target, event.http_version, fields)
    if len(block) <= limits.MAX_RECALLED_MESSAGE:
        _fields.keep(block, fields, 4 * len(block))
    return request, reader
