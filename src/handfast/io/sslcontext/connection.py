"""What stands behind each ``ssl.SSLObject`` and ``ssl.SSLSocket`` of ours: the surface of ``_ssl._SSLSocket``.

Two threads may use one connection, one reading and one writing. The state lock guards the engine and is never held
across blocking I/O. The write lock keeps sealed bytes in the order in which they were sealed; a reader that has
something to send (an answer to KeyUpdate, an alert) sends it only if it gets that lock at once, since the thread
that holds it sends it as well. The read lock is a reader's while it waits.

A signal's handler, and a callback, can come in the middle of what its own thread does here: every lock lets it in, and
a flag says that it came in between. What it writes while its thread is writing leaves with that; it cannot read.
"""

from __future__ import annotations

import ssl
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.credentials.signers import ThreadSigner
from handfast.engine import Data, EarlyData, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.fork import renew_in_children
from handfast.handshake.needs import Sign
from handfast.io.failure_log import log_failure
from handfast.io.sslcontext import errors
from handfast.io.sslcontext.configured import Configured
from handfast.io.sslcontext.queries import ConnectionQueries
from handfast.io.sslcontext.sessions import Slot, SSLSession
from handfast.io.sslcontext.transports import BioTransport, Call, SocketTransport

if TYPE_CHECKING:
    import socket

    from handfast.engine import Connection, Result

# For what does not wait.
_AT_ONCE = Call("write")


