"""Tickets that every node of a fleet can open, and their keys, which change by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast import limits
from tests.fleet.support import KEY, QUESTION, Redis, client_config, fleet, meet, server_config, verifier
from tests.lies import flipped
from tests.sessions.forking import in_child
from tests.sessions.test_tickets import Clock
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from handfast import RedisFleet

STATE, POLICY = b"what the session is", bytes(range(32))
LIFETIME = 100
ROTATION = limits.TICKET_KEY_ROTATION


def issue(node: RedisFleet) -> bytes:
    ticket = node.tickets.issue(STATE, POLICY, LIFETIME)
    assert ticket is not None
    return ticket


def mistaken(redis: Redis, keys: list[bytes]) -> RedisFleet:
    """A node whose key is not that of the fleet which this Redis has keys of, and which has noticed that."""
    made = fleet(redis, keys, ready=False)
    assert until(lambda: "not sealed with the key of our fleet" in made.trouble)
    assert not made.wait(0.0)
    return made


def keys_in(redis: Redis) -> int:
    return len(redis.client.keys("handfast:ticket-key:*"))


def test_a_ticket_of_one_node_is_redeemed_by_another(redis: Redis) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        ticket = issue(one)
        assert STATE not in ticket
        assert [node.tickets.redeem(ticket, POLICY) for node in (one, other)] == [STATE, STATE]
        assert other.tickets.redeem(ticket, bytes(32)) is None
        assert other.tickets.redeem(ticket, b"") is None
        assert len({issue(one) for _ in range(100)}) == 100


def test_foreign_bytes_are_unknown(redis: Redis) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        for position in range(len(ticket)):
            assert node.tickets.redeem(flipped(ticket, position), POLICY) is None
            assert node.tickets.redeem(ticket[:position], POLICY) is None
        assert node.tickets.redeem(b"", POLICY) is None


def test_sessions_are_resumed_by_any_node_and_not_under_another_policy(redis: Redis) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        client = client_config()
        assert not meet(client, server_config(one)).resumed
        assert meet(client, server_config(other)).resumed
        changed = server_config(one, verifier=verifier(), client_auth="request")
        assert not meet(client, changed).resumed


@pytest.mark.parametrize("versions", [["1.2"], ["1.3"]])
def test_both_versions_resume(redis: Redis, versions: list[str]) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        client = client_config(versions=versions)
        assert not meet(client, server_config(one)).resumed
        assert meet(client, server_config(other)).resumed


def test_the_next_key_is_there_a_period_before_it_seals(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one, fleet(redis) as other:
        assert keys_in(redis) == 2
        redis.pause()
        try:
            # The other one is asked nothing any more, and opens what is sealed with the next key.
            first = issue(one)
            clock.now += ROTATION
            second = issue(one)
            assert first[:16] != second[:16]
            assert [other.tickets.redeem(ticket, POLICY) for ticket in (first, second)] == [STATE, STATE]
        finally:
            redis.go_on()


def test_one_key_of_each_period_however_many_nodes_begin_at_once(redis: Redis, clock: Clock) -> None:
    nodes = [fleet(redis, ready=False) for _ in range(8)]
    try:
        assert all(node.wait(LIMIT) for node in nodes)
        assert keys_in(redis) == 2
        assert len({issue(node)[:16] for node in nodes}) == 1
    finally:
        for node in nodes:
            node.close()


def test_keys_open_for_the_longest_life_of_a_ticket_and_no_longer(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        clock.now += ROTATION + limits.MAX_TICKET_LIFETIME - 1
        assert until(lambda: node.tickets.issue(STATE, POLICY, LIFETIME))
        assert node.tickets.redeem(ticket, POLICY) == STATE
        with fleet(redis) as newcomer:
            assert newcomer.tickets.redeem(ticket, POLICY) == STATE
        clock.now += 1
        assert node.tickets.redeem(ticket, POLICY) is None
        assert until(lambda: repr(node.tickets) == "<SharedTickets with 4 keys>")


def test_redis_forgets_a_key_with_the_last_ticket_of_it(redis: Redis) -> None:
    with fleet(redis):
        lives = sorted(redis.client.pttl(name) / 1000 for name in redis.client.keys("handfast:ticket-key:*"))
        longest = limits.MAX_TICKET_LIFETIME
        assert longest - LIMIT < lives[0] <= longest + ROTATION < lives[1] + LIMIT <= longest + 2 * ROTATION + LIMIT


def test_a_node_without_redis_goes_on_with_its_keys_until_they_are_worn_out(redis: Redis, clock: Clock) -> None:
    with fleet(redis, timeout=0.05) as node, fleet(redis) as other:
        redis.pause()
        try:
            assert until(lambda: node.trouble)
            ticket = issue(node)
            clock.now += ROTATION
            last = issue(node)
            assert ticket[:16] != last[:16]
            clock.now += ROTATION
            assert node.tickets.issue(STATE, POLICY, LIFETIME) is None
            assert [node.tickets.redeem(one, POLICY) for one in (ticket, last)] == [STATE, STATE]
            # What has no ticket has a full handshake, and a session that is there is still resumed.
            client = client_config()
            config = server_config(node)
            assert [meet(client, config).resumed for _ in range(2)] == [False, False]
        finally:
            redis.go_on()
        assert until(lambda: node.tickets.issue(STATE, POLICY, LIFETIME))
        assert until(lambda: other.tickets.redeem(issue(node), POLICY) == STATE)


def test_a_redis_that_comes_back_empty_is_given_the_keys_again(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one:
        tickets = [issue(one)]
        for _ in range(3):
            clock.now += ROTATION
            assert until(lambda: one.tickets.issue(STATE, POLICY, LIFETIME))
            tickets.append(issue(one))
        redis.client.flushall()
        assert until(lambda: keys_in(redis) == 5)
        with fleet(redis) as newcomer:
            assert [newcomer.tickets.redeem(ticket, POLICY) for ticket in tickets] == [STATE] * 4
            assert issue(newcomer)[:16] == issue(one)[:16]


def test_keys_that_a_redis_refused_are_given_to_it_once_it_takes_them(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one:
        for _ in range(3):
            clock.now += ROTATION
            assert until(lambda: one.tickets.issue(STATE, POLICY, LIFETIME))
        assert until(lambda: keys_in(redis) == 5)
        redis.client.execute_command("ACL", "SETUSER", "default", "-set")
        try:
            redis.client.flushall()
            assert until(lambda: "refuses a ticket key" in one.trouble)
            # It goes on with those that it has.
            assert one.wait(LIMIT)
            assert one.tickets.issue(STATE, POLICY, LIFETIME)
        finally:
            redis.client.execute_command("ACL", "SETUSER", "default", "+set")
        assert until(lambda: keys_in(redis) == 5)


def test_a_key_that_others_have_not_seen_yet_waits_while_there_is_another(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one:
        clock.now += ROTATION
        assert until(lambda: keys_in(redis) == 3)
        today = issue(one)[:16]
        # Somebody put another key in the place of today's.
        name = b"handfast:ticket-key:%d" % (clock.now // ROTATION)
        redis.client.delete(name)
        changed = one.tickets._new(int(clock.now // ROTATION), 0)
        assert changed is not None
        redis.client.set(name, changed.sealed)
        assert until(lambda: changed.name in one.tickets._by_name)
        assert issue(one)[:16] not in (today, changed.name)
        clock.now += 2 * limits.FLEET_BEAT + limits.FLEET_CLOCK_SKEW + 10
        assert issue(one)[:16] == changed.name


def test_the_key_of_a_fleet_changes_with_two_of_them_for_a_while(redis: Redis, clock: Clock) -> None:
    old, new = KEY, bytes(reversed(KEY))
    with fleet(redis, [old]) as one, fleet(redis, [old]) as other:
        ticket = issue(one)
        for keys in ([old, new], [new, old]):
            for node in (one, other):
                node.replace_keys(keys)
            assert [node.tickets.redeem(ticket, POLICY) for node in (one, other)] == [STATE, STATE]
        with fleet(redis, [new, old]) as newcomer:
            assert newcomer.tickets.redeem(ticket, POLICY) == STATE
        # A week: until no ticket lives that a key of before had sealed.
        clock.now += limits.MAX_TICKET_LIFETIME + 2 * ROTATION
        assert until(lambda: one.tickets.issue(STATE, POLICY, LIFETIME))
        ticket = issue(one)
        for node in (one, other):
            node.replace_keys([new])
        assert until(lambda: other.tickets.redeem(ticket, POLICY) == STATE)
        assert one.tickets.redeem(ticket, POLICY) == STATE
        with fleet(redis, [new]) as newcomer:
            assert newcomer.tickets.redeem(ticket, POLICY) == STATE


def test_a_key_of_the_fleet_that_is_taken_out_at_once_opens_nothing_more(redis: Redis, clock: Clock) -> None:
    old, new = KEY, bytes(reversed(KEY))
    with fleet(redis, [old]) as node:
        ticket = issue(node)
        node.replace_keys([new])
        assert node.tickets.redeem(ticket, POLICY) is None
        assert node.tickets.issue(STATE, POLICY, LIFETIME) is None
        # What was sealed with it is not put back into a Redis that was emptied because of it.
        redis.client.flushall()
        assert until(lambda: node.tickets.issue(STATE, POLICY, LIFETIME))
        with mistaken(redis, [old]) as thief, fleet(redis, [new]) as newcomer:
            assert thief.tickets.redeem(issue(node), POLICY) is None
            assert newcomer.tickets.redeem(issue(node), POLICY) == STATE
            assert newcomer.tickets.redeem(ticket, POLICY) is None


def test_a_key_of_the_fleet_that_was_wrong_and_is_mended_opens_all_of_the_week(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        clock.now += 3 * ROTATION
        assert until(lambda: node.tickets.issue(STATE, POLICY, LIFETIME))
        with mistaken(redis, [bytes(32)]) as mended:
            assert mended.tickets.redeem(ticket, POLICY) is None
            mended.replace_keys([KEY])
            assert mended.wait(LIMIT)
            assert mended.tickets.redeem(ticket, POLICY) == STATE
            assert mended.trouble == ""


def test_a_clock_that_was_weeks_ahead_and_is_right_again_costs_no_keys(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
        for _ in range(3):
            clock.now += ROTATION
            assert until(lambda: node.tickets.issue(STATE, POLICY, LIFETIME))
        right = clock.now
        clock.now += 4 * limits.MAX_TICKET_LIFETIME
        assert until(lambda: node.tickets._fetched_in == clock.now // ROTATION)
        assert node.tickets.redeem(ticket, POLICY) is None
        clock.now = right
        assert until(lambda: node.tickets.redeem(ticket, POLICY) == STATE)


def test_a_node_that_was_away_for_hours_fetches_the_keys_of_them(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one, fleet(redis, timeout=0.05) as away:
        beat = away.tickets.keep_up

        async def nothing(*_: object, **__: object) -> None: ...

        away.tickets.keep_up = nothing  # type: ignore[method-assign]
        tickets = []
        for _ in range(4):
            clock.now += ROTATION
            assert until(lambda: one.tickets.issue(STATE, POLICY, LIFETIME))
            tickets.append(issue(one))
        away.tickets.keep_up = beat  # type: ignore[method-assign]
        assert until(lambda: [away.tickets.redeem(ticket, POLICY) for ticket in tickets] == [STATE] * 4)


def test_a_node_with_another_key_of_the_fleet_shares_nothing(
    redis: Redis, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with fleet(redis) as one, mistaken(redis, [bytes(32)]) as stranger:
        ticket = issue(one)
        assert stranger.tickets.redeem(ticket, POLICY) is None
        # It does not take what is not its own, nor put its own in the place of it.
        assert stranger.tickets.issue(STATE, POLICY, LIFETIME) is None
        assert keys_in(redis) == 2
        assert "a ticket key that is not sealed with the key of our fleet" in caplog.text
        with fleet(redis, [bytes(32)], name="others") as apart:
            assert apart.tickets.redeem(issue(apart), POLICY) == STATE


def test_a_node_with_another_key_makes_none_that_the_others_would_miss(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as one, mistaken(redis, [bytes(32)]) as stranger:
        others, one.tickets.keep_up = one.tickets.keep_up, stranger.tickets.keep_up  # type: ignore[method-assign]
        clock.now += ROTATION
        assert until(lambda: stranger.tickets._fetched_in == clock.now // ROTATION)
        assert keys_in(redis) == 2
        one.tickets.keep_up = others  # type: ignore[method-assign]
        assert until(lambda: keys_in(redis) == 3)
        clock.now += ROTATION
        # Redis had that key before its maker knew of it: it reads it back first.
        assert until(lambda: one.tickets.issue(STATE, POLICY, LIFETIME))
        assert one.tickets.redeem(issue(one), POLICY) == STATE


def test_a_key_that_lies_in_the_place_of_another_period_is_not_taken(redis: Redis, clock: Clock) -> None:
    with fleet(redis) as node:
        ticket = issue(node)
    names = sorted(redis.client.keys("handfast:ticket-key:*"))
    redis.client.rename(names[0], names[1])
    with fleet(redis) as newcomer:
        assert newcomer.tickets.redeem(ticket, POLICY) is None
        assert keys_in(redis) == 2


def test_a_forked_child_goes_on_by_itself(redis: Redis) -> None:
    with fleet(redis) as node:
        ticket = issue(node)

        def child() -> bytes:
            seen = node.tickets.redeem(ticket, POLICY) or b""
            assert node.wait(LIMIT)
            stored = node.stored_tickets.issue(STATE, POLICY, LIFETIME)
            assert isinstance(stored, bytes)
            node.close()
            return seen + b"," + stored

        seen, _, stored = in_child(child).partition(b",")
        assert seen == STATE
        assert node.stored_tickets.redeem(stored, POLICY) == STATE


def test_nothing_that_lies_in_redis_is_a_secret(redis: Redis) -> None:
    """Neither keys, nor what is in sessions, nor tickets."""
    with fleet(redis) as node:
        config = server_config(node, tickets=node.stored_tickets)
        client = client_config()
        assert not meet(client, config).resumed
        pair = meet(client, config, QUESTION)
        assert pair.resumed
        stored = node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"certificate of a client")
        assert isinstance(stored, bytes)
        everything = redis.everything()
        keys = [key.key for key in node.tickets._by_name.values()]
        secrets = [KEY, *keys, STATE, stored, b"certificate of a client", b"localhost", node._keys.derived(b"sessions")]
        assert [secret for secret in secrets if secret in everything] == []
        assert len(everything) > 500


def test_no_secret_in_a_repr(redis: Redis) -> None:
    with fleet(redis) as node:
        for shown in map(repr, (node, node.tickets, node._keys)):
            assert repr(KEY)[2:-1] not in shown
            assert KEY.hex() not in shown
