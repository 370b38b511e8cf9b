"""What protocols get from a transport that has the bytes already, an ``asyncio.BufferedProtocol`` by its buffers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable


def fill_buffers(protocol: asyncio.BufferedProtocol, data: bytes | bytearray, goes_on: Callable[[], bool]) -> bytes:
    """Copy ``data`` into the protocol's buffers as long as ``goes_on()``, and return what it has not got.

    Raises RuntimeError for a buffer of no bytes, and what the protocol lets escape.
    """
    view = memoryview(data)
    while view and goes_on():
        buffer = memoryview(cast(bytearray, protocol.get_buffer(len(view)))).cast("B")
        size = min(len(buffer), len(view))
        if not size:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]
    return bytes(view)


def hand_over(tcp: asyncio.Transport, data: bytes) -> None:
    """Give ``data`` to the protocol of ``tcp``, and what that leaves to the one that took its place in the middle.

    Raises what they let escape.
    """
    while data and not tcp.is_closing():
        protocol = tcp.get_protocol()
        if isinstance(protocol, asyncio.BufferedProtocol):
            data = fill_buffers(protocol, data, partial(_is_still, tcp, protocol))
        else:
            cast(asyncio.Protocol, protocol).data_received(data)
            return


def _is_still(tcp: asyncio.Transport, protocol: asyncio.BaseProtocol) -> bool:
    return tcp.get_protocol() is protocol and not tcp.is_closing()
