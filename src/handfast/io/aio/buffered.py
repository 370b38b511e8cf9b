"""What an ``asyncio.BufferedProtocol`` gets from a transport that has the bytes already."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import asyncio
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
