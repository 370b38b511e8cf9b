"""Ticket stores and replay guards that are not ours: external PSKs, answers that come late, failures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.engine import ClientAuth
from handfast.sessions.state import TicketState
from tests import certificates
from tests.peer import Client
from tests.protocol.ours import (
    PLAINTEXT,
    server,
)
from tests.protocol.sessions import (
    SHA256_SUITE,
)
from tests.scripted import Psk

# External PSKs, from a `Tickets` that is not ours


class External:
    """Knows one PSK from outside TLS."""

    PSK = Psk(b"told by telephone", bytes(range(32)), SHA256_SUITE, external=True)

    def __init__(self, **fields):
        self.state = TicketState(
            **{
                "format": 1,
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

    def issue(self, state, policy, lifetime):
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
    [b"", b"garbage", "text", 7, True, External().state.encode() + b"\0", replace(External().state, format=2).encode()],
)
def test_a_ticket_store_that_returns_something_else(answer):
    tickets = External()
    tickets.redeem = lambda identity, policy: answer
    ours = server(tickets=tickets)
    assert Client(ours, psks=(External.PSK,)).run().complete
    assert not ours.info.resumed


@pytest.mark.parametrize("answer", [None, b"", "text", 7, b"x" * 2**16])
def test_a_ticket_store_that_issues_something_else(answer):
    tickets = External()
    tickets.issue = lambda state, policy, lifetime: answer
    peer = Client(server(tickets=tickets)).run()
    assert peer.complete
    assert peer.connection.connected
    assert peer.tickets == []
