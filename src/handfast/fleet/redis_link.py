"""A process's one connection to Redis, in a thread of its own, and what questions come to when Redis is silent.

Nothing waits here for a Redis that is away. Questions are taken only while the last thing that Redis was asked was
answered in time; else each is answered at once with what stands for no answer, and the thread looks for Redis
meanwhile, with growing pauses. So a Redis that dies costs the questions that were under way one timeout, and no other
anything; one that is slow now and then costs that once in each pause. Questions that wait are put together, so that
any number of them costs one round trip, and only so many may wait.

``chores`` run after connecting, before any question is taken, and every few seconds: what of Redis must be known
before a handshake needs it is fetched there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast import limits, logs
from handfast.fork import renew_in_children
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.fleet.redis_place import OpenConnection, RedisPlace

Command: TypeAlias = tuple[str | bytes | int | float, ...]
# Asks Redis several things at once: the replies, in order; errors of Redis among them, which are not raised.
Talk: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[Any]]]
# True where what a handshake needs is there.
Chores: TypeAlias = Callable[[Talk], Awaitable[bool]]

# How much longer a blocked thread waits than its question may take, should the other thread be gone.
_GRACE = 1.0


@dataclass(slots=True, eq=False)
class _Question:
    """``read`` makes an answer of the reply; ``without`` is it where there is none, or is not asked for ``until``."""

    command: Command
    read: Callable[[Any], object]
    without: object
    until: float
    answer: Future[object]

    def settle(self, answer: object) -> None:
        # It may have been cancelled or settled, in another thread.
        with suppress(InvalidStateError):
            self.answer.set_result(answer)


class RedisLink:
    """Asks one Redis, for any number of threads and event loops of one process. ``timeout`` is seconds for one answer.

    Raises OSError or RuntimeError where the system has no room for its thread.

    It has no lock of its own: a signal's handler may stop it in the middle of a question of the thread that it
    interrupts. Where that is one of the few steps in which a future or an event is locked, ``stop`` waits its longest.
    """

    _is_up: threading.Event
    _is_complete: threading.Event

    def __init__(self, place: RedisPlace, chores: Chores, timeout: float) -> None:
        self.pid = os.getpid()
        self._place = place
        self._chores = chores
        self._timeout = timeout
        renew_in_children(self, _is_up=threading.Event, _is_complete=threading.Event)
        # Any thread adds to it, its own alone takes from it.
        self._waiting: deque[_Question] = deque()
        self._ended = False
        self._log = logs.StateLog("troubles with Redis")
        self._awake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="handfast redis", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    @property
    def up(self) -> bool:
        """Whether questions are taken."""
        return self._is_up.is_set()

    @property
    def trouble(self) -> str:
        """Why not, as far as it was found out."""
        return self._log.state

    def wait(self, seconds: float) -> bool:
        """Wait until questions are taken and the chores have all; False if that is not so within ``seconds``.

        False at once where it is stopped meanwhile.
        """
        return self._is_complete.wait(seconds) and not self._ended

    def ask(self, command: Command, read: Callable[[Any], object], without: object) -> Any:
        """The answer; or an awaitable of it where an event loop of asyncio runs in this thread and Redis is asked."""
        question = _Question(command, read, without, monotonic() + self._timeout, Future())
        if not self._is_up.is_set() or len(self._waiting) >= limits.FLEET_PENDING:
            return without
        self._waiting.append(question)
        self._call_soon(self._awake.set)
        if not self._is_up.is_set():
            # What waited was answered just before it came.
            question.settle(without)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            try:
                return question.answer.result(2 * self._timeout + _GRACE)
            except WaitTimeoutError:
                question.answer.cancel()
                return without
        return asyncio.wrap_future(question.answer, loop=loop)

    def stop(self) -> None:
        """End connection and thread; what waits is answered as if Redis was gone. A second call does nothing."""
        if self.pid != os.getpid():
            return
        self._call_soon(self._stopped.set)
        if threading.current_thread() is not self._thread:
            # No longer than a name may take to be looked up, which nothing can end.
            self._thread.join(limits.FLEET_CONNECT_TIMEOUT)

    def _call_soon(self, callback: Callable[[], object]) -> None:
        # After its end there is nothing to call.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    # In the thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        work = asyncio.create_task(self._work())
        await self._stopped.wait()
        work.cancel()
        await asyncio.wait([work])
        self._go_down()
        # There is nothing to wait for any more.
        self._ended = True
        self._is_complete.set()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)

    async def _work(self) -> None:
        pause = limits.RECONNECT_FIRST
        while True:
            began = self._loop.time()
            try:
                async with asyncio.timeout(limits.FLEET_CONNECT_TIMEOUT):
                    connection = await self._place.open()
                try:
                    await self._serve(connection)
                finally:
                    await connection.close()
            except Exception as error:  # noqa: BLE001 (whatever the library or the network came up with, we try again)
                self._go_down()
                self._tell(error)
            if self._loop.time() - began > limits.FLEET_PAUSE:
                pause = limits.RECONNECT_FIRST
            await asyncio.sleep(pause)
            pause = min(2 * pause, limits.FLEET_PAUSE)

    async def _serve(self, connection: OpenConnection) -> None:
        """Answer questions over one connection, until it fails."""

        async def talk(commands: Sequence[Command]) -> list[Any]:
            async with asyncio.timeout(self._timeout):
                return await connection.ask(commands)

        await self._do_chores(talk)
        chores_at = self._loop.time() + limits.FLEET_BEAT
        while True:
            self._awake.clear()
            batch = self._next_batch()
            if batch:
                await self._answer(batch, talk)
            elif self._loop.time() < chores_at and not self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(chores_at):
                        await self._awake.wait()
            if self._loop.time() >= chores_at:
                await self._do_chores(talk)
                chores_at = self._loop.time() + limits.FLEET_BEAT

    async def _do_chores(self, talk: Talk) -> None:
        # Questions wait meanwhile.
        async with asyncio.timeout(2 * self._timeout):
            complete = await self._chores(talk)
        self._log.tell("", lambda: f"Redis at {self._place} is used again")
        self._is_up.set()
        if complete:
            self._is_complete.set()
        else:
            self._is_complete.clear()

    def _next_batch(self) -> list[_Question]:
        """The next questions, but for those that have waited for too long or wait no more."""
        size = min(len(self._waiting), limits.FLEET_BATCH)
        taken = [self._waiting.popleft() for _ in range(size)]
        now = monotonic()
        for question in taken:
            if question.until < now:
                question.settle(question.without)
        return [question for question in taken if not question.answer.done()]

    async def _answer(self, batch: list[_Question], talk: Talk) -> None:
        replies: list[Any] = []
        try:
            replies = await talk([question.command for question in batch])
        finally:
            if not replies:
                # Before those that asked are told, so that their next question is not put either.
                self._go_down()
            for question, reply in zip(batch, replies or [None] * len(batch), strict=True):
                question.settle(_answer_of(question, reply) if replies else question.without)

    def _go_down(self) -> None:
        self._is_up.clear()
        self._is_complete.clear()
        while self._waiting:
            question = self._waiting.popleft()
            question.settle(question.without)

    def _tell(self, error: Exception) -> None:
        """Log why Redis cannot be used, once for each reason."""
        reason = escape(str(error), limits.MAX_DETAIL_TEXT) or (
            "it does not answer" if isinstance(error, TimeoutError) else type(error).__name__
        )
        consequence = "early data is refused, and stored sessions are not resumed"
        self._log.tell(reason, lambda: f"Redis at {self._place} cannot be used: {reason}; {consequence}")


def _answer_of(question: _Question, reply: Any) -> object:
    if isinstance(reply, Exception):
        reason = escape(str(reply), limits.MAX_PEER_TEXT)
        logs.warn("refusals of Redis", lambda: f"Redis refused a question: {reason}")
        return question.without
    return question.read(reply)
