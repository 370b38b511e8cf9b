"""Tickets as bytes: sealed under keys that rotate, or kept in a store."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast import limits
from handfast.errors import ConfigError
from handfast.sessions.state import FORMAT, TicketState
from handfast.sessions.tickets import KEY_LENGTH, SealedTickets, StoredTickets
from tests.lies import flipped
from tests.sessions.forking import in_child

STATE, POLICY = b"what the session is", bytes(range(32))
FIRST, SECOND = b"1" * KEY_LENGTH, b"2" * KEY_LENGTH
LIFETIME = 100
BOTH = [SealedTickets, lambda: SealedTickets([FIRST]), StoredTickets]


class Clock:
    """A clock that somebody turns."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def issue(tickets, policy=POLICY, lifetime=LIFETIME):
    """A ticket, of which there is one."""
    ticket = tickets.issue(STATE, policy, lifetime)
    assert ticket is not None
    return ticket


# Both ways


@pytest.mark.parametrize("make", BOTH)
def test_what_is_issued_can_be_redeemed(make):
    tickets = make()
    ticket = issue(tickets)
    assert STATE not in ticket
    assert tickets.redeem(ticket, POLICY) == STATE


@pytest.mark.parametrize("make", BOTH)
def test_not_under_another_policy(make):
    tickets = make()
    ticket = issue(tickets)
    assert tickets.redeem(ticket, bytes(32)) is None
    assert tickets.redeem(ticket, b"") is None
    assert tickets.redeem(ticket, POLICY) == STATE


@pytest.mark.parametrize("make", BOTH)
def test_each_ticket_is_another(make):
    tickets = make()
    assert len({issue(tickets) for _ in range(100)}) == 100


@pytest.mark.parametrize("make", BOTH)
def test_foreign_bytes_are_unknown(make):
    tickets = make()
    ticket = issue(tickets)
    for position in range(len(ticket)):
        assert tickets.redeem(flipped(ticket, position), POLICY) is None
        assert tickets.redeem(ticket[:position], POLICY) is None
    assert tickets.redeem(ticket + b"\0", POLICY) is None
    assert make().redeem(b"", POLICY) is None


@pytest.mark.parametrize("make", BOTH)
def test_no_secret_in_a_repr(make):
    tickets = make()
    ticket = issue(tickets)
    for secret in (STATE, ticket, FIRST):
        assert repr(secret)[2:-1] not in repr(tickets)
        assert secret.hex() not in repr(tickets)


# Sealed


def test_only_the_same_keys_open():
    ticket = issue(SealedTickets([FIRST]))
    assert SealedTickets([FIRST]).redeem(ticket, POLICY) == STATE
    assert SealedTickets([SECOND, FIRST]).redeem(ticket, POLICY) == STATE
    assert SealedTickets([SECOND]).redeem(ticket, POLICY) is None
    assert SealedTickets().redeem(ticket, POLICY) is None


def test_the_first_key_seals():
    ticket = issue(SealedTickets([FIRST, SECOND]))
    assert SealedTickets([FIRST]).redeem(ticket, POLICY) == STATE
    assert SealedTickets([SECOND]).redeem(ticket, POLICY) is None


def test_keys_that_somebody_rotates():
    tickets = SealedTickets([FIRST])
    old = issue(tickets)
    tickets.replace([SECOND, FIRST])
    new = issue(tickets)
    assert [tickets.redeem(one, POLICY) for one in (old, new)] == [STATE, STATE]
    tickets.replace([SECOND])
    assert [tickets.redeem(one, POLICY) for one in (old, new)] == [None, STATE]


@pytest.mark.parametrize("keys", [[b"short"], [FIRST, b""], [FIRST + b"0"]])
def test_keys_of_another_length(keys):
    for call in (SealedTickets, SealedTickets([FIRST]).replace):
        with pytest.raises(ConfigError) as caught:
            call(keys)
        assert caught.value.code == "bad_option"
        assert not any(repr(key)[2:-1] in str(caught.value) for key in keys if key)


