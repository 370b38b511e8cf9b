"""One exchange with a backend over HTTP/2: a stream. RFC 9113.

What is no answer costs its stream, and not the connection that others share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from handfast import limits
from handfast.proxy.http import own_answers
from handfast.proxy.http.header_fields import Fields, is_for_one_connection
from handfast.proxy.http.request import bad_field, to_http2
from handfast.proxy.http.sending import Carrier, Outgoing
from handfast.proxy.http.time_limit import Deadline
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.proxy.http.gate import Admitted
    from handfast.proxy.http.request import Request
    from handfast.proxy.http.upstream import Answered
    from handfast.proxy.settings import Backend

# Answers that have no body whatever they say. RFC 9110 6.4.1.
_BODILESS = frozenset({204, 304})


class Connection(Carrier, Protocol):
    """What a stream asks of its connection. ``fresh`` says that no exchange was made over it before."""

    backend: Backend
    fresh: bool

    def begin(self, stream: Http2Upstream) -> int:
        """The number of a new stream."""

    def finished(self, stream: Http2Upstream) -> None: ...

    def reset(self, number: int, code: ErrorCodes) -> None: ...

    def retire(self) -> None: ...


class Http2Upstream:
    """A stream. It has a number once its exchange has begun."""

    __slots__ = (
        "_complete", "_connection", "_deadline", "_exchange", "_head_only", "_held", "_interim", "_out", "_status",
        "_trailers", "_unacknowledged", "backend", "fresh", "gone", "heard", "number", "unprocessed",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.backend = connection.backend
        self.fresh = connection.fresh
        self.gone = False
        self.heard = False
        self.unprocessed = False
        self.number = 0
        self._exchange: Answered | None = None
        self._out = Outgoing(connection, 0)
        self._head_only = self._complete = self._held = False
        self._status = self._interim = 0
        self._trailers: Fields = []
        # Bytes that came and that the backend may not replace by others yet, as the client has not taken them.
        self._unacknowledged = 0
        self._deadline = Deadline(self._late)

    # For the exchange

    def begin(self, exchange: Answered, request: Request, admitted: Admitted, body: Sequence[bytes], most: int) -> None:
        """Send the head of a request and what there is of its body. An answer comes in frames."""
        self._exchange = exchange
        self._head_only = request.method == b"HEAD"
        self.number = self._connection.begin(self)
        self._out = Outgoing(self._connection, self.number)
        self._out.head(to_http2(request, admitted.fields, b"http" if self.backend.tls is None else b"https"))
        for data in body:
            self._out.data(data)
        if request.length != 0:
            self._flush()

    def body(self, data: bytes) -> None:
        """Send some of the request's body."""
        self._out.data(data)
        self._flush()

    def end(self, fields: Fields) -> None:
        """The request is complete, with these trailers: the answer may be waited for."""
        self._complete = True
        self._out.end(fields)
        self._flush()
        self._watch()

    def hold(self, holding: bool) -> None:
        """The client takes no more of the answer than the window has room for at the moment, or does again."""
        self._held = holding
        if not holding:
            self._acknowledge()
            self._connection.write()
        self._watch()

    def release(self, *, in_order: bool) -> None:
        """The exchange is over; ``in_order`` says that the request was sent to its end."""
        if not (in_order and self._out.done):
            self._connection.reset(self.number, ErrorCodes.CANCEL)
        self._over()

    def close(self) -> None:
        """The exchange is given up."""
        if not self.gone:
            self._connection.reset(self.number, ErrorCodes.CANCEL)
            self._over()

    # For the connection

    @property
    def exchange(self) -> Answered | None:
        """Whose stream it is, None once that is over."""
        return self._exchange

    def pump(self) -> None:
        """Send what there is room for."""
        exchange, blocked = self._exchange, self._out.blocked
        if exchange is None:
            return
        try:
            moved = self._out.pump()
        except H2Error:
            # The backend has ended the stream: what it says of that is on its way.
            self._out.drop()
            return
        if blocked != self._out.blocked:
            exchange.on_full(self._out.blocked)
        if moved or blocked != self._out.blocked:
            self._watch()

    def interim(self, fields: Fields) -> None:
        """1xx came."""
        exchange, head = self._exchange, _head(fields)
        self.heard = True
        self._interim += 1
        if exchange is None:
            return
        if head is None or not 100 <= head[0] < 200 or head[0] == 101:
            self._lied("its interim response is none")
        elif self._interim > limits.PROXY_INTERIM_RESPONSES:
            self._lied(f"it sent more than {limits.PROXY_INTERIM_RESPONSES} interim responses")
        else:
            exchange.on_interim(*head)

    def answer(self, fields: Fields) -> None:
        """An answer's head came."""
        exchange, head = self._exchange, _head(fields)
        self.heard = True
        if exchange is None:
            return
        if head is None or not 200 <= head[0] <= 999:
            self._lied("the head of its answer is none")
            return
        self._status, kept = head
        # h2 has seen to it that it is one number, and holds the body against it.
        length = next((int(value) for name, value in kept if name == b"content-length"), None)
        self._watch()
        exchange.on_head(self._status, own_answers.phrase(self._status), kept, length)

    def data(self, data: bytes, size: int) -> None:
        """Some of an answer's body came, in a frame that counts for ``size``."""
        self._unacknowledged += size
        if not self._held:
            self._acknowledge()
        if self._exchange is None or not data:
            return
        if self._head_only or self._status in _BODILESS:
            self._lied("its answer has a body where there is none")
            return
        self._watch()
        self._exchange.on_data(data)

    def trailers(self, fields: Fields) -> None:
        """An answer's trailers came: those are handed on that HTTP/1.1 can have."""
        self._trailers = [field for field in fields if not bad_field(*field)]

    def ended(self) -> None:
        """The answer is complete."""
        if self._exchange is not None:
            self._exchange.on_end(self._trailers)

    def was_reset(self, code: ErrorCodes | int) -> None:
        """The backend has ended the stream."""
        self.unprocessed = code == ErrorCodes.REFUSED_STREAM
        self.fail("backend_reset", f"it reset the stream: {escape(str(getattr(code, 'name', code)))}")

    def fail(self, code: str, why: str) -> None:
        """There will be no answer, or no more of it."""
        exchange = self._exchange
        self._over()
        if exchange is not None:
            exchange.on_failed(code, why if why.startswith(self.backend.text) else f"{self.backend.text}: {why}")

    # Ends

    def _lied(self, why: str) -> None:
        self._connection.reset(self.number, ErrorCodes.PROTOCOL_ERROR)
        self.fail("backend_protocol", why)

    def _flush(self) -> None:
        self.pump()
        self._connection.write()

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self._connection.h2.acknowledge_received_data(size, self.number)

    def _watch(self) -> None:
        """The backend has to do something: to take some of the request, or to send some of the answer."""
        exchange = self._exchange
        if exchange is None:
            return
        if self._out.blocked or (not self._held and (self._complete or self.heard)):
            self._deadline.set(exchange.silence)
        else:
            self._deadline.clear()

    def _late(self) -> None:
        # Nothing further is sent where nothing comes.
        self._connection.retire()
        self._connection.reset(self.number, ErrorCodes.CANCEL)
        self.fail("backend_timeout", "it neither answered nor took anything for too long")

    def _over(self) -> None:
        """The stream is of no use any more; what it held back of the connection's window is given back."""
        self.gone = True
        self._exchange = None
        self._out.drop()
        self._deadline.end()
        self._acknowledge()
        self._connection.finished(self)


def _head(fields: Fields) -> tuple[int, Fields] | None:
    """The status, and the fields that are handed on; None for what no answer may have. RFC 9113 8.1.1, 8.2, 8.3.2."""
    if not fields or fields[0][0] != b":status" or len(fields[0][1]) != 3 or not fields[0][1].isdigit():
        return None
    rest = fields[1:]
    if any(bad_field(name, value) or is_for_one_connection(name) for name, value in rest):
        return None
    return int(fields[0][1]), rest
