"""Two small writes, such as the head and the body of an answer, sent as one by whatever transport a server has.

What an answer costs beyond its HTTP is mostly the system call that sends it, and the record around it. Our own
transport does this by itself (``handfast.io.aio.joining``); this is for the transport of a loop's own TLS layer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from handfast import limits


class JoinedWrites:
    """Stands before ``transport``: a small write waits for the next one, or until the loop has run what is ready.

    Both are sent then. Whatever else is asked of the transport sends first what waits.
    """

    __slots__ = ("_later", "_loop", "_transport", "_waiting")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting = b""
        self._later: asyncio.Handle | None = None

    def write(self, data: Any) -> None:
        """As the transport's."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
            waiting, self._waiting = self._waiting, b""
            if type(data) is bytes and len(data) <= limits.JOINED_WRITE:
                self._transport.write(waiting + data)
            else:
                # An ssl layer seals each of them, and sends once.
                self._transport.writelines((waiting, data))
        elif type(data) is bytes and 0 < len(data) <= limits.JOINED_WRITE:
            self._waiting = data
            self._later = self._loop.call_soon(self._send_waiting)
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """As the transport's."""
        closing: bool = self._transport.is_closing()
        return closing

    def __getattr__(self, name: str) -> Any:
        self._send_waiting()
        return getattr(self._transport, name)

    def _send_waiting(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
            waiting, self._waiting = self._waiting, b""
            self._transport.write(waiting)


def joining(protocol: Any) -> Any:
    """The class of protocols ``protocol`` as one whose transports join writes; what is no class stays as it is."""
    if not isinstance(protocol, type):
        return protocol

    class Joining(protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(JoinedWrites(transport))

    return Joining
