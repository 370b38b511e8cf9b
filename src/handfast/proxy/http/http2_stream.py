"""One stream of HTTP/2 with a client: the client's side of one exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from handfast import limits
from handfast.proxy.http import own_answers
from handfast.proxy.http.header_fields import Fields
from handfast.proxy.http.sending import Carrier, Outgoing
from handfast.proxy.http.time_limit import Deadline

if TYPE_CHECKING:
    from handfast.proxy.http.exchange import Exchange
    from handfast.proxy.http.request import Refused
    from handfast.proxy.http.upstream import Switching


class Connection(Carrier, Protocol):
    """What a stream asks of its connection."""

    def finished(self, stream: Stream, *, complete: bool) -> None: ...

    def reset(self, number: int, code: ErrorCodes) -> None: ...


class Stream:
    """A request and its answer. ``trailers`` are those of the request."""

    __slots__ = (
        "_connection", "_deadline", "_exchange", "_held", "_out", "_over", "_request_ended", "_unacknowledged",
        "number", "trailers",
    )  # fmt: skip

    def __init__(self, connection: Connection, number: int, *, ended: bool) -> None:
        self._connection = connection
        self.number = number
        self.trailers: Fields = []
        self._exchange: Exchange | None = None
        self._request_ended = ended
        # Bytes that came and that the client may not replace by others yet, as the backend has not taken them.
        self._unacknowledged = 0
        self._held = False
        self._out = Outgoing(connection, number)
        self._over = False
        self._deadline: Deadline | None = None

    # From the client

    def start(self, exchange: Exchange) -> None:
        """Begin the exchange."""
        self._exchange = exchange
        exchange.start()
        self._watch()

    def request_data(self, data: bytes, size: int) -> None:
        """Some of the request's body came, in a frame that counts for ``size``."""
        exchange = self._exchange
        if data and exchange is not None:
            exchange.body(data)
        if self._held:
            self._unacknowledged += size
        else:
            self._connection.h2.acknowledge_received_data(size, self.number)
        self._watch()

    def request_ended(self) -> None:
        """The request is complete."""
        if not self._request_ended:
            self._request_ended = True
            if self._exchange is not None:
                self._exchange.body_end(self.trailers)
            self._watch()

    def client_gone(self, code: str, why: str) -> None:
        """The client takes no more of the answer."""
        self._stop()
        if self._exchange is not None:
            self._exchange.client_gone(code, why)
        self._connection.finished(self, complete=True)

    # For the exchange

    @property
    def most_read(self) -> int:
        """How many bytes of an answer may come at once."""
        return limits.PROXY_STREAM_READ

    def hold(self, holding: bool) -> None:
        """Let no more of the request's body come than the window has room for, or let it come again."""
        self._held = holding
        if not holding and self._unacknowledged:
            self._acknowledge()
            self._connection.write()
        self._watch()

    def _acknowledge(self) -> None:
        """Let the client send as much more as it has sent."""
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self._connection.h2.acknowledge_received_data(size, self.number)

    def send_interim(self, status: int, fields: Fields) -> None:
        """1xx."""
        try:
            self._connection.h2.send_headers(self.number, [(b":status", b"%d" % status), *fields])
        except H2Error:
            self._lost()

    def send_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None:
        """An answer's head. HTTP/2 has no reason phrase, and ends each answer by its framing."""
        self._out.head([(b":status", b"%d" % status), *fields])

    def send_data(self, data: bytes) -> None:
        """Some of the answer's body."""
        self._out.data(data)

    def send_end(self, fields: Fields) -> None:
        """The answer is complete."""
        self._out.end(fields)

    def flush(self) -> None:
        """Send what was gathered, as far as the client's window goes."""
        self.pump()
        self._connection.write()

    def refuse(self, refused: Refused) -> None:
        """Answer in the backend's place."""
        fields, body = own_answers.own(refused)
        self.send_head(refused.status, b"", fields, len(body))
        if self._exchange is None or self._exchange.request.method != b"HEAD":
            self.send_data(body)
        self.send_end([])
        self.flush()

    def cut(self) -> None:
        """What was sent of the answer is all there is."""
        if not self._over:
            self._stop()
            self._connection.reset(self.number, ErrorCodes.INTERNAL_ERROR)
            self._connection.finished(self, complete=True)

    def switch(self, upstream: Switching, fields: Fields, rest: bytes) -> None:
        """Never asked for: Upgrade is HTTP/1.1's."""
        upstream.transport.abort()
        self.cut()

    # Sending

    def pump(self) -> None:
        """Send what there is room for."""
        if self._over:
            return
        blocked = self._out.blocked
        try:
            moved = self._out.pump()
        except H2Error:
            self._lost()
            return
        if self._out.done:
            self._answered()
            return
        if blocked != self._out.blocked and self._exchange is not None:
            self._exchange.hold(self._out.blocked)
        if moved or self._out.blocked:
            self._watch(moved=moved)

    def _lost(self) -> None:
        self.client_gone("client_reset", "the client took its request back")

    # Time and ends

    def _watch(self, *, moved: bool = True) -> None:
        """The client has to do something: to take some of the answer, or to send some of the request."""
        if self._over:
            return
        blocked = self._out.blocked
        if blocked or not (self._request_ended or self._held):
            if self._deadline is None:
                self._deadline = Deadline(self._late)
                moved = True
            if moved or not blocked:
                patient = None if blocked else self._exchange
                self._deadline.set(limits.PROXY_STALL_TIMEOUT if patient is None else patient.silence)
        elif self._deadline is not None:
            self._deadline.clear()

    def _late(self) -> None:
        code, why = "client_stalled", "the client took nothing, or sent nothing, for too long"
        self._connection.reset(self.number, ErrorCodes.CANCEL)
        self.client_gone(code, why)

    def _answered(self) -> None:
        self._stop()
        self._connection.finished(self, complete=self._request_ended)

    def _stop(self) -> None:
        self._over = True
        self._out.drop()
        # All streams share the connection's window.
        self._acknowledge()
        if self._deadline is not None:
            self._deadline.end()
