"""A client's way in: admitted before its first byte, through the handshake, to the service that is for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from handfast.config.by_name import ByName
from handfast.engine import ServerConnection
from handfast.errors import ConnectionLost, HandfastError
from handfast.io.aio.ends import ServerProtocol
from handfast.io.aio.setup import Setup, refuse_deferred
from handfast.io.arguments import observed
from handfast.outcome import failure_words
from handfast.outcome.failure import failure_of
from handfast.proxy.client import Client
from handfast.proxy.journal import ConnectionRefused
from handfast.proxy.settings import Mode, address_words, refusal_by
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.connection_info import ConnectionInfo
    from handfast.io.arguments import ObserverFactory
    from handfast.proxy.journal import Journal
    from handfast.proxy.settings import Listener, Service


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a client is not let in. ``code`` is stable, ``why`` for people."""

    code: str
    why: str


class Admission(Protocol):
    """Who may connect at all, before a byte is read: limits."""

    def admit(self, listener: str, address: Any) -> Refusal | None:
        """None for a client that may; it is followed by one ``leave``."""

    def handshake_over(self) -> None:
        """The handshake of a client that was admitted is over, well or not."""

    def leave(self, listener: str, address: Any) -> None:
        """A client that was admitted is gone."""


class Everyone:
    """An admission without limits."""

    def admit(self, listener: str, address: Any) -> Refusal | None:
        """None."""

    def handshake_over(self) -> None:
        """Nothing is counted."""

    def leave(self, listener: str, address: Any) -> None:
        """Nothing is counted."""


class NotAdmitted(Exception):
    """A client was refused before its first byte; the journal knows."""


class Holding(Protocol):
    """What the entrances of a proxy share: it knows the clients that are there."""

    journal: Journal
    admission: Admission
    observe: ObserverFactory | None
    draining: bool

    def entered(self, client: Client) -> None: ...

    def left(self, client: Client) -> None: ...

    def protocol_for(self, client: Client, service: Service, listener: Listener) -> asyncio.Protocol: ...


class Door:
    """A listener at work. ``listener`` may be replaced: it holds for clients that come from then on."""

    def __init__(self, listener: Listener, proxy: Holding, loop: asyncio.AbstractEventLoop, shutdown: float) -> None:
        self.proxy = proxy
        self._loop = loop
        self._shutdown = shutdown
        self.text = address_words(listener.address)
        self.replace(listener)

    def replace(self, listener: Listener) -> None:
        """Let this listener's configuration and services hold for new clients."""
        self.listener = listener
        if listener.tls is not None:
            self.config = listener.tls
            self.setup = Setup(self._loop, listener.tls.handshake_timeout, self._shutdown, refuse_deferred)

    def let_in(self, transport: asyncio.Transport, address: Any) -> Client:
        """The client at this address. Raises NotAdmitted."""
        proxy = self.proxy
        refusal = proxy.admission.admit(self.text, address)
        client = Client(transport, None, address, self.text, proxy.journal, self._leave)
        if refusal is not None:
            proxy.journal.tell(ConnectionRefused(self.text, client.text, refusal.code, refusal.why))
            raise NotAdmitted(refusal.code)
        proxy.entered(client)
        return client

    def _handshake_over(self, client: Client) -> None:
        if client.in_handshake:
            client.in_handshake = False
            self.proxy.admission.handshake_over()

    def _leave(self, client: Client) -> None:
        self._handshake_over(client)
        self.proxy.admission.leave(self.text, client.address)
        self.proxy.left(client)

    def ahead(self, client: Client) -> asyncio.Protocol | None:
        """What serves early data before the handshake is complete; None where that waits. RFC 8470."""
        service = self._service(client)
        if service is None or not service.serves_early_data:
            return None
        protocol = self.proxy.protocol_for(client, service, self.listener)
        protocol.connection_made(client.transport)
        return protocol

    def serve(self, client: Client, ahead: asyncio.Protocol | None = None, early: Iterable[bytes] = ()) -> None:
        """Hand the transport to what is for this client, or close it; ``early`` is data that came before and waited."""
        self._handshake_over(client)
        if client.info is not None:
            client.secured(client.info)
        service = self._service(client)
        if service is None:
            name = None if client.info is None else client.info.server_name
            what = "no name" if name is None else f"the name {escape(name)}"
            self._refuse(client, "unknown_server_name", f"it asked for {what}, and there is no service for that")
            return
        if service.mode is Mode.TCP:
            why = refusal_by(service.rule, client.verified_peer)
            if why is not None:
                self._refuse(client, "not_allowed", why)
                return
        protocol = ahead or self.proxy.protocol_for(client, service, self.listener)
        client.transport.set_protocol(protocol)
        if ahead is None:
            protocol.connection_made(client.transport)
        for data in early:
            protocol.data_received(data)
        if self.proxy.draining:
            client.drain()

    def _service(self, client: Client) -> Service | None:
        found = self.listener.service
        if not isinstance(found, ByName):
            return found
        return found.find(None if client.info is None else client.info.server_name)

    def _refuse(self, client: Client, code: str, why: str) -> None:
        client.refused(code, why)
        client.transport.close()


