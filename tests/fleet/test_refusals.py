"""What Redis refuses, and what keeps a fleet from sharing for long: said once, with what to do, until it changes."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from handfast import limits
from handfast.fleet import redis_fleet
from handfast.fleet.shared_guard import SharedReplayGuard
from tests.fleet.support import Redis, fleet
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STATE, POLICY, LIFETIME = b"what the session is", bytes(range(32)), 100
# A replica of nothing that is there.
NOWHERE = ("REPLICAOF", "127.0.0.1", 1)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as server:
        yield server


def some_beats(redis: Redis) -> None:
    """Wait until the one node that there is has looked a few times more; it asks only when it has said all."""

    def looks() -> int:
        return int(redis.client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0))

    before = looks()
    assert until(lambda: looks() > before + 5)


def lines_with(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [message for record in caplog.records if words in (message := record.getMessage())]


@pytest.mark.parametrize(
    ("refuse", "take", "words"),
    [
        (("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+set"), "permissions"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (NOWHERE, ("REPLICAOF", "NO", "ONE"), "read only replica"),
    ],
    ids=["no right", "no memory", "replica"],
)
def test_a_redis_that_refuses_ticket_keys(
    redis: Redis,
    often: None,
    caplog: pytest.LogCaptureFixture,
    refuse: tuple[Any, ...],
    take: tuple[Any, ...],
    words: str,
) -> None:
    redis.client.execute_command(*refuse)
    with fleet(redis, ready=False) as node:
        assert until(lambda: node.trouble)
        some_beats(redis)
        assert node.trouble.startswith("Redis refuses a ticket key: ")
        assert words in node.trouble
        assert not node.wait(0.0)
        assert node.tickets.issue(STATE, POLICY, LIFETIME) is None
        [line] = lines_with(caplog, "refuses a ticket key")
        assert line == f"{node.trouble}; without one no tickets are given: {advice()}"
        redis.client.execute_command(*take)
        assert node.wait(LIMIT)
        assert node.tickets.issue(STATE, POLICY, LIFETIME)
        assert node.trouble == ""
        assert len(lines_with(caplog, "ticket keys are shared again")) == 1


def advice() -> str:
    return "name a primary, give it memory, and let its user SET"


def test_a_key_of_another_fleet_is_told_once_and_again_when_it_is_back(
    redis: Redis, clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    with fleet(redis, [bytes(32)]):
        foreign = {name: redis.client.get(name) for name in redis.client.keys("handfast:ticket-key:*")}
    with fleet(redis, ready=False) as node:
        for times in (1, 2):
            assert until(lambda: "not sealed with the key of our fleet" in node.trouble)
            some_beats(redis)
            assert len(lines_with(caplog, "not sealed with the key of our fleet; give this node the key")) == times
            redis.client.flushall()
            assert until(lambda: node.wait(LIMIT) and not node.trouble)
            redis.client.mset(foreign)


class Clock:
    """A node's clock that differs by a little more each time that it is looked at."""

    def __init__(self) -> None:
        self.off = limits.FLEET_CLOCK_SKEW + 1

    def __call__(self) -> float:
        self.off += 0.1
        return time.time() + self.off


def be_a_replica(redis: Redis, _: Any) -> Callable[[], object]:
    redis.client.execute_command(*NOWHERE)
    return redis.lead


def differ(_: Redis, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    clock = Clock()
    monkeypatch.setattr(redis_fleet, "SharedReplayGuard", partial(SharedReplayGuard, wall_clock=clock))
    return lambda: monkeypatch.setattr(Clock, "__call__", lambda _: time.time())


@pytest.mark.parametrize(("trouble", "words"), [(be_a_replica, "Redis is a replica"), (differ, "do not agree")])
def test_why_no_early_data_is_taken_is_told_once(
    redis: Redis,
    often: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: Callable[..., Callable[[], object]],
    words: str,
) -> None:
    with fleet(redis):
        # The ticket keys are there.
        pass
    mend = trouble(redis, monkeypatch)
    with fleet(redis) as node:
        some_beats(redis)
        assert len(lines_with(caplog, words)) == 1
        assert not node.replay_guard.scope
        mend()
        assert until(lambda: node.replay_guard.scope)
        some_beats(redis)
        assert len(lines_with(caplog, "early data is taken again")) == 1
        assert len(lines_with(caplog, words)) == 1
