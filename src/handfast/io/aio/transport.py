"""What a program under asyncio sees of a TLS connection: an ``asyncio.Transport`` whose bytes are plaintext.

Writing is lazy. Plaintext is sealed ``SEAL_STEP`` bytes at a time and only while the TCP transport has room; the rest
waits here as plaintext, uncopied where it came as ``bytes``. So a large write never exists as ciphertext as a whole,
and a peer that does not read costs no more than the program chose to queue: at the high-water mark its protocol is told
to pause. The marks count what waits here and what waits in the TCP transport. That one's own marks are never above
ours, so whenever it has room nothing waits here, and we are below ours too.

Reading is as the engine gives it, in order. What was decrypted already when the program pauses reading is held, also
when the connection fails: like every transport of asyncio this one tells nothing of an end to a program that neither
reads nor writes. It is told once it reads on, after what is held, or tries to write; what is held is dropped only by
a program that closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from handfast import limits
from handfast.crypto.suites import SUITES_13
from handfast.crypto.suites12 import SUITES_12
from handfast.engine import Data, EarlyData, HandshakeDone, PeerAuthenticated, PeerClosed
from handfast.errors import ApiMisuse, ConnectionLost
from handfast.io.aio.buffered import fill_buffers
from handfast.io.aio.sendfile import TakesFiles
from handfast.io.aio.write_queue import Buffer, WriteQueue
from handfast.io.failure_log import address_text

if TYPE_CHECKING:
    from handfast.engine import (
        ClientAuth,
        ClientAuthWord,
        ConnectionInfo,
        Result,
        UnverifiedPeer,
        VerifiedPeer,
    )
    from handfast.io.aio.below import Below


_HIGH_WATER = 64 * 1024
# The protocol of a transport after its end.
_NOBODY = asyncio.Protocol()


class TLSTransport(TakesFiles):
    """The transport that the user's protocol gets in ``connection_made``, once the handshake is complete."""

    __slots__ = (
        "_buffered",
        "_closing",
        "_early",
        "_ending",
        "_eof",
        "_error",
        "_held",
        "_high",
        "_listening",
        "_low",
        "_peer_ended",
        "_protocol",
        "_queue",
        "_reader_paused",
    )
    _below: Below

    def __init__(self, below: Below, protocol: asyncio.BaseProtocol) -> None:
        self._below = below
        self._queue = WriteQueue()
        self._held: list[Result] = []
        self._early: list[Result] = []
        self._high = _HIGH_WATER
        self._low = _HIGH_WATER // 4
        self._reader_paused = False
        self._writer_paused = False
        self._eof = False
        # Nothing more is written; and whether the program wants to hear more.
        self._closing = False
        self._listening = True
        # The TCP transport is gone, and the program does not know.
        self._ending = False
        self._error: Exception | None = None
        # The peer's close_notify was delivered, and so all that came before it.
        self._peer_ended = False
        self.set_protocol(protocol)

    def __repr__(self) -> str:
        address = address_text(self._below.tcp.get_extra_info("peername", ""))
        closing = "closing, " if self.is_closing() else ""
        return f"<TLSTransport {address}: {closing}{self._below.connection.state}>"

    @property
    def info(self) -> ConnectionInfo:
        """What is known of the connection, also after it ended."""
        return self._below.connection.info

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the TCP transport knows (``peername``, ``sockname``, ``socket``), and of TLS:

        ``handfast``: the ConnectionInfo; ``cipher``: (suite, version, bits of the key) as ssl tells it;
        ``compression``: None. There is no ssl object behind this, so ``ssl_object``, ``sslcontext`` and ``peercert``
        give the default: who the peer is stands in ``handfast.info(transport)``.
        """
        if name == "handfast":
            return self.info
        if name == "cipher":
            if self.info.suite is None:
                return None
            suite = SUITES_13.get(self.info.suite) or SUITES_12[self.info.suite]
            return suite.name, str(self.info.version).replace(" ", "v"), suite.key_length * 8
        if name == "compression":
            return None
        if name in ("ssl_object", "sslcontext", "peercert"):
            return default
        return self._below.tcp.get_extra_info(name, default)

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Exported keying material of ``length`` bytes. RFC 9846 7.5."""
        return self._below.connection.export(label, context, length)

    def channel_binding(self, kind: str) -> bytes:
        """``tls-exporter`` (RFC 9266), ``tls-server-end-point`` or, in TLS 1.2, ``tls-unique`` (RFC 5929)."""
        return self._below.connection.channel_binding(kind)

    def request_client_certificate(
        self, *, client_auth: ClientAuth | ClientAuthWord | None = None
    ) -> asyncio.Future[VerifiedPeer | UnverifiedPeer | None]:
        """At a server: ask the client who it is; the future gets the answer, None if it declined. RFC 9846 4.7.2.

        The answer comes in order with the client's data, so reading must go on. What is refused, and what
        ``client_auth`` means, is as in ``ServerConnection.request_client_certificate``. The future gets the error that
        ends the connection, if one does, or ConnectionLost no_answer.
        """
        return self._below.request_client_certificate(client_auth)

    @property
    def trailing_data(self) -> bytes:
        """What came behind the peer's close_notify, in plaintext. Raises ApiMisuse trailing_data_lost."""
        return self._below.connection.trailing_data

    def unwrap(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> asyncio.Transport:
        """End TLS after the peer's end, and give the TCP transport to ``protocol``, for plaintext. RFC 9846 6.1.

        For ``eof_received``, or later if that returned true. Sends close_notify, and gives ``trailing_data`` to the
        protocol as the first that it receives; the present protocol hears nothing more. Raises ApiMisuse
        still_connected before the peer's end has been delivered and while anything waits to be sent, and
        trailing_data_lost.
        """
        if not self._peer_ended:
            raise ApiMisuse("still_connected", reason="the peer has not ended it, or its end waits to be delivered")
        if self._queue.size or self._closing:
            raise ApiMisuse("still_connected", reason="data waits to be sent" if self._queue.size else "it is closing")
        tcp = self._below.unwrap(protocol)
        self._discard()
        return tcp

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes from now on to this protocol, an ``asyncio.Protocol`` or ``asyncio.BufferedProtocol``."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The current protocol; after its ``connection_lost`` one that does nothing."""
        return self._protocol

    # Writing

    def write(self, data: Buffer) -> None:
        """Send ``data`` as soon as the peer takes it. After ``close`` or the connection's end it is dropped."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be a bytes-like object, not {type(data).__name__!r}")
        if self._closing:
            self._end_soon()
            return
        if self._eof:
            raise RuntimeError("write() after write_eof()")
        link = self._below
        if not link.has_room:
            self._queue.add(bytes(data))
        elif len(data) <= limits.SEAL_STEP and type(data) is bytes:
            if data:
                link.send(data)
        else:
            self._write_in_steps(data)
        if not link.has_room:
            self._check_marks()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """``write`` of all of them, as one."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send close_notify after what is queued; reading goes on. RFC 9846 6.1."""
        if not self._eof and not self._closing:
            self._eof = True
            self._finish_writing()

    def can_write_eof(self) -> bool:
        """True: TLS can close one direction."""
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks, in bytes, above and below which the protocol's pause_writing and resume_writing are called."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._below.tcp.set_write_buffer_limits(min(high, limits.SEAL_STEP), min(low, limits.SEAL_STEP))
        self._check_marks()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high), in bytes."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent: plaintext here, ciphertext in the TCP transport."""
        return self._queue.size + self._below.tcp.get_write_buffer_size()

    def _write_in_steps(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        at = 0
        while at < len(view) and self._below.has_room:
            self._below.send(view[at : at + limits.SEAL_STEP])
            at += limits.SEAL_STEP
        if at < len(view) and not self._closing:
            # Only bytes stay as they are while they wait.
            self._queue.add(view[at:] if type(data) is bytes else bytes(view[at:]))

    def on_room(self) -> None:
        """The TCP transport has room again: seal what waits."""
        while self._queue.size and self._below.has_room:
            self._below.send(self._queue.next_step())
        if self._eof or self._closing:
            self._finish_writing()
        self._check_marks()

    def _finish_writing(self) -> None:
        if not self._queue.size:
            self._below.finish_writing(close=self._closing)

    def _check_marks(self) -> None:
        size = self.get_write_buffer_size()
        protocol = cast(asyncio.Protocol, self._protocol)
        if not self._writer_paused:
            if size > self._high:
                self._writer_paused = True
                self._tell(protocol.pause_writing)
        elif size <= self._low or self._below.has_room:
            self._writer_paused = False
            self._tell(protocol.resume_writing)

    # Reading

    def is_reading(self) -> bool:
        """Whether the protocol gets what comes."""
        return not self._reader_paused and not self._closing

    def pause_reading(self) -> None:
        """Give nothing to the protocol until ``resume_reading``."""
        if self._takes_more():
            self._reader_paused = True
            # The handshake reads on, whatever the program does when early data comes.
            if not self._closing and self.info.complete:
                self._below.tcp.pause_reading()

    def resume_reading(self) -> None:
        """Go on after ``pause_reading``."""
        if self._reader_paused and self._listening:
            self._reader_paused = False
            if self._held:
                self._below.loop.call_soon(self._deliver_held)
            elif not self._closing:
                self._below.tcp.resume_reading()

    def _takes_more(self) -> bool:
        return self._listening and not self._reader_paused

    def take_early(self, results: list[Result]) -> list[Result]:
        """What is to be delivered once the handshake is complete; early data goes before, where it is wanted then."""
        later: list[Result] = []
        for result in results:
            if not isinstance(result, EarlyData):
                later.append(result)
            elif self._takes_more() and (receive := getattr(self._protocol, "early_data_received", None)) is not None:
                self._call(receive, self, bytes(result.data))
            elif self._listening:
                self._early.append(Data(result.data))
        if later and self._early:
            later[1:1], self._early = self._early, []
        return later

    def opened(self, results: list[Result]) -> None:
        """The handshake is complete: tell the protocol, then do what it asked for while early data came."""
        closing, ended = self._closing, self._closing or self._eof
        if self._reader_paused:
            self._below.tcp.pause_reading()
        self._deliver_one(results[0])
        if not self._below.tcp.is_closing():
            if closing:
                self._below.start_closing()
            if ended:
                self._finish_writing()
        if self._listening:
            self.deliver(results[1:])

    def deliver(self, results: list[Result]) -> None:
        """Give the engine's results to the protocol."""
        if self._held or not self._takes_more():
            self._held += results
            return
        for position, result in enumerate(results, 1):
            self._deliver_one(result)
            if not self._takes_more():
                if self._listening:
                    self._held += results[position:]
                return

    def _deliver_held(self) -> None:
        if self._takes_more():
            held, self._held = self._held, []
            self.deliver(held)
        if self._ending and not self._held:
            self._end()
        elif self._takes_more() and not self._closing:
            self._below.tcp.resume_reading()

    def _deliver_one(self, result: Result) -> None:
        protocol = cast(asyncio.Protocol, self._protocol)
        if isinstance(result, Data):
            if self._buffered:
                self._deliver_buffered(result.data)
            else:
                self._call(protocol.data_received, bytes(result.data))
        elif isinstance(result, HandshakeDone):
            self._call(protocol.connection_made, self)
        elif isinstance(result, PeerAuthenticated):
            self._below.requests.answered(result)
        elif isinstance(result, PeerClosed):
            self._peer_ended = True
            self._below.requests.give_up(ConnectionLost("no_answer", did="closed its side"))
            if not self._call(protocol.eof_received):
                self.close()

    def _deliver_buffered(self, data: bytes | bytearray) -> None:
        """Fill the protocol's buffers; what it does not take, since it paused or another is there, is for later."""
        protocol = cast(asyncio.BufferedProtocol, self._protocol)
        rest = self._call(fill_buffers, protocol, data, lambda: self._takes_more() and self._protocol is protocol)
        if rest and self._takes_more():
            self._deliver_one(Data(rest))
        elif rest and self._listening:
            self._held.insert(0, Data(rest))

    def _call(self, callback: Callable[..., Any], *arguments: object) -> Any:
        """Call the protocol. What it lets escape ends the connection, as under every transport of asyncio."""
        try:
            return callback(*arguments)
        except (KeyboardInterrupt, SystemExit):
            # What comes next would follow on something that the program may not have taken, should the loop go on.
            self._discard()
            self._below.give_up(ConnectionLost("interrupted"))
            raise
        except BaseException as error:  # noqa: BLE001 (the program's own, whatever it is: CancelledError too)
            self._report(callback, error)
            self._discard()
            self._below.give_up(error)
            return None

    def _tell(self, callback: Callable[[], None]) -> None:
        """Call pause_writing or resume_writing: what these let escape ends nothing, as under asyncio's transports."""
        try:
            callback()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (as above)
            self._report(callback, error)

    def _report(self, callback: Callable[..., Any], error: BaseException) -> None:
        context = {"message": f"{getattr(callback, '__name__', callback)}() failed", "exception": error}
        self._below.loop.call_exception_handler({**context, "transport": self, "protocol": self._protocol})

    # Ends

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Send what is queued and close_notify, wait a bounded time for the peer's end, then close. RFC 9846 6.1."""
        self._listening = False
        self._held.clear()
        if self._closing:
            self._end_soon()
        else:
            self._closing = True
            self._below.start_closing()
            self._finish_writing()

    def abort(self) -> None:
        """Close at once. What is queued is lost, and the peer sees a truncated connection."""
        self._discard()
        self._below.abort()
        self._end_soon()

    def _discard(self) -> None:
        """Nothing that waits here is sent or delivered any more."""
        self.stop_writing()
        self._listening = False
        self._held.clear()

    def stop_writing(self) -> None:
        """The connection failed: nothing that waits here is sent any more."""
        self._closing = True
        self._queue.clear()

    def lost(self, error: Exception | None) -> None:
        """The TCP transport is gone."""
        self.stop_writing()
        self._ending, self._error = True, error
        if self._writer_paused:
            self._end()
        else:
            self._deliver_held()

    def _end_soon(self) -> None:
        """The program wrote or closed: it hears of the end, if it has come, though it does not read on."""
        if self._ending:
            self._below.loop.call_soon(self._end)

    def _end(self) -> None:
        """Tell the program of the end, once, and before it what came before it."""
        if not self._ending:
            return
        self._ending = False
        while self._held and self._listening:
            # Whatever the program pauses now: there is no later.
            self._reader_paused = False
            self._deliver_one(self._held.pop(0))
        self._discard()
        self._call(self._protocol.connection_lost, self._error)
        # Without this the two would keep each other alive until the garbage collector comes.
        self._protocol = _NOBODY
