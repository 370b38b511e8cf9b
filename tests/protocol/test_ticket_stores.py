"""Ticket stores and replay guards that are not ours: external PSKs, answers that come late, failures."""

from __future__ import annotations

import asyncio
import inspect
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from handfast.credentials.signers import DEFERRED
from handfast.engine import ClientAuth, Data, HandshakeDone, ServerConfig, ServerConnection
from handfast.handshake.needs import Issue
from handfast.io.sockets import TLSSocket
from handfast.sessions.cache import SessionCache
from handfast.sessions.state import FORMAT, TicketState
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.lies import APPLICATION_DATA, Record
from tests.peer import Client, Server
from tests.protocol.ours import (
    PLAINTEXT,
    client,
    credentials,
    server,
)
from tests.protocol.sessions import (
    KEY,
    QUESTION,
    SHA256_SUITE,
    Guard,
    Keeping,
    data_of,
    early,
    early_data_of,
    given,
    ticket,
)
from tests.scripted import Psk

# External PSKs, from a `Tickets` that is not ours


class External:
    """Knows one PSK from outside TLS."""

    PSK = Psk(b"told by telephone", bytes(range(32)), SHA256_SUITE, external=True)

    def __init__(self, **fields):
        self.state = TicketState(
            **{
                "format": FORMAT,
                "suite": SHA256_SUITE,
                "psk": self.PSK.key,
                "ticket_age_add": 0,
                "issued_at": 0,
                "authenticated_at": 2**62,
                "ticket_lifetime": 2**32 - 1,
                "application_protocol": b"",
                "server_name": b"",
                "max_early_data": 0,
                "replay_scope": b"",
                "external": 1,
                "chain": (),
                **fields,
            }
        )

    def issue(self, state, policy, lifetime, client):
        return None

    def redeem(self, identity, policy):
        return self.state.encode() if identity == self.PSK.identity else None


@pytest.mark.parametrize(
    ("mode", "satisfies", "accepted"),
    [
        (ClientAuth.NONE, False, True),
        (ClientAuth.REQUEST, False, True),
        (ClientAuth.VERIFY_IF_GIVEN, False, True),
        (ClientAuth.REQUIRE_ANY, False, False),
        (ClientAuth.REQUIRE_AND_VERIFY, False, False),
        (ClientAuth.REQUIRE_ANY, True, True),
        (ClientAuth.REQUIRE_AND_VERIFY, True, True),
    ],
)
def test_an_external_psk_where_a_certificate_is_required(mode, satisfies, accepted):
    ours = server(tickets=External(), client_auth=mode, psk_satisfies_client_auth=satisfies)
    peer = Client(ours, psks=(External.PSK,), identity=certificates.client()).run()
    assert peer.complete, peer.connection.error
    assert ours.info.resumed == accepted
    assert (ours.info.peer is None) == (accepted or mode is ClientAuth.NONE)


@pytest.mark.parametrize("external", [0, 1])
@pytest.mark.parametrize("mode", [ClientAuth.NONE, ClientAuth.REQUIRE_AND_VERIFY])
def test_a_psk_that_has_lived_too_long(external, mode):
    for late in ({"ticket_lifetime": 1}, {"authenticated_at": 0}):
        tickets = External(external=external, chain=() if external else (b"chain",), **late)
        ours = server(tickets=tickets, client_auth=mode, psk_satisfies_client_auth=True)
        assert Client(ours, psks=(External.PSK,), identity=certificates.client()).run().complete
        assert not ours.info.resumed


def test_an_external_psk_is_bound_as_one():
    peer = Client(server(tickets=External()), psks=(External.PSK._replace(external=False),)).run()
    assert peer.refusal == ("bad_binder", "decrypt_error", PLAINTEXT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        "text",
        7,
        True,
        External().state.encode() + b"\0",
        replace(External().state, format=FORMAT + 1).encode(),
    ],
)
def test_a_ticket_store_that_returns_something_else(answer):
    tickets = External()
    tickets.redeem = lambda identity, policy: answer  # type: ignore[method-assign]
    ours = server(tickets=tickets)
    assert Client(ours, psks=(External.PSK,)).run().complete
    assert not ours.info.resumed


@pytest.mark.parametrize("answer", [None, b"", "text", 7, b"x" * 2**16])
def test_a_ticket_store_that_issues_something_else(answer):
    tickets = External()
    tickets.issue = lambda state, policy, lifetime, client: answer  # type: ignore[method-assign]
    peer = Client(server(tickets=tickets)).run()
    assert peer.complete
    assert peer.connection.connected
    assert peer.tickets == []


# Answers that come late, or never


def late(answer):
    """An answer that somebody else will give."""
    return DEFERRED


async def awaited(answer):
    return answer


class Slow:
    """Tickets and a replay guard that answer in another way: ``how`` is told the answer that they would give."""

    def __init__(self, how):
        self.how = how
        self.sealed, self.memory = SealedTickets([KEY]), Guard()
        self.scope, self.since = self.memory.scope, self.memory.since

    def issue(self, state, policy, lifetime, client):
        return self.how(self.sealed.issue(state, policy, lifetime))

    def redeem(self, identity, policy):
        return self.how(self.sealed.redeem(identity, policy))

    def first_use(self, key, seconds):
        return self.how(self.memory.first_use(key, seconds))


