"""What the connections of an event loop share: their setup, the stages that each goes through, and a buffer."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from handfast.errors import ApiMisuse

if TYPE_CHECKING:
    import asyncio

    from handfast.handshake.needs import Need

_RECEIVE_SIZE = 256 * 1024

NeedHandler: TypeAlias = "Callable[[Need], Awaitable[object]]"
"""Awaited for the answer to a need whose signer or verifier returned DEFERRED."""


async def refuse_deferred(need: Need) -> object:
    """The default: there is no answer."""
    raise ApiMisuse("nobody_answers", need=type(need).__name__)


class Stage(IntEnum):
    """How far a connection is. The order is that of time; any stage may be left out."""

    NEW = 0
    HANDSHAKE = 1
    CONNECTED = 2
    # close() was called, and not all that was queued before is sealed yet.
    FLUSHING = 3
    # Our close_notify and FIN are on their way.
    CLOSING = 4
    # The connection failed; an alert and FIN are on their way.
    LINGERING = 5
    LOST = 6


@dataclass(frozen=True, slots=True)
class Setup:
    """What the connections of one server, or one call, share. Times are seconds.

    ``plain_http_answer`` is the HTTP response to a client that speaks HTTP without TLS; without one it gets an alert.
    """

    loop: asyncio.AbstractEventLoop
    handshake_timeout: float
    shutdown_timeout: float
    on_need: NeedHandler
    plain_http_answer: bytes = b""


class ReceiveBuffer(threading.local):
    """Where the TCP transports of a thread put what they read: one buffer for all, as each is emptied at once.

    It saves an allocation per read, which costs more than opening a small record. A loop that reads in the background
    may ask for a second buffer before the first one is filled: then that takes its place here.
    """

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(_RECEIVE_SIZE))
        self.borrower: object | None = None

    def lend(self, borrower: object) -> memoryview:
        """Memory for one read."""
        if self.borrower is not None and self.borrower is not borrower:
            self.memory = memoryview(bytearray(_RECEIVE_SIZE))
        self.borrower = borrower
        return self.memory

    def take_back(self, borrower: object) -> None:
        """The read is over."""
        if self.borrower is borrower:
            self.borrower = None


RECEIVE_BUFFER = ReceiveBuffer()
