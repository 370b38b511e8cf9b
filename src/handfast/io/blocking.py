"""TLS over blocking sockets: a shell that moves bytes and knows no protocol.

Two threads may use one ``TLSSocket``, one reading and one writing. Whichever needs the handshake first makes it, under
a lock for which the other waits. The state lock guards the engine and is never held across blocking I/O; the write lock
keeps sealed bytes in the order in which they were sealed. The read lock is held from a read until the engine has taken
what it brought: a writer that fails looks for the reason behind what a reader has in hand. A reader that has something
to send (the alert of an error, an answer to KeyUpdate) sends it only if it gets the write lock at once: the thread that
holds it sends it as well, so two sides that both wait for room cannot wait for each other. What the system did not take
then leaves while the reader waits. Who ends the connection waits a bounded time for that lock, as no alert can stand
inside a record, and cuts off a writer that holds it longer. The socket's own timeout is the writer's: a reader with
another one polls.

A signal's handler, and a callback of the handshake, can come in the middle of what its own thread does here. No lock
makes it wait for itself: the engine refuses it (ApiMisuse reentrant), and what it wants sent while its thread is
sending leaves with that.

A refused TLS 1.3 client learns why only after its own handshake, and often only after a write has failed: what the peer
had sent before is then still read, because the alert is in there.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.config.config import ClientConfig, ServerConfig
from handfast.credentials.signers import awaits_always
from handfast.engine import Connection, Data, EarlyData, PeerAuthenticated, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.io.failure_log import log_failure

if TYPE_CHECKING:
    from handfast.engine import ConnectionInfo, Result, UnverifiedPeer, VerifiedPeer
    from handfast.handshake.needs import Need

# No more than may be held while a peer is judged: it is not read from before the verdict.
RECEIVE_SIZE = limits.UNJUDGED_BYTES

# Given the need and what its signer or verifier returned, gives the answer; may block.
NeedHandler = Callable[["Need", Any], object]


def refuse_to_wait(need: Need, awaitable: Any) -> object:
    """The default for needs that are not answered at once: this shell cannot await."""
    if awaitable is not None and hasattr(awaitable, "close"):
        awaitable.close()
    raise ApiMisuse("cannot_await", need=type(need).__name__)


def refuse_coroutines(config: ClientConfig | ServerConfig, on_need: NeedHandler) -> None:
    """ApiMisuse async_signer, async_verifier where one must be awaited and nothing could: not only when a peer waits.

    What a function chooses later is seen later.
    """
    if on_need is not refuse_to_wait:
        return
    verifier = config.verifier
    if verifier is not None and awaits_always(verifier, verifier.verify):
        raise ApiMisuse("async_verifier", verifier=type(verifier).__name__)
    for credentials in () if callable(config.credentials) else config.credentials:
        signer = credentials.current.signer
        if awaits_always(signer, signer.sign):
            raise ApiMisuse("async_signer", signer=type(signer).__name__)


class BlockingTransport:
    """Moves bytes between one blocking socket and the engine. ``TLSSocket`` is its face."""

    # Held by the thread that shakes hands.
    _handshaking: threading.RLock
    _state: threading.RLock
    _writing: threading.RLock
    _reading: threading.RLock
    # With the write lock: whether somebody is sending. Who has the lock and finds that it is so interrupted itself.
    _sending: bool
    # With the read lock, likewise: whether somebody reads, and may have bytes that the engine has not seen.
    _has_in_hand: bool

    _sock: socket.socket
    _connection: Connection
    _timeout: float | None
    _on_need: NeedHandler
    _received: deque[memoryview]
    _unsent: bytearray
    # The peers that answered requests made after the handshake, by context, until they are asked for.
    _answers: dict[bytes, VerifiedPeer | UnverifiedPeer | None]
    _peer_closed = False
    _closed = False
    peer_address: Any
    plain_http_answer: bytes = b""
    """At a server: an HTTP response for a client that speaks HTTP without TLS; it comes before the alert."""

    @property
    def info(self) -> ConnectionInfo:
        """What is known of the connection, also after it failed."""
        return self._connection.info

    def _raise_failed(self) -> None:
        """Raise the error that ended the connection, if one did, once its alert has left."""
        failed = self._connection.error
        if failed is not None:
            # An ApiMisuse says that its secrets were extracted: what comes now is for somebody else to read.
            if not isinstance(failed, ApiMisuse) and not self._closed:
                self._abort(failed)
            raise failed.with_traceback(None)

    def _refuse_reentry(self) -> None:
        """ApiMisuse reentrant for a callback: what it read, the engine would not take in the middle of a step."""
        with self._state:
            if self._connection.busy:
                raise ApiMisuse("reentrant")

    def _shake_hands(self) -> None:
        self._refuse_reentry()
        try:
            self._complete_handshake()
        except HandfastError as error:
            if isinstance(self._connection, ServerConnection):
                connection = self._connection
                stage = f"waiting for {connection.waiting_for}"
                log_failure(self.peer_address, stage, error, connection.info, heard=connection.heard)
            raise
        if not self._received:
            # A fault that came right behind the handshake; what came between the two is received first.
            self._raise_failed()

    def _complete_handshake(self) -> None:
        connection = self._connection
        self._flush()
        while not self.info.complete:
            # One that early data came before is still to be raised.
            self._raise_failed()
            if connection.need is not None:
                self._answer(connection.need)
                continue
            remaining = connection.deadline - time.monotonic()
            if remaining <= 0 or not self._receive_some(remaining, quiet=True):
                self._settle(connection.timed_out)

    def _answer(self, need: Need) -> None:
        try:
            answer = self._on_need(need, self._connection.awaitable)
        except Exception as error:
            failure = error
            self._settle(lambda: self._take(self._connection.fail(need, failure)))
            if need.essential:
                raise
            return
        self._settle(lambda: self._take(self._connection.answer(need, answer)))

    def _receive_some(self, timeout: float | None, *, quiet: bool = False) -> bool:
        """Read once from the socket into the engine. False after ``timeout`` seconds if ``quiet``, else an error."""
        self._refuse_reentry()
        if not self._reading.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
            # Another thread reads.
            if quiet:
                return False
            raise ConnectionLost("timeout", seconds=timeout)
        try:
            if self._has_in_hand:
                # What this thread has read comes first.
                raise ApiMisuse("reentrant")
            self._has_in_hand = True
            try:
                return self._read_once(timeout, quiet)
            finally:
                self._has_in_hand = False
        finally:
            self._reading.release()

    def _read_once(self, timeout: float | None, quiet: bool) -> bool:
        try:
            if self._unsent or (self._connection.connected and timeout != self._timeout):
                data = self._poll_some(timeout)
            else:
                # Faster, and what a writer would set, too.
                self._sock.settimeout(timeout)
                data = self._sock.recv(RECEIVE_SIZE)
        except TimeoutError:
            if timeout is None:
                # A signal's handler raised it.
                raise
            if quiet:
                return False
            raise ConnectionLost("timeout", seconds=timeout) from None
        except BlockingIOError:
            # The system had second thoughts.
            return True
        except (OSError, ValueError):
            raise self._lost() from None
        if data:
            self._settle(lambda: self._take(self._connection.receive(data)))
        else:
            self._settle(lambda: self._take(self._connection.eof()))
        while self._connection.connected and (need := self._connection.need) is not None:
            self._answer(need)
        return True

    def _poll_some(self, timeout: float | None) -> bytes:
        """Wait until there is something to read, and read it; meanwhile what ``_flush`` had to leave is sent."""
        deadline = None if timeout is None else time.monotonic() + timeout
        left = len(self._unsent)
        while True:
            remaining = None if deadline is None else deadline - time.monotonic()
            ready = _poll(self._sock, select.POLLIN | (select.POLLOUT if left else 0), remaining)
            if not ready:
                raise TimeoutError
            if ready != select.POLLOUT:
                return self._sock.recv(RECEIVE_SIZE, socket.MSG_DONTWAIT)
            self._flush(wait=False)
            # Where nothing left, another thread is sending it.
            left = len(self._unsent) if len(self._unsent) < left else 0

    def _take(self, results: list[Result]) -> None:
        for result in results:
            if isinstance(result, Data | EarlyData):
                self._received.append(memoryview(result.data))
            elif isinstance(result, PeerAuthenticated):
                self._answers[result.context] = result.peer
        self._peer_closed = self._connection.peer_closed

    def _settle(self, step: Callable[[], None]) -> None:
        """One step of the engine and what it wants sent; on an error the alert leaves before the error does.

        An error that results came before waits for the next call, and so does what is left of its alert.
        """
        try:
            with self._state:
                step()
        except HandfastError as error:
            self._abort(error)
            raise
        self._flush(wait=not self._connection.connected and self._connection.error is None)

    def _flush(self, *, wait: bool = True) -> None:
        """Send what the engine has ready.

        Without ``wait`` only what the socket takes at once; the rest goes before whatever is sent next. So a peer that
        does not read cannot stop us from reading, not even with tickets that were not asked for.
        """
        while self._unsent or self._connection.wants_write:
            timeout: float | None = 0.0
            failed = False
            if not self._take_turn(wait):
                return
            try:
                if wait:
                    timeout = self._write_timeout()
                with self._state:
                    self._unsent += self._connection.outgoing()
                self._sock.settimeout(timeout)
                if not wait:
                    del self._unsent[: self._sock.send(self._unsent)]
                    if self._unsent:
                        return
                    continue
                self._sock.sendall(self._unsent)
                self._unsent.clear()
            except BlockingIOError:
                return
            except TimeoutError:
                if timeout is None:
                    self._interrupted()
                    raise
                raise self._cut_off(ConnectionLost("timeout", seconds=timeout)) from None
            except OSError:
                failed = True
            except BaseException:
                self._interrupted()
                raise
            finally:
                self._end_turn()
            if failed:
                # Not before: the thread that has the reason in hand may wait for its turn.
                raise self._lost()

    def _cut_off(self, lost: ConnectionLost) -> ConnectionLost:
        """A write ended in the middle. Part of a record may have left: nothing can follow it."""
        self._shut(socket.SHUT_WR)
        self._connection.lost(lost)
        return lost

    def _interrupted(self) -> None:
        """An exception that is none of the socket's, as a signal's handler raises it, ended a write."""
        self._cut_off(ConnectionLost("interrupted"))

    def _take_turn(self, wait: bool) -> bool:
        """Take the write lock, if it is to be had; who closes waits for no writer that is stuck."""
        if wait and self._closed:
            return self._cut_in(limits.SHUTDOWN_TIMEOUT)
        return self._writing.acquire(blocking=wait) and self._begin_turn()

    def _begin_turn(self) -> bool:
        """Begin to send, with the write lock; False, and without the lock, in the middle of this thread's own turn."""
        if self._sending:
            self._writing.release()
            return False
        self._sending = True
        return True

    def _end_turn(self) -> None:
        self._sending = False
        self._writing.release()

    def _cut_in(self, seconds: float) -> bool:
        """Take the write lock within ``seconds``. A writer that is stuck then is woken: its record stays a part."""
        if self._writing.acquire(timeout=seconds) and self._begin_turn():
            return True
        self._shut(socket.SHUT_RDWR)
        return False

    def _shut(self, how: int) -> None:
        with suppress(OSError):
            self._sock.shutdown(how)

    def _write_timeout(self) -> float | None:
        """How long a write may wait for the peer to read: in the handshake no longer than its deadline."""
        if self._connection.connected or self._closed:
            return self._timeout
        return max(self._connection.deadline - time.monotonic(), 0.001)

    # Ends

    def _lost(self) -> HandfastError:
        """The transport failed: the error that says why, which the peer may have sent before."""
        # A thread that reads is about to meet it, perhaps with the reason in hand.
        if not self._reading.acquire(timeout=limits.DRAIN_TIMEOUT):
            return self._lost_without_a_word()
        try:
            return self._last_words() or self._lost_without_a_word()
        finally:
            self._reading.release()

    def _last_words(self) -> HandfastError | None:
        """The error that the peer's last bytes bring, or that another thread has met meanwhile."""
        for data in _drain(self._sock, limits.DRAIN_TIMEOUT, limits.DRAIN_BYTES):
            if not self._connection.connected and self._connection.need is not None:
                # Nothing of it would be read before an answer.
                break
            try:
                with self._state:
                    self._take(self._connection.receive(data))
            except HandfastError as error:
                return error
            if self._connection.error is not None:
                break
        return self._connection.error

    def _lost_without_a_word(self) -> HandfastError:
        stage = "after the handshake" if self._connection.connected else f"waiting for {self._connection.waiting_for}"
        lost = ConnectionLost("reset", stage=stage)
        self._connection.lost(lost)
        # Another thread may have ended it, and have woken this one.
        return self._connection.error or lost

    def _abort(self, error: HandfastError) -> None:
        """Let the alert out, and keep a reset from overtaking it: stop writing, read a bounded while, close."""
        try:
            if self._cut_in(limits.LINGER_TIMEOUT):
                try:
                    self._say_why(error)
                finally:
                    self._end_turn()
        finally:
            self._closed = True
            self._sock.close()

    def _say_why(self, error: HandfastError) -> None:
        try:
            if self._connection.wants_write:
                self._sock.settimeout(limits.LINGER_TIMEOUT)
                in_plaintext = self.plain_http_answer if error.code == "http_request" else b""
                self._sock.sendall(in_plaintext + self._unsent + self._connection.outgoing())
            if error.alert is not None:
                self._sock.shutdown(socket.SHUT_WR)
                for _ in _drain(self._sock, limits.LINGER_TIMEOUT, limits.LINGER_BYTES):
                    pass
        except OSError:
            # The peer is gone, and cannot read the alert.
            return


def _poll(sock: socket.socket, events: int, timeout: float | None) -> int:
    """What of ``events`` the socket is ready for, or how it failed, within ``timeout`` seconds; 0 for nothing."""
    waiting = select.poll()
    waiting.register(sock, events)
    ready = waiting.poll(None if timeout is None else max(timeout, 0.0) * 1000)
    return ready[0][1] if ready else 0


def _drain(sock: socket.socket, seconds: float, limit: int) -> Iterator[bytes]:
    """What the peer sent until it ends, ``seconds`` pass, or ``limit`` bytes came."""
    deadline = time.monotonic() + seconds
    taken = 0
    while taken < limit:
        remaining = deadline - time.monotonic()
        try:
            if remaining <= 0 or not _poll(sock, select.POLLIN, remaining):
                return
            data = sock.recv(min(RECEIVE_SIZE, limit - taken), socket.MSG_DONTWAIT)
        except (OSError, ValueError):
            return
        if not data:
            return
        taken += len(data)
        yield data