class Entrance(asyncio.Protocol):
    """The protocol of a transport until its service is known."""

    client: Client

    def __init__(self, door: Door) -> None:
        self.door = door
        self._early: list[bytes] = []
        self._ahead: asyncio.Protocol | None = None

    def early_data_received(self, _transport: asyncio.Transport, data: bytes) -> None:
        """Data of a client that has not proven to be there: now for a service that takes it, later for any other."""
        if self._ahead is None and not self._early:
            self._ahead = self.door.ahead(self.client)
        if self._ahead is None:
            self._early.append(data)
        else:
            self._ahead.data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        early, self._early = self._early, []
        self.door.serve(self.client, self._ahead, early)

    def abandon(self) -> None:
        """The handshake failed: what was begun before its end is ended."""
        if self._ahead is not None:
            self._ahead.connection_lost(None)
        # Both know the transport, whose protocol this one still is.
        self._ahead = None
        del self.client

    def drain(self) -> None:
        """Nothing yet: the service hears of it once the handshake is complete."""


class Link(ServerProtocol):
    """The end of a client that speaks TLS."""

    __slots__ = ("_client", "_door", "_entrance")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._client: Client | None = None
        self._entrance = Entrance(door)
        super().__init__(door.setup, self._enter, self._entrance)

    def _enter(self, address: Any) -> ServerConnection:
        self._client = client = self._door.let_in(self.transport, address)
        self._entrance.client = client
        observe = self._door.proxy.observe
        watching = {} if observe is None else observed(observe, address, (), ())
        connection = ServerConnection(self._door.config, **watching)
        client.info = connection.info
        return connection

    def turn_away(self, code: str, why: str) -> None:
        """Let the client not in, and close its connection once it has what was written."""
        if self._client is not None:
            self._client.refused(code, why)
        self.tcp.close()

    def _opened(self) -> None:
        self._let_go()

    def _refused(self, error: Exception | None) -> None:
        if self._client is not None:
            self._say(self._client, error)
            self._entrance.abandon()
        self._let_go()

    def _let_go(self) -> None:
        """The client is another protocol's now, or gone: it must not keep itself alive through this one."""
        self._client = None
        del self._entrance

    def _say(self, client: Client, error: Exception | None) -> None:
        info = client.info
        if info is None:
            client.refused("internal_error", str(error))
        elif error is None:
            client.refused("shutdown", "the proxy ended before the handshake was complete")
        elif not self.connection.heard and isinstance(error, ConnectionLost):
            # A check whether somebody listens is no client.
            client.vanished()
        else:
            client.refused(*_words(info, error))


def _words(info: ConnectionInfo, error: Exception) -> tuple[str, str]:
    """The code and the words of a handshake that failed, with what can be done about it."""
    # X.509 is read where a certificate is named, and not by a server that never asks for one.
    from handfast.outcome.certificate_words import DESCRIBER

    failed = failure_of(info, error)
    line = failure_words.line(failed, DESCRIBER)
    return failed.code, error.explain(line) if isinstance(error, HandfastError) else line


class Plain(Entrance):
    """The end of a client that comes without TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast(asyncio.Transport, transport)
        try:
            self.client = self.door.let_in(tcp, tcp.get_extra_info("peername"))
        except NotAdmitted:
            tcp.abort()
            return
        super().connection_made(transport)
