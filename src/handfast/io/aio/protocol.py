"""Between a TCP transport of an event loop and the engine: moves bytes, waits for answers, and ends connections.

    TCP transport  <->  TLSProtocol (here)  <->  TLSTransport (transport.py)  <->  the user's protocol

The user's protocol hears nothing before the handshake is complete. While a signer or verifier is awaited then, what the
peer sends is buffered up to ``limits.UNJUDGED_BYTES``; after the handshake it is delivered. The handshake has one
deadline, and what is not answered by then is cancelled.

Most of this file is about ends, because TCP destroys evidence: closing a socket with unread data, or getting data after
it was closed, makes the kernel send a reset, and a reset that meets a write makes the loop drop what it has not read.

- Ours, in order: what is queued, close_notify, FIN, then what still comes is read and dropped until the peer ends too
  or ``shutdown_timeout`` passes without progress.
- Ours, by an error: the alert, FIN, a bounded read, close. So no reset overtakes the alert.
- The peer's close_notify: ``eof_received``, whose answer decides. An end without it is an error.
- A reset: in TLS 1.3 a client is refused after its own handshake, often by a server that resets at once. The alert is
  in the socket, and the loop does not read it when a write of ours met the reset first. So a client holds a duplicate
  of the descriptor and reads the rest itself. It is closed with the connection, or the kernel would keep the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from handfast import limits
from handfast.engine import HandshakeDone, PeerClosed, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.io.aio.buffered import hand_over
from handfast.io.aio.certificate_requests import CertificateRequests
from handfast.io.aio.setup import RECEIVE_BUFFER, Setup, Stage
from handfast.io.aio.transport import TLSTransport

if TYPE_CHECKING:
    from handfast.engine import ClientAuth, ClientAuthWord, Connection, Result
    from handfast.handshake.needs import Need
    from handfast.io.aio.certificate_requests import Answer
    from handfast.io.aio.write_queue import Buffer

_NOTHING = memoryview(b"")


class TLSProtocol(asyncio.BufferedProtocol):
    """One TLS connection, from the side of its TCP transport. Made as a ``ClientProtocol`` or a ``ServerProtocol``."""

    __slots__ = (
        "_answering",
        "_buffer",
        "_error",
        "_held_end",
        "_make_connection",
        "_peer_address",
        "_peer_ended",
        "_setup",
        "_stage",
        "_timer",
        "_unread",
        "connection",
        "has_room",
        "requests",
        "tcp",
        "transport",
    )

    _transport_class: ClassVar = TLSTransport
    connection: Connection
    tcp: asyncio.Transport
    transport: TLSTransport

    def __init__(self, setup: Setup, connection: Callable[[Any], Connection], protocol: asyncio.BaseProtocol) -> None:
        """``connection`` makes the engine's, given the peer's address."""
        self._setup = setup
        self._make_connection = connection
        self.transport = self._transport_class(self, protocol)
        self._stage = Stage.NEW
        self._error: Exception | None = None
        self._answering: asyncio.Future[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._buffer = _NOTHING
        self._peer_ended = False
        self.requests = CertificateRequests()
        self._held_end: list[Result] = []
        # Whether the TCP transport takes more. The transport above seals nothing while it does not.
        self.has_room = True

    # For the transport above

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection lives in."""
        return self._setup.loop

    def send(self, data: Buffer) -> None:
        """Seal ``data`` and hand it to the TCP transport."""
        try:
            self.connection.send(data)
        except HandfastError as error:
            self._fail(error)
        else:
            self.tcp.write(self.connection.outgoing())

    def request_client_certificate(self, client_auth: ClientAuth | ClientAuthWord | None) -> Answer:
        """Ask the client who it is."""
        if not isinstance(self.connection, ServerConnection):
            raise ApiMisuse("cannot_request", reason="this side is the client")
        if self._stage is Stage.LOST:
            raise self._error or ConnectionLost("no_answer", did="closed the connection")
        if self.connection.peer_closed:
            raise ConnectionLost("no_answer", did="closed its side")
        context = self.connection.request_client_certificate(client_auth=client_auth)
        answer: Answer = self.loop.create_future()
        self.requests.add(context, answer)
        self._flush()
        return answer

    def start_closing(self) -> None:
        """Deliver nothing more; from now on there must be progress every ``shutdown_timeout``."""
        if self._stage is Stage.CONNECTED:
            self._stage = Stage.FLUSHING
            self.tcp.resume_reading()
            self._watch_progress()

    def finish_writing(self, *, close: bool) -> None:
        """All is sealed: send close_notify, and with ``close`` end the connection."""
        if self._stage not in (Stage.CONNECTED, Stage.FLUSHING):
            return
        self.connection.close()
        self._flush()
        if not close:
            return
        self._stage = Stage.CLOSING
        if self._peer_ended or self.connection.peer_closed:
            # Not in the middle of its resume_writing, after which asyncio's transport would close a second time.
            self.loop.call_soon(self.tcp.close)
        else:
            self._end_tcp_writing()

    def unwrap(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> asyncio.Transport:
        """The peer's end was delivered: send close_notify and give the TCP transport away."""
        if self._stage is not Stage.CONNECTED:
            raise ApiMisuse("still_connected", reason="the connection is gone")
        trailing = self.connection.trailing_data
        self.connection.close()
        self._flush()
        self._stage = Stage.LOST
        self._stop_waiting()
        tcp = self.tcp
        tcp.set_protocol(protocol)
        tcp.set_write_buffer_limits()
        try:
            if not self._peer_ended:
                # Before the protocol is there, which may pause it again.
                tcp.resume_reading()
            protocol.connection_made(tcp)
            if not self.has_room:
                protocol.pause_writing()
            hand_over(tcp, trailing)
            last = cast(asyncio.Protocol, tcp.get_protocol())
            if self._peer_ended and not tcp.is_closing() and not last.eof_received():
                tcp.close()
        except BaseException:
            # What it did not take would be missing before what comes next.
            tcp.abort()
            raise
        return tcp

    def abort(self) -> None:
        """Close the TCP transport without a word."""
        if self._stage is not Stage.LOST:
            self.tcp.abort()

    def give_up(self, error: BaseException) -> None:
        """Close because the user's protocol failed: ``error`` is what its connection_lost gets."""
        if self._stage not in (Stage.LINGERING, Stage.LOST):
            self._error = cast(Exception, error)
            self.transport.abort()

    # For the TCP transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.tcp = cast(asyncio.Transport, transport)
        self._peer_address: Any = transport.get_extra_info("peername")
        make = self._make_connection
        # It may be a method of this protocol, which would keep itself alive until the garbage collector comes.
        del self._make_connection
        try:
            self.connection = make(self._peer_address)
        except Exception as error:  # noqa: BLE001 (the program's own, which chose who watches)
            self._error = error
            self.tcp.abort()
            return
        self._stage = Stage.HANDSHAKE
        self.tcp.set_write_buffer_limits(limits.SEAL_STEP)
        self._set_timer(self._setup.handshake_timeout, self._on_handshake_timeout)
        self._after([])

    def get_buffer(self, sizehint: int) -> memoryview:
        self._buffer = RECEIVE_BUFFER.lend(self)
        if self._stage is Stage.HANDSHAKE:
            # Never none: where there is no more room, reading is paused.
            self._buffer = self._buffer[: limits.UNJUDGED_BYTES - self.connection.held]
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(self._buffer[:nbytes])
        RECEIVE_BUFFER.take_back(self)
        self._buffer = _NOTHING

    def _receive(self, data: memoryview) -> None:
        if self._stage is Stage.LINGERING:
            self._unread += len(data)
            if self._unread > limits.LINGER_BYTES:
                self.tcp.abort()
            return
        try:
            results = self.connection.receive(data)
        except HandfastError as error:
            self._fail(error)
        else:
            self._after(results)

    def eof_received(self) -> bool:
        RECEIVE_BUFFER.take_back(self)
        self._buffer = _NOTHING
        self._peer_ended = True
        if self._stage >= Stage.CLOSING:
            self.tcp.close()
        elif self._stage is not Stage.FLUSHING:
            self._advance(self.connection.eof)
        # True: it is we who close.
        return True

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        if self._stage < Stage.CLOSING:
            self.has_room = True
            self.transport.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stage is Stage.LOST:
            return
        began = self._stage is not Stage.NEW
        if began and self._error is None and exc is not None:
            self._error = self._explain(exc)
        RECEIVE_BUFFER.take_back(self)
        self._stage = Stage.LOST
        self.has_room = False
        self._stop_waiting()
        if began and self.connection.info.complete:
            self.transport.lost(self._error)
        else:
            self._refused(self._error)
        # Without this the two would keep each other alive until the garbage collector comes.
        del self.transport

    # Roles

    def _opened(self) -> None:
        """The handshake is complete, and the user's protocol knows."""

    @abstractmethod
    def _refused(self, error: Exception | None) -> None:
        """The TCP transport is gone before the handshake was complete."""

    def _rest(self) -> Iterator[bytes]:
        """What the peer had sent and the loop did not read when the transport failed."""
        return iter(())

    # Driving

    def _advance(self, step: Callable[[], list[Result] | None]) -> None:
        """One step of the engine."""
        try:
            results = step()
        except HandfastError as error:
            self._fail(error)
        else:
            self._after(results or [])

    def _after(self, results: list[Result]) -> None:
        """What follows each step of the engine: send, deliver, ask."""
        connection = self.connection
        if connection.wants_write:
            self.tcp.write(connection.outgoing())
        if results and self._stage is Stage.HANDSHAKE:
            results = self.transport.take_early(results)
        if self.requests or self._held_end:
            results = self._in_order(results)
        if results:
            if isinstance(results[0], HandshakeDone):
                self._set_connected(results)
            elif self._stage is Stage.CONNECTED:
                self.transport.deliver(results)
            elif connection.peer_closed and self._stage is Stage.CLOSING:
                self.tcp.close()
        if connection.error is not None:
            self._fail(connection.error)
        elif self._stage <= Stage.CONNECTED and self._answering is None and connection.need is not None:
            self._ask(connection.need)
        if self._stage is Stage.HANDSHAKE and connection.held >= limits.UNJUDGED_BYTES:
            self.tcp.pause_reading()

    def _in_order(self, results: list[Result]) -> list[Result]:
        """The client's end waits while an answer that came before it is judged."""
        results += self._held_end
        self._held_end = []
        if self.connection.peer_closed and self.connection.need is not None:
            self._held_end = [result for result in results if isinstance(result, PeerClosed)]
            results = [result for result in results if not isinstance(result, PeerClosed)]
        return results

    def _set_connected(self, results: list[Result]) -> None:
        self._stage = Stage.CONNECTED
        self._stop_timer()
        try:
            self.transport.opened(results)
        finally:
            # Also where the program is interrupted: who waits for the connection gets what is left of it.
            self._opened()

    def _flush(self) -> None:
        if self.connection.wants_write:
            self.tcp.write(self.connection.outgoing())

    def _ask(self, need: Need) -> None:
        try:
            awaitable = self.connection.awaitable
            if awaitable is None:
                awaitable = self._setup.on_need(need)
            answering = asyncio.ensure_future(awaitable, loop=self.loop)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (the program's own, whatever it is)
            self._advance(partial(self.connection.fail, need, error))
            return
        self._answering = answering
        answering.add_done_callback(partial(self._on_answer, need))

    def _on_answer(self, need: Need, answering: asyncio.Future[object]) -> None:
        # Asked in any case, or asyncio complains of an exception that was never retrieved.
        error = asyncio.CancelledError("cancelled") if answering.cancelled() else answering.exception()
        if self._answering is not answering:
            # Too late: the connection ended meanwhile.
            return
        self._answering = None
        if self._stage is Stage.HANDSHAKE:
            self.tcp.resume_reading()
        if error is not None:
            self._advance(partial(self.connection.fail, need, error))
        else:
            self._advance(partial(self.connection.answer, need, answering.result()))

    # Time

    def _set_timer(self, seconds: float, callback: Callable[..., None], *arguments: object) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, callback, *arguments)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_waiting(self) -> None:
        self._stop_timer()
        if self.requests:
            self.requests.give_up(self._error or ConnectionLost("no_answer", did="closed the connection"))
        if self._answering is not None:
            answering, self._answering = self._answering, None
            answering.cancel()

    def _on_handshake_timeout(self) -> None:
        self._advance(self.connection.timed_out)

    def _watch_progress(self, unsent_before: int | None = None) -> None:
        """While closing: as long as the peer takes something in each ``shutdown_timeout``, it may take its time."""
        unsent = self.transport.get_write_buffer_size()
        if unsent_before is None or unsent < unsent_before:
            self._set_timer(self._setup.shutdown_timeout, self._watch_progress, unsent)
            return
        if unsent:
            self._error = ConnectionLost("shutdown_timeout", seconds=self._setup.shutdown_timeout, unsent=unsent)
        self.tcp.abort()

    # Ends

    def _fail(self, error: HandfastError) -> None:
        """The engine ended the connection. Let the alert out, if there is one to send, and keep a reset from it."""
        if self._stage >= Stage.LINGERING or self._error is not None:
            return
        # Its frames hold this protocol: the two would keep each other alive until the garbage collector comes.
        self._error = error.with_traceback(None)
        self._stage = Stage.LINGERING
        self.has_room = False
        self._unread = 0
        self._stop_waiting()
        self.transport.stop_writing()
        if error.alert is None and not self.connection.wants_write:
            self.tcp.abort()
            return
        self._flush()
        self._end_tcp_writing()
        self.tcp.resume_reading()
        self._set_timer(limits.LINGER_TIMEOUT, self.tcp.abort)

    def _end_tcp_writing(self) -> None:
        # Where the peer is gone already, the loop reports it by itself.
        with contextlib.suppress(OSError):
            self.tcp.write_eof()

    def _explain(self, failure: Exception) -> Exception | None:
        """Why the TCP transport failed: the error to report, which the peer may have sent before."""
        if not isinstance(failure, OSError):
            # What a verifier let out, CancelledError for one, does not cancel the task that waits for the connection.
            return self.connection.error or failure
        for data in self._rest():
            if self._stage is Stage.HANDSHAKE and self._answering is not None:
                # Nothing of it would be read before the answer.
                break
            try:
                results = self.connection.receive(data)
                # A program that paused reading is not read for.
                self._after(results if self.transport.is_reading() else [])
            except HandfastError as error:
                return error.with_traceback(None)
            if self._error is not None:
                return self._error
        if self._stage is Stage.CLOSING:
            # All that was sent had been taken when the peer went.
            return None
        return self._reset()

    def _reset(self) -> ConnectionLost:
        stage = "after the handshake" if self.connection.info.complete else f"waiting for {self.connection.waiting_for}"
        lost = ConnectionLost("reset", stage=stage)
        self.connection.lost(lost)
        return lost
