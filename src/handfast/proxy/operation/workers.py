"""A proxy of several processes: this one holds the sockets and the ticket keys, and the workers serve.

A worker is the same program, started with one end of a channel (``channel.py``), over which it is handed the sockets
that listen and the keys, reloads, tells its numbers, and is asked to end. All workers accept from the same sockets, so
one that dies takes its own connections with it and no other: who waits in a queue is served by the next. It is started
again, ever more slowly if it keeps dying. A worker whose channel ends drains and ends too.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.crypto.randomness import random_bytes
from handfast.errors import LocalFailure
from handfast.proxy.listening import forget, listening
from handfast.proxy.operation.channel import Channel, pair
from handfast.proxy.settings import address_words
from handfast.proxy.watching.metrics import Key, added, counters_of, from_json
from handfast.sessions.tickets import KEY_LENGTH

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from handfast.proxy.operation.plan import Plan
    from handfast.proxy.operation.systemd import Handed
    from handfast.proxy.settings import Address

_VARIABLE = "HANDFAST_PROXY_WORKER"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is started with: the descriptor of its channel, and the names of sockets from systemd."""

    channel: int
    names: dict[str, Address]


def orders() -> Orders | None:
    """Those of this process, which its environment then holds no more; None where it is no worker."""
    given = os.environ.pop(_VARIABLE, "")
    try:
        read = json.loads(given)
        os.fstat(read["channel"])
        return Orders(read["channel"], {name: as_address(value) for name, value in read["names"].items()})
    except (ValueError, KeyError, TypeError, OSError):
        return None


def as_address(value: Any) -> Address:
    """A listener's address, of which JSON has made a list."""
    return value if isinstance(value, str) else (value[0], value[1])


@dataclass(eq=False)
class _Worker:
    """One of them. ``ended`` is set when all it said was heard; ``asked`` are the answers that are waited for."""

    process: asyncio.subprocess.Process
    channel: Channel
    since: float
    ended: asyncio.Event
    numbers: dict[Key, float] = field(default_factory=dict)
    asked: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)