def test_there_must_be_a_key_to_replace_with():
    with pytest.raises(ConfigError):
        SealedTickets([FIRST]).replace([])


def key_of(ticket):
    return ticket[:16]


def test_random_keys_rotate_by_themselves_and_open_as_long_as_a_ticket_lives():
    clock = Clock()
    tickets = SealedTickets(clock=clock)
    first = issue(tickets)
    clock.now += limits.TICKET_KEY_ROTATION - 1
    last = issue(tickets)
    assert key_of(last) == key_of(first)
    clock.now += 1
    assert key_of(issue(tickets)) != key_of(first)
    clock.now += limits.MAX_TICKET_LIFETIME - 1
    assert tickets.redeem(last, POLICY) == STATE
    clock.now += 1
    assert tickets.redeem(last, POLICY) is None


def test_old_keys_are_forgotten():
    clock = Clock()
    tickets = SealedTickets(clock=clock)
    for _ in range(400):
        issue(tickets)
        clock.now += limits.TICKET_KEY_ROTATION
    week = limits.MAX_TICKET_LIFETIME // limits.TICKET_KEY_ROTATION
    assert repr(tickets) == f"<SealedTickets with {week + 1} keys>"


def test_a_key_seals_so_many_tickets(monkeypatch):
    monkeypatch.setattr(limits, "TICKETS_PER_KEY", 3)
    random, given_ = SealedTickets(), SealedTickets([FIRST, SECOND])
    names = [key_of(issue(random)) for _ in range(7)]
    assert [names.index(name) for name in names] == [0, 0, 0, 3, 3, 3, 6]
    assert [given_.issue(STATE, POLICY, LIFETIME) is None for _ in range(5)] == [False] * 3 + [True] * 2
    given_.replace([SECOND])
    assert given_.issue(STATE, POLICY, LIFETIME) is not None


def test_a_key_may_seal_two_to_the_31():
    """NIST SP 800-38D 8.3 allows 2^32 random nonces under one key."""
    assert limits.TICKETS_PER_KEY == 2**31


def test_a_child_process_goes_on_with_the_keys_and_other_nonces():
    tickets = SealedTickets()
    ticket = issue(tickets)
    assert in_child(lambda: tickets.redeem(ticket, POLICY) or b"nothing") == STATE
    in_the_child = in_child(lambda: tickets.issue(STATE, POLICY, LIFETIME) or b"")
    here = issue(tickets)
    assert in_the_child[16:28] != here[16:28]
    assert tickets.redeem(in_the_child, POLICY) == STATE


# Stored


def test_a_stored_session_is_redeemed_once():
    tickets = StoredTickets()
    ticket = issue(tickets)
    assert [tickets.redeem(ticket, POLICY) for _ in range(2)] == [STATE, None]
    assert len(tickets) == 0


def test_a_stored_session_lives_so_long():
    clock = Clock()
    tickets = StoredTickets(clock=clock)
    first, second = (issue(tickets) for _ in range(2))
    clock.now += LIFETIME - 1
    assert tickets.redeem(first, POLICY) == STATE
    clock.now += 1
    assert tickets.redeem(second, POLICY) is None


def test_what_is_over_leaves_the_store():
    clock = Clock()
    tickets = StoredTickets(clock=clock)
    for _ in range(10):
        issue(tickets)
    clock.now += LIFETIME
    issue(tickets)
    assert len(tickets) == 1


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_the_oldest_makes_room(capacity):
    tickets = StoredTickets(capacity)
    issued = [issue(tickets) for _ in range(5)]
    assert len(tickets) == capacity
    assert [tickets.redeem(one, POLICY) for one in issued] == [None] * (5 - capacity) + [STATE] * capacity


