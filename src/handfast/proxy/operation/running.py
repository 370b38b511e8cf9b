"""A plan at work in one process: its listeners, its log and numbers, a reload, and the end.

There is a ``Proxy`` for each listener, and one journal, one admission and one log for all. A reload opens what is new
first; if that comes off, listeners that stay are given their new settings, which hold for clients that come from then
on, and those that are gone stop listening and drain. Otherwise nothing has changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from handfast.config.by_name import ByName
from handfast.proxy.admission import Limited, room_for
from handfast.proxy.journal import Journal
from handfast.proxy.server import Proxy
from handfast.proxy.settings import address_words
from handfast.proxy.watching.access_log import AccessLog
from handfast.proxy.watching.capturing import Captures, no_directory
from handfast.proxy.watching.metrics import Key, Metrics

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from handfast.config.config import ServerConfig
    from handfast.events import Observer, SecretSink
    from handfast.io.arguments import ObserverFactory
    from handfast.proxy.journal import Reader
    from handfast.proxy.operation.plan import Plan
    from handfast.proxy.settings import Address, Listener


class Running:
    """Serves what ``plan`` says.

    ``readers`` are told the journal besides the log and the metrics. ``handed`` are sockets that listen already, by
    address; others are opened. ``observe`` makes further observers of each client's connection.

    Attributes:
        plan: what is in use now. draining: whether it ends.
        captures: what single clients are captured with; None where that is forbidden.
    """

    def __init__(
        self,
        plan: Plan,
        *readers: Reader,
        handed: Mapping[Address, socket.socket] | None = None,
        observe: ObserverFactory | None = None,
    ) -> None:
        self.plan = plan
        self.draining = False
        self.journal = Journal(*readers, self._log)
        self.metrics = Metrics(self.journal)
        self.journal.add(self.metrics)
        self._admission = Limited(room_for(plan.ceilings))
        self._handed = dict(handed or {})
        self._observe = observe
        self._access_log: AccessLog | None = None
        directory = plan.operation.captures
        self.captures = None if directory is None else Captures(directory)
        self._proxies: dict[Address, Proxy] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._generation = 0
        self._ending: set[Proxy] = set()

    async def start(self) -> None:
        """Listen, log and count. Raises OSError, whose ``filename`` is the address, and ConfigError."""
        await self._use(self.plan)

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where it listens, as sockets give it, in the order of the plan."""
        return tuple(self._proxies[listener.address].addresses[0] for listener in self.plan.listeners)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return self.journal.connections

    def hand(self, sockets: Mapping[Address, socket.socket]) -> None:
        """Further sockets that listen already, for a plan that is to come."""
        self._handed |= sockets

    def let_go(self) -> None:
        """Close those that were handed over and that no listener uses."""
        used = {listener.address for listener in self.plan.listeners}
        for address in self._handed.keys() - used:
            self._handed.pop(address).close()

    async def apply(self, plan: Plan) -> None:
        """Let this plan take the place of the one in use. Raises as ``start``; then the one before stays in use."""
        if not self.draining:
            await self._use(plan)

    async def _use(self, plan: Plan) -> None:
        ceilings = room_for(plan.ceilings)
        log = self._new_log(plan)
        try:
            opened = await self._opened(plan)
        except BaseException:
            if log is not self._access_log and log is not None:
                log.close()
            raise
        if log is not self._access_log:
            before, self._access_log = self._access_log, log
            if before is not None:
                await asyncio.to_thread(before.close)
        self._admission.ceilings = ceilings
        self.plan = plan
        plan.on_use()
        wanted = {listener.address: listener for listener in plan.listeners}
        for address, proxy in list(self._proxies.items()):
            if address in wanted:
                proxy.replace([wanted[address]])
            else:
                del self._proxies[address]
                self._close(proxy)
        self._proxies |= opened
        self._generation += 1
        self.metrics.hold(dict(_expiries(plan.listeners)))
        self.metrics.hold({Key("handfast_reload_generation"): self._generation})

    async def _opened(self, plan: Plan) -> dict[Address, Proxy]:
        """The listeners that are new; all of them, or none and the error."""
        opened: dict[Address, Proxy] = {}
        try:
            for listener in plan.listeners:
                if listener.address not in self._proxies:
                    proxy = Proxy([listener], self.journal, admission=self._admission, observe=self._watch(listener))
                    handed = self._handed.get(listener.address)
                    # What was handed to the process outlives a listener, which may come again.
                    await proxy.start([None if handed is None else handed.dup()])
                    opened[listener.address] = proxy
        except BaseException:
            for proxy in opened.values():
                await proxy.close(0)
            raise
        return opened

    def _new_log(self, plan: Plan) -> AccessLog | None:
        path = plan.operation.access_log
        if self._access_log is not None and path == self._access_log.path:
            return self._access_log
        return None if path is None else AccessLog(path)

    def _log(self, entry: Any) -> None:
        if self._access_log is not None:
            self._access_log(entry)

    async def reload(self) -> None:
        """What a signal asks for besides a new plan: go on in the access log's file of that name, which may be another
        one now, and look at our certificates anew."""
        if self._access_log is not None:
            self._access_log.reopen()
        self.metrics.hold(dict(_expiries(self.plan.listeners)))

    def capture(self, client: str, name: str) -> str:
        """Capture the next connection from this address. Raises ConfigError."""
        if self.captures is None:
            raise no_directory()
        return self.captures.ask(client, name)

    def _watch(self, listener: Listener) -> ObserverFactory | None:
        """What watches the connections of a listener; None where nothing can be asked for."""
        captures, observe = self.captures, self._observe
        if listener.tls is None or isinstance(listener.address, str) or captures is None:
            return observe
        host, own_address = listener.address[0], listener.address

        def watch(address: Any) -> tuple[Sequence[Observer], Sequence[SecretSink]]:
            port = self._proxies[own_address].addresses[0][1] if own_address in self._proxies else 0
            own, own_sinks = ((), ()) if observe is None else observe(address)
            more, sinks = captures.observe(address, (_reached(host, address), port))
            return (*own, *more), (*own_sinks, *sinks)

        return watch

    # The end

    async def close(self) -> None:
        """Stop listening, let clients end in order within the plan's ``grace``, and end those that are left."""
        self.draining = True
        for proxy in self._proxies.values():
            self._close(proxy)
        while self._closing:
            await asyncio.wait(tuple(self._closing))
        if self._access_log is not None:
            await asyncio.to_thread(self._access_log.close)
        for sock in self._handed.values():
            sock.close()

    def abort(self) -> None:
        """End all that is under way, which ``close`` waits for, at once."""
        for proxy in self._ending:
            proxy.abort()

    def _close(self, proxy: Proxy) -> None:
        self._ending.add(proxy)
        task = asyncio.get_running_loop().create_task(proxy.close(self.plan.operation.grace))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        task.add_done_callback(lambda _: self._ending.discard(proxy))

    # Numbers

    async def numbers(self) -> dict[Key, float]:
        """What the metrics are made of."""
        return self.metrics.numbers() | {Key("handfast_draining"): float(self.draining)}


