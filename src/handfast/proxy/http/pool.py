"""Connections to backends that can be asked: those of HTTP/1.1 that wait, and those of HTTP/2 that have room."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from handfast import limits
from handfast.proxy import backends
from handfast.proxy.http.upstream_http1 import Http1Upstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.proxy.http.upstream import Upstream
    from handfast.proxy.http.upstream_http2 import Http2Connection
    from handfast.proxy.settings import Backend


class Pool:
    """The connections of all clients, or with ``private`` of one."""

    def __init__(self, *, private: bool = False) -> None:
        self._private = private
        # By the backend itself, as one and the same: another one may mean another identity at the same address.
        self._kept: defaultdict[int, list[Http1Upstream]] = defaultdict(list)
        self._shared: defaultdict[int, list[Http2Connection]] = defaultdict(list)
        self._connecting: dict[int, asyncio.Task[Http2Connection]] = {}
        self._backends: dict[int, Backend] | None = None

    def keep_only(self, backends: Iterable[Backend]) -> None:
        """Keep connections to these from now on, and close those to others: those of before a reload."""
        self._backends = {id(backend): backend for backend in backends}
        for key in self._kept.keys() - self._backends.keys():
            for upstream in self._kept.pop(key):
                upstream.close()
        for key in self._shared.keys() - self._backends.keys():
            for connection in self._shared.pop(key):
                connection.retire()

    def take(self, backend: Backend, *, fresh: bool) -> Upstream | None:
        """A way that is there; with ``fresh``, in HTTP/1.1, only over a connection that was busy a moment ago.

        HTTP/2 needs no such care: a backend that ends a connection says which requests it has not looked at.
        """
        if backend.http2:
            connections = self._shared.get(id(backend), ())
            return next((one.stream() for one in reversed(connections) if one.has_room), None)
        kept = self._kept.get(id(backend))
        if not kept:
            return None
        upstream = kept[-1]
        if fresh and asyncio.get_running_loop().time() - upstream.since > limits.PROXY_FRESH:
            return None
        return kept.pop()

    async def reach(self, backend: Backend, header: bytes) -> Upstream:
        """A way over a new connection, which begins with ``header``. Raises BackendFailed.

        A new connection of HTTP/2 is for all who wait for one.
        """
        if not backend.http2:
            upstream = Http1Upstream(backend, self)
            await backends.connect(backend, upstream, header=header)
            return upstream
        while True:
            task = self._connecting.get(id(backend))
            if task is None:
                task = asyncio.get_running_loop().create_task(self._connect(backend, header))
                self._connecting[id(backend)] = task
                task.add_done_callback(partial(self._connected, backend))
            connection = await asyncio.shield(task)
            if (stream := self.take(backend, fresh=False)) is not None:
                return stream
            if not connection.is_busy:
                raise backends.BackendFailed("backend_protocol", f"{backend.text}: it takes no request over HTTP/2")
            # Those who waited longer have taken all the room there was.

    async def _connect(self, backend: Backend, header: bytes) -> Http2Connection:
        from handfast.proxy.http.upstream_http2 import Http2Connection

        connection = Http2Connection(backend, self)
        await connection.connect(header)
        self._shared[id(backend)].append(connection)
        return connection

    def _connected(self, backend: Backend, task: asyncio.Task[Http2Connection]) -> None:
        self._connecting.pop(id(backend), None)
        if not task.cancelled():
            # Those who wait are told; there may be none any more.
            task.exception()

    def give(self, upstream: Http1Upstream) -> None:
        """It has answered, and can be asked again."""
        key = id(upstream.backend)
        wanted = self._backends is None or key in self._backends
        if wanted and len(self._kept[key]) < limits.PROXY_KEPT:
            self._kept[key].append(upstream)
        else:
            upstream.close()

    def forget(self, upstream: Http1Upstream | Http2Connection) -> None:
        """It cannot be asked again."""
        key = id(upstream.backend)
        kept: list[Http1Upstream] | list[Http2Connection] | None
        held = self._kept if isinstance(upstream, Http1Upstream) else self._shared
        kept = held.get(key)
        if kept and upstream in kept:
            kept.remove(upstream)  # type: ignore[arg-type]
        if not kept:
            held.pop(key, None)

    def client_gone(self) -> None:
        """A client is gone: what was that client's alone is closed."""
        if self._private:
            self._close_all()

    async def close(self) -> None:
        """Close those that wait."""
        tasks = tuple(self._connecting.values())
        self._close_all()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Their transports are closed in the next round of the loop.
        await asyncio.sleep(0)

    def _close_all(self) -> None:
        for task in self._connecting.values():
            task.cancel()
        waiting = [upstream for kept in self._kept.values() for upstream in kept]
        shared = [connection for connections in self._shared.values() for connection in connections]
        self._kept.clear()
        self._shared.clear()
        for upstream in waiting:
            upstream.close()
        for connection in shared:
            connection.close()
