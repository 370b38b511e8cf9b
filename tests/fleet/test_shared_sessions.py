"""Sessions that stay in Redis, each redeemed once, by whichever node it is shown to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfast import limits
from handfast.sessions.tickets import StoredTickets
from tests import certificates
from tests.fleet.support import KEY, Redis, client_config, fleet, meet, server_config, verifier
from tests.lies import flipped
from tests.protocol12.test_resumption import check_that_names_are_of_one_kind
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast import RedisFleet

STATE, POLICY = b"what the session is", bytes(range(32))
LIFETIME = 100


def issue(node: RedisFleet, client: bytes = b"", state: bytes = STATE) -> bytes:
    ticket = node.stored_tickets.issue(state, POLICY, LIFETIME, client)
    assert isinstance(ticket, bytes)
    return ticket


def test_a_session_is_redeemed_once_and_by_any_node(redis: Redis) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        ticket = issue(one)
        assert other.stored_tickets.redeem(ticket, POLICY) == STATE
        assert [node.stored_tickets.redeem(ticket, POLICY) for node in (one, other)] == [None, None]
        assert len({issue(one) for _ in range(50)}) == 50


def test_not_under_another_policy_and_that_takes_nothing_away(redis: Redis) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        assert node.stored_tickets.redeem(ticket, bytes(32)) is None
        assert node.stored_tickets.find(ticket, b"") is None
        assert node.stored_tickets.redeem(ticket, POLICY) == STATE


def test_nor_is_one_opened_that_was_moved_under_it(redis: Redis) -> None:
    """By who can write to Redis: the policy is sealed with the session."""
    with fleet(redis) as node:
        ticket = issue(node)
        place = node.stored_tickets._place
        redis.client.copy(place(ticket, POLICY), place(ticket, bytes(32)))
        redis.client.copy(place(ticket, POLICY), place(b"another", POLICY))
        assert node.stored_tickets.redeem(ticket, bytes(32)) is None
        assert node.stored_tickets.redeem(b"another", POLICY) is None
        redis.client.set(place(ticket, POLICY), flipped(redis.client.get(place(ticket, POLICY)), 60))
        assert node.stored_tickets.redeem(ticket, POLICY) is None


def test_a_session_by_its_id_stays(redis: Redis) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        assert one.stored_tickets.keep(b"i" * 32, STATE, POLICY, LIFETIME, b"")
        assert [other.stored_tickets.find(b"i" * 32, POLICY) for _ in range(2)] == [STATE, STATE]
        assert other.stored_tickets.find(b"j" * 32, POLICY) is None


def test_redis_forgets_it_when_its_life_is_over(redis: Redis) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        name = node.stored_tickets._place(ticket, POLICY)
        assert LIFETIME - LIMIT < redis.client.pttl(name) / 1000 <= LIFETIME
        redis.client.pexpire(name, 0)
        assert node.stored_tickets.redeem(ticket, POLICY) is None


@pytest.mark.parametrize("versions", [["1.2"], ["1.3"]])
@pytest.mark.parametrize("mutual", [True, False], ids=["mutual", "server only"])
def test_clients_resume_with_any_node(redis: Redis, versions: list[str], mutual: bool) -> None:
    import handfast

    issued = certificates.client()
    ours: dict[str, Any] = {"versions": versions}
    theirs: dict[str, Any] = {}
    if mutual:
        ours["credentials"] = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
        theirs = {"verifier": verifier(), "client_auth": "require_and_verify"}
    with fleet(redis) as one, fleet(redis) as other:
        client = client_config(**ours)
        nodes = [server_config(node, tickets=node.stored_tickets, **theirs) for node in (one, other)]
        assert not meet(client, nodes[0]).resumed
        assert [meet(client, node).resumed for node in (*nodes, nodes[1])] == [True] * 3
        # Not under another policy.
        changed = server_config(one, tickets=one.stored_tickets, verifier=verifier(), client_auth="request")
        assert not meet(client, changed).resumed


def test_what_names_a_session_in_one_way_names_none_in_another(redis: Redis) -> None:
    with fleet(redis) as node:
        check_that_names_are_of_one_kind(node.stored_tickets)


def test_of_two_nodes_that_are_shown_one_ticket_at_once_one_resumes(redis: Redis) -> None:
    nodes = [fleet(redis) for _ in range(4)]
    try:
        for _ in range(20):
            ticket, barrier, found = issue(nodes[0]), threading.Barrier(len(nodes)), list[object]()

            def redeem(node: RedisFleet) -> None:
                barrier.wait(LIMIT)  # noqa: B023 (joined below)
                found.append(node.stored_tickets.redeem(ticket, POLICY))  # noqa: B023

            threads = [threading.Thread(target=redeem, args=(node,)) for node in nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            assert found.count(STATE) == 1
            assert found.count(None) == len(nodes) - 1
    finally:
        for node in nodes:
            node.close()


def kept(redis: Redis) -> int:
    return len(redis.client.keys("handfast:session:*"))


def test_no_more_than_so_many_and_strangers_have_half(redis: Redis) -> None:
    with fleet(redis, sessions=16) as node:
        alice = [issue(node, b"alice") for _ in range(3)]
        strangers = [issue(node) for _ in range(100)]
        # Alice has an eighth.
        assert kept(redis) == 2 + 8
        # Of those that came in one millisecond any is the oldest, but not the one that makes another leave.
        alice = [ticket for ticket in alice if node.stored_tickets.find(ticket, POLICY)]
        assert len(alice) == 2
        assert node.stored_tickets.find(strangers[-1], POLICY) == STATE
        # Where all is full, strangers make room for who is known.
        others = [issue(node, b"client %d" % number) for number in range(14)]
        assert kept(redis) == 16
        assert not any(node.stored_tickets.find(ticket, POLICY) for ticket in strangers)
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"one more") is None
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME) is None
        # What is redeemed makes room, for its client too.
        assert node.stored_tickets.redeem(others[0], POLICY) == STATE
        assert node.stored_tickets.redeem(alice[1], POLICY) == STATE
        assert issue(node, b"alice")
        assert node.stored_tickets.redeem(alice[0], POLICY) == STATE
        assert issue(node, b"one more")
        assert kept(redis) == 15


def sized(kib: int) -> bytes:
    """What a session is that takes so many places."""
    return bytes(limits.FLEET_PLACE * kib - 200)


def found(node: RedisFleet, tickets: list[bytes]) -> int:
    return sum(node.stored_tickets.find(ticket, POLICY) is not None for ticket in tickets)


def places(redis: Redis) -> list[int]:
    """How many are taken: in all, and of each client."""
    return [redis.client.zcard(name) for name in (b"handfast:sessions", *redis.client.keys("handfast:of:*"))]


def test_a_session_takes_as_many_places_as_it_weighs(redis: Redis) -> None:
    """Strangers with long chains push out each other's alone, and have half of the room for all that."""
    with fleet(redis, sessions=64) as node:
        alice = [issue(node, b"alice", sized(2)) for _ in range(4)]
        strangers = [issue(node, b"", sized(16)) for _ in range(10)]
        assert found(node, alice) == 4
        assert found(node, strangers) == 2
        assert sorted(places(redis)) == [8, 32, 40]
        strangers += [issue(node) for _ in range(16)]
        assert found(node, strangers[:10]) == 1
        assert found(node, strangers) == 17
        held = [len(redis.client.get(name)) for name in redis.client.keys("handfast:session:*")]
        assert sum(held) <= 40 * limits.FLEET_PLACE
        # A client's own make room too, no more of them than must.
        alice.append(issue(node, b"alice", sized(3)))
        assert found(node, alice) == 3
        assert node.stored_tickets.redeem(alice[-1], POLICY) == sized(3)
        assert sorted(places(redis)) == [4, 32, 36]
        # And what is larger than a share takes no place, and none away.
        assert node.stored_tickets.issue(sized(9), POLICY, LIFETIME, b"alice") is None
        assert node.stored_tickets.issue(sized(33), POLICY, LIFETIME) is None
        assert sorted(places(redis)) == [4, 32, 36]


