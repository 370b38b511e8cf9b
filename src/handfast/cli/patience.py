"""A TLS connection as a command reads it: with an end to how long its peer may take, or until Ctrl-C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from handfast import limits
from handfast.cli.ui import SIGNALS_ARE_LOOKED_FOR

if TYPE_CHECKING:
    from handfast.io.sockets import TLSSocket


class Patient:
    """A stream whose other side has some seconds to say something, and cannot stretch them by saying little."""

    def __init__(self, tls: TLSSocket) -> None:
        self._tls = tls
        self._end = 0.0
        self.sendall = tls.sendall
        self.allow(limits.HTTP_IDLE_TIMEOUT)

    def allow(self, seconds: float) -> None:
        """From now on so many seconds, for all calls of ``recv`` together."""
        self._end = time.monotonic() + seconds

    def recv(self, size: int) -> bytes:
        """As ``TLSSocket.recv``; raises ConnectionLost timeout where the time is up."""
        return self._tls.recv_within(max(self._end - time.monotonic(), 0.0), size)

    def ready(self) -> bool:
        """Whether ``recv`` would give something at once."""
        self._tls.wait(0)
        return self._tls.pending() > 0


class Interruptible:
    """A stream whose other side has all the time there is, and whose wait for it ends with a Ctrl-C."""

    def __init__(self, tls: TLSSocket) -> None:
        self._tls = tls
        self.sendall = tls.sendall

    def recv(self, size: int) -> bytes:
        """As ``TLSSocket.recv``."""
        tls = self._tls
        while not (tls.pending() or tls.connection.peer_closed):
            tls.wait(SIGNALS_ARE_LOOKED_FOR)
        return tls.recv(size)
