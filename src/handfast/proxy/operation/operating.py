"""From the start of a proxy to its end: signals, reloads, the admin listener, and what systemd is told.

SIGTERM and SIGINT end it in order, and a second one at once; SIGHUP reloads. What serves is this process
(``Running``) or several (``Workers``): a ``Service`` is either.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from handfast import limits
from handfast.errors import ConfigError, HandfastError
from handfast.proxy import backends
from handfast.proxy.listening import forget, listening
from handfast.proxy.operation.plan import ReloadingPlan
from handfast.proxy.watching.admin import METRICS, Admin, Answer
from handfast.proxy.watching.metrics import Key, exposition
from handfast.reload.watcher import FileWatcher
from handfast.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.proxy.operation.plan import Plan
    from handfast.proxy.operation.systemd import Notifier
    from handfast.proxy.settings import Backend
    from handfast.proxy.watching.metrics import Numbers
    from handfast.reload.handles import Reloading


class Service(Protocol):
    """What serves a plan."""

    plan: Plan
    draining: bool

    @property
    def clients(self) -> int:
        """How many are connected."""

    async def start(self) -> None: ...
    async def apply(self, plan: Plan) -> None: ...
    async def reload(self) -> None: ...
    async def numbers(self) -> Numbers: ...
    async def close(self) -> None: ...
    def abort(self) -> None: ...
    def capture(self, client: str, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: by which signal, and whether a second one cut it short."""

    number: int
    at_once: bool


class Operator:
    """Runs a service until a signal ends it.

    ``handles`` are what SIGHUP loads anew, and, with ``watch``, changes of their files; a ``ReloadingPlan`` among them
    brings the service its new plan. ``say`` is told what happens, for people.
    """

    def __init__(
        self,
        service: Service,
        handles: Sequence[Reloading[Any]] = (),
        *,
        watch: bool = False,
        notifier: Notifier | None = None,
        say: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self._service = service
        self._handles = tuple(handles)
        self._watch = watch and bool(handles)
        self._notifier = notifier
        self._say = say
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._admin: Admin | None = None

    async def run(self, started: Callable[[], object] = lambda: None) -> Ended:
        """Serve; ``started`` is called when clients may come. Raises ConfigError, and OSError as ``Proxy.start``."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        try:
            await self._service.start()
            socket = await self._open_admin()
            try:
                return await self._serve(started)
            finally:
                if self._admin is not None and socket is not None:
                    await self._admin.close()
                    forget(socket)
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _serve(self, started: Callable[[], object]) -> Ended:
        loop = asyncio.get_running_loop()
        for handle in self._handles:
            if isinstance(handle, ReloadingPlan):
                handle.changed = self._changer(loop)
        watcher = FileWatcher(*self._handles) if self._watch else None
        watchdog = loop.create_task(self._stay_alive())
        try:
            started()
            self._tell_ready()
            number = await self._until_end()
        finally:
            watchdog.cancel()
            if watcher is not None:
                # Its thread may wait for this loop.
                await asyncio.to_thread(watcher.close)
        return await self._end(number)

    async def _until_end(self) -> int:
        while (number := await self._signals.get()) == signal.SIGHUP:
            if self._notifier is not None:
                self._notifier.reloading()
            for handle in self._handles:
                await asyncio.to_thread(handle.reload)
            await self._service.reload()
            self._tell_ready()
        return number

    async def _end(self, number: int) -> Ended:
        service = self._service
        if self._notifier is not None:
            self._notifier.stopping()
        # Workers tell how many there are.
        await service.numbers()
        if service.clients:
            grace = service.plan.operation.grace
            clients = counted(service.clients, "connection")
            self._say(f"ending: {clients} may take {grace:g} s; a second signal ends them at once")
        closing = asyncio.ensure_future(service.close())
        again = asyncio.ensure_future(self._second())
        await asyncio.wait((closing, again), return_when=asyncio.FIRST_COMPLETED)
        at_once = not closing.done()
        if at_once:
            service.abort()
        again.cancel()
        with suppress(asyncio.CancelledError):
            await again
        await closing
        return Ended(number, at_once)

    async def _second(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            pass

    def _changer(self, loop: asyncio.AbstractEventLoop) -> Callable[[Plan], None]:
        """What a thread calls with a new plan."""

        def changed(plan: Plan) -> None:
            before = self._service.plan.operation
            asyncio.run_coroutine_threadsafe(self._service.apply(plan), loop).result()
            for what in ("admin", "captures", "workers"):
                if getattr(before, what) != getattr(plan.operation, what):
                    self._say(f"{what}: what the file says now holds from the next start on")

        return changed

    # Admin

    async def _open_admin(self) -> Any:
        operation = self._service.plan.operation
        address = operation.admin
        if address is None:
            return None
        handlers = {("GET", "/metrics"): self._metrics, ("GET", "/health"): self._health}
        if operation.captures is not None:
            handlers["POST", "/capture"] = self._capture
        try:
            socket = listening(address)
        except OSError as error:
            self._service.abort()
            await self._service.close()
            error.filename = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
            raise
        own = () if isinstance(address, str) else address[:1]
        self._admin = Admin(handlers, (*own, *operation.admin_names))
        await self._admin.start(socket)
        return socket

    async def _metrics(self, _query: dict[str, str]) -> Answer:
        failures = sum(handle.failures for handle in self._handles if isinstance(handle, ReloadingPlan))
        numbers = {**await self._service.numbers(), Key("handfast_reload_failures_total"): failures}
        return Answer(200, exposition(numbers), METRICS)

    async def _health(self, query: dict[str, str]) -> Answer:
        if self._service.draining:
            return Answer(503, b"draining\n")
        if not query.get("backends"):
            return Answer(200, b"ok\n")
        found = {backend for listener in self._service.plan.listeners for backend in listener.backends}
        failed = [words for words in await asyncio.gather(*map(_probe, found)) if words]
        return Answer(503, "".join(sorted(failed)).encode()) if failed else Answer(200, b"ok\n")

    async def _capture(self, query: dict[str, str]) -> Answer:
        try:
            return Answer(202, self._service.capture(query.get("client", ""), query.get("to", "")).encode())
        except ConfigError as error:
            return Answer(400, f"{error.what}\n{error.hint}\n".encode())

    # systemd

    def _tell_ready(self) -> None:
        if self._notifier is not None:
            self._notifier.ready(f"{counted(len(self._service.plan.listeners), 'listener')}")

    async def _stay_alive(self) -> None:
        while self._notifier is not None and self._notifier.interval:
            self._notifier.alive()
            await asyncio.sleep(self._notifier.interval)


async def _probe(backend: Backend) -> str:
    """Why a backend cannot be reached, "" if it can."""
    try:
        async with asyncio.timeout(limits.PROXY_ADMIN_TIMEOUT / 2):
            transport = await backends.connect(backend, asyncio.Protocol())
            transport.close()
    except backends.BackendFailed as error:
        return f"{error.code}: {error.why}\n"
    except (TimeoutError, OSError, HandfastError) as error:
        return f"{backend.text}: {error}\n"
    return ""
