"""A client's sessions in memory."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from handfast import limits
from handfast.sessions.cache import SessionCache
from handfast.sessions.state import ClientSession
from tests.sessions.forking import in_child
from tests.waiting import LIMIT

HERE, THERE = bytes(32), b"1" * 32


def session(number: int) -> ClientSession:
    return ClientSession(
        ticket=b"ticket %d" % number,
        psk=b"a secret psk",
        suite=0x1301,
        received_at=0.0,
        authenticated_at=0.0,
        lifetime=100,
        ticket_age_add=123454321,
        max_early_data=0,
        application_protocol=None,
        chain=(b"certificate",),
        identified=False,
    )


def taken(cache: SessionCache, partition: bytes) -> list[bytes]:
    """The tickets of a partition, until there are none."""
    found = []
    while (one := cache.take(partition)) is not None:
        found.append(one.ticket)
    return found


def test_each_is_given_out_once_the_newest_first():
    cache = SessionCache()
    for number in range(3):
        cache.put(HERE, session(number))
    assert taken(cache, HERE) == [b"ticket 2", b"ticket 1", b"ticket 0"]
    assert len(cache) == 0


def test_partitions_do_not_meet():
    cache = SessionCache()
    cache.put(HERE, session(0))
    assert taken(cache, THERE) == []
    assert taken(cache, HERE) == [b"ticket 0"]


def test_a_partition_keeps_the_newest():
    cache = SessionCache()
    for number in range(10):
        cache.put(HERE, session(number))
    assert taken(cache, HERE) == [b"ticket %d" % number for number in range(9, 9 - limits.SESSIONS_PER_PARTITION, -1)]


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_what_was_used_longest_ago_makes_room(capacity):
    cache = SessionCache(capacity)
    for number in range(5):
        cache.put(bytes([number]), session(number))
    assert len(cache) == capacity
    assert [len(taken(cache, bytes([number]))) for number in range(5)] == [0] * (5 - capacity) + [1] * capacity


def test_a_session_that_comes_makes_its_partition_young():
    cache = SessionCache(2)
    for partition in (HERE, THERE, HERE, b"2" * 32):
        cache.put(partition, session(0))
    assert [len(taken(cache, one)) for one in (HERE, THERE)] == [2, 0]


def test_so_many_partitions_are_kept():
    cache = SessionCache()
    for number in range(limits.CACHED_PARTITIONS + 1):
        cache.put(number.to_bytes(32, "big"), session(number))
    assert len(cache) == limits.CACHED_PARTITIONS
    assert taken(cache, bytes(32)) == []


def test_all_sessions_together_have_a_budget_in_bytes(monkeypatch):
    """What servers choose counts, what was used is given back, and what was used longest ago makes room."""
    large = replace(session(0), ticket=bytes(250), chain=(bytes(250), bytes(250)), ocsp_response=bytes(250))
    monkeypatch.setattr(limits, "CACHED_SESSION_BYTES", 10_000)
    partitions = [number.to_bytes(32, "big") for number in range(30)]
    cache = SessionCache()
    for partition in partitions:
        cache.put(partition, large)
    assert len(cache) == 10
    assert [len(taken(cache, partition)) for partition in partitions] == [0] * 20 + [1] * 10
    for _ in range(20):
        # One partition keeps four, and those that made room in it count no more.
        cache.put(HERE, large)
    for partition in partitions[1:7]:
        cache.put(partition, large)
    assert len(cache) == limits.SESSIONS_PER_PARTITION + 6
    cache.put(THERE, large)
    assert taken(cache, HERE) == []
    cache.put(HERE, replace(large, timestamps=(bytes(10_000),)))
    assert len(cache) == 0


def test_a_child_process_starts_with_none():
    """A ticket is used once, and so not in both."""
    cache = SessionCache()
    cache.put(HERE, session(0))
    assert in_child(lambda: b"%d %d" % (len(cache), len(taken(cache, HERE)))) == b"0 0"
    assert taken(cache, HERE) == [b"ticket 0"]


def test_threads_never_get_the_same():
    cache = SessionCache()
    found: list[bytes] = []
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        barrier.wait(LIMIT)
        for index in range(300):
            cache.put(HERE, session(number * 1000 + index))
            if (one := cache.take(HERE)) is not None:
                found.append(one.ticket)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(found) == len(set(found))


def test_no_secret_in_a_repr():
    cache = SessionCache()
    cache.put(HERE, session(0))
    assert repr(cache) == "<SessionCache with 1 sessions>"
    shown = repr(session(0))
    assert not any(secret in shown for secret in ("ticket 0", "a secret psk", "123454321", "certificate'"))
