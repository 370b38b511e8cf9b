"""Early data is taken once, whatever becomes of Redis: recorded first flights are sent again to every node."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast import limits
from handfast.fleet import redis_fleet
from handfast.fleet.shared_guard import SharedReplayGuard
from tests.fleet.support import (
    NEVER,
    OFTEN,
    QUESTION,
    Redis,
    client_config,
    early_flight,
    fleet,
    meet,
    replayed,
    server_config,
)
from tests.lies import flipped
from tests.ports import own_port
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handfast import RedisFleet

# Nodes that notice at once what happened to Redis, and nodes that notice nothing by themselves.
BEATS = [OFTEN, NEVER]


class Nodes:
    """Two nodes of a fleet, a client, and its first flight, which the first node has accepted."""

    def __init__(self, *where: Any) -> None:
        self.fleets = [fleet(one) for one in where]
        self.configs = [server_config(one) for one in self.fleets]
        self.client = client_config()
        assert not meet(self.client, self.configs[0]).resumed
        self.flight = b""

    def accept(self) -> None:
        self.flight = early_flight(self.client, self.configs[0])

    def refuse_all(self) -> list[str]:
        """What all nodes say of the flight: that it is refused, and why."""
        said = [replayed(self.flight, config) for config in self.configs]
        assert all(one.startswith("rejected: ") for one in said), said
        return said

    def work_again(self, redis: Redis) -> None:
        """Once all nodes know what Redis is now, a client gets a new ticket, and its early data is accepted, once."""
        assert until(lambda: all(one.wait(LIMIT) for one in self.fleets) and self.scopes() == {epoch_of(redis)})
        self.refuse_all()
        old = self.flight
        client = client_config()
        meet(client, self.configs[1])
        self.flight = early_flight(client, self.configs[0])
        self.refuse_all()
        self.flight = old
        self.refuse_all()

    def scopes(self) -> set[bytes]:
        return {one.replay_guard.scope for one in self.fleets}

    def close(self) -> None:
        for one in self.fleets:
            one.close()


def epoch_of(redis: Redis) -> bytes | None:
    """The epoch that a Redis answers for; None if there is none."""
    reign = redis.client.info("replication")["master_replid"].encode()
    markers = redis.client.zrangebyscore("handfast:hellos", "+inf", "+inf")
    return next((marker[:16] for marker in markers if marker[16:56] == reign), None)


@pytest.fixture(params=BEATS, ids=["noticed", "unnoticed"])
def beat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(limits, "FLEET_BEAT", request.param)
    monkeypatch.setattr(limits, "FLEET_PAUSE", OFTEN)
    return float(request.param)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def nodes(beat: float, redis: Redis) -> Iterator[Nodes]:
    made = Nodes(redis, redis)
    try:
        yield made
    finally:
        made.close()


def test_no_node_takes_early_data_twice(nodes: Nodes) -> None:
    assert len(nodes.scopes()) == 1
    nodes.accept()
    assert nodes.refuse_all() == ["rejected: the replay guard has seen this hello, or could not say"] * 2


def flush(redis: Redis) -> None:
    redis.client.flushall()


def delete_the_set(redis: Redis) -> None:
    assert redis.client.delete("handfast:hellos") == 1


def evict(redis: Redis) -> None:
    """Have it forget by itself, for want of memory."""
    redis.client.config_set("maxmemory-policy", "allkeys-random")
    redis.client.config_set("maxmemory", "1")
    assert until(lambda: not redis.client.exists("handfast:hellos"))
    redis.client.config_set("maxmemory", "0")


@pytest.mark.parametrize("forget", [flush, delete_the_set, evict])
def test_what_redis_forgets_is_taken_by_no_node(nodes: Nodes, redis: Redis, forget: Callable[[Redis], None]) -> None:
    nodes.accept()
    before = nodes.scopes()
    forget(redis)
    nodes.refuse_all()
    if limits.FLEET_BEAT == OFTEN:
        assert until(lambda: nodes.scopes().isdisjoint(before))
        nodes.work_again(redis)


def test_a_redis_that_restarts_empty(nodes: Nodes, redis: Redis) -> None:
    nodes.accept()
    redis.restart()
    nodes.refuse_all()
    nodes.work_again(redis)


def test_a_redis_that_restarts_with_what_it_had_before(nodes: Nodes, redis: Redis) -> None:
    """Its file has the epoch, and lacks what came after it was written."""
    redis.client.save()
    nodes.accept()
    redis.restart()
    assert redis.client.zcard("handfast:hellos") in (2, 3)
    nodes.refuse_all()
    nodes.work_again(redis)


def test_a_redis_that_is_gone(nodes: Nodes, redis: Redis) -> None:
    nodes.accept()
    redis.kill()
    nodes.refuse_all()
    client = client_config()
    meet(client, nodes.configs[0])
    pair = meet(client, nodes.configs[1], QUESTION)
    assert pair.resumed
    assert pair.client.info.early_data == "not sent: the session allows 0 bytes"
    redis.start()
    nodes.work_again(redis)


class Clock:
    """A node's clock that is wrong by ``off`` seconds."""

    def __init__(self, off: float = 0.0) -> None:
        self.off = off

    def __call__(self) -> float:
        return time.time() + self.off