def test_a_store_holds_so_many():
    tickets = StoredTickets()
    first = issue(tickets)
    for _ in range(limits.STORED_TICKETS):
        issue(tickets)
    assert len(tickets) == limits.STORED_TICKETS == 10_000
    assert tickets.redeem(first, POLICY) is None


def test_a_child_process_starts_with_an_empty_store():
    tickets = StoredTickets()
    ticket = issue(tickets)
    assert in_child(lambda: tickets.redeem(ticket, POLICY) or b"nothing") == b"nothing"
    assert in_child(lambda: b"%d" % len(tickets)) == b"0"
    assert tickets.redeem(ticket, POLICY) == STATE


class Counted(OrderedDict[bytes, object]):
    """A dictionary that counts what is done with it; going through all of it counts for all of it."""

    done = 0

    def __setitem__(self, key, value):
        self.done += 1
        super().__setitem__(key, value)

    def __getitem__(self, key):
        self.done += 1
        return super().__getitem__(key)

    def __delitem__(self, key):
        self.done += 1
        super().__delitem__(key)

    def get(self, key, default=None):
        self.done += 1
        return super().get(key, default)

    def popitem(self, last=True):
        self.done += 1
        return super().popitem(last)

    def __iter__(self):
        for key in super().__iter__():
            self.done += 1
            yield key

    def values(self):
        for key in self:
            yield super().__getitem__(key)

    def items(self):
        for key in self:
            yield key, super().__getitem__(key)


def test_ten_thousand_live_sessions_cost_what_one_does(monkeypatch):
    """Counted in what is done with the dictionary that holds them, whose operations do not depend on its size."""
    monkeypatch.setattr("handfast.sessions.tickets.OrderedDict", Counted)
    costs = {}
    for live in (1, 100, 10_000):
        tickets = StoredTickets(live)
        for _ in range(live):
            issue(tickets)
        counted = tickets._sessions
        assert isinstance(counted, Counted)
        before = counted.done
        ticket = issue(tickets)
        tickets.redeem(b"unknown", POLICY)
        assert tickets.redeem(ticket, POLICY) == STATE
        costs[live] = counted.done - before
    assert len(set(costs.values())) == 1, costs
    assert costs[1] < 10


# What is in it


states = st.builds(
    TicketState,
    format=st.just(FORMAT),
    suite=st.integers(0, 2**16 - 1),
    psk=st.binary(min_size=1, max_size=48),
    ticket_age_add=st.integers(0, 2**32 - 1),
    issued_at=st.integers(0, 2**63),
    authenticated_at=st.integers(0, 2**63),
    ticket_lifetime=st.integers(0, 2**32 - 1),
    application_protocol=st.binary(max_size=255),
    server_name=st.binary(max_size=300),
    max_early_data=st.integers(0, 2**32 - 1),
    replay_scope=st.binary(max_size=255),
    external=st.integers(0, 1),
    chain=st.lists(st.binary(min_size=1, max_size=50), max_size=3).map(tuple),
    ocsp_response=st.binary(max_size=50),
    timestamps=st.lists(st.binary(min_size=1, max_size=50), max_size=3).map(tuple),
)


@given(states)
def test_a_state_survives(state):
    assert TicketState.decode(state.encode()) == state
    assert TicketState.decode(state.encode() + b"\0") is None
    assert TicketState.decode(state.encode()[:-1]) is None


@given(states.filter(lambda state: state.chain))
def test_a_state_that_lost_a_certificate_is_none(state):
    last = len(state.chain[-1]) + 2
    assert TicketState.decode(state.encode()[:-last]) is None
    assert TicketState.decode(state.encode() + b"\0\1x") is None


@given(states)
def test_a_state_cut_anywhere_is_none(state):
    encoded = state.encode()
    assert all(TicketState.decode(encoded[:size]) is None for size in range(len(encoded)))