class TLSConnection(ConnectionQueries):
    """One connection, over memory buffers or a socket. What it raises is of ``ssl`` or of the socket."""

    _reading: threading.RLock
    _writing: threading.RLock
    # With the lock of the same name: whether this thread is at it already, and was interrupted by who comes now.
    _is_reading: bool
    _is_writing: bool
    _is_sending: bool
    # Whether such a one left something for this thread to send.
    _is_left = False

    def __init__(
        self,
        context: Configured,
        transport: BioTransport | SocketTransport,
        *,
        server_side: bool,
        server_hostname: str | None,
        owner: object,
        session: SSLSession | None,
    ) -> None:
        lock = threading.RLock
        renew_in_children(self, _state=lock, _reading=lock, _writing=lock)
        renew_in_children(self, _is_reading=bool, _is_writing=bool, _is_sending=bool)
        self._context = context
        self._transport = transport
        self.server_side = bool(server_side)
        self.server_hostname = server_hostname
        self._owner = None if owner is None else weakref.ref(owner)
        self._slot = Slot(context)
        self._setup = context._setup(self.server_side)
        self._received: deque[bytes | bytearray | memoryview] = deque()
        self._over_buffers = isinstance(transport, BioTransport)
        self._unsent = bytearray()
        # A write that was interrupted: how much of it was sealed, of how much.
        self._sealed = self._promised = 0
        # An error of the handshake whose alert the caller must send first.
        self._kept: HandfastError | None = None
        self._counted = False
        if session is not None:
            self.session = session

    # What is known

    @property
    def context(self) -> Configured:
        """The context that made this, or that a callback chose."""
        return self._context

    @context.setter
    def context(self, value: object) -> None:
        if not isinstance(value, Configured):
            raise TypeError(
                "The value must be a SSLContext of handfast's: a connection cannot change from one engine to another"
            )
        self._context = value
        if self._connection is None:
            self._setup = value._setup(self.server_side)

    def pending(self) -> int:
        """How many bytes can be read at once."""
        return sum(map(len, self._received))

    # What is done

    def do_handshake(self) -> None:
        """Complete the handshake, if it is not. Over memory buffers an alert of ours leaves before its error does."""
        self._raise_kept()
        if not self._complete:
            self._shake_hands(self._transport.call("handshake"))

    def _shake_hands(self, call: Call) -> None:
        with self._reading:
            connection = self._engine()
            self._flush(call)
            while not connection.info.complete:
                self._take_record(call)
                self._flush(call)
        if not self._counted:
            self._counted = True
            self._setup.count(connection.info)

    def read(self, len: int = 1024, buffer: Any = None) -> bytes | int:
        """As ``SSLSocket.read``: at most ``len`` bytes, b"" or 0 once the peer has closed in order."""
        view = None if buffer is None else memoryview(buffer).cast("B")
        size = len
        if view is not None:
            size = view.nbytes if not 0 < size <= view.nbytes else size
        if size < 0:
            raise ValueError("size should not be negative")
        if not size:
            return b"" if view is None else 0
        call = None
        if not self._complete:
            self._raise_kept()
            call = self._transport.call("read")
            self._shake_hands(call)
        with self._reading:
            while not self._received:
                connection = self._engine()
                if connection.peer_closed:
                    return self._at_end(view)
                call = call or self._transport.call("read")
                self._take_record(call)
                if self._unsent or connection.wants_write:
                    self._flush_aside()
            return self._take_out(size, view)

    def _take_out(self, size: int, view: memoryview | None) -> bytes | int:
        chunk = self._received.popleft()
        if len(chunk) > size:
            chunk = memoryview(chunk)
            self._received.appendleft(chunk[size:])
            chunk = chunk[:size]
        if view is None:
            return bytes(chunk)
        view[: len(chunk)] = chunk
        return len(chunk)

    def _at_end(self, view: memoryview | None) -> bytes | int:
        if self._connection is not None and self._connection.error is not None:
            raise self._mapped(self._connection.error)
        if self._closed_by_us:
            raise errors.closed()
        return b"" if view is None else 0

    _closed_by_us = False

    def write(self, data: Any) -> int:
        """As ``SSLSocket.write``: how much was sent, which is all. After SSLWantWriteError the same is to be given."""
        try:
            view = memoryview(data).cast("B")
        except TypeError:
            raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None
        call = self._transport.call("write")
        if not self._complete:
            self._raise_kept()
            self._shake_hands(call)
        with self._writing:
            if self._is_writing or self._is_sending:
                self._seal(view)
                self._is_left = True
                return len(view)
            self._is_writing = True
            try:
                if self._over_buffers:
                    self._write_to_buffer(data if type(data) is bytes and len(data) <= limits.SEAL_STEP else view, call)
                else:
                    self._write_to_socket(view, call)
            except OSError:
                raise
            except BaseException:
                # A signal's handler raised it: how much has left is not known, and nothing can follow it.
                self._engine().lost(ConnectionLost("interrupted"))
                self._engine().outgoing()
                self._unsent.clear()
                raise
            finally:
                self._is_writing = False
        if self._is_left:
            self._is_left = False
            self._flush(call)
        return len(view)

    def _write_to_buffer(self, data: bytes | memoryview, call: Call) -> None:
        """A buffer takes everything, so nothing is left unsent, and no write is interrupted."""
        for start in range(0, len(data), limits.SEAL_STEP):
            self._seal(data[start : start + limits.SEAL_STEP])
            with self._state:
                self._transport.send(self._engine().outgoing(), call, wait=True)

    def _write_to_socket(self, view: memoryview, call: Call) -> None:
        if self._promised > len(view):
            raise errors.ssl_error("BAD_WRITE_RETRY")
        step = limits.SEAL_STEP
        # What a write that was interrupted has sealed goes first, and is not sealed again.
        self._promised = len(view)
        self._send_out(call)
        while self._sealed < len(view):
            try:
                self._seal(view[self._sealed : self._sealed + step])
            except ssl.SSLError:
                self._sealed = self._promised = 0
                raise
            self._sealed = min(self._sealed + step, len(view))
            self._send_out(call)
        self._sealed = self._promised = 0

    def _seal(self, part: bytes | memoryview) -> None:
        try:
            with self._state:
                self._engine().send(part)
        except HandfastError as error:
            raise self._mapped(error) from error

    def shutdown(self) -> socket.socket | None:
        """Send close_notify and wait for the peer's; the socket, for a protocol that goes on without TLS.

        Where data came instead it is SSLError APPLICATION_DATA_AFTER_CLOSE_NOTIFY; it can still be read.
        """
        connection = self._engine()
        if not connection.info.complete:
            raise errors.ssl_error("SHUTDOWN_WHILE_IN_INIT")
        try:
            with self._state:
                connection.close()
                self._closed_by_us = True
        except HandfastError as error:
            raise self._mapped(error) from error
        call = self._transport.call("write")
        self._flush(call)
        call = call._replace(name="read")
        with self._reading:
            while not connection.peer_closed:
                if self._received:
                    raise errors.ssl_error("APPLICATION_DATA_AFTER_CLOSE_NOTIFY")
                self._take_record(call)
        return self._transport.end()

    def verify_client_post_handshake(self) -> None:
        """At a server of TLS 1.3: ask the client for its certificate; the answer is taken by a later ``read``."""
        connection = self._engine()
        if not isinstance(connection, ServerConnection):
            raise errors.ssl_error("NOT_SERVER")
        if self._complete and self.version() != "TLSv1.3":
            raise errors.ssl_error("WRONG_SSL_VERSION")
        try:
            with self._state:
                connection.request_client_certificate(client_auth=self._setup.later_client_auth)
        except HandfastError as error:
            raise self._mapped(error) from error
        self._flush(self._transport.call("write"))

    # Moving bytes

    def _engine(self) -> Connection:
        connection = self._connection
        if connection is None:
            with self._state:
                if self._connection is None:
                    try:
                        self._connection = self._setup.start(self, self._slot)
                    except HandfastError as error:
                        raise errors.of_connection(error, None, self.server_hostname) from error
                connection = self._connection
        return connection

    def _take_record(self, call: Call) -> None:
        """Give the engine the next record, and take what comes of it."""
        if self._is_reading:
            # The record that it is at must come first.
            raise self._mapped(ApiMisuse("reentrant"))
        self._is_reading = True
        try:
            record = self._next_record(call)
            connection = self._engine()
            with self._state:
                results = connection.receive(record) if record else []
                if self._transport.ended and connection.error is None:
                    results += connection.eof()
                self._take(results)
                if connection.need is not None:
                    self._answer_needs(connection)
        except HandfastError as error:
            raise self._failed(error, call) from error
        finally:
            self._is_reading = False

    def _next_record(self, call: Call) -> bytes:
        connection = self._engine()
        if connection.error is not None:
            raise self._failed(connection.error, call)
        # What could not leave at once leaves while we wait.
        while self._unsent and self._transport.blocking and isinstance(self._transport, SocketTransport):
            if self._transport.wait_readable(call):
                break
            self._flush_aside()
        return self._transport.record(call)

    def _take(self, results: list[Result]) -> None:
        for one in results:
            if isinstance(one, Data | EarlyData):
                self._received.append(one.data)

    def _answer_needs(self, connection: Connection) -> None:
        """A handshake that waits for somebody who answers later fails: these calls cannot await.

        Only a signer that would sign in a thread under an event loop is asked to sign here instead.
        """
        while (need := connection.need) is not None:
            awaitable = connection.awaitable
            for end in ("close", "cancel"):
                if hasattr(awaitable, end):
                    getattr(awaitable, end)()
            if isinstance(need, Sign) and isinstance(need.credentials.signer, ThreadSigner):
                self._take(connection.answer(need, need.credentials.signer.sign_here(need.scheme, need.content)))
            else:
                self._take(connection.fail(need, ApiMisuse("cannot_await", need=type(need).__name__)))

    def _flush(self, call: Call) -> None:
        """Send what is ready."""
        while self._unsent or self._engine().wants_write:
            with self._writing:
                if self._is_sending:
                    self._is_left = True
                    return
                self._send_out(call)

    def _flush_aside(self) -> None:
        """Send what is ready as far as that is possible at once; a thread that is writing sends it as well."""
        while self._unsent or self._engine().wants_write:
            if not self._writing.acquire(blocking=False):
                return
            try:
                if self._is_sending:
                    return
                self._send_out(_AT_ONCE, wait=False)
            except OSError:
                # The socket is full, or gone: the one is seen to later, and reading shows the other.
                return
            finally:
                self._writing.release()

    def _send_out(self, call: Call, *, wait: bool = True) -> None:
        """With the write lock: send until nothing is left."""
        self._is_sending = True
        try:
            while True:
                with self._state:
                    self._unsent += self._engine().outgoing()
                if not self._unsent:
                    return
                with memoryview(self._unsent) as view:
                    sent = self._sent(view, call, wait)
                del self._unsent[:sent]
        finally:
            self._is_sending = False

    def _sent(self, view: memoryview, call: Call, wait: bool) -> int:
        try:
            return self._transport.send(view, call, wait=wait)
        except ConnectionError as error:
            raise (self._last_words(call) or error) from None

    def _last_words(self, call: Call) -> ssl.SSLError | None:
        """Why the peer cut us off, if it said so: in TLS 1.3 a refused client often learns it from a failed write."""
        connection = self._engine()
        # A thread that reads meets it by itself.
        if self._is_reading or not self._reading.acquire(blocking=False):
            return None
        taken = 0
        try:
            while connection.error is None and not self._transport.ended and taken < limits.DRAIN_BYTES:
                record = self._transport.record(call)
                taken += len(record)
                with self._state:
                    self._take(connection.receive(record) if record else [])
        except HandfastError as error:
            return self._mapped(error)
        except OSError:
            return None
        finally:
            self._reading.release()
        return None if connection.error is None else self._mapped(connection.error)

    # Ends

    def _failed(self, error: HandfastError, call: Call) -> ssl.SSLError:
        """What to raise for the error that ended the connection, once its alert has left."""
        alert = self._engine().wants_write or bool(self._unsent)
        if isinstance(self._transport, BioTransport):
            self._flush(call)
            # asyncio and uvloop send nothing after an error: a server's error comes with their next call. A client gets
            # its own at once, since at the peer's end both would tell of that end alone.
            last = self._transport.at_end or self._kept is not None or not self.server_side
            if alert and not self._complete and not last:
                self._kept = error
                # The loop may never come back for it.
                engine = self._engine()
                log_failure("", f"waiting for {engine.waiting_for}", error, engine.info)
                return errors.want_read()
        elif alert:
            self._say_why(call)
        return self._mapped(error)

    def _say_why(self, call: Call) -> None:
        """Let the alert out of a socket, and keep a reset from overtaking it where the client still sends."""
        if not self._writing.acquire(timeout=call.within(limits.LINGER_TIMEOUT) if self._transport.blocking else 0):
            return
        try:
            if not self._is_sending:
                self._send_out(_AT_ONCE, wait=False)
            if self.server_side and self.info.version and self._transport.blocking:
                self._transport.linger(call)
        except OSError:
            return
        finally:
            self._writing.release()

    def _raise_kept(self) -> None:
        if self._kept is not None:
            raise self._mapped(self._kept) from self._kept

    def _mapped(self, error: HandfastError) -> ssl.SSLError:
        info = None if self._connection is None else self._connection.info
        return errors.of_connection(error, info, self.server_hostname)
