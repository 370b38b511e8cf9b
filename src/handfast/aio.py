"""TLS for asyncio programs, with the loop's TCP and without its TLS layer. docs/asyncio.md explains."""

from handfast.io.aio.connect import (
    create_connection,
    create_server,
    open_connection,
    start_server,
)
from handfast.io.aio.transport import TLSTransport

__all__ = ["TLSTransport", "create_connection", "create_server", "open_connection", "start_server"]