@pytest.mark.parametrize("other", [None, "text", 7, b"", bytearray(b"x"), object()])
def test_what_is_no_state(other):
    assert TicketState.decode(other) is None


@given(states)
def test_a_state_does_not_show_its_secrets(state):
    assert repr(state) == f"<TicketState issued at {state.issued_at} ms, {len(state.chain)} certificates>"


def known(store: StoredTickets, tickets: list[bytes]) -> list[bool]:
    return [store.find(ticket, POLICY) is not None for ticket in tickets]


@pytest.mark.parametrize("scarce", ["number", "bytes"])
def test_strangers_push_out_strangers_only(scarce: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if scarce == "bytes":
        monkeypatch.setattr(limits, "STORED_TICKET_BYTES", 10 * len(STATE))
    store = StoredTickets(10 if scarce == "number" else 1000)
    alice, bob = ([store.issue(STATE, POLICY, LIFETIME, name) for _ in range(4)] for name in (b"alice", b"bob"))
    strangers = [store.issue(STATE, POLICY, LIFETIME, b"") for _ in range(100)]
    assert all(known(store, alice + bob))
    assert known(store, strangers) == [False] * 98 + [True] * 2
    # One who is known has their place at once.
    carol = [store.issue(STATE, POLICY, LIFETIME, b"carol") for _ in range(2)]
    assert all(known(store, alice + bob + carol))
    assert not any(known(store, strangers))
    # Where there is none any more, no stranger has a ticket.
    assert known(store, [store.issue(STATE, POLICY, LIFETIME)]) == [False]
    assert len(store) == 10


@pytest.mark.parametrize("scarce", ["number", "bytes"])
def test_a_client_pushes_out_its_own_once_it_has_half(scarce: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if scarce == "bytes":
        monkeypatch.setattr(limits, "STORED_TICKET_BYTES", 10 * len(STATE))
    store = StoredTickets(10 if scarce == "number" else 1000)
    others = [store.issue(STATE, POLICY, LIFETIME, b"client %d" % number) for number in range(8)]
    mine = [store.issue(STATE, POLICY, LIFETIME, b"alice") for _ in range(100)]
    assert known(store, mine) == [False] * 95 + [True] * 5
    assert known(store, others) == [False] * 3 + [True] * 5
    # Among those who have less the oldest makes room, and what is used counts no more.
    assert all(store.redeem(ticket, POLICY) for ticket in mine[-5:])
    more = [store.issue(STATE, POLICY, LIFETIME, b"alice") for _ in range(5)]
    assert all(known(store, others[3:] + more))


@pytest.mark.parametrize("capacity", [0, 1, 2])
def test_a_small_store_prefers_who_is_known(capacity: int) -> None:
    store = StoredTickets(capacity)
    strangers = [store.issue(STATE, POLICY, LIFETIME) for _ in range(3)]
    known_ones = [store.issue(STATE, POLICY, LIFETIME, b"client %d" % number) for number in range(capacity)]
    assert all(known(store, known_ones))
    assert not any(known(store, strangers))


def test_what_a_store_keeps_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORED_TICKET_BYTES", 10_000)
    store = StoredTickets()
    tickets = [store.issue(bytes(1000), b"policy", 60) for _ in range(30)]
    assert len(store) == 10
    assert [store.find(ticket, b"policy") is not None for ticket in tickets] == [False] * 20 + [True] * 10
    # What leaves makes room, and what is kept under the same name again is not counted twice.
    for ticket in tickets[20:25]:
        assert store.redeem(ticket, b"policy")
    for _ in range(10):
        store.keep(tickets[25], bytes(1000), b"policy", 60)
    assert len(store) == 5
    more = [store.issue(bytes(1000), b"policy", 60) for _ in range(5)]
    assert len(store) == 10
    assert store.find(tickets[25], b"policy")
    assert store.find(more[0], b"policy")
    store.issue(bytes(20_000), b"policy", 60)
    assert len(store) == 0
