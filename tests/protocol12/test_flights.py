"""Every legal order of messages in TLS 1.2, against its table: nothing else is accepted, and nothing less."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import pytest

from handfast.engine import ClientAuth
from handfast.events import Event, MessageSeen
from handfast.registry import HandshakeType
from handfast.roles import Role
from handfast.tools.pages.flights import message_of
from handfast.tools.pages.flights12 import FLIGHTS_12, START
from handfast.wire.extensions import CertificateStatusAcknowledged
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import (
    MESSAGES_12,
    Certificate,
    CertificateRequest,
    HelloRequest,
    NewSessionTicket,
    ServerHello,
    ServerKeyExchange,
)
from tests import certificates
from tests.lies import handshake
from tests.protocol.ours import assert_dead, credentials
from tests.protocol.sessions import Keeping, sealing
from tests.protocol12.ours12 import ONLY, meet12
from tests.protocol12.test_resumption import given_12, ticket_12

ASKING = {"client_auth": ClientAuth.REQUEST}
ALICE = {"identity": certificates.client()}
ASKED = {"requests_certificate": True}
STAPLE = {"ask_for_ocsp_response": True}
ANNOUNCED, STAPLED = {"announces_response": True}, {"ocsp_response": b"a response"}
AGAIN = {
    Role.CLIENT: HelloRequest(),
    Role.SERVER: ClientHello(0x0303, bytes(32), b"", (0xC02B,), b"\0"),
}
NUMBERS = {cls.__name__: number for number, cls in MESSAGES_12.items()}


# How the peer gets ours into a state, and at which step of its script it then speaks: options of the peer, of ours.
def resuming(role: Role) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the peer and of ours with which a session is resumed."""
    if role is Role.SERVER:
        return {"session": ticket_12()}, sealing()
    session, sessions = given_12()
    return {"session": session}, {"sessions": sessions}


THEIR_SESSION, THAT_WE_KNOW = resuming(Role.SERVER)
OUR_SESSION, THAT_WE_OFFER = resuming(Role.CLIENT)
TICKET, WANTED = {"new_ticket": b"a ticket"}, {"sessions": Keeping()}
REACHED: dict[Role, dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    Role.CLIENT: {
        START: ("ServerHello", {}, ONLY),
        "ServerHello; a new session": ("Certificate", {}, {}),
        "ServerHello; a new session; announces an OCSP response": ("Certificate", ANNOUNCED, STAPLE),
        "ServerHello; a new session and a ticket": ("Certificate", TICKET, WANTED),
        "ServerHello; a new session and a ticket; announces an OCSP response": (
            "Certificate",
            {**TICKET, **ANNOUNCED},
            {**WANTED, **STAPLE},
        ),
        "ServerHello; our session": ("Finished", OUR_SESSION, THAT_WE_OFFER),
        "ServerHello; our session and a ticket": ("NewSessionTicket", {**OUR_SESSION, **TICKET}, THAT_WE_OFFER),
        "Certificate; no ticket": ("ServerKeyExchange", {}, {}),
        "Certificate; no ticket; an OCSP response": ("ServerKeyExchange", ANNOUNCED, STAPLE),
        "Certificate; a ticket": ("ServerKeyExchange", TICKET, WANTED),
        "Certificate; a ticket; an OCSP response": (
            "ServerKeyExchange",
            {**TICKET, **ANNOUNCED},
            {**WANTED, **STAPLE},
        ),
        "CertificateStatus; no ticket": ("ServerKeyExchange", STAPLED, STAPLE),
        "CertificateStatus; a ticket": ("ServerKeyExchange", {**TICKET, **STAPLED}, {**WANTED, **STAPLE}),
        "ServerKeyExchange; no ticket": ("ServerHelloDone", {}, {}),
        "ServerKeyExchange; a ticket": ("ServerHelloDone", TICKET, WANTED),
        "CertificateRequest; no ticket": ("ServerHelloDone", ASKED, {}),
        "CertificateRequest; a ticket": ("ServerHelloDone", {**ASKED, **TICKET}, WANTED),
        "ServerHelloDone; no ticket": ("Finished", {}, {}),
        "ServerHelloDone; a ticket": ("NewSessionTicket", TICKET, WANTED),
        "NewSessionTicket": ("Finished", TICKET, WANTED),
    },
    Role.SERVER: {
        START: ("ClientHello", {}, {}),
        "ClientHello; we ask for a certificate": ("Certificate", {}, ASKING),
        "ClientHello; we ask for no certificate": ("ClientKeyExchange", {}, {}),
        "ClientHello; we resume its session": ("Finished", THEIR_SESSION, THAT_WE_KNOW),
        "Certificate; empty": ("ClientKeyExchange", {}, ASKING),
        "Certificate; not empty": ("ClientKeyExchange", ALICE, ASKING),
        "ClientKeyExchange; nothing to prove": ("Finished", {}, {}),
        "ClientKeyExchange; a key to prove": ("CertificateVerify", ALICE, ASKING),
        "CertificateVerify": ("Finished", ALICE, ASKING),
    },
}
AFTER = {Role.CLIENT: ("Finished", "HelloRequest"), Role.SERVER: ("Finished", "ClientHello; we decline")}