@pytest.mark.parametrize("off", [-6.0, 6.0])
def test_a_node_whose_clock_is_wrong_takes_none(redis: Redis, off: float) -> None:
    with fleet(redis) as right:
        clock = Clock()
        guard = SharedReplayGuard(right._running, b"handfast", 10, clock)
        scope = right.replay_guard.scope
        assert guard.first_use(scope + b"a", 20) is True
        clock.off = off
        assert guard.first_use(scope + b"b", 20) is False
        clock.off = off / 2
        assert guard.first_use(scope + b"b", 20) is True
        assert guard.first_use(scope + b"a", 20) is False


def test_a_node_begins_no_epoch_by_a_wrong_clock(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FLEET_BEAT", OFTEN)
    clock = Clock(limits.FLEET_CLOCK_SKEW + 1)
    monkeypatch.setattr(redis_fleet, "SharedReplayGuard", partial(SharedReplayGuard, wall_clock=clock))
    with fleet(redis) as node:
        assert node.replay_guard.scope == b""
        assert not redis.client.exists("handfast:hellos")
        clock.off = 0.0
        assert until(lambda: node.replay_guard.scope)


def test_hellos_are_forgotten_when_their_time_is_over_and_only_then(redis: Redis) -> None:
    """By Redis's clock; and the epoch stays."""
    with fleet(redis) as node:
        scope = node.replay_guard.scope
        assert node.replay_guard.first_use(scope + b"a", 20) is True
        [(_, until_when)] = redis.client.zrangebyscore("handfast:hellos", 0, 1e15, withscores=True)
        seconds, _ = redis.client.time()
        assert 20 + 4 * limits.FLEET_CLOCK_SKEW < until_when / 1000 - seconds <= 20 + 5 * limits.FLEET_CLOCK_SKEW + 1
        # An hour ago.
        for name, score in redis.client.zrangebyscore("handfast:hellos", 0, 1e15, withscores=True):
            redis.client.zadd("handfast:hellos", {name: score - 3_600_000})
        assert node.replay_guard.first_use(scope + b"b", 20) is True
        assert redis.client.zcount("handfast:hellos", 0, 1e15) == 1
        assert redis.client.zcard("handfast:hellos") == 3


def test_a_clock_of_redis_that_goes_back_ends_the_epoch(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FLEET_BEAT", OFTEN)
    with fleet(redis) as node:
        scope = node.replay_guard.scope
        seconds, _ = redis.client.time()
        # As if it had been seen later than it is.
        redis.client.zadd("handfast:hellos", {"clock": -1000 * (seconds + 2 * limits.FLEET_CLOCK_SKEW + LIMIT)})
        assert node.replay_guard.first_use(scope + b"a", 20) is False
        assert until(lambda: node.replay_guard.scope not in (scope, b""))


def test_when_no_more_can_be_remembered_early_data_is_refused(redis: Redis) -> None:
    with fleet(redis, hellos=2) as node:
        scope = node.replay_guard.scope
        assert [node.replay_guard.first_use(scope + key, 20) for key in (b"a", b"b", b"c", b"a")] == [
            True,
            True,
            False,
            False,
        ]


def test_a_key_of_another_epoch_is_never_new(redis: Redis) -> None:
    with fleet(redis) as node:
        scope = node.replay_guard.scope
        for key in (bytes(16) + b"a", b"", flipped(scope, len(scope) - 1) + b"a"):
            assert node.replay_guard.first_use(key, 20) is False


def test_an_epoch_began_before_all_its_tickets(redis: Redis) -> None:
    with fleet(redis) as node:
        assert time.time() - LIMIT < node.replay_guard.since <= time.time() - limits.FLEET_CLOCK_SKEW + 1


def test_so_many_hellos_are_remembered_unless_told_otherwise() -> None:
    assert limits.FLEET_HELLOS == 1_000_000


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.integers(0, 1), st.sampled_from([b"a", b"b"])),
        st.sampled_from([("flush",), ("delete",), ("back",), ("take out",), ("look",)]),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_order_of_things_lets_a_hello_in_twice(redis: Redis, steps: list[Any]) -> None:
    """Nodes that look what Redis is now and then, as they do, and hellos of all epochs that there ever were."""
    redis.client.flushall()
    with pytest.MonkeyPatch.context() as patched, fleet(redis) as one, fleet(redis) as other:
        patched.setattr(limits, "FLEET_BEAT", OFTEN)
        nodes, scopes, taken = (one, other), [one.replay_guard.scope], set[bytes]()
        for step, *arguments in steps:
            if step == "use":
                number, hello = arguments
                for key in [scope + hello for scope in scopes]:
                    if nodes[number].replay_guard.first_use(key, 20):
                        assert key not in taken
                        taken.add(key)
            elif step == "flush":
                redis.client.flushall()
            elif step == "delete":
                redis.client.delete("handfast:hellos")
            elif step == "back":
                redis.client.zincrby("handfast:hellos", -1e6, "clock")
            elif step == "take out":
                redis.client.zpopmax("handfast:hellos")
            else:
                scopes += {node.replay_guard.scope for node in nodes} - {*scopes, b""}


# Fail-over


class Pointer:
    """A Unix socket's name that leads to one Redis, and later to another: as the address of a primary does."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "address.sock"
        self.url = f"unix://{self._path}"

    def lead_to(self, redis: Redis) -> None:
        self._path.unlink(missing_ok=True)
        self._path.symlink_to(redis.socket)


def cut_off(replica: Redis, primary: Redis) -> None:
    """Nothing that the primary is told from now on comes to the replica."""
    primary.client.config_set("requirepass", "nobody's")
    primary.client.client_kill_filter(_type="replica")
    assert until(lambda: replica.client.info("replication")["master_link_status"] == "down")


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Redis]:
    with own_port() as port, Redis(tmp_path, "primary", port=port, bind="127.0.0.1") as server:
        yield server


@pytest.fixture
def replica(tmp_path: Path, primary: Redis) -> Iterator[Redis]:
    with own_port() as port, Redis(tmp_path, "replica", port=port, bind="127.0.0.1") as server:
        server.follow(primary)
        yield server


@pytest.fixture
def address(tmp_path: Path, primary: Redis) -> Pointer:
    pointer = Pointer(tmp_path)
    pointer.lead_to(primary)
    return pointer


@pytest.mark.parametrize("lost", [True, False], ids=["last writes lost", "all writes there"])
def test_a_failover_to_a_replica(beat: float, primary: Redis, replica: Redis, address: Pointer, lost: bool) -> None:
    nodes = Nodes(address.url, address.url)
    try:
        assert until(lambda: replica.client.exists("handfast:hellos"))
        if lost:
            cut_off(replica, primary)
        nodes.accept()
        if not lost:
            assert until(lambda: replica.client.zcard("handfast:hellos") == 3)
        primary.kill()
        nodes.refuse_all()
        replica.lead()
        assert replica.client.zcard("handfast:hellos") == (2 if lost else 3)
        address.lead_to(replica)
        nodes.refuse_all()
        nodes.work_again(replica)
    finally:
        nodes.close()


def test_a_failover_and_back(beat: float, primary: Redis, replica: Redis, address: Pointer) -> None:
    """The first primary, which nodes are still connected to, loses what only it had, and becomes the primary again."""
    nodes = Nodes(address.url, address.url)
    try:
        assert until(lambda: replica.client.exists("handfast:hellos"))
        cut_off(replica, primary)
        nodes.accept()
        assert primary.client.zcard("handfast:hellos") == 3
        replica.lead()
        assert replica.client.zcard("handfast:hellos") == 2
        primary.follow(replica)
        assert primary.client.zcard("handfast:hellos") == 2
        nodes.refuse_all()
        primary.lead()
        nodes.refuse_all()
        if beat == OFTEN:
            nodes.work_again(primary)
    finally:
        nodes.close()


def test_two_primaries_at_once(beat: float, primary: Redis, replica: Redis) -> None:
    """A network that is cut in two: each half has its primary, and no ticket's early data is taken in both."""
    nodes = Nodes(primary, primary)
    apart: RedisFleet | None = None
    try:
        assert until(lambda: replica.client.exists("handfast:hellos"))
        cut_off(replica, primary)
        nodes.accept()
        replica.lead()
        apart = fleet(replica)
        there = server_config(apart)
        assert replayed(nodes.flight, there).startswith("rejected: ")
        nodes.refuse_all()
        # Each half goes on by itself.
        client = client_config()
        meet(client, there)
        flight = early_flight(client, there)
        assert [replayed(flight, one).split(":")[0] for one in (*nodes.configs, there)] == ["rejected"] * 3
        client = client_config()
        meet(client, nodes.configs[0])
        assert replayed(early_flight(client, nodes.configs[0]), there).startswith("rejected: ")
    finally:
        nodes.close()
        if apart is not None:
            apart.close()


@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica_takes_none(primary: Redis, replica: Redis, read_only: str) -> None:
    """Nor does one that lets itself be written to, though it has its primary's epoch."""
    replica.client.config_set("replica-read-only", read_only)
    with fleet(primary) as there, fleet(replica) as here:
        assert until(lambda: replica.client.exists("handfast:hellos"))
        assert here.replay_guard.scope == b""
        assert here.replay_guard.first_use(there.replay_guard.scope + b"a", 20) is False
        assert there.replay_guard.first_use(there.replay_guard.scope + b"a", 20) is True
