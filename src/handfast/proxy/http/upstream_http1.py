"""Connections to backends that speak HTTP/1.1: one exchange at a time, and kept for the next one.

h11 reads the answers' heads, and bodies that are chunked or end with the connection; of others the bytes are counted.
Requests are written by ``request.py``, so h11 is told of each no more than whether it may change the protocol. A
backend that sends what it was not asked for, or sends on after its answer, is not used again; one that says two things
of an answer's length, or ends before it, is not believed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import h11

from handfast import limits
from handfast.io.aio.setup import RECEIVE_BUFFER
from handfast.memory import Memory
from handfast.proxy import backends
from handfast.proxy.http.header_fields import Fields, response_fields
from handfast.proxy.http.request import written
from handfast.proxy.http.time_limit import Deadline
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.proxy.http.gate import Admitted
    from handfast.proxy.http.request import Request
    from handfast.proxy.http.upstream import Answered
    from handfast.proxy.settings import Backend

_HOST = (b"host", b"-")
# What h11 must know of a request: whether it may change the protocol.
_ASKED = h11.Request(method=b"GET", target=b"/", headers=[_HOST])
_UPGRADE = h11.Request(method=b"GET", target=b"/", headers=[_HOST, (b"connection", b"upgrade"), (b"upgrade", b"-")])
_NOTHING = memoryview(b"")
_BEGIN = b"HTTP/"
_END = b"\r\n\r\n"
# Answers that have no body whatever they say. RFC 9112 6.3.
_BODILESS = frozenset({204, 304})


class _Head(NamedTuple):
    """An answer's head: ``fields`` are those that are handed on, ``length`` None where the framing tells the end."""

    status: int
    reason: bytes
    fields: Fields
    length: int | None
    keep: bool


# Many answers have the head of the one before. Only such as h11 has read, with a length and without chunks, are kept.
_heads: Memory[bytes, _Head] = Memory(limits.RECALLED_MESSAGES, limits.RECALLED_BYTES)


def _remember(first: bytes, head: _Head) -> None:
    """``first`` is what came up to the first empty line, which is a head only if all its lines end in CR LF."""
    if 0 < len(first) <= limits.MAX_RECALLED_MESSAGE and first.count(b"\n") == first.count(b"\r\n"):
        _heads.keep(first, head, 4 * len(first))


class Keeper(Protocol):
    """Where connections wait for their next request: the pool."""

    def give(self, upstream: Http1Upstream) -> None:
        """It has answered, and can be asked again."""

    def forget(self, upstream: Http1Upstream) -> None:
        """It cannot be asked again."""


