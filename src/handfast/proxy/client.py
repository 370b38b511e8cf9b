"""A client that was let in: what a service needs to serve its connection."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast.io.failure_log import address_text
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, HandshakeComplete

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from handfast.connection_info import ConnectionInfo, VerifiedPeer
    from handfast.proxy.journal import Journal


@dataclass(slots=True, eq=False)
class Client:
    """One client's connection. Its protocol calls ``ended`` once it is lost, which gives its place free.

    A protocol that holds the transport has a method ``drain()``: end as soon as that is in order.

    Attributes:
        transport: plaintext, of TLS or of plain TCP or a Unix socket.
        info: what is known of TLS; None where the client came without.
        address: as a socket gives it: ``(host, port, ...)``, or "" or a path of a Unix socket.
        listener: where it came in, for people.
        journal: who is told of what becomes of it.
        on_end: gives its place free.
        since: when it came, on the monotonic clock.
        in_handshake: whether its handshake is not over yet.
    """

    transport: asyncio.Transport
    info: ConnectionInfo | None
    address: Any
    listener: str
    journal: Journal
    on_end: Callable[[Client], object] = field(repr=False)
    since: float = field(default_factory=time.monotonic)
    over: bool = False
    in_handshake: bool = True

    @property
    def text(self) -> str:
        """The address, for people."""
        return address_text(self.address) if self.address else "unix:"

    @property
    def bound(self) -> Any:
        """The address at which it reached us, as a socket gives it."""
        return self.transport.get_extra_info("sockname")

    @property
    def verified_peer(self) -> VerifiedPeer | None:
        """Who it is, if and only if that was verified."""
        return None if self.info is None else self.info.verified_peer

    def secured(self, info: ConnectionInfo) -> None:
        """The handshake is complete: tell the journal."""
        seconds = time.monotonic() - self.since
        self.journal.tell(HandshakeComplete(self.listener, self.text, info, seconds))

    def ended(self, *, received: int, sent: int, backend: str = "", code: str = "", why: str = "") -> None:
        """The connection is lost: tell the journal, once, and give the place free."""
        if self.over:
            return
        seconds = time.monotonic() - self.since
        entry = ConnectionEnded(
            self.listener, self.text, self.info, seconds, received, sent, backend=backend, code=code, why=why
        )
        self._leave()
        self.journal.tell(entry)

    def refused(self, code: str, why: str) -> None:
        """The client is not let in: tell the journal, in place of ``ended``, and give the place free."""
        if not self.over:
            self._leave()
            self.journal.tell(ConnectionRefused(self.listener, self.text, code, why, self.info))

    def vanished(self) -> None:
        """It went without a word: give the place free, and tell nothing."""
        if not self.over:
            self._leave()

    def drain(self) -> None:
        """Ask the protocol that holds the transport to end as soon as that is in order."""
        drain: Callable[[], object] = self.transport.get_protocol().drain  # type: ignore[attr-defined]
        drain()

    def _leave(self) -> None:
        self.over = True
        self.on_end(self)
