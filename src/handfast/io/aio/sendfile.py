"""``loop.sendfile`` of asyncio, which reads a file and writes it to transports that say that they want it so.

They must also be of a class of asyncio's: what it asks of them stands here, and nothing else of that class is used.
"""

from __future__ import annotations

import asyncio
from typing import Any


class TakesFiles(asyncio.transports._FlowControlMixin):
    """What is below a transport for which files are read."""

    __slots__ = ("_below", "_writer_paused")

    _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK  # type: ignore[attr-defined]
    _below: Any
    _writer_paused: bool

    @property
    def _loop(self) -> Any:
        return self._below.loop

    @property
    def _protocol_paused(self) -> bool:
        return self._writer_paused