def test_strangers_have_one_share_while_the_key_of_the_fleet_changes(redis: Redis) -> None:
    other = bytes(reversed(KEY))
    with fleet(redis, sessions=16) as node:
        strangers = [issue(node) for _ in range(8)]
        node.replace_keys([other, KEY])
        strangers += [issue(node) for _ in range(8)]
        assert found(node, strangers) == 8
        known = [issue(node, b"client %d" % number) for number in range(16)]
        assert found(node, known) == 16


def test_the_places_of_a_session_that_redis_lost_are_taken_again(redis: Redis) -> None:
    with fleet(redis, sessions=16) as node:
        # The oldest whatever the clock says: sessions stand in the order in which their lives end.
        assert node.stored_tickets.issue(sized(8), POLICY, LIFETIME - 10)
        redis.client.delete(*redis.client.keys("handfast:session:*"))
        assert found(node, [issue(node) for _ in range(8)]) == 8
        assert places(redis) == [8, 8]


def test_fewer_places_than_are_taken_are_reached_in_small_steps(redis: Redis) -> None:
    """Redis does nothing else meanwhile."""
    with fleet(redis) as before, fleet(redis, sessions=16) as node:
        strangers = [issue(before) for _ in range(30)]
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME) is None
        assert found(before, strangers) == 28
        answers = [node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"client %d" % number) for number in range(8)]
        assert answers == [None] * 6 + answers[6:]
        assert found(node, [ticket for ticket in answers[6:] if isinstance(ticket, bytes)]) == 2
        assert kept(redis) == 16


