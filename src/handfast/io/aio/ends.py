"""The two ends of an asyncio connection: who waits for the handshake, who hears of its failure, who reads the rest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.io.aio.protocol import TLSProtocol
from handfast.io.aio.setup import Setup, Stage
from handfast.io.failure_log import log_failure

if TYPE_CHECKING:
    from handfast.engine import Connection
    from handfast.errors import HandfastError


class ClientProtocol(TLSProtocol):
    """A client's end. Somebody awaits ``established``."""

    __slots__ = ("_duplicate", "_established")

    _duplicate: socket.socket | None

    def __init__(self, setup: Setup, connection: Callable[[Any], Connection], protocol: asyncio.BaseProtocol) -> None:
        super().__init__(setup, connection, protocol)
        self._duplicate = None
        self._established: asyncio.Future[None] = setup.loop.create_future()

    async def established(self) -> None:
        """Wait until the handshake is complete. Raises HandfastError, once the TCP transport is closed."""
        try:
            await self._established
        except asyncio.CancelledError:
            self.abort()
            raise

    def abandon(self) -> None:
        """The loop dropped the TCP transport while it made it, which uvloop does without a word."""
        if Stage.NEW < self._stage < Stage.LOST:
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._duplicate = _duplicate(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            super().connection_lost(exc)
        finally:
            if self._duplicate is not None:
                self._duplicate.close()

    def unwrap(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> asyncio.Transport:
        try:
            return super().unwrap(protocol)
        finally:
            # Not where that is refused.
            if self._duplicate is not None and self._stage is Stage.LOST:
                self._duplicate.close()

    def _opened(self) -> None:
        if not self._established.done():
            self._established.set_result(None)

    def _refused(self, error: Exception | None) -> None:
        if not self._established.done():
            self._established.set_exception(error or self._reset())
            # Marks it as seen: the future is not awaited any more if the connection ended while it was being made.
            self._established.exception()

    def _rest(self) -> Iterator[bytes]:
        taken = 0
        while self._duplicate is not None and taken < limits.DRAIN_BYTES:
            try:
                data = self._duplicate.recv(limits.DRAIN_BYTES - taken, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not data:
                return
            taken += len(data)
            yield data


class ServerProtocol(TLSProtocol):
    """A server's end. A handshake that fails is logged, and the user's protocol never hears of it."""

    __slots__ = ()

    def _fail(self, error: HandfastError) -> None:
        if error.code == "http_request" and self._stage is Stage.HANDSHAKE:
            self.tcp.write(self._setup.plain_http_answer)
        super()._fail(error)

    def _refused(self, error: Exception | None) -> None:
        if error is not None and not hasattr(self, "connection"):
            log_failure(self._peer_address, "", error)
        elif error is not None:
            stage = f"waiting for {self.connection.waiting_for}"
            log_failure(self._peer_address, stage, error, self.connection.info, heard=self.connection.heard)


def _duplicate(sock: Any) -> socket.socket | None:
    try:
        return None if sock is None else socket.fromfd(sock.fileno(), sock.family, sock.type)
    except OSError:
        # Out of descriptors. Nothing but the reason of a reset depends on it.
        return None
