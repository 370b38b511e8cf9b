"""TLS over a blocking socket: what a program calls. ``blocking.py`` moves the bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from handfast import limits
from handfast.engine import Connection, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.fork import renew_in_children
from handfast.io.arguments import check_seconds
from handfast.io.blocking import RECEIVE_SIZE, BlockingTransport, NeedHandler, refuse_to_wait
from handfast.io.failure_log import address_text

if TYPE_CHECKING:
    from types import TracebackType

    from handfast.engine import (
        ClientAuth,
        ClientAuthWord,
        ConnectionInfo,
        UnverifiedPeer,
        VerifiedPeer,
    )


class TLSSocket(BlockingTransport):
    """One TLS connection over one connected, blocking socket, which it owns.

    ``timeout`` bounds each wait for the peer, in seconds; the handshake has its own deadline in the configuration.
    Every method raises HandfastError and nothing else for what a peer or a network can do.

    Early data that a server takes comes out of ``recv`` first, once the handshake is complete: by then the client has
    shown that it is there, so that nothing of it is a replay.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        *,
        timeout: float | None = None,
        on_need: NeedHandler = refuse_to_wait,
    ) -> None:
        check_seconds("timeout", timeout)
        self._sock = sock
        self._connection = connection
        self._timeout = timeout
        self._on_need = on_need
        lock = threading.RLock
        renew_in_children(self, _handshaking=lock, _state=lock, _writing=lock, _reading=lock)
        renew_in_children(self, _sending=bool, _has_in_hand=bool)
        self._received = deque()
        self._unsent = bytearray()
        self._answers = {}
        # A record is a message to us: small ones must not wait for the peer's acknowledgement of earlier ones. Sockets
        # that are not TCP's have no such option.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.peer_address: Any = sock.getpeername()
        except OSError:
            self.peer_address = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connection(self) -> Connection:
        """The engine's connection; to be left alone while the socket is in use."""
        return self._connection

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def handshake(self) -> ConnectionInfo:
        """Complete the handshake, if it is not. A server's failure is logged once too, on the logger ``handfast``."""
        if not self._connection.connected:
            with self._handshaking:
                self._raise_failed()
                if not self.info.complete:
                    self._shake_hands()
        return self.info

    def recv(self, size: int = RECEIVE_SIZE) -> bytes:
        """Up to ``size`` bytes of application data; b"" once the peer has closed its side in order.

        Raises ConnectionLost unexpected_eof where it ended without close_notify, and PeerRejected for an alert, and
        ValueError for a negative ``size``.
        """
        if size < 0:
            raise ValueError("negative size in recv")
        if not self.info.complete:
            self.handshake()
        while not self._received:
            self._raise_failed()
            if self._peer_closed or not size:
                return b""
            self._receive_some(self._timeout)
        # Taken before it is looked at, so that a signal's handler does not take it too.
        chunk = self._received.popleft()
        if len(chunk) > size:
            self._received.appendleft(chunk[size:])
        return bytes(chunk[:size])

    def recv_within(self, seconds: float, size: int = RECEIVE_SIZE) -> bytes:
        """As ``recv``, but ``seconds`` bound it as a whole, however slowly the peer sends a record. Raises timeout."""
        check_seconds("seconds", seconds)
        end = time.monotonic() + seconds
        while not (self._received or self._peer_closed):
            remaining = end - time.monotonic()
            self._raise_failed()
            if remaining <= 0 or not self._receive_some(remaining, quiet=True):
                raise ConnectionLost("timeout", seconds=seconds)
        return self.recv(size)

    def pending(self) -> int:
        """How many bytes ``recv`` can give at once."""
        return sum(map(len, self._received))

    def wait(self, seconds: float) -> bool:
        """Take what comes within ``seconds``, if anything does: data for ``recv``, or a message to the engine."""
        check_seconds("seconds", seconds)
        self.handshake()
        return not self._peer_closed and self._receive_some(seconds, quiet=True)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send application data of any size; blocks while the peer does not read.

        An exception of a signal's handler that ends it ends the connection: what has left is not known.
        """
        self.handshake()
        view = memoryview(data).cast("B")
        # Sealed in steps, so that a large write is not all in memory as ciphertext before the first byte leaves.
        try:
            for start in range(0, len(view), limits.SEAL_STEP):
                with self._state:
                    self._connection.send(view[start : start + limits.SEAL_STEP])
                self._flush()
        except HandfastError:
            raise
        except BaseException:
            self._interrupted()
            raise

    def shutdown_write(self) -> None:
        """Send close_notify: the peer sees the end of our data, and may still send its own. RFC 9846 6.1."""
        with self._state:
            self._connection.close()
        self._flush()

    def unwrap(self) -> socket.socket:
        """End TLS, and give the socket to a protocol that goes on in plaintext. RFC 9846 6.1.

        Sends close_notify and waits for the peer's. What the peer sent in plaintext by then is ``trailing_data``, and
        comes before what the socket gives; data of TLS that came is still there for ``recv``. Raises what ``recv``
        raises, and ApiMisuse still_connected while the peer sends more than ``limits.HELD_DATA`` bytes of data.
        """
        self.handshake()
        self.shutdown_write()
        while not self._peer_closed:
            if sum(map(len, self._received)) > limits.HELD_DATA:
                raise ApiMisuse("still_connected", reason=f"more than {limits.HELD_DATA} bytes of data came")
            self._receive_some(self._timeout)
        self._closed = True
        self._sock.settimeout(self._timeout)
        return self._sock

    @property
    def trailing_data(self) -> bytes:
        """What came behind the peer's close_notify, in plaintext. Raises ApiMisuse trailing_data_lost."""
        return self._connection.trailing_data

    def update_keys(self, *, request: bool = False) -> None:
        """Change our write keys, and with ``request`` ask the peer for new ones of its own. RFC 9846 4.7.3."""
        with self._state:
            self._connection.update_keys(request=request)
        self._flush()

    def request_client_certificate(
        self, *, client_auth: ClientAuth | ClientAuthWord | None = None
    ) -> VerifiedPeer | UnverifiedPeer | None:
        """At a server, after the handshake: ask the client who it is, and wait for its answer. RFC 9846 4.7.2.

        For the thread that reads. Returns who the client is from now on, None if it declined; data that came first can
        be received afterwards, and is that of a client not known yet. ``client_auth`` and the refusals are those of
        ``ServerConnection.request_client_certificate``. Raises ConnectionLost no_answer when the client closes its side
        or sends more than ``limits.HELD_DATA`` bytes of data instead.
        """
        self.handshake()
        if not isinstance(self._connection, ServerConnection):
            raise ApiMisuse("cannot_request", reason="this side is the client")
        with self._state:
            context = self._connection.request_client_certificate(client_auth=client_auth)
        self._flush()
        while context not in self._answers:
            if self._peer_closed:
                raise ConnectionLost("no_answer", did="closed its side")
            if sum(map(len, self._received)) > limits.HELD_DATA:
                raise ConnectionLost("no_answer", did=f"sent more than {limits.HELD_DATA} bytes of data")
            self._raise_failed()
            self._receive_some(self._timeout)
        return self._answers.pop(context)

    def export(self, label: str, context: bytes | None, length: int) -> bytes:
        """Exported keying material. RFC 9846 7.5."""
        return self._connection.export(label, context, length)

    def channel_binding(self, kind: str) -> bytes:
        """``tls-exporter`` (RFC 9266), ``tls-server-end-point`` or, in TLS 1.2, ``tls-unique`` (RFC 5929)."""
        return self._connection.channel_binding(kind)

    def close(self) -> None:
        """Send close_notify if the connection is in order, then close the socket. Never raises, never waits long."""
        if self._closed:
            return
        self._closed = True
        error = self._connection.error
        try:
            if error is not None:
                self._abort(error)
            elif self._connection.connected:
                # Whatever the program allows a write, closing waits no longer than this for room.
                self._timeout = limits.SHUTDOWN_TIMEOUT
                self.shutdown_write()
        except (HandfastError, OSError):
            # A program that closes does not want to hear of it any more.
            pass
        finally:
            self._sock.close()

    def __repr__(self) -> str:
        closed = "closed, " if self._closed else ""
        return f"<TLSSocket {address_text(self.peer_address)}: {closed}{self._connection.state}>"
