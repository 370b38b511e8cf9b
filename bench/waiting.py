"""Many handshakes that all wait for one signer, which answers none of them before all have asked.

In memory, under asyncio: a server's handshake waits while its signer is awaited, and the others go on meanwhile. What
is measured is the time of the thread until the last one is complete, both sides' work included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import handfast
from bench.sides import CLOCK, NAME, Pki, Row, handfast_configs

WAITING = 500


class Gate:
    """A signer that signs nothing before so many wait for it."""

    def __init__(self, signer: handfast.Signer, count: int) -> None:
        self._signer = signer
        self._missing = count
        self._open = asyncio.Event()
        self.schemes = signer.schemes

    async def sign(self, scheme: int, message: bytes) -> bytes:
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()
        signature = self._signer.sign(scheme, message)
        if not isinstance(signature, bytes):
            raise TypeError("the key is not in this process")
        return signature


async def shake_hands(client: handfast.ClientConnection, server: handfast.ServerConnection) -> None:
    """A whole handshake, whose server awaits its signer."""
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        if server.need is not None:
            server.answer(server.need, await server.awaitable)
        client.receive(server.outgoing())


async def seconds_of(pki: Pki, count: int) -> float:
    """Seconds of ``count`` handshakes that wait for each other's signatures."""
    ours, theirs = handfast_configs(pki, mutual=False)
    credentials = handfast.Credentials.from_pem(pki.server.cert_pem, pki.server.key_pem)
    gate = Gate(credentials.signer, count)
    theirs = replace(theirs, credentials=[handfast.Credentials(credentials.chain, gate)])
    start = CLOCK()
    ends = [
        (handfast.ClientConnection(ours, server_name=NAME), handfast.ServerConnection(theirs)) for _ in range(count)
    ]
    await asyncio.gather(*(shake_hands(client, server) for client, server in ends))
    return CLOCK() - start


def rows(pki: Pki, *, rounds: int, count: int = WAITING) -> Iterator[Row]:
    """The median of some rounds."""
    times = [asyncio.run(seconds_of(pki, count)) for _ in range(rounds)]
    yield Row(f"{count} waiting handshakes", "both", "handfast", round(median(times) * 1e3, 1), "ms", None)