class Workers:
    """Serves what ``plan`` says in ``plan.operation.workers`` processes, each of which ``command`` starts.

    ``handed`` are sockets that listen already. The keys of tickets are made here, and replaced as time goes by.
    """

    def __init__(self, plan: Plan, command: Sequence[str], handed: Handed | None = None) -> None:
        self.plan = plan
        self.draining = False
        self._command = tuple(command)
        self._handed = {} if handed is None else handed.sockets
        self._names = {} if handed is None else handed.names
        self._sockets: dict[Address, socket.socket] = {}
        self._workers: set[_Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._keys = [random_bytes(KEY_LENGTH)]
        self._ending = asyncio.Event()
        self._number = 0
        self._deaths = 0
        self._restarts = 0
        # What workers that are gone had counted.
        self._gone: dict[Key, float] = {}

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where it listens, as sockets give it, in the order of the plan."""
        return tuple(self._sockets[listener.address].getsockname() for listener in self.plan.listeners)

    @property
    def clients(self) -> int:
        """How many were connected when the numbers were last asked for."""
        open_now = Key("handfast_connections_open")
        return int(sum(worker.numbers.get(open_now, 0) for worker in self._workers))

    async def start(self) -> None:
        """Listen and start the workers. Raises OSError as ``Proxy.start``, and LocalFailure if they do not come up."""
        self._sockets = self._opened(self.plan)
        try:
            # All are waited for, also if one fails: one that came up later would be left behind.
            starting = (self._start_one() for _ in range(self.plan.operation.workers))
            for failed in await asyncio.gather(*starting, return_exceptions=True):
                if failed is not None:
                    raise failed
        except BaseException:
            self.draining = True
            for worker in tuple(self._workers):
                self._kill(worker)
            self._close_sockets(self._sockets)
            raise
        self.plan.on_use()
        self._keep(self._rotate())

    async def apply(self, plan: Plan) -> None:
        """Have all workers serve this plan. Raises OSError, and LocalFailure if one of them could not."""
        if self.draining:
            return
        opened = self._opened(plan)
        new = {address: sock for address, sock in opened.items() if address not in self._sockets}
        message = {"do": "reload", "addresses": list(new)}
        answers = await asyncio.gather(
            *(self._ask(worker, message, tuple(new.values())) for worker in tuple(self._workers))
        )
        failed = [answer["failed"] for answer in answers if answer.get("failed")]
        if failed:
            self._close_sockets(new)
            raise LocalFailure("need_failed", need="a reload", reason=failed[0])
        gone = {address: sock for address, sock in self._sockets.items() if address not in opened}
        self._sockets, self.plan = opened, plan
        plan.on_use()
        self._close_sockets(gone)

    async def reload(self) -> None:
        """Have all workers do what a signal asks for besides a new plan."""
        await asyncio.gather(*(self._ask(worker, {"do": "reopen"}) for worker in tuple(self._workers)))

    async def numbers(self) -> dict[Key, float]:
        """The numbers of all workers together, with those of workers that are gone."""
        await asyncio.gather(*map(self._ask_numbers, tuple(self._workers)))
        own = {
            Key("handfast_workers"): float(len(self._workers)),
            Key("handfast_worker_restarts_total"): float(self._restarts),
        }
        total = added(self._gone, *(worker.numbers for worker in self._workers), own)
        return total | {Key("handfast_draining"): float(self.draining)}

    def capture(self, client: str, name: str) -> str:
        """Have the worker that gets it capture the next connection from this address. Raises ConfigError."""
        from handfast.proxy.watching.capturing import Captures, no_directory

        directory = self.plan.operation.captures
        if directory is None:
            raise no_directory()
        words = Captures(directory).ask(client, name)
        for worker in self._workers:
            worker.channel.send({"do": "capture", "client": client, "to": name})
        return words

    async def close(self) -> None:
        """Let all workers drain and end."""
        self.draining = True
        self._ending.set()
        for worker in self._workers:
            worker.channel.send({"do": "drain"})
        while self._watching:
            # One that was being started is among them only now.
            await asyncio.wait(tuple(self._watching))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close_sockets(self._sockets)
        for sock in self._handed.values():
            sock.close()

    def abort(self) -> None:
        """End what ``close`` waits for at once."""
        for worker in self._workers:
            self._kill(worker)

    # One worker

    async def _start_one(self) -> None:
        """Start one, and wait until it serves. Raises LocalFailure."""
        ours, theirs = pair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, _VARIABLE: json.dumps({"channel": theirs.fileno(), "names": self._names})},
                # Ctrl-C is for us, who pass it on.
                start_new_session=True,
            )
        ended = asyncio.Event()
        worker: _Worker
        channel = Channel(ours, lambda message, _: self._heard(worker, message), ended.set)
        worker = _Worker(process, channel, time.monotonic(), ended)
        self._workers.add(worker)
        watching = self._keep(self._watch(worker))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        if self.draining:
            # ``close`` came meanwhile, and has asked all that there were to end.
            self._kill(worker)
        message = {"do": "serve", "addresses": list(self._sockets), "tickets": self._ticket_keys()}
        answer = await self._ask(worker, message, tuple(self._sockets.values()), limits.PROXY_WORKER_START)
        if "did" not in answer:
            self._kill(worker)
            raise LocalFailure("need_failed", need="a worker", reason=answer.get("failed", "it ended"))

    async def _watch(self, worker: _Worker) -> None:
        """Until it ends; one that was not asked to is followed by another."""
        status = await worker.process.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.SHUTDOWN_TIMEOUT):
                await worker.ended.wait()
        self._workers.discard(worker)
        worker.channel.close()
        for future in worker.asked.values():
            if not future.done():
                future.set_result({"failed": "the worker ended"})
        self._gone = added(self._gone, counters_of(worker.numbers))
        if self.draining:
            return
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        logs.warn("workers that ended", lambda: f"worker {worker.process.pid} ended {how}, and is started again")
        self._restarts += 1
        lived_long = time.monotonic() - worker.since > limits.PROXY_WORKER_PAUSE
        self._deaths = 0 if lived_long else self._deaths + 1
        if self._deaths > 1:
            pause = min(limits.PROXY_WORKER_FIRST_PAUSE * 2**self._deaths, limits.PROXY_WORKER_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            if self._ending.is_set():
                return
        try:
            await self._start_one()
        except (LocalFailure, OSError) as error:
            words = str(error)
            logs.warn("workers that do not start", lambda: f"a worker did not start: {words}")

    def _kill(self, worker: _Worker) -> None:
        with suppress(ProcessLookupError):
            worker.process.kill()

    async def _ask(
        self,
        worker: _Worker,
        message: dict[str, Any],
        sockets: Sequence[socket.socket] = (),
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """The worker's answer; one that says ``failed`` where there is none in time."""
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        worker.asked[number] = future
        worker.channel.send({**message, "number": number}, sockets)
        try:
            async with asyncio.timeout(limits.PROXY_WORKER_ANSWER if seconds is None else seconds):
                answer: dict[str, Any] = await future
                return answer
        except TimeoutError:
            return {"failed": f"worker {worker.process.pid} did not answer in time"}
        finally:
            del worker.asked[number]

    async def _ask_numbers(self, worker: _Worker) -> None:
        answer = await self._ask(worker, {"do": "numbers"}, (), limits.PROXY_ADMIN_TIMEOUT / 5)
        if "numbers" in answer:
            worker.numbers = from_json(answer["numbers"])

    def _heard(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "numbers" in message:
            worker.numbers = from_json(message["numbers"])
        if "taken" in message:
            for other in self._workers:
                other.channel.send({"do": "forget", "client": message["taken"]})
        future = worker.asked.get(message.get("number", 0))
        if future is not None and not future.done():
            future.set_result(message)

    # Sockets and keys

    def _opened(self, plan: Plan) -> dict[Address, socket.socket]:
        """The sockets of all listeners of a plan: those that are there, those that were handed to us, and new ones."""
        found: dict[Address, socket.socket] = {}
        for listener in plan.listeners:
            address = listener.address
            try:
                found[address] = self._sockets.get(address) or self._handed.get(address) or listening(address)
            except OSError as error:
                self._close_sockets({a: sock for a, sock in found.items() if a not in self._sockets})
                error.filename = address_words(address)
                raise
        return found

    def _close_sockets(self, sockets: Mapping[Address, socket.socket]) -> None:
        for address, sock in sockets.items():
            if address not in self._handed:
                forget(sock)

    def _ticket_keys(self) -> list[str]:
        return [key.hex() for key in self._keys]

    async def _rotate(self) -> None:
        """A new key now and again; those before it open tickets for as long as any may live."""
        most = int(limits.TICKET_LIFETIME / limits.TICKET_KEY_ROTATION) + 2
        while True:
            await asyncio.sleep(limits.TICKET_KEY_ROTATION)
            self._keys = [random_bytes(KEY_LENGTH), *self._keys][:most]
            for worker in self._workers:
                worker.channel.send({"do": "tickets", "tickets": self._ticket_keys()})

    def _keep(self, coroutine: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
