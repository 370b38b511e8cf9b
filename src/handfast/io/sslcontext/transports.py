"""Where the records of one connection come from and go to: a pair of ``ssl.MemoryBIO``, or a socket.

Input is taken record by record, and what stands behind a record is left where it is. Callers of ``ssl`` rely on that:
uvloop reads only while the BIO holds something, ``select`` tells of what the kernel holds, and what follows a
close_notify is another protocol's.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
import weakref
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from handfast import limits
from handfast.io.sslcontext.errors import want_read, want_write
from handfast.wire.frames import ANY, read_header

if TYPE_CHECKING:
    from collections.abc import Callable

# How a record of application data begins.
_USUAL = b"\x17\3\3"
# What is read of a peer that does not speak TLS, to say what it speaks.
_FOREIGN = 256


class Call(NamedTuple):
    """One call of a program's: what it is called where it takes too long, and when that is, by the monotonic clock.

    As in the C module a socket's timeout bounds a whole call, however many pieces the peer's bytes come in.
    """

    name: str
    until: float | None = None

    def left(self) -> float | None:
        """How many seconds it may still wait, None for without end; TimeoutError where it may not."""
        if self.until is None:
            return None
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"The {self.name} operation timed out")
        return left

    def within(self, seconds: float) -> float:
        """So many seconds, or what is left of the call where that is less."""
        return seconds if self.until is None else max(0.0, min(seconds, self.until - time.monotonic()))


_endless = cache(Call)


class Transport(ABC):
    """What both share: putting a record together out of pieces, which stay here while more is missing."""

    # Whether the caller's reads and writes wait for the peer.
    blocking = False
    ended = False

    def __init__(self) -> None:
        self._partial = bytearray()

    def call(self, name: str) -> Call:
        """What begins now."""
        return _endless(name)

    def record(self, call: Call) -> bytes:
        """The next record, b"" at the end of input; SSLWantReadError while it is not there whole.

        A part of a record that the input's end cuts is given as it is, once.
        """
        partial = self._partial
        while (missing := _missing(partial)) > 0:
            data = self._read(missing, call)
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
    def _read(self, size: int, call: Call) -> bytes:
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


def ready(descriptor: int, events: int, seconds: float | None) -> int:
    """Which events of ``select.poll`` a descriptor has within so many seconds, None for without end; 0 for none."""
    waiting = select.poll()
    waiting.register(descriptor, events)
    found = waiting.poll(None if seconds is None else seconds * 1000)
    return found[0][1] if found else 0


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

    def record(self, call: Call) -> bytes:
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
        return super().record(call)

    def _read(self, size: int, call: Call) -> bytes:
        data = self._incoming.read(size)
        if not data and not self._incoming.eof:
            raise want_read()
        return data

    def _read_now(self, size: int) -> bytes:
        return self._incoming.read(size)

    def send(self, data: bytes | bytearray | memoryview, call: Call, *, wait: bool) -> int:
        """Append to the outgoing buffer, which takes everything."""
        return self._outgoing.write(data)

    def linger(self, call: Call) -> None:
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

    def call(self, name: str) -> Call:
        """What begins now, and ends after the socket's timeout."""
        timeout = self.sock.gettimeout()
        return Call(name, time.monotonic() + timeout if timeout else None)

    def _read(self, size: int, call: Call) -> bytes:
        # Not ``sock.recv``, which an SSLSocket has for what comes out of here, nor the base's, which waits for the
        # whole timeout each time. The descriptor of a socket with a timeout does not block.
        while True:
            try:
                return os.read(self.sock.fileno(), size)
            except BlockingIOError:
                self._wait(select.POLLIN, call, want_read)

    def _read_now(self, size: int) -> bytes:
        with suppress(OSError):
            if ready(self.sock.fileno(), select.POLLIN, 0):
                return os.read(self.sock.fileno(), size)
        return b""

    def send(self, data: bytes | bytearray | memoryview, call: Call, *, wait: bool) -> int:
        """How much of ``data`` the socket took. Raises SSLWantWriteError, TimeoutError and what sockets raise."""
        while True:
            try:
                if wait or not self._blocks:
                    return os.write(self.sock.fileno(), data)
                return socket.socket.send(self.sock, data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not wait:
                    raise want_write() from None
                self._wait(select.POLLOUT, call, want_write)

    @property
    def _blocks(self) -> bool:
        """Whether the descriptor itself does."""
        return self.sock.gettimeout() is None

    def _wait(self, event: int, call: Call, want: Callable[[], ssl.SSLError]) -> None:
        """Wait for an event of the socket; raises what ``want`` makes where the socket does not wait."""
        if not self.blocking:
            raise want() from None
        ready(self.sock.fileno(), event, call.left())

    def wait_readable(self, call: Call) -> bool:
        """Wait, in a blocking socket, until there is something to read or room to write; whether it is the former."""
        return ready(self.sock.fileno(), select.POLLIN | select.POLLOUT, call.left()) != select.POLLOUT

    def linger(self, call: Call) -> None:
        """Keep a reset from overtaking our alert: end our side, then read for a bounded while."""
        sock = self.sock
        deadline = time.monotonic() + call.within(limits.LINGER_TIMEOUT)
        taken = 0
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_WR)
            while taken < limits.LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
                if not ready(sock.fileno(), select.POLLIN, left):
                    return
                data = socket.socket.recv(sock, limits.MAX_CIPHERTEXT_12, socket.MSG_DONTWAIT)
                if not data:
                    return
                taken += len(data)

    def end(self) -> socket.socket:
        """The socket, as ``unwrap`` returns it."""
        return self.sock
