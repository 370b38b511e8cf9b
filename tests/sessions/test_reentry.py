"""A store that a signal's handler uses in the middle of its own thread's step there: wherever Python may run one.

It never waits for itself, gives nothing out twice, and keeps to its room.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from handfast.logs import ThrottledLog
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets, StoredTickets
from tests.interrupting import interrupted
from tests.protocol.sessions import World
from tests.sessions.test_cache import HERE, session, taken
from tests.test_reentry import done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE, POLICY, LIFETIME = b"what the session is", bytes(32), 60


def places() -> Iterator[Callable[[Callable[[], object], Callable[[], object]], None]]:
    """For each place of a step what does it with a handler there; the last one has no such place any more."""
    came = [True]
    for at in count():

        def at_this_place(step: Callable[[], object], handler: Callable[[], object], at: int = at) -> None:
            came[0] = done(lambda: interrupted(step, handler, at))

        yield at_this_place
        if not came[0]:
            return


def test_a_ticket_is_redeemed_once() -> None:
    for do in places():
        store, found = StoredTickets(), list[object]()
        ticket = store.issue(STATE, POLICY, LIFETIME)

        def redeem(store: StoredTickets = store, ticket: bytes = ticket, found: list[object] = found) -> None:
            found.append(store.redeem(ticket, POLICY))

        do(redeem, redeem)
        assert sorted(found, key=bool) == [None, STATE] or found == [STATE]
        assert len(store) == 0


@pytest.mark.parametrize("client", [b"", b"somebody"])
def test_a_store_keeps_to_its_room(client: bytes) -> None:
    for do in places():
        store, given = StoredTickets(4), list[bytes]()
        given += [store.issue(STATE, POLICY, LIFETIME, client) for _ in range(4)]

        def issue(store: StoredTickets = store, given: list[bytes] = given) -> None:
            given.append(store.issue(STATE, POLICY, LIFETIME, client))

        def handle(store: StoredTickets = store, given: list[bytes] = given) -> None:
            given.append(store.issue(STATE, POLICY, LIFETIME, client))
            store.redeem(given[2], POLICY)
            assert store.find(given[3], POLICY)

        do(issue, handle)
        known = [ticket for ticket in given if store.find(ticket, POLICY)]
        assert len(known) == len(store) <= 4
        assert [store.redeem(ticket, POLICY) for ticket in known] == [STATE] * len(known)
        last = [store.issue(STATE, POLICY, LIFETIME, client) for _ in range(4)]
        assert [store.redeem(ticket, POLICY) for ticket in last] == [STATE] * 4


def test_a_client_shows_each_ticket_once() -> None:
    for do in places():
        cache, found = SessionCache(), list[bytes]()
        cache.put(HERE, session(0))

        def step(cache: SessionCache = cache, found: list[bytes] = found) -> None:
            cache.put(HERE, session(1))
            found += taken(cache, HERE)

        def handle(cache: SessionCache = cache, found: list[bytes] = found) -> None:
            found += taken(cache, HERE)
            cache.put(HERE, session(2))
            assert len(cache) <= 3

        do(step, handle)
        found += taken(cache, HERE)
        assert sorted(set(found) | {b"ticket 2"}) == [b"ticket 0", b"ticket 1", b"ticket 2"]
        assert len(found) == len(set(found))
        assert len(cache) == 0


def test_early_data_is_taken_once() -> None:
    for do in places():
        now = [0.0]

        def clock(now: list[float] = now) -> float:
            return now[0]

        guard, found = MemoryReplayGuard(clock=clock, wall_clock=clock), list[bool]()
        assert guard.first_use(b"over", 1)
        now[0] = 10.0

        def judge(guard: MemoryReplayGuard = guard, found: list[bool] = found) -> None:
            found.append(guard.first_use(b"a hello", 10))
            assert guard.scope
            assert guard.since == 0

        do(judge, judge)
        assert found.count(True) == 1
        assert not guard.first_use(b"a hello", 10)
        assert guard.first_use(b"another", 10)


def test_what_is_sealed_in_between_can_be_opened() -> None:
    for do in places():
        tickets, given = SealedTickets(), list[bytes | None]()
        given.append(tickets.issue(STATE, POLICY, LIFETIME))

        def step(tickets: SealedTickets = tickets, given: list[bytes | None] = given) -> None:
            given.append(tickets.issue(STATE, POLICY, LIFETIME))
            assert given[0] is not None
            assert tickets.redeem(given[0], POLICY) == STATE

        do(step, step)
        assert [ticket and tickets.redeem(ticket, POLICY) for ticket in given] == [STATE] * len(given)


def test_a_line_in_the_log_in_the_middle_of_another() -> None:
    for do in places():
        log, lines = ThrottledLog("lines"), list[str]()

        def line(lines: list[str] = lines) -> str:
            lines.append("line")
            return "line"

        def write(log: ThrottledLog = log, line: Callable[[], str] = line) -> None:
            log.write(line)

        do(write, write)
        assert 1 <= len(lines) <= 2


@pytest.mark.parametrize("versions", [(0x0304,), (0x0303,)], ids=["1.3", "1.2"])
def test_a_connection_in_the_middle_of_a_step_for_another(versions: tuple[int, ...]) -> None:
    """It has a full handshake, and takes nothing away from the other."""
    handlers: list[Callable[[], object]] = []

    def clock() -> float:
        if handlers:
            handlers.pop()()
        return 0.0

    world = World(client={"versions": versions}, server={"tickets": StoredTickets(clock=clock), "versions": versions})
    assert not done(world.meet).resumed
    resumed: list[bool] = []
    handlers.append(lambda: resumed.append(world.meet().resumed))
    assert done(world.meet).resumed
    assert resumed == [False]
    assert not handlers
    assert done(world.meet).resumed
