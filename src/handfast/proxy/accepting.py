"""Taking connections from a socket that listens.

asyncio's own server, when it is closed, forgets the connections that it has accepted a moment before: their clients
would wait for an answer for ever. And it takes all that wait at once, where several processes share a socket.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from handfast import limits, logs

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

# What accept() fails with for want of something that another connection's end gives back.
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Gives each connection that comes to ``sock`` a protocol that ``factory`` makes, until it is closed."""

    def __init__(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._pause: asyncio.TimerHandle | None = None
        self._entering: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Take no more. Those that were taken already go on."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()
        self._sock.close()

    async def settled(self) -> None:
        """Once those that were taken have their protocols."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _accept(self) -> None:
        for _ in range(limits.PROXY_ACCEPTS):
            try:
                connection, _ = self._sock.accept()
            except OSError as error:
                # Another process was quicker, or the client is gone already.
                if error.errno in _FULL:
                    self._wait(error.strerror or str(error))
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._enter(connection))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:
            connection.close()

    def _wait(self, reason: str) -> None:
        """What is missing may be there in a while; until then clients wait in the queue."""
        logs.warn("failures to accept", lambda: f"no connection could be accepted: {reason}", error=True)
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(limits.PROXY_ACCEPT_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)
