"""A proxy at work: its listeners, the clients that are there, and its end."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.proxy.accepting import Acceptor
from handfast.proxy.entrance import Admission, Door, Everyone, Link, Plain
from handfast.proxy.journal import Journal
from handfast.proxy.listening import listening, unlink
from handfast.proxy.settings import Mode

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from handfast.io.arguments import ObserverFactory
    from handfast.proxy.client import Client
    from handfast.proxy.settings import Listener, Service


class Proxy:
    """Listens, and hands each client that may to its service.

    ``admission`` is asked before a byte of a client is read; ``observe`` makes the observers and secret sinks of a
    client's connection, given its address.

    Attributes:
        journal: told of what becomes of each client.
        clients: those that are there now.
        draining: whether it is about to end.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        journal: Journal | None = None,
        *,
        admission: Admission | None = None,
        observe: ObserverFactory | None = None,
        shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    ) -> None:
        self._listeners = tuple(listeners)
        self.journal = journal or Journal()
        self.admission: Admission = admission or Everyone()
        self.observe = observe
        self.clients: set[Client] = set()
        self.draining = False
        self._shutdown_timeout = shutdown_timeout
        self._doors: list[Door] = []
        self._sockets: list[socket.socket] = []
        self._made: tuple[socket.socket, ...] = ()
        self._acceptors: list[Acceptor] = []
        self._pool: Any = None
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, sockets: Sequence[socket.socket | None] | None = None) -> None:
        """Listen. ``sockets`` are those that listen already, one for each listener or None for one to be made.

        The files of Unix sockets that were given stay when the proxy ends.

        Raises OSError if an address cannot be had; its ``filename`` is the listener's address as text. Then nothing
        listens.
        """
        loop = asyncio.get_running_loop()
        given = sockets or [None] * len(self._listeners)
        try:
            for listener, sock in zip(self._listeners, given, strict=True):
                door = Door(listener, self, loop, self._shutdown_timeout)
                self._doors.append(door)
                try:
                    self._sockets.append(sock or listening(listener.address))
                    self._made += () if sock else (self._sockets[-1],)
                except OSError as error:
                    error.filename = door.text
                    raise
        except BaseException:
            self._stop_listening()
            raise
        for door, sock in zip(self._doors, self._sockets, strict=True):
            self._acceptors.append(Acceptor(sock, partial(_way_in, door)))

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where it listens, as sockets give it: the ports that were chosen for 0 stand there."""
        return tuple(sock.getsockname() for sock in self._sockets)

    def replace(self, listeners: Sequence[Listener]) -> None:
        """Let these listeners hold for new clients: as many as before, in the same order, at the same addresses."""
        for door, listener in zip(self._doors, listeners, strict=True):
            door.replace(listener)
        if self._pool is not None:
            self._pool.keep_only(backend for listener in listeners for backend in listener.backends)

    async def close(self, grace: float = limits.PROXY_GRACE) -> None:
        """Stop listening, let clients end in order for ``grace`` seconds, and then end those that are left."""
        self.draining = True
        self._stop_listening()
        for acceptor in self._acceptors:
            await acceptor.settled()
        for client in tuple(self.clients):
            client.drain()
        await self._gone(grace)
        self.abort()
        await self._gone(limits.SHUTDOWN_TIMEOUT)
        if self._pool is not None:
            await self._pool.close()

    def abort(self) -> None:
        """End all that is under way, which ``close`` waits for, at once."""
        for client in tuple(self.clients):
            client.transport.abort()

    async def _gone(self, seconds: float) -> None:
        if self.clients:
            self._empty.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return

    def _stop_listening(self) -> None:
        for sock in self._made:
            unlink(sock)
        for acceptor in self._acceptors:
            acceptor.close()
        for sock in self._sockets:
            sock.close()
        self._made = ()

    # For the entrances

    def entered(self, client: Client) -> None:
        """A client was let in."""
        self.clients.add(client)
        self.journal.connections += 1

    def left(self, client: Client) -> None:
        """It is gone."""
        self.clients.discard(client)
        self.journal.connections -= 1
        if not self.clients:
            self._empty.set()

    def protocol_for(self, client: Client, service: Service, listener: Listener) -> asyncio.Protocol:
        """What serves this client: it gets the transport by ``connection_made``."""
        if service.mode is Mode.TCP:
            from handfast.proxy.relay import Relay

            return Relay(client, service)
        # Loads h11 and h2, which a proxy that relays bytes does without.
        serving: Any = import_module("handfast.proxy.http.serving")
        if self._pool is None:
            self._pool = serving.Pool()
        protocol: asyncio.Protocol = serving.protocol(client, service, listener.service, self._pool)
        return protocol


def _way_in(door: Door) -> asyncio.BaseProtocol:
    """What a connection that was accepted gets."""
    listener = door.listener
    if listener.tls is None:
        return Plain(door)
    if listener.starttls is None:
        return Link(door)
    from handfast.proxy.postgres import PostgresLink

    return PostgresLink(door)
