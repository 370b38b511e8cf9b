"""What a WebSocket is after its handshake: bytes both ways between a client and a backend, by the relay's ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.proxy import backends
from handfast.proxy.relay import End

if TYPE_CHECKING:
    import asyncio

    from handfast.proxy.client import Client
    from handfast.proxy.settings import Backend


class TunnelEnd(End):
    """One of the two sides, which a proxy that ends asks to go."""

    def drain(self) -> None:
        """Nothing: the bytes have no boundary at which a proxy could end them, so the sides do."""


class Tunnel:
    """A client's connection from the moment in which both sides agreed to another protocol."""

    def __init__(self, client: Client, backend: Backend, received: int, sent: int) -> None:
        """``received`` and ``sent`` are the bytes from and to the client so far."""
        self._client = client
        self._backend = backend
        self._received, self._sent = received, sent
        self._front, self._back = TunnelEnd(self._on_lost), TunnelEnd(self._on_lost)
        self._front.other, self._back.other = self._back, self._front
        self._failure = ("", "")

    def join(
        self, front: asyncio.Transport, back: asyncio.Transport, *, from_client: bytes, from_backend: bytes
    ) -> None:
        """Let the transports be each other's; the bytes are what came of the new protocol already."""
        for end, transport in ((self._front, front), (self._back, back)):
            end.connection_made(transport)
            transport.set_protocol(end)
        self._front.write, self._back.write = back.write, front.write
        if from_client:
            back.write(from_client)
        if from_backend:
            self._back.data_received(from_backend)
        for transport in (front, back):
            if not transport.is_closing() and not transport.is_reading():
                transport.resume_reading()

    def _on_lost(self, end: End, error: Exception | None) -> None:
        if error is not None and not self._failure[0]:
            failed = backends.failure(self._backend, error)
            self._failure = (failed.code, failed.why) if end is self._back else ("client_reset", str(error))
        if not end.other.lost:
            if error is not None or not (end.ended and end.other.ended):
                end.other.break_off()
            else:
                end.other.transport.close()
            return
        code, why = self._failure
        self._client.ended(
            received=self._received + self._front.count,
            sent=self._sent + self._back.count,
            backend=self._backend.text,
            code=code,
            why=why,
        )
