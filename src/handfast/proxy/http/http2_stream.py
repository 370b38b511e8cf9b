"""One stream of HTTP/2 with a client: the client's side of one exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from handfast import limits
from handfast.proxy.http import own_answers
from handfast.proxy.http.header_fields import Fields
from handfast.proxy.http.time_limit import Deadline

if TYPE_CHECKING:
    from h2.connection import H2Connection

    from handfast.proxy.http.exchange import Exchange
    from handfast.proxy.http.request import Refused
    from handfast.proxy.http.upstream import Upstream


class Connection(Protocol):
    """What a stream asks of its connection."""

    h2: H2Connection
    # Whether the transport takes no more at the moment.
    paused: bool

    def write(self) -> None: ...

    def finished(self, stream: Stream, *, complete: bool) -> None: ...

    def reset(self, number: int, code: ErrorCodes) -> None: ...


class Stream:
    """A request and its answer. ``trailers`` are those of the request."""

    __slots__ = (
        "_blocked", "_connection", "_deadline", "_ended", "_exchange", "_head", "_held", "_over", "_pending",
        "_request_ended", "_sent_trailers", "_unacknowledged", "number", "trailers",
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
        # What of the answer is not sent yet: its head, parts of its body, and its end.
        self._head: Fields | None = None
        self._pending: list[bytes] = []
        self._ended = False
        self._sent_trailers: Fields = []
        self._blocked = False
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
            size, self._unacknowledged = self._unacknowledged, 0
            self._connection.h2.acknowledge_received_data(size, self.number)
            self._connection.write()
        self._watch()

    def send_interim(self, status: int, fields: Fields) -> None:
        """1xx."""
        self._send_fields([(b":status", b"%d" % status), *fields], end=False)

    def send_head(self, status: int, reason: bytes, fields: Fields, length: int | None) -> None:
        """An answer's head. HTTP/2 has no reason phrase, and ends each answer by its framing."""
        self._head = [(b":status", b"%d" % status), *fields]

    def send_data(self, data: bytes) -> None:
        """Some of the answer's body."""
        self._pending.append(data)

    def send_end(self, fields: Fields) -> None:
        """The answer is complete."""
        self._ended = True
        self._sent_trailers = fields

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

    def switch(self, upstream: Upstream, fields: Fields, rest: bytes) -> None:
        """Never asked for: Upgrade is HTTP/1.1's."""
        upstream.transport.abort()
        self.cut()

    # Sending

    def pump(self) -> None:
        """Send what there is room for."""
        if self._over:
            return
        if self._head is not None:
            head, self._head = self._head, None
            only_head = self._ended and not self._pending and not self._sent_trailers
            self._send_fields(head, end=only_head)
            if only_head:
                self._answered()
                return
        if self._pending:
            self._send_pending()
        if self._ended and not self._pending and not self._over:
            if self._sent_trailers:
                self._send_fields(self._sent_trailers, end=True)
            else:
                self._send_piece(b"", end=True)
            self._answered()

    def _send_pending(self) -> None:
        data = memoryview(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
        last = self._ended and not self._sent_trailers
        h2 = self._connection.h2
        moved = written = 0
        while moved < len(data) and not self._connection.paused and not self._over:
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if room <= 0:
                break
            piece = bytes(data[moved : moved + room])
            moved += len(piece)
            self._send_piece(piece, end=last and moved == len(data))
            if moved - written >= limits.SEAL_STEP:
                # Frames are small, and each write costs.
                written = moved
                self._connection.write()
        self._pending = [bytes(data[moved:])] if moved < len(data) else []
        if last and not self._pending:
            self._answered()
            return
        if bool(self._pending) != self._blocked:
            self._blocked = not self._blocked
            if self._exchange is not None:
                self._exchange.hold(self._blocked)
        if moved or self._blocked:
            self._watch(moved=bool(moved))

    def _send_piece(self, piece: bytes, *, end: bool) -> None:
        try:
            self._connection.h2.send_data(self.number, piece, end_stream=end)
        except H2Error:
            self.client_gone("client_reset", "the client took its request back")

    def _send_fields(self, fields: Fields, *, end: bool) -> None:
        try:
            self._connection.h2.send_headers(self.number, fields, end_stream=end)
        except H2Error:
            self.client_gone("client_reset", "the client took its request back")

    # Time and ends

    def _watch(self, *, moved: bool = True) -> None:
        """The client has to do something: to take some of the answer, or to send some of the request."""
        if self._over:
            return
        if self._blocked or not (self._request_ended or self._held):
            if self._deadline is None:
                self._deadline = Deadline(self._late)
                moved = True
            if moved or not self._blocked:
                self._deadline.set(limits.PROXY_STALL_TIMEOUT)
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
        self._pending = []
        self._head = None
        if self._deadline is not None:
            self._deadline.end()
