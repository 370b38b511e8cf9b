"""Bytes from a client to a backend and back, as they come.

Two protocols, one for each transport, of which each writes what it receives to the other's transport. A transport whose
buffer is full stops the reading of the other one, so in each direction no more waits than a transport's high-water
mark and what one read brings.

Ends go through as they came. An end of one direction (close_notify, or FIN without TLS) becomes the same at the other
side, and the other direction goes on. A side that breaks off (a reset, or TLS without close_notify) lets what it had
sent arrive, and then the other side is broken off too: its TLS ends without close_notify, so that a part is not taken
for the whole.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from handfast import limits
from handfast.errors import HandfastError
from handfast.proxy import backends
from handfast.proxy.backends import BackendFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.proxy.client import Client
    from handfast.proxy.settings import Backend, Service

# How often in the idle time it is looked whether anything moved.
_LOOKS = 4


class End(asyncio.Protocol):
    """One of the two sides. ``count`` is how many bytes came from it."""

    transport: asyncio.Transport
    other: End
    write: Callable[[bytes], object]

    def __init__(self) -> None:
        self.count = 0
        # Whether this side has sent all it has to; whether it is broken off once it has taken what waits for it.
        self.ended = False
        self._breaking = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other.ended:
            self.other.transport.close()
            return False
        self.other.end_writing()
        return True

    def pause_writing(self) -> None:
        if not self._breaking:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._breaking:
            self.transport.abort()
        elif not self.other.lost:
            self.other.transport.resume_reading()

    def end_writing(self) -> None:
        """Nothing more is written to this side."""
        # A peer that is gone already is reported by the loop.
        with suppress(OSError):
            self.transport.write_eof()

    def break_off(self) -> None:
        """End without an end in order, once this side has taken what waits for it."""
        if self.lost:
            return
        self._breaking = True
        self.transport.pause_reading()
        if self.transport.get_write_buffer_size():
            # resume_writing is called when nothing waits any more.
            self.transport.set_write_buffer_limits(0)
        else:
            self.transport.abort()


class Relay(End):
    """The client's side: it connects to the backend, and tells the journal when both sides are gone.

    What the client sends before the backend is there is held, up to ``limits.PROXY_RELAY_BUFFER`` and one read.
    """

    def __init__(self, client: Client, service: Service) -> None:
        super().__init__()
        self.client = client
        self._backend = service.backend
        self._idle_timeout = service.idle_timeout
        self.other = Back(self)
        self._held: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._code = self._why = ""

    def drain(self) -> None:
        """Nothing: bytes have no boundary at which a proxy could end them, so the sides do."""

    # Before the backend is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write = self._hold
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        if self.count >= limits.PROXY_RELAY_BUFFER:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self._connecting is not None:
            self.ended = True
            return True
        return super().eof_received()

    async def _connect(self) -> None:
        try:
            await backends.connect(self._backend, self.other, header=self._header())
        except BackendFailed as error:
            self._note(error.code, error.why)
            if self._connecting is not None:
                # There was no transport, which would say by itself that it is gone.
                self._connecting = None
                self.other.lost = True
                self.transport.abort()

    def _header(self) -> bytes:
        form = self._backend.proxy_protocol
        if form is None:
            return b""
        from handfast.proxy.proxy_header import header_for

        return header_for(self.client, form)

    def begin(self) -> None:
        """The backend is there. Nothing of it is read before."""
        self._connecting = None
        back = self.other
        self.write, back.write = back.transport.write, self.transport.write
        held, self._held = self._held, []
        if held:
            back.transport.write(b"".join(held))
        if self.ended:
            back.end_writing()
        # No more than before, where the backend's buffer is full already.
        if back.transport.get_write_buffer_size() <= limits.PROXY_RELAY_BUFFER:
            self.transport.resume_reading()
        self._watch_idle(self._moved(), 0)

    def join(
        self, front: asyncio.Transport, back: asyncio.Transport, backend: Backend, early: bytes, answered: bytes
    ) -> None:
        """Go on with transports over which HTTP was spoken until now; the bytes are what came behind it already."""
        self._backend = backend
        for end, transport in ((self, front), (self.other, back)):
            End.connection_made(end, transport)
            transport.set_protocol(end)
        if early:
            self.count += len(early)
            self._held.append(early)
        self.begin()
        if answered:
            self.other.data_received(answered)
        # HTTP may have stopped it for a client that was slow.
        if not back.is_closing() and front.get_write_buffer_size() <= limits.PROXY_RELAY_BUFFER:
            back.resume_reading()

    # Time

    def _moved(self) -> tuple[int, ...]:
        """What differs whenever anything was received or taken."""
        waiting = (0 if end.lost else end.transport.get_write_buffer_size() for end in (self, self.other))
        return (self.count, self.other.count, *waiting)

    def _watch_idle(self, before: tuple[int, ...], quiet: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._idle_timeout / _LOOKS, self._look, before, quiet)

    def _look(self, before: tuple[int, ...], quiet: int) -> None:
        now = self._moved()
        quiet = quiet + 1 if now == before else 0
        if quiet < _LOOKS:
            self._watch_idle(now, quiet)
            return
        self._note("idle", f"nothing moved for {self._idle_timeout:g} seconds")
        for end in (self, self.other):
            if not end.lost:
                end.transport.abort()

    def _watch_rest(self, end: End, waiting: int | None) -> None:
        """One side is gone: the other one has to take what waits for it, or some of it in each such time."""
        now = end.transport.get_write_buffer_size()
        if waiting is not None and now >= waiting:
            end.transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(limits.SHUTDOWN_TIMEOUT, self._watch_rest, end, now)

    # Ends

    def connection_lost(self, exc: Exception | None) -> None:
        self.side_lost(self, exc)

    def side_lost(self, end: End, error: Exception | None) -> None:
        """One of the two sides is gone."""
        end.lost = True
        if self._timer is not None:
            self._timer.cancel()
        if error is not None:
            self._note(*self._reason(end, error))
        elif not (end.ended and end.other.ended):
            self._note("shutdown", "the proxy ended before the connection did")
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
            self.other.lost = True
        if not end.other.lost:
            if error is not None or not (end.ended and end.other.ended):
                end.other.break_off()
            else:
                end.other.transport.close()
            if not end.other.lost:
                self._watch_rest(end.other, None)
            return
        self.client.ended(
            received=self.count, sent=self.other.count, backend=self._backend.text, code=self._code, why=self._why
        )
        # Without this they would keep each other alive until the garbage collector comes.
        del self.other, self.write

    def _reason(self, end: End, error: Exception) -> tuple[str, str]:
        if end is not self:
            failed = backends.failure(self._backend, error)
            return failed.code, failed.why
        if isinstance(error, HandfastError):
            return error.code, error.what
        return "reset", str(error)

    def _note(self, code: str, why: str) -> None:
        # The first that went wrong is the reason of the rest.
        if not self._code:
            self._code, self._why = code, why


class Back(End):
    """The backend's side."""

    other: Relay

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.other = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.lost:
            # The client left while this was on its way.
            self.transport.abort()
            return
        # Now, and not when the task that connects goes on: data may come before that.
        self.other.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        # Where the client left before, all is over already.
        if not self.lost:
            self.other.side_lost(self, exc)