class Http1Upstream(asyncio.BufferedProtocol):
    """One connection to a backend. ``fresh`` says that no exchange was made over it before."""

    __slots__ = (
        "_buffer", "_chunked", "_complete", "_deadline", "_exchange", "_first", "_head_only", "_interim", "_keep",
        "_left", "_loop", "_most", "_reader", "_upgrade", "backend", "fresh", "gone", "heard", "pool", "since",
        "transport", "unprocessed",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, backend: Backend, pool: Keeper) -> None:
        self.backend = backend
        self.pool = pool
        self.fresh = True
        # Whether it cannot be used any more; whether a byte of the present answer has come.
        self.gone = False
        self.heard = False
        # HTTP/1.1 has no way to say that a request was not looked at.
        self.unprocessed = False
        self.since = 0.0
        self._keep = False
        self._complete = False
        # Whether the request's body goes in chunks.
        self._chunked = False
        self._most = limits.PROXY_STREAM_READ
        self._head_only = self._upgrade = False
        self._interim = 0
        self._buffer = _NOTHING
        # The head of the answer, where it came as the first and at once.
        self._first = b""
        # Bytes of the answer's body that are still to come, where its head said how many.
        self._left = 0
        self._exchange: Answered | None = None
        self._reader: h11.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._late)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    # For the exchange

    def begin(self, exchange: Answered, request: Request, admitted: Admitted, body: Sequence[bytes], most: int) -> None:
        """Send the head of a request and what there is of its body. At most ``most`` bytes are read at once."""
        self._exchange = exchange
        self._most = most
        self.heard = self._complete = False
        self._head_only, self._upgrade = request.method == b"HEAD", bool(request.upgrade)
        self._chunked = request.length is None
        self._interim = 0
        self._deadline.clear()
        head = written(request, admitted.lines)
        self.transport.write(b"".join([head, *map(self._framed, body)]) if body else head)

    def body(self, data: bytes) -> None:
        """Send some of the request's body."""
        self.transport.write(self._framed(data))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def end(self, fields: Fields) -> None:
        """The request is complete, with these trailers: the answer may be waited for."""
        if self._chunked:
            self.transport.write(b"".join([b"0\r\n", *[b"%b: %b\r\n" % field for field in fields], b"\r\n"]))
        self._asked()

    def _asked(self) -> None:
        self._complete = True
        if not self.heard:
            self._deadline.set(limits.PROXY_ANSWER_TIMEOUT)

    def hold(self, holding: bool) -> None:
        """The client takes no more of the answer at the moment, or does again."""
        if self.gone:
            return
        if holding:
            self.transport.pause_reading()
            self._deadline.clear()
        else:
            self.transport.resume_reading()
            self._deadline.set(limits.PROXY_STALL_TIMEOUT)

    def release(self, *, in_order: bool) -> None:
        """The exchange is over; ``in_order`` says that the request was sent to its end."""
        self._exchange = self._reader = None
        if in_order and self._keep and not self.gone:
            self.fresh = False
            self.since = self._loop.time()
            self._deadline.set(limits.PROXY_KEPT_IDLE)
            self.pool.give(self)
        else:
            self.close()

    def close(self) -> None:
        """Not to be used any more. What was not sent is lost."""
        self._exchange = None
        if not self.gone:
            self.gone = True
            self._deadline.end()
            self.transport.abort()

    def detach(self) -> None:
        """The transport has another protocol from now on."""
        self.gone = True
        self._exchange = None
        self._deadline.end()

    # From the transport

    def get_buffer(self, sizehint: int) -> memoryview:
        # What a client does not take waits, for each of its streams as much as one read brings.
        self._buffer = RECEIVE_BUFFER.lend(self)[: self._most]
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        RECEIVE_BUFFER.take_back(self)
        self._buffer = _NOTHING
        self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        exchange = self._exchange
        if exchange is None:
            # It was not asked for anything.
            self.pool.forget(self)
            self.close()
            return
        if self._left:
            self._counted(exchange, data)
            exchange.on_batch_end()
            return
        if self._reader is None and self._recalled(exchange, data):
            return
        if not self.heard and not data.startswith(_BEGIN[: len(data)]):
            # h11 would wait for the end of what it takes for a head.
            self._fail("backend_protocol", "what it answers is not HTTP")
            return
        self.heard = True
        reader = self._reader or self._new_reader()
        reader.receive_data(data)
        self._read(reader)

    def _new_reader(self) -> h11.Connection:
        self._reader = reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.HTTP_HEADERS)
        reader.send(_UPGRADE if self._upgrade else _ASKED)
        return reader

    def _recalled(self, exchange: Answered, data: bytes) -> bool:
        """Takes an answer whose head has been read before; whether it was one."""
        end = data.find(_END) + len(_END)
        self._first = data[:end] if end >= len(_END) else b""
        head = _heads.get(self._first)
        if head is None or self.heard:
            return False
        self.heard = True
        self._answer(exchange, head, data[end:])
        exchange.on_batch_end()
        return True

    def eof_received(self) -> bool:
        exchange = self._exchange
        self._keep = False
        if exchange is None:
            self.pool.forget(self)
            self.close()
            return False
        if self._left:
            self._fail("backend_closed", "it closed the connection before its answer was complete")
            exchange.on_batch_end()
        else:
            reader = self._reader or self._new_reader()
            reader.receive_data(b"")
            self._read(reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._deadline.end()
        self.pool.forget(self)
        if self._exchange is None:
            return
        if exc is None:
            self._fail("backend_closed", "it closed the connection before its answer was complete")
        else:
            failed = backends.failure(self.backend, exc)
            self._fail(failed.code, failed.why)

    def pause_writing(self) -> None:
        self._deadline.set(limits.PROXY_STALL_TIMEOUT)
        if self._exchange is not None:
            self._exchange.on_full(True)

    def resume_writing(self) -> None:
        if self._complete:
            self._asked()
        else:
            self._deadline.clear()
        if self._exchange is not None:
            self._exchange.on_full(False)

    # What was read

    def _read(self, reader: h11.Connection) -> None:
        exchange = self._exchange
        try:
            while self._exchange is not None and self._event(reader, reader.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._fail("backend_protocol", escape(str(error), limits.MAX_PEER_TEXT))
        if exchange is not None:
            exchange.on_batch_end()

    def _event(self, reader: h11.Connection, event: Any) -> bool:
        """Hands one event on; whether another one may follow."""
        exchange = self._exchange
        if exchange is None or event is h11.NEED_DATA or event is h11.PAUSED:
            return False
        kind = type(event)
        if kind is h11.Data:
            self._deadline.set(limits.PROXY_STALL_TIMEOUT)
            exchange.on_data(bytes(event.data))
        elif kind is h11.Response:
            return self._head(reader, exchange, event)
        elif kind is h11.EndOfMessage:
            self._deadline.clear()
            if reader.trailing_data[0]:
                self._keep = False
            exchange.on_end(list(event.headers))
            return False
        elif kind is h11.InformationalResponse:
            self._interim_response(reader, exchange, event)
        else:
            self._fail("backend_closed", "it closed the connection before its answer was complete")
        return True

    def _head(self, reader: h11.Connection, exchange: Answered, event: h11.Response) -> bool:
        """Hands an answer's head on; whether h11 reads its body."""
        fields = list(event.headers)
        length: int | None = None
        chunked = False
        keep = event.http_version >= b"1.1"
        for name, value in fields:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"connection" and b"close" in value.lower():
                keep = False
        if chunked and length is not None:
            self._fail("backend_protocol", "its answer has both Content-Length and Transfer-Encoding")
            return False
        head = _Head(event.status_code, event.reason, response_fields(fields), length, keep)
        if length is not None and not self._interim:
            _remember(self._first, head)
        if length is None and not self._head_only and event.status_code not in _BODILESS:
            self._keep = keep
            self._deadline.set(limits.PROXY_STALL_TIMEOUT)
            exchange.on_head(*head[:4])
            return True
        self._answer(exchange, head, reader.trailing_data[0])
        return False

    def _answer(self, exchange: Answered, head: _Head, rest: bytes) -> None:
        """Hands on the head of an answer that says how long it is, and what came behind it."""
        self._keep = head.keep
        self._deadline.set(limits.PROXY_STALL_TIMEOUT)
        self._left = 0 if self._head_only or head.status in _BODILESS else head.length or 0
        exchange.on_head(*head[:4])
        if self._exchange is exchange:
            self._counted(exchange, rest)

    def _counted(self, exchange: Answered, data: bytes) -> None:
        """Bytes of a body whose length is known."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            if data:
                self._deadline.set(limits.PROXY_STALL_TIMEOUT)
                exchange.on_data(data)
            return
        self._left = 0
        self._deadline.clear()
        if len(data) > left:
            self._keep = False
            data = data[:left]
        if data:
            exchange.on_data(data)
        if self._exchange is exchange:
            exchange.on_end([])

    def _interim_response(self, reader: h11.Connection, exchange: Answered, event: h11.InformationalResponse) -> None:
        self._interim += 1
        if event.status_code == 101:
            self._deadline.clear()
            exchange.on_switched(self, response_fields(list(event.headers)), reader.trailing_data[0])
        elif self._interim > limits.PROXY_INTERIM_RESPONSES:
            self._fail("backend_protocol", f"it sent more than {limits.PROXY_INTERIM_RESPONSES} interim responses")
        else:
            exchange.on_interim(event.status_code, response_fields(list(event.headers)))

    def _late(self) -> None:
        if self._exchange is None:
            self.pool.forget(self)
            self.close()
        else:
            self._fail("backend_timeout", "it neither answered nor took anything for too long")

    def _fail(self, code: str, why: str) -> None:
        exchange = self._exchange
        self.close()
        if exchange is not None:
            exchange.on_failed(code, why if why.startswith(self.backend.text) else f"{self.backend.text}: {why}")
