"""The memory of hellos whose early data was taken."""

from __future__ import annotations

import threading

from handfast import limits
from handfast.sessions.replay import MemoryReplayGuard
from tests.sessions.forking import in_child
from tests.sessions.test_tickets import Clock
from tests.waiting import LIMIT


def test_each_hello_is_new_once():
    guard = MemoryReplayGuard()
    assert [guard.first_use(b"a", 20), guard.first_use(b"a", 20), guard.first_use(b"b", 20)] == [True, False, True]


def test_it_is_remembered_for_the_whole_time_and_not_for_ever():
    clock = Clock()
    guard = MemoryReplayGuard(clock=clock, wall_clock=clock)
    assert guard.first_use(b"a", 20)
    clock.now += 20
    assert not guard.first_use(b"a", 20)
    clock.now += 0.1
    assert guard.first_use(b"a", 20)


def test_a_wall_clock_that_is_set_back_makes_nothing_new_again():
    steady, wall = Clock(), Clock()
    guard = MemoryReplayGuard(clock=steady, wall_clock=wall)
    assert guard.first_use(b"a", 20)
    steady.now += 21
    wall.now -= 5
    assert not guard.first_use(b"a", 20)
    wall.now += 30
    assert guard.first_use(b"a", 20)


def test_a_wall_clock_that_is_set_forth_and_back_makes_nothing_new_again():
    steady, wall = Clock(), Clock()
    guard = MemoryReplayGuard(clock=steady, wall_clock=wall)
    assert guard.first_use(b"a", 20)
    wall.now += 3600
    assert guard.first_use(b"b", 20)
    wall.now -= 3600
    assert not guard.first_use(b"a", 20)
    steady.now += 21
    assert not guard.first_use(b"b", 20)


def test_a_wall_clock_that_is_set_back_makes_nothing_new_of_what_is_forgotten():
    clock, steady = Clock(), Clock()
    guard = MemoryReplayGuard(clock=steady, wall_clock=clock)
    assert guard.first_use(b"a", 20)
    for one in (clock, steady):
        one.now += 25
    # Here the first is forgotten.
    assert guard.first_use(b"b", 20)
    clock.now -= 25
    assert not guard.first_use(b"a", 20)
    # Nobody knows of it, and it is refused all the same, until all that is forgotten is stale again.
    assert not guard.first_use(b"c", 20)
    clock.now += 20.1
    assert guard.first_use(b"c", 20)


def test_when_it_is_full_it_refuses_rather_than_forgets():
    clock = Clock()
    guard = MemoryReplayGuard(2, clock=clock, wall_clock=clock)
    assert [guard.first_use(key, 20) for key in (b"a", b"b", b"c")] == [True, True, False]
    assert not guard.first_use(b"a", 20)
    clock.now += 21
    assert guard.first_use(b"c", 20)


def test_so_many_are_remembered():
    guard = MemoryReplayGuard()
    assert all(guard.first_use(b"%d" % number, 20) for number in range(limits.REMEMBERED_HELLOS))
    assert not guard.first_use(b"one more", 20)


def test_no_two_guards_answer_for_the_same_tickets():
    assert len({MemoryReplayGuard().scope for _ in range(100)}) == 100
    guard = MemoryReplayGuard()
    assert guard.scope == guard.scope
    assert 1 <= len(guard.scope) <= 255


def test_it_tells_since_when_it_remembers():
    clock = Clock()
    guard = MemoryReplayGuard(wall_clock=clock)
    clock.now += 5
    assert guard.since == 1000.0


def test_a_child_process_is_another_guard():
    """What it would say of its parent's tickets it cannot know: the parent may have seen the hello since."""
    clock = Clock()
    guard = MemoryReplayGuard(wall_clock=clock)
    guard.first_use(b"a", 20)
    scope = guard.scope
    clock.now += 5
    assert in_child(lambda: guard.scope) != scope
    assert in_child(lambda: b"%d" % guard.since) == b"1005"
    assert in_child(lambda: b"%d" % guard.first_use(b"a", 20)) == b"1"
    assert guard.scope == scope
    assert not guard.first_use(b"a", 20)


def test_threads_agree_on_who_came_first():
    guard = MemoryReplayGuard()
    barrier = threading.Barrier(4)
    firsts: list[int] = []

    def work() -> None:
        barrier.wait(LIMIT)
        firsts.extend(number for number in range(500) if guard.first_use(b"%d" % number, 20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(firsts) == list(range(500))
