"""Connections to backends that speak HTTP/2: many exchanges at once. RFC 9113.

h2 reads and writes frames. The connection's window has room for the windows of all its streams, so a client that takes
nothing stops no other one. A backend that ends a connection says which requests it looked at: those go on to their end.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error

from handfast import limits
from handfast.http2_bounds import Costs, TooMuch, client_connection
from handfast.http2_frames import Frames, Goaway, error_name
from handfast.proxy import backends
from handfast.proxy.backends import BackendFailed
from handfast.proxy.http.time_limit import Deadline
from handfast.proxy.http.upstream_stream import Http2Upstream

if TYPE_CHECKING:
    from handfast.proxy.http.upstream import Answered
    from handfast.proxy.settings import Backend

# Heads of answers are judged by stream, and requests were judged before they came here.
_CONFIG = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_INITIAL_WINDOW = 2**16 - 1
_LAST_STREAM = 2**31 - 1


class Keeper(Protocol):
    """Where connections that have room are found: the pool."""

    def forget(self, upstream: Http2Connection) -> None:
        """It takes no further streams."""


class Http2Connection(asyncio.Protocol):
    """One connection to a backend. ``fresh`` says that no exchange was made over it before."""

    transport: asyncio.Transport

    def __init__(self, backend: Backend, pool: Keeper) -> None:
        self.backend = backend
        self.fresh = True
        self.paused = False
        self.h2 = client_connection(_CONFIG)
        self._pool = pool
        self._streams: dict[int, Http2Upstream] = {}
        self._frames = Frames()
        self._costs = Costs(time.monotonic)
        # Whether it takes no further streams.
        self._retired = False
        self._gone = False
        self._receiving = False
        self._failure = ("backend_closed", "it closed the connection before its answer was complete")
        self._there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deadline = Deadline(self.retire)

    async def connect(self, header: bytes) -> None:
        """Connect, and wait until the backend has shown that it speaks HTTP/2. Raises BackendFailed."""
        try:
            async with asyncio.timeout(self.backend.connect_timeout):
                await backends.connect(self.backend, self, header=header)
                await self._there
                # Those who asked for it may have left.
                self._deadline.set(limits.PROXY_KEPT_IDLE)
        except TimeoutError:
            self.close()
            seconds = self.backend.connect_timeout
            why = f"{self.backend.text} did not begin with HTTP/2 within {seconds:g} seconds"
            raise BackendFailed("backend_timeout", why) from None
        except BaseException:
            self.close()
            raise

    # For the pool and streams

    @property
    def has_room(self) -> bool:
        """Whether it takes a further stream now."""
        if self._retired or self.h2.highest_outbound_stream_id > _LAST_STREAM - 2 * limits.PROXY_BACKEND_STREAMS:
            return False
        most = min(self.h2.remote_settings.max_concurrent_streams, limits.PROXY_BACKEND_STREAMS)
        full = self.transport.get_write_buffer_size() > limits.PROXY_HTTP2_WINDOW
        return self.h2.open_outbound_streams < most and not full

    @property
    def is_busy(self) -> bool:
        """Whether there are streams."""
        return bool(self._streams)

    def stream(self) -> Http2Upstream:
        """The way of one exchange, which is to begin at once."""
        return Http2Upstream(self)

    def begin(self, stream: Http2Upstream) -> int:
        """The number of a new stream."""
        number = self.h2.get_next_available_stream_id()
        self._streams[number] = stream
        self.fresh = False
        self._deadline.clear()
        return number

    def finished(self, stream: Http2Upstream) -> None:
        """The stream is over."""
        self._streams.pop(stream.number, None)
        self.write()
        if not self._streams:
            self._deadline.set(limits.PROXY_KEPT_IDLE)
            self._end_if_retired()

    def reset(self, number: int, code: ErrorCodes) -> None:
        """Have the backend notice that the stream ends here."""
        with suppress(H2Error):
            self.h2.reset_stream(number, code)
        self.write()

    def write(self) -> None:
        """Send what h2 has, unless more may follow at once."""
        if not self._receiving and (data := self.h2.data_to_send()) and not self.transport.is_closing():
            self.transport.write(data)

    def retire(self) -> None:
        """Take no further streams, and end when there are none."""
        self._retired = True
        self._pool.forget(self)
        self._end_if_retired()

    def close(self) -> None:
        """End at once."""
        self._retired = True
        self._deadline.end()
        if not self._gone and hasattr(self, "transport"):
            self.transport.abort()
        if not self._there.done():
            self._there.cancel()

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        info = transport.get_extra_info("handfast")
        if info is not None and info.application_protocol != "h2":
            self._fail("backend_protocol", "it does not speak HTTP/2 by TLS (ALPN)")
            return
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window((limits.PROXY_BACKEND_STREAMS - 1) * _INITIAL_WINDOW)
        self.write()

    def data_received(self, data: bytes) -> None:
        told: dict[Answered, None] = {}
        self._receiving = True
        try:
            for piece in self._frames.split(data):
                if isinstance(piece, Goaway):
                    self._goodbye(piece)
                    continue
                for event in self.h2.receive_data(piece):
                    stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
                    if stream is not None and stream.exchange is not None:
                        told[stream.exchange] = None
                    self._event(event, stream)
        except TooMuch as error:
            self._fail("backend_protocol", str(error))
        except (H2Error, ValueError) as error:
            said = "" if self._there.done() and not self._there.cancelled() else "it does not speak HTTP/2: "
            self._fail("backend_protocol", f"{said}{type(error).__name__}")
        finally:
            self._receiving = False
        self.write()
        for exchange in told:
            exchange.on_batch_end()
        self._end_if_retired()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = self._retired = True
        self._deadline.end()
        self._pool.forget(self)
        code, why = self._failure
        if exc is not None:
            failed = backends.failure(self.backend, exc)
            code, why = failed.code, failed.why
        if not self._there.done():
            self._there.set_exception(BackendFailed(code, f"{self.backend.text}: {why}"))
        for stream in tuple(self._streams.values()):
            stream.fail(code, why)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._pump_all()

    # What comes

    def _event(self, event: Event, stream: Http2Upstream | None) -> None:
        match event:
            case RemoteSettingsChanged():
                if not self._there.done():
                    self._there.set_result(None)
                self._costs.other(event)
                # They may widen the window of each stream.
                self._pump_all()
            case WindowUpdated(stream_id=number):
                if not number:
                    self._pump_all()
                elif stream is not None:
                    stream.pump()
                else:
                    self._costs.other(event)
            case DataReceived(stream_id=int(number), data=data, flow_controlled_length=int(size)):
                if not size and event.stream_ended is None:
                    self._costs.idle()
                if stream is None:
                    self.h2.acknowledge_received_data(size, number)
                else:
                    stream.data(data or b"", size)
            case _ if stream is not None:
                _tell(stream, event)
            case _:
                self._costs.other(event)

    def _goodbye(self, goaway: Goaway) -> None:
        """The backend takes no further streams, and has not looked at those behind its last one. RFC 9113 6.8."""
        if goaway.code:
            self._failure = ("backend_closed", f"it ended the connection with the error {error_name(goaway.code)}")
        self._retired = True
        self._pool.forget(self)
        for number, stream in tuple(self._streams.items()):
            if number > goaway.last:
                stream.unprocessed = True
                stream.fail("backend_closed", "it ended the connection before it looked at the request")

    def _pump_all(self) -> None:
        for stream in tuple(self._streams.values()):
            stream.pump()
        self.write()

    # Ends

    def _fail(self, code: str, why: str) -> None:
        self._failure = (code, why)
        self._retired = True
        self._pool.forget(self)
        # h2 may have its GOAWAY ready.
        if data := self.h2.data_to_send():
            self.transport.write(data)
        self.transport.abort()

    def _end_if_retired(self) -> None:
        if self._retired and not self._streams and not self._receiving and not self._gone:
            self._deadline.end()
            if not self.transport.is_closing():
                self.transport.write(Goaway(0, ErrorCodes.NO_ERROR).encode())
                self.transport.close()


def _tell(stream: Http2Upstream, event: Event) -> None:
    match event:
        case InformationalResponseReceived(headers=fields):
            stream.interim(fields or [])
        case ResponseReceived(headers=fields):
            stream.answer(fields or [])
        case TrailersReceived(headers=fields):
            stream.trailers(fields or [])
        case StreamEnded():
            stream.ended()
        case StreamReset(error_code=code):
            stream.was_reset(code or ErrorCodes.NO_ERROR)