def _reached(host: str, client: Any) -> str:
    """Where a client reached a listener: of one that listens on all addresses, loopback of the client's kind."""
    if host in ("0.0.0.0", "::"):
        return "::1" if ":" in client[0] else "127.0.0.1"
    return host


def _expiries(listeners: Sequence[Listener]) -> Iterator[tuple[Key, float]]:
    """When our certificates end, by listener and subject: of several of one subject the one that ends first."""
    from handfast.x509.certificates import parse

    found: dict[Key, float] = {}
    for listener in listeners:
        for config in _configs(listener.tls):
            for credentials in _credentials(config):
                leaf = parse(credentials.chain[0])
                labels = (("listener", address_words(listener.address)), ("certificate", leaf.subject_text))
                key = Key("handfast_certificate_expiry_timestamp_seconds", labels)
                found[key] = min(found.get(key, float("inf")), leaf.not_after.timestamp())
    yield from found.items()


def _configs(config: ServerConfig | None) -> tuple[ServerConfig, ...]:
    if config is None:
        return ()
    return (config, *config.choose_config.values) if isinstance(config.choose_config, ByName) else (config,)


def _credentials(config: ServerConfig) -> Iterator[Any]:
    given: Any = config.credentials
    groups = given.values if isinstance(given, ByName) else (given,)
    for group in groups:
        if isinstance(group, tuple):
            yield from (handle.current for handle in group)
        elif hasattr(group, "current"):
            yield group.current
