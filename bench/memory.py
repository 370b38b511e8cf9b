"""What a connection that does nothing keeps in memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

from bench.sides import Maker, Pki, Row, connect, handfast_sides

CONNECTIONS = 200


def per_server(make_client: Maker, make_server: Maker) -> float:
    """KiB of Python's memory that each connected server keeps, while its clients are gone."""
    connect(make_client, make_server)
    gc.collect()
    tracemalloc.start()
    servers = [connect(make_client, make_server)[0][1] for _ in range(CONNECTIONS)]
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(servers) / 1024


def rows(pki: Pki) -> Iterator[Row]:
    """Only memory that Python allocates is seen; OpenSSL's own, a few hundred bytes for each key, is not."""
    for mutual in (False, True):
        kind = "mutual" if mutual else "full"
        size = per_server(*handfast_sides(pki, mutual=mutual))
        yield Row(f"memory, {kind}", "server", "handfast", round(size, 2), "KiB", None)