def slow(how, **more):
    """Options of a server of ours that has to wait for its tickets and its guard."""
    parts = Slow(how)
    return {**early(), "tickets": parts, "replay_guard": parts, **more}


class Answering:
    """Answers each need of ours, and remembers which they were."""

    def __init__(self, results, fails=()):
        self.results, self.fails, self.asked = results, fails, []

    def __call__(self, connection):
        while (need := connection.need) is not None:
            name = type(need).__name__
            self.asked.append(name)
            answer = need.ask() if connection.awaitable is None else connection.awaitable
            if inspect.iscoroutine(answer):
                answer = asyncio.run(answer)
            if answer is DEFERRED:
                answer = {"Redeem": self.redeem, "Issue": self.issue, "CheckReplay": lambda need: True}[name](need)
            if name in self.fails:
                self.results += connection.fail(need, TimeoutError("the store is down"))
            else:
                self.results += connection.answer(need, answer)

    def redeem(self, need):
        return SealedTickets([KEY]).redeem(need.ticket, need.policy)

    def issue(self, need):
        return SealedTickets([KEY]).issue(need.state, need.policy, need.lifetime)


def answered(how, fails=()):
    ours = server(**slow(how))
    peer = Client(ours, psks=(ticket(),), early_data=QUESTION)
    answering = peer.on_need = Answering(peer.results, fails)
    assert peer.run().complete, ours.error
    return peer, answering


@pytest.mark.parametrize("how", [late, awaited])
def test_stores_that_take_their_time(how):
    peer, answering = answered(how)
    assert answering.asked == ["Redeem", "CheckReplay", "Issue", "Issue"]
    assert peer.connection.info.resumed
    assert peer.early_data_accepted
    assert early_data_of(peer.results) == QUESTION
    assert [type(result) for result in peer.results][-1] is HandshakeDone
    assert len(peer.tickets) == 2


@pytest.mark.parametrize("fails", ["Redeem", "CheckReplay", "Issue"])
@pytest.mark.parametrize("how", [late, awaited])
def test_a_store_that_is_down_in_the_end(how, fails, caplog):
    peer, _ = answered(how, (fails,))
    ours = peer.connection
    assert ours.connected
    assert isinstance(peer.results[-1], HandshakeDone)
    assert ours.info.resumed == (fails != "Redeem")
    assert peer.early_data_accepted == (fails == "Issue")
    assert len(peer.tickets) == (0 if fails == "Issue" else 2)
    assert f"{fails} failed, and was done without: TimeoutError: the store is down" in caplog.text


def test_a_store_that_raises(caplog):
    ours = server(**slow(lambda _: 1 / 0))
    peer = Client(ours, psks=(ticket(),), early_data=QUESTION).run()
    assert peer.complete, ours.error
    assert ours.connected
    assert not ours.info.resumed
    assert ours.info.early_data == "rejected: its PSK was not accepted"
    assert peer.tickets == []
    assert "Redeem failed" in caplog.text
    assert "Issue failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_given_while_a_ticket_is_awaited():
    """The handshake is not over before; what the peer says meanwhile waits."""
    ours = server(**slow(late))
    peer = Client(ours).run()
    assert isinstance(ours.need, Issue)
    assert not ours.connected
    peer.say(Record(APPLICATION_DATA, b"data"))
    assert peer.results == []
    answering = Answering(peer.results)
    answering(ours)
    assert [type(result) for result in peer.results] == [HandshakeDone, Data]


def test_the_sync_shell_does_without_a_store_that_it_cannot_wait_for(caplog):
    """A signer that cannot be awaited is an error of whoever set it up; tickets are only a convenience."""
    options = slow(awaited, credentials=(credentials(certificates.server()),))
    options.pop("seams")
    here, there = socket.socketpair()
    with ThreadPoolExecutor(1) as pool:
        served = TLSSocket(there, ServerConnection(ServerConfig(**options)))
        shaking_hands = pool.submit(served.handshake)
        with TLSSocket(here, client(sessions=SessionCache())) as tls, served:
            assert tls.handshake().complete
            assert shaking_hands.result(10).complete
    assert "Issue failed, and was done without: ApiMisuse" in caplog.text


# A client's sessions


class FailingSessions:
    """A store of sessions that is down."""

    def put(self, partition, session):
        raise OSError("the disk is full")

    def take(self, partition):
        raise OSError("the disk is gone")


def test_a_client_does_without_a_store_that_fails(caplog):
    ours = client(sessions=FailingSessions())
    peer = Server(ours, tickets=1).run()
    assert peer.complete
    peer.say(Record(APPLICATION_DATA, b"data"))
    assert data_of(peer.results) == b"data"
    assert ours.connected
    assert "the disk is gone" in caplog.text
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize("answer", [b"session", True, (), object()], ids=lambda answer: type(answer).__name__)
def test_a_client_does_without_what_is_no_session(answer):
    ours = client(sessions=Keeping(answer))
    assert Server(ours).run().complete
    assert not ours.info.resumed


def test_a_client_does_not_ask_for_ever():
    """A store that always has one more that is too old."""
    sessions = Keeping(replace(given()[1], lifetime=0))
    ours = client(sessions=sessions)
    assert Server(ours, psks=(given()[0],)).run().complete
    assert not ours.info.resumed
