"""One Redis for the tests of a module, emptied before each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.fleet import redis_fleet
from handfast.fleet.shared_tickets import SharedTickets
from tests.fleet.support import OFTEN, Redis
from tests.sessions.test_tickets import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(shared_redis: Redis) -> Redis:
    shared_redis.client.flushall()
    return shared_redis


@pytest.fixture
def clock(often: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time for the ticket keys of all nodes: a test turns it, and no hour is over by chance."""
    clock = Clock()
    clock.now = 1000.0 * limits.TICKET_KEY_ROTATION
    monkeypatch.setattr(redis_fleet, "SharedTickets", partial(SharedTickets, wall_clock=clock))
    return clock


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes look every few milliseconds whether there are new keys and what Redis is, and come back to it as soon."""
    monkeypatch.setattr(limits, "FLEET_BEAT", OFTEN)
    monkeypatch.setattr(limits, "FLEET_PAUSE", OFTEN)
