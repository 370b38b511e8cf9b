"""What one side sends on a stream of HTTP/2: a head, a body as far as the other side's windows go, and trailers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from handfast import limits

if TYPE_CHECKING:
    from h2.connection import H2Connection

    from handfast.proxy.http.header_fields import Fields


class Carrier(Protocol):
    """The connection of a stream. ``paused`` says that its transport takes no more at the moment."""

    h2: H2Connection
    paused: bool

    def write(self) -> None: ...


class Outgoing:
    """A request or an answer. ``blocked`` says that some of its body waits, ``done`` that all was sent."""

    __slots__ = ("_carrier", "_ended", "_head", "_number", "_pending", "_trailers", "blocked", "done")

    def __init__(self, carrier: Carrier, number: int) -> None:
        self._carrier = carrier
        self._number = number
        self._head: Fields | None = None
        self._pending: list[bytes] = []
        self._ended = False
        self._trailers: Fields = []
        self.blocked = False
        self.done = False

    def head(self, fields: Fields) -> None:
        """Its head."""
        self._head = fields

    def data(self, data: bytes) -> None:
        """Some of its body."""
        self._pending.append(data)

    def end(self, trailers: Fields) -> None:
        """It is complete."""
        self._ended = True
        self._trailers = trailers

    def drop(self) -> None:
        """What was not sent is not."""
        self._head = None
        self._pending = []

    def pump(self) -> bool:
        """Send what there is room for; whether any of the body went. Raises H2Error where the stream is over."""
        h2 = self._carrier.h2
        if self._head is not None:
            head, self._head = self._head, None
            self.done = self._ended and not self._pending and not self._trailers
            h2.send_headers(self._number, head, end_stream=self.done)
        moved = bool(self._pending) and self._send_pending(h2)
        self.blocked = bool(self._pending)
        if self._ended and not self.blocked and not self.done:
            self.done = True
            if self._trailers:
                h2.send_headers(self._number, self._trailers, end_stream=True)
            else:
                h2.send_data(self._number, b"", end_stream=True)
        return moved

    def _send_pending(self, h2: H2Connection) -> bool:
        data = memoryview(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
        last = self._ended and not self._trailers
        moved = written = 0
        while moved < len(data) and not self._carrier.paused:
            room = min(h2.local_flow_control_window(self._number), h2.max_outbound_frame_size)
            if room <= 0:
                break
            piece = bytes(data[moved : moved + room])
            moved += len(piece)
            self.done = last and moved == len(data)
            h2.send_data(self._number, piece, end_stream=self.done)
            if moved - written >= limits.SEAL_STEP:
                # Frames are small, and each write costs.
                written = moved
                self._carrier.write()
        self._pending = [bytes(data[moved:])] if moved < len(data) else []
        return moved > 0
