"""What the tests under load share: the two doors of asyncio, what is counted before and after, and room for many."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import ssl
import sys
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from handfast import ClientAuth, aio
from handfast.errors import HandfastError
from tests.aio.support import MUTUAL, client_config, server_config
from tests.sslcontext.pairs import OURS, client_context, server_context
from tests.waiting import LIMIT, PAUSE, TEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from tests.sslcontext.pairs import Files

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# What the program has open besides connections: a listener, a loop, files of pytest's.
OTHER_DESCRIPTORS = 100
# The largest backlog that Linux takes without more ado.
BACKLOG = 4096


class Door(ABC):
    """One way to TLS under asyncio, with mutual authentication if it is not left out.

    Thousands of handshakes in one process take their time: none is late before the test is.
    """

    name: ClassVar[str]
    # Descriptors of a client and its server, together.
    descriptors: ClassVar[int]

    def __init__(self, files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, mutual: bool = True) -> None:
        self.over_buffers = client_context(OURS, files, certificate=mutual)
        self.over_buffers.minimum_version = self.over_buffers.maximum_version = version

    @abstractmethod
    async def listen(self, answer: Callable[..., Awaitable[None]], **options: Any) -> asyncio.Server:
        """A server on a port of its own, which answers each connection by a task of its own."""

    @abstractmethod
    async def connect(self, port: int, **options: Any) -> Streams:
        """A connection to it."""


class Direct(Door):
    """``handfast.aio``."""

    name = "direct"
    # A client holds a duplicate.
    descriptors = 3

    def __init__(self, files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, mutual: bool = True) -> None:
        super().__init__(files, version, mutual=mutual)
        versions = [version.name.removeprefix("TLSv").replace("_", ".")]
        self.server = server_config(
            client_auth=MUTUAL if mutual else ClientAuth.NONE, versions=versions, handshake_timeout=TEST_LIMIT
        )
        self.client = client_config(versions=versions, anonymous=not mutual, handshake_timeout=TEST_LIMIT)

    async def listen(self, answer: Callable[..., Awaitable[None]], **options: Any) -> asyncio.Server:
        return await aio.start_server(answer, "127.0.0.1", 0, self.server, backlog=BACKLOG, **options)

    async def connect(self, port: int, **options: Any) -> Streams:
        return await aio.open_connection("127.0.0.1", port, self.client, server_name="localhost", **options)


class Context(Door):
    """``ssl=handfast.SSLContext(...)``."""

    name = "context"
    descriptors = 2

    def __init__(self, files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, mutual: bool = True) -> None:
        super().__init__(files, version, mutual=mutual)
        self.server = server_context(OURS, files, verify=ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE)
        self.server.minimum_version = self.server.maximum_version = version
        self.client = self.over_buffers

    async def listen(self, answer: Callable[..., Awaitable[None]], **options: Any) -> asyncio.Server:
        options |= {"ssl": self.server, "ssl_handshake_timeout": TEST_LIMIT}
        return await asyncio.start_server(answer, "127.0.0.1", 0, backlog=BACKLOG, **options)

    async def connect(self, port: int, **options: Any) -> Streams:
        options |= {"ssl": self.client, "ssl_handshake_timeout": TEST_LIMIT}
        return await asyncio.open_connection("127.0.0.1", port, server_hostname="localhost", **options)


DOORS: list[type[Door]] = [Direct, Context]


@asynccontextmanager
async def serving(door: Door, answer: Callable[..., Awaitable[None]], **options: Any) -> AsyncIterator[int]:
    """The port of a server while there is one; it ends once all that were answered are done with."""
    server = await door.listen(answer, **options)
    others = asyncio.all_tasks()
    try:
        yield server.sockets[0].getsockname()[1]
        assert await eventually(lambda: asyncio.all_tasks() <= others)
    finally:
        # Not ``wait_closed``: from Python 3.12 on it would wait for what a failed test leaves open.
        server.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close and wait for it; that the peer has gone already is no news."""
    writer.close()
    try:
        await writer.wait_closed()
    except (OSError, HandfastError):
        return


async def eventually(condition: Callable[[], object]) -> bool:
    """Let the loop run until the condition holds; False when it did not within LIMIT."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LIMIT
    while not condition():
        if loop.time() > end:
            return bool(condition())
        await asyncio.sleep(PAUSE)
        # The timer of that sleep is gone a little later.
        for _ in range(3):
            await asyncio.sleep(0)
    return True


def run(coroutine: Coroutine[Any, Any, Any], factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    """Run it in a loop of its own; nothing may be told to the loop's exception handler."""
    complaints: list[dict[str, Any]] = []

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        return await coroutine

    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(main())
        # What was left behind without an owner complains now.
        gc.collect()
    assert complaints == [], complaints
    return result


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a number that nobody judges, also from a process of pytest's own, whose stdout is not seen."""
    with capsys.disabled():
        print(f"\n{text}", file=sys.stderr, flush=True)


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def room_for(wanted: int, each: int) -> int:
    """How many of ``wanted`` connections fit, with so many descriptors each."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, (soft - OTHER_DESCRIPTORS) // each)


def demand_room(wanted: int, each: int) -> None:
    """Skip where they do not fit."""
    if (fits := room_for(wanted, each)) < wanted:
        pytest.skip(f"this machine gives a process descriptors for {fits} of {wanted} connections")


# What each connection has, and no cache keeps.
_OF_CONNECTIONS = (
    "handfast.io",
    "handfast.engine",
    "handfast.record",
    "asyncio",
    "ssl",
    "socket",
    "_asyncio",
    "uvloop",
)


@dataclass(frozen=True)
class Census:
    """What there is at a moment."""

    objects: Counter[str]
    descriptors: int
    timers: int
    tasks: int

    @classmethod
    def take(cls) -> Census:
        """Of this process and, where one runs, its loop."""
        while gc.collect():
            pass
        kinds = map(type, gc.get_objects())
        objects = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return cls(objects, descriptors(), 0, 0)
        return cls(objects, descriptors(), len(timers(loop)), len(asyncio.all_tasks()))

    def grown_since(self, before: Census, *, others: int) -> dict[str, int]:
        """What there is more of: connections, sockets and tasks by one, plain objects by more than ``others``."""
        grown = {
            name: more
            for name, count in self.objects.items()
            if (more := count - before.objects[name]) > (0 if name.startswith(_OF_CONNECTIONS) else others)
        }
        numbers = {name: getattr(self, name) - getattr(before, name) for name in ("descriptors", "timers", "tasks")}
        return grown | {name: more for name, more in numbers.items() if more > 0}


def timers(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """Those that are still to run. uvloop does not tell of its own."""
    return [timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
