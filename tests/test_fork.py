"""A forked child can use what other threads of its parent were in the middle of using."""

from __future__ import annotations

import ast
import gc
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from handfast import fork
from handfast.io.failure_log import FailureLog
from handfast.lens.pcapng import CaptureFile
from handfast.reload.handles import Reloading
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets, StoredTickets
from tests.sessions.forking import in_child
from tests.syntax import modules

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

LIMIT = 20


class Stop:
    """Stops the threads that call it, but for the one that made it, until the test goes on."""

    def __init__(self) -> None:
        self._free = threading.get_ident()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, *_: object) -> float:
        if threading.get_ident() != self._free:
            self.reached.set()
            self.go_on.wait(LIMIT)
        return 0.0

    # As a key of a dictionary, which asks for its hash.
    def __hash__(self) -> int:
        return int(self())

    def __eq__(self, other: object) -> bool:
        return self is other


class Owner:
    """Has a lock, and calls somebody while it holds it."""

    lock: Any

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        fork.renew_in_children(self, lock=threading.Lock)

    def use(self) -> None:
        with self.lock:
            self._call()


def replay_guard(stop: Stop) -> Callable[[], object]:
    guard = MemoryReplayGuard(clock=stop)
    return lambda: guard.first_use(b"key", 1)


def cache(stop: Stop) -> Callable[[], object]:
    sessions = SessionCache()
    return lambda: sessions.take(stop)  # type: ignore[arg-type]


def stored(stop: Stop) -> Callable[[], object]:
    tickets = StoredTickets(clock=stop)
    return lambda: tickets.issue(b"state", b"policy", 1)


def sealed(stop: Stop) -> Callable[[], object]:
    tickets = SealedTickets(clock=stop)
    return lambda: tickets.issue(b"state", b"policy", 1)


def failure_log(stop: Stop) -> Callable[[], object]:
    log = FailureLog(stop)
    return lambda: log.failure("peer", "", ValueError())


def capture(stop: Stop) -> Callable[[], object]:
    file = CaptureFile(stop)
    return lambda: file.add(b"block")


def reloading(stop: Stop) -> Callable[[], object]:
    return Reloading(stop).reload


@pytest.mark.parametrize(
    "make", [lambda stop: Owner(stop).use, replay_guard, cache, stored, sealed, failure_log, capture, reloading]
)
def test_a_lock_that_another_thread_holds_is_free_in_a_child(make: Callable[[Stop], Callable[[], object]]) -> None:
    stop = Stop()
    use = make(stop)
    thread = threading.Thread(target=use)
    thread.start()
    assert stop.reached.wait(LIMIT)

    def ask() -> bytes:
        # A child that waits for a lock ends by this.
        signal.alarm(LIMIT)
        use()
        return b"free"

    try:
        assert in_child(ask) == b"free"
    finally:
        stop.go_on.set()
        thread.join(LIMIT)


def test_who_forks_while_it_holds_a_lock_releases_it_in_the_child_too() -> None:
    told = []
    owner = Owner(lambda: told.append(in_child(lambda: b"inside")))
    owner.use()
    owner.use()
    assert told == [b"inside", b"inside"]


def test_nothing_is_kept_for_the_sake_of_its_lock() -> None:
    gc.collect()
    before = len(fork._owners)
    owners = [Owner(int) for _ in range(10)]
    assert len(fork._owners) == before + 10
    del owners
    gc.collect()
    assert len(fork._owners) == before


def locks_made(tree: ast.AST) -> list[int]:
    """The lines on which something of ``threading`` that has a lock is made."""
    kinds = {"Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in kinds
        and getattr(node.func.value, "id", "") == "threading"
    ]


def test_every_lock_is_new_in_a_child() -> None:
    assert [f"{module.path}:{line}" for module in modules() for line in locks_made(module.tree)] == []
    assert not [module.path for module in modules() if "from threading import" in ast.unparse(module.tree)]


def test_the_check_of_locks() -> None:
    assert locks_made(ast.parse("self._lock = threading.Lock()")) == [1]
    assert locks_made(ast.parse("renew_in_children(self, _lock=threading.Lock)")) == []