def test_every_state_of_the_tables_can_be_reached():
    for role in Role:
        assert set(FLIGHTS_12[role]) == {*REACHED[role], *AFTER[role]}


@pytest.mark.parametrize(
    ("role", "state", "number"),
    [
        pytest.param(role, state, number, id=f"{HandshakeType.describe(number)} to our {role} after {state}")
        for role, flights in FLIGHTS_12.items()
        for state, following in flights.items()
        for number in (*HandshakeType, 99)
        if number not in {NUMBERS[message_of(one)] for one in following}
    ],
)
def test_refused(role, state, number):
    wrong = handshake(number, b"")
    if state in REACHED[role]:
        step, options, ours = REACHED[role][state]
        peer = meet12(role, ours, lies={step: wrong}, merged=False, **options).run()
    else:
        peer = meet12(role).run()
        if state != "Finished":
            peer.say(AGAIN[role])
        assert peer.connection.error is None
        peer.say(wrong)
    assert peer.refusal is not None
    assert (peer.refusal.code, peer.refusal.alert) == ("unexpected_message", "unexpected_message")
    assert_dead(peer.connection)


def states_of(role: Role, messages: list[MessageSeen]) -> list[str]:
    """The states that a connection went through, by the messages that it and its peer sent."""
    states, proving, complete, announced = [START], False, False, False
    asks = any(isinstance(event.message, CertificateRequest) for event in messages)
    resumes = not any(isinstance(event.message, ServerKeyExchange) for event in messages)
    gives = any(isinstance(event.message, NewSessionTicket) for event in messages)
    for event in messages:
        if event.direction is not role.peer.sends:
            continue
        name = type(event.message).__name__
        if role is Role.SERVER and isinstance(event.message, Certificate):
            proving = bool(event.message.certificate_list)
            name += "; not empty" if proving else "; empty"
        elif isinstance(event.message, ClientHello):
            first = "; we ask for a certificate" if asks else "; we ask for no certificate"
            first = "; we resume its session" if resumes else first
            name += "; we decline" if complete else first
        elif isinstance(event.message, ServerHello):
            announced = event.message.find(CertificateStatusAcknowledged) is not None
            name += ("; our session" if resumes else "; a new session") + (" and a ticket" if gives else "")
            name += "; announces an OCSP response" if announced else ""
        elif role is Role.CLIENT and name not in ("NewSessionTicket", "Finished", "HelloRequest"):
            announced = announced and isinstance(event.message, Certificate)
            name += ("; a ticket" if gives else "; no ticket") + ("; an OCSP response" if announced else "")
        elif name == "ClientKeyExchange":
            name += "; a key to prove" if proving else "; nothing to prove"
        complete = complete or name == "Finished"
        states.append(name)
    return states


@pytest.mark.parametrize("role", list(Role))
def test_what_comes_in_order_over_all_configurations_is_the_table(role):
    shapes: list[tuple[dict[str, Any], dict[str, Any]]]
    tickets: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}), (TICKET, WANTED)]
    mine = {"credentials": (credentials(certificates.client()),)}
    if role is Role.CLIENT:
        shapes = [
            ({**options, **ticket}, {**ours, **wanted, **STAPLE})
            for options, ours, (ticket, wanted) in product(({}, ASKED, ANNOUNCED, STAPLED), ({}, mine), tickets)
        ]
        for ticket in ({}, TICKET):
            options, ours = resuming(role)
            shapes.append(({**options, **ticket}, ours))
    else:
        shapes = [(options, {"client_auth": mode}) for options, mode in product(({}, ALICE), ClientAuth)]
        shapes += [(THEIR_SESSION, THAT_WE_KNOW)]
    observed = set()
    for options, ours in shapes:
        seen: list[Event] = []
        peer = meet12(role, {**ours, "observers": [seen.append]}, **options).run()
        if peer.complete:
            peer.say(AGAIN[role], AGAIN[role])
            assert peer.connection.error is None
        messages = [event for event in seen if isinstance(event, MessageSeen)]
        observed |= set(pairwise(states_of(role, messages)))
    assert observed == {(state, one) for state, following in FLIGHTS_12[role].items() for one in following}
