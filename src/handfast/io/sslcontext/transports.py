"""Where the records of one connection come from and go to: a pair of ``ssl.MemoryBIO``, or a socket.

Input is taken record by record, and what stands behind a record is left where it is. Callers of ``ssl`` rely on that:
uvloop reads only while the BIO holds something, ``select`` tells of what the kernel holds, and what follows a
close_notify is another protocol's.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
import weakref
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from handfast import limits
from handfast.io.sslcontext.errors import want_read, want_write
from handfast.wire.frames import ANY, read_header

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
# How a record of application data begins.
_USUAL = b"\x17\3\3"
# What is read of a peer that does not speak TLS, to say what it speaks.
_FOREIGN = 256


class Transport(ABC):
    """What both share: putting a record together out of pieces, which stay here while more is missing."""

    # Whether the caller's reads and writes wait for the peer.
    blocking = False
    ended = False

    def __init__(self) -> None:
        self._partial = bytearray()

    def record(self, doing: str) -> bytes:
        """The next record, b"" at the end of input; SSLWantReadError while it is not there whole.

        A part of a record that the input's end cuts is given as it is, once.
        """
        partial = self._partial
        while (missing := _missing(partial)) > 0:
            data = self._read(missing, doing)
            if not data:
                self.ended = True
                break
            partial += data
        if ANY.fault(partial[:1]) is not None:
            partial += self._read_now(_FOREIGN)
        record = bytes(partial)
        partial.clear()
        return record

    @abstractmethod
    def _read(self, size: int, doing: str) -> bytes:
        """At most ``size`` bytes; b"" at the end, SSLWantReadError while there are none."""

    @abstractmethod
    def _read_now(self, size: int) -> bytes:
        """What of ``size`` bytes is there already."""


def _missing(partial: bytearray) -> int:
    """How many bytes the record at hand lacks for sure."""
    if len(partial) < limits.RECORD_HEADER:
        return limits.RECORD_HEADER - len(partial)
    if ANY.fault(partial) is not None:
        # The engine refuses it by its header, in its own words.
        return 0
    return limits.RECORD_HEADER + read_header(partial)[1] - len(partial)


class BioTransport(Transport):
    """Two memory buffers, which the caller fills and empties."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        super().__init__()
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def at_end(self) -> bool:
        """Whether nothing more can come."""
        return self._incoming.eof

    def record(self, doing: str) -> bytes:
        """As the base's, in two reads for the usual: a whole record of application data."""
        if not self._partial:
            header = self._incoming.read(limits.RECORD_HEADER)
            if not header and not self._incoming.eof:
                raise want_read()
            if header.startswith(_USUAL) and len(header) == limits.RECORD_HEADER:
                length = header[3] << 8 | header[4]
                if length <= limits.MAX_CIPHERTEXT_12:
                    body = self._incoming.read(length) if length else b""
                    header += body
                    if len(body) == length:
                        return header
            self._partial += header
        return super().record(doing)

    def _read(self, size: int, doing: str) -> bytes:
        data = self._incoming.read(size)
        if not data and not self._incoming.eof:
            raise want_read()
        return data

    def _read_now(self, size: int) -> bytes:
        return self._incoming.read(size)

    def send(self, data: bytes | bytearray | memoryview, doing: str, *, wait: bool) -> int:
        """Append to the outgoing buffer, which takes everything."""
        return self._outgoing.write(data)

    def linger(self) -> None:
        """Nothing: who owns the buffers ends the transport."""

    def end(self) -> None:
        """Nothing: what ``unwrap`` returns for buffers is None."""


class SocketTransport(Transport):
    """A socket, which must outlive this: it is the ``SSLSocket`` that holds the connection."""

    at_end = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._reference = weakref.ref(sock)

    @property
    def sock(self) -> socket.socket:
        """The socket; SSLError once it is gone."""
        sock = self._reference()
        if sock is None:
            raise ssl.SSLError(ssl.SSL_ERROR_INVALID_ERROR_CODE, "Underlying socket connection gone")
        return sock

    @property
    def blocking(self) -> bool:  # type: ignore[override]
        return self.sock.gettimeout() != 0

    def _read(self, size: int, doing: str) -> bytes:
        # Not ``sock.recv``, which an SSLSocket has for what comes out of here.
        return self._do(lambda sock: socket.socket.recv(sock, size), doing, want_read)

    def _read_now(self, size: int) -> bytes:
        with suppress(OSError):
            return socket.socket.recv(self.sock, size, socket.MSG_DONTWAIT)
        return b""

    def send(self, data: bytes | bytearray | memoryview, doing: str, *, wait: bool) -> int:
        """How much of ``data`` the socket took. Raises SSLWantWriteError, TimeoutError and what sockets raise."""
        flags = 0 if wait else socket.MSG_DONTWAIT
        return self._do(lambda sock: socket.socket.send(sock, data, flags), doing, want_write)

    def _do(self, act: Callable[[socket.socket], _T], doing: str, want: Callable[[], ssl.SSLError]) -> _T:
        try:
            return act(self.sock)
        except BlockingIOError:
            raise want() from None
        except TimeoutError:
            raise TimeoutError(f"The {doing} operation timed out") from None

    def wait_readable(self) -> bool:
        """Wait, in a blocking socket, until there is something to read or room to write; whether it is the former."""
        sock = self.sock
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN | select.POLLOUT)
        timeout = sock.gettimeout()
        ready = waiting.poll(None if timeout is None else timeout * 1000)
        return not ready or ready[0][1] != select.POLLOUT

    def linger(self) -> None:
        """Keep a reset from overtaking our alert: end our side, then read for a bounded while."""
        sock = self.sock
        deadline = time.monotonic() + limits.LINGER_TIMEOUT
        taken = 0
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_WR)
            waiting = select.poll()
            waiting.register(sock.fileno(), select.POLLIN)
            while taken < limits.LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
                if not waiting.poll(left * 1000):
                    return
                data = socket.socket.recv(sock, limits.MAX_CIPHERTEXT_12, socket.MSG_DONTWAIT)
                if not data:
                    return
                taken += len(data)

    def end(self) -> socket.socket:
        """The socket, as ``unwrap`` returns it."""
        return self.sock
