"""Two threads on each end of one connection, one that writes and one that reads, at the same time."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tests.sslcontext.pairs import OURS, Files, Sockets, both_at_once, client_context, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

MEGABYTES = 12
RUNS = 50
# Of several records, so that a write is not over at once.
PART = 256 * 1024


def reader(sock: ssl.SSLSocket, wanted: str, size: int) -> Callable[[], None]:
    """Reads so many bytes, which must be those of the digest."""

    def read() -> None:
        found, left, buffer = hashlib.sha256(), size, memoryview(bytearray(PART))
        while left:
            count = sock.recv_into(buffer)
            assert count, f"the end came {left} bytes too early"
            found.update(buffer[:count])
            left -= count
        assert found.hexdigest() == wanted

    return read


def writer(sock: ssl.SSLSocket, data: bytes) -> Callable[[], None]:
    """Writes it in parts."""

    def write() -> None:
        view = memoryview(data)
        for start in range(0, len(data), PART):
            sock.sendall(view[start : start + PART])

    return write


def test_both_ways_at_once(context_files: Files) -> None:
    server, client = server_context(OURS, context_files), client_context(OURS, context_files)
    up, down = os.urandom(MEGABYTES * 10**6), os.urandom(MEGABYTES * 10**6)
    up_digest, down_digest = (hashlib.sha256(data).hexdigest() for data in (up, down))
    for _ in range(RUNS):
        with Sockets(server, client) as ends:
            assert ends.errors == []
            both_at_once(
                writer(ends.client, up),
                reader(ends.client, down_digest, len(down)),
                writer(ends.server, down),
                reader(ends.server, up_digest, len(up)),
            )
