"""A worker of a proxy of several processes: it serves with the sockets and keys that it is handed (``workers.py``)."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

from handfast.errors import HandfastError
from handfast.proxy.operation.channel import Channel
from handfast.proxy.operation.workers import as_address
from handfast.proxy.watching.metrics import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.proxy.operation.plan import Plan
    from handfast.proxy.operation.running import Running
    from handfast.proxy.operation.stores import Stores
    from handfast.proxy.settings import Address
    from handfast.reload.handles import Reloading


class Worker:
    """Does what it is told over a channel, until that ends or a signal comes.

    ``make`` makes what serves, once the sockets are there; ``load`` a plan anew where there is one to load, and
    ``handles`` are what a signal loads anew where there is none.
    """

    def __init__(
        self,
        descriptor: int,
        make: Callable[[], Running],
        stores: Stores,
        *,
        load: Callable[[], Plan] | None = None,
        handles: Sequence[Reloading[Any]] = (),
    ) -> None:
        self._sock = socket.socket(fileno=descriptor)
        self._make = make
        self._stores = stores
        self._load = load
        self._handles = tuple(handles)
        self._running: Running | None = None
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until it is asked to end, and end in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._over.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._channel = Channel(self._sock, self._heard, self._over.set)
        await self._over.wait()
        if self._running is not None:
            await self._running.close()
            # What it counted last.
            self._channel.send({"numbers": as_json(await self._running.numbers())})
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._channel.close()

    def _heard(self, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        task = asyncio.get_running_loop().create_task(self._do(message, sockets))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        try:
            answer = await self._done(message, sockets)
        except (HandfastError, OSError) as error:
            answer = {"failed": error.what if isinstance(error, HandfastError) else str(error)}
        self._channel.send({**answer, "number": message.get("number", 0)})

    async def _done(self, message: dict[str, Any], sockets: list[socket.socket]) -> dict[str, Any]:
        what: str = message["do"]
        if what == "drain":
            self._over.set()
        elif what == "tickets":
            self._take_keys(message)
        elif what == "serve":
            self._take_keys(message)
            await self._serve(_by_address(message, sockets))
        elif self._running is None:
            return {"failed": "it does not serve yet"}
        else:
            return await self._serving(self._running, what, message, sockets)
        return {"did": what}

    async def _serve(self, handed: dict[Address, socket.socket]) -> None:
        running = self._running = self._make()
        if running.captures is not None:
            running.captures.on_taken(lambda client: self._channel.send({"taken": client}))
        running.hand(handed)
        await running.start()

    async def _serving(
        self, running: Running, what: str, message: dict[str, Any], sockets: list[socket.socket]
    ) -> dict[str, Any]:
        if what == "numbers":
            return {"numbers": as_json(await running.numbers())}
        if what == "reload":
            running.hand(_by_address(message, sockets))
            try:
                if self._load is not None:
                    await running.apply(await asyncio.to_thread(self._load))
            finally:
                # A socket that a process holds goes on taking connections, which wait for who accepts them.
                running.let_go()
        elif what == "reopen":
            for handle in self._handles:
                await asyncio.to_thread(handle.reload)
            await running.reload()
        elif what == "capture":
            running.capture(message["client"], message["to"])
        elif what == "forget" and running.captures is not None:
            running.captures.forget(message["client"])
        return {"did": what}

    def _take_keys(self, message: dict[str, Any]) -> None:
        self._stores.tickets.replace([bytes.fromhex(key) for key in message["tickets"]])


def _by_address(message: dict[str, Any], sockets: list[socket.socket]) -> dict[Address, socket.socket]:
    """The sockets that came with a message."""
    return dict(zip(map(as_address, message["addresses"]), sockets, strict=True))