def test_sessions_whose_life_is_over_make_room(redis: Redis) -> None:
    with fleet(redis, sessions=16) as node:
        for _ in range(8):
            issue(node)
        for name in (redis.client.keys("handfast:of:*")[0], b"handfast:sessions"):
            for member in redis.client.zrange(name, 0, -1):
                redis.client.zadd(name, {member: 1})
        newer = [issue(node) for _ in range(8)]
        assert redis.client.zcard("handfast:sessions") == 8
        assert all(node.stored_tickets.find(ticket, POLICY) for ticket in newer)


def test_so_many_sessions_unless_told_otherwise() -> None:
    assert limits.FLEET_SESSIONS == 1_000_000
    assert limits.FLEET_PLACE == 1024


def test_a_full_redis_gives_no_tickets(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    with fleet(redis) as node:
        redis.client.config_set("maxmemory", "1")
        try:
            assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
            assert node.replay_guard.first_use(node.replay_guard.scope + b"a", 20) is False
            client = client_config()
            assert not meet(client, server_config(node, tickets=node.stored_tickets)).resumed
            assert not meet(client, server_config(node, tickets=node.stored_tickets)).resumed
        finally:
            redis.client.config_set("maxmemory", "0")
        assert "Redis refused a question: OOM" in caplog.text or "maxmemory" in caplog.text
        issue(node)


steps = st.lists(
    st.tuples(st.sampled_from(["issue", "redeem", "find"]), st.integers(0, 4), st.sampled_from([POLICY, bytes(32)])),
    max_size=20,
)


@given(steps=steps)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_answers_as_a_store_in_memory_does(redis: Redis, steps: list[tuple[str, int, bytes]]) -> None:
    redis.client.flushall()
    memory = StoredTickets()
    with fleet(redis) as node:
        tickets: list[tuple[Any, Any]] = []
        for step, number, policy in steps:
            if step == "issue":
                state = b"state %d" % len(tickets)
                pair = (node.stored_tickets.issue(state, policy, LIFETIME), memory.issue(state, policy, LIFETIME))
                tickets.append(pair)
            elif number < len(tickets):
                theirs, ours = tickets[number]
                asked = getattr(node.stored_tickets, step), getattr(memory, step)
                assert asked[0](theirs, policy) == asked[1](ours, policy)


def test_the_key_of_a_fleet_changes_and_sessions_stay(redis: Redis) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        node.replace_keys([bytes(32), KEY])
        assert node.stored_tickets.redeem(ticket, POLICY) == STATE
        ticket = issue(node)
        node.replace_keys([KEY])
        assert node.stored_tickets.redeem(ticket, POLICY) is None
