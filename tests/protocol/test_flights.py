"""Every legal order of messages, against the table that holds them: nothing else is accepted, and nothing less."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from handfast.engine import ClientAuth
from handfast.events import Event, MessageSeen
from handfast.registry import CertificateCompressionAlgorithm, HandshakeType
from handfast.roles import Role
from handfast.tools.pages.flights import FLIGHTS, LATER, START, may_come, message_of, page
from handfast.tools.pages.flights12 import FLIGHTS_12
from handfast.wire.compression import certificate_in
from handfast.wire.extensions import Cookie, EarlyDataIndication, Extensions, SelectedPsk, SignatureSchemeList
from handfast.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    MESSAGES,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
)
from tests import certificates
from tests.lies import compressed, handshake
from tests.protocol.ours import SECP256R1, assert_dead, credentials, meet
from tests.protocol.sessions import QUESTION, Keeping, early, given, ticket
from tests.scripted import Peer

TICKET = NewSessionTicket(3600, 0, b"", b"ticket", Extensions())
ASKING = {"client_auth": ClientAuth.REQUEST}
INFLATING = {"certificate_compression": (CertificateCompressionAlgorithm.zlib,)}
COMPRESSED = {"Certificate": compressed()}
# A session that ours holds and the peer knows, and the reverse.
HOLDS_IT: dict[str, Any] = {"sessions": Keeping(given()[1])}
KNOWS_IT: dict[str, Any] = {"psks": (given()[0],)}
SHOWS_IT: dict[str, Any] = {"psks": (ticket(),)}
SENDS: dict[str, Any] = {**SHOWS_IT, "early_data": QUESTION}


# How the peer gets ours into a state, and at which step of its script it then speaks: options of the peer, of ours.
REACHED: dict[Role, dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    Role.CLIENT: {
        START: ("ServerHello", {}, {}),
        "HelloRetryRequest": ("ServerHello", {"group": SECP256R1}, {}),
        "ServerHello; without our PSK": ("EncryptedExtensions", {}, {}),
        "ServerHello; with our PSK": ("EncryptedExtensions", KNOWS_IT, HOLDS_IT),
        "EncryptedExtensions; without our PSK": ("Certificate", {}, {}),
        "EncryptedExtensions; with our PSK": ("Finished", KNOWS_IT, HOLDS_IT),
        "CertificateRequest": ("Certificate", {"requests_certificate": True}, {}),
        "Certificate": ("CertificateVerify", {}, {}),
        "CompressedCertificate": ("CertificateVerify", {"lies": COMPRESSED}, INFLATING),
        "CertificateVerify": ("Finished", {}, {}),
    },
    Role.SERVER: {
        START: ("ClientHello", {}, {}),
        "ClientHello; we retry": ("SecondClientHello", {"shared_groups": ()}, {}),
        "ClientHello; we ask for a certificate": ("Certificate", {}, ASKING),
        "ClientHello; we ask for no certificate": ("Finished", {}, {}),
        "ClientHello; we take early data": ("EndOfEarlyData", SENDS, early()),
        "EndOfEarlyData": ("Finished", SENDS, early()),
        "Certificate; empty": ("Finished", {}, ASKING),
        "Certificate; not empty": ("CertificateVerify", {"identity": certificates.client()}, ASKING),
        "CompressedCertificate; empty": ("Finished", {"lies": COMPRESSED}, ASKING | INFLATING),
        "CompressedCertificate; not empty": (
            "CertificateVerify",
            {"identity": certificates.client(), "lies": COMPRESSED},
            ASKING | INFLATING,
        ),
        "CertificateVerify": ("Finished", {"identity": certificates.client()}, ASKING),
    },
}
# The states after the handshake, and what the peer does to reach them.
REACHED_AFTER = {
    "Finished": lambda peer: peer,
    "NewSessionTicket": lambda peer: peer.say(TICKET),
    "KeyUpdate": Peer.update_keys,
}

# One of each message that is known, by the name of its class or, where it has none, of its type.
KNOWN = {
    type(message).__name__: message.encode()
    for message in (
        ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", Extensions()),
        ServerHello(0x0303, bytes(32), b"", 0x1301, 0, Extensions()),
        HelloRetryRequest(0x0303, HELLO_RETRY_REQUEST_RANDOM, b"", 0x1301, 0, Extensions.of(Cookie(b"crumbs"))),
        EncryptedExtensions(),
        CertificateRequest(b"", Extensions.of(SignatureSchemeList((0x0403,)))),
        Certificate(b"", (CertificateEntry(b"certificate"),)),
        CompressedCertificate(1, 100, b"compressed"),
        CertificateVerify(0x0403, b"signature"),
        Finished(bytes(32)),
        EndOfEarlyData(),
        TICKET,
        KeyUpdate(0),
    )
}
CLASSES = frozenset(KNOWN)
KNOWN |= {kind.name: handshake(kind, b"") for kind in HandshakeType if kind not in MESSAGES}


class Messages(list[MessageSeen]):
    """An observer that keeps the messages."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, MessageSeen):
            self.append(event)


def states_of(role, messages):
    """The states that a connection went through, by the messages that it and its peer sent."""
    states = [START]
    for index, event in enumerate(messages):
        if event.direction is role.peer.sends:
            condition = condition_of(role, event.message, messages[: index + 1], messages[index + 1 :])
            states.append(type(event.message).__name__ + (f"; {condition}" if condition else ""))
    return states


def condition_of(role, message, so_far, later):
    """What besides the type of a message decides what may follow it."""
    if role is Role.CLIENT:
        if not isinstance(message, (ServerHello, EncryptedExtensions)):
            return ""
        [hello] = [event.message for event in so_far if type(event.message) is ServerHello]
        return "without our PSK" if hello.find(SelectedPsk) is None else "with our PSK"
    if (certificate := certificate_in(message)) is not None:
        return "not empty" if certificate.certificate_list else "empty"
    if isinstance(message, ClientHello):
        answer = {type(event.message): event.message for event in later if event.direction is role.sends}
        if type(later[0].message) is HelloRetryRequest:
            return "we retry"
        if answer[EncryptedExtensions].find(EarlyDataIndication) is not None:
            return "we take early data"
        return "we ask for a certificate" if CertificateRequest in answer else "we ask for no certificate"
    return ""


# Nothing else is accepted


def test_every_state_of_the_tables_can_be_reached():
    after = {Role.CLIENT: {"Finished", "NewSessionTicket", "KeyUpdate"}, Role.SERVER: {"Finished", "KeyUpdate"}}
    for role in Role:
        assert set(FLIGHTS[role]) == set(REACHED[role]) | after[role]
        assert {message_of(state) for state in FLIGHTS[role]} - {START} <= set(KNOWN)


def test_every_known_message_is_sent():
    assert {raw[0] for raw in KNOWN.values()} == set(HandshakeType)
    assert set(KNOWN) >= {cls.__name__ for cls in (*MESSAGES.values(), HelloRetryRequest)}


@pytest.mark.parametrize(
    ("role", "state", "message"),
    [
        pytest.param(role, state, message, id=f"{message} to our {role} after {state}")
        for role, flights in FLIGHTS.items()
        for state in flights
        for message in KNOWN
        if message not in may_come(role, state)
    ],
)
def test_refused(role, state, message):
    seen = Messages()
    if state in REACHED[role]:
        step, options, ours = REACHED[role][state]
        lies = {**options.get("lies", {}), step: KNOWN[message]}
        peer = meet(role, {**ours, "observers": [seen]}, **{**options, "lies": lies, "merged": False}).run()
    else:
        peer = meet(role, {"observers": [seen]}).run()
        REACHED_AFTER[state](peer)
        assert peer.connection.error is None
        peer.say(KNOWN[message])
    if message in CLASSES:
        assert type(seen.pop().message).__name__ == message
    assert states_of(role, seen)[-1] == state
    assert peer.refusal is not None
    assert peer.refusal.alert == "unexpected_message"
    assert peer.error.code in ("unexpected_message", "second_retry")
    assert_dead(peer.connection)


# Nothing less


def configurations(role):
    """Every shape of a handshake: options of the peer, of ours."""
    if role is Role.CLIENT:
        retries: tuple[dict[str, Any], ...] = (
            {},
            {"group": SECP256R1},
            {"cookie": b"crumbs"},
            {"cookie": b"crumbs", "group": SECP256R1},
        )
        ours: tuple[dict[str, Any], ...] = ({}, {"credentials": (credentials(certificates.client()),)})
        for retry, asks, mine, lies in product(retries, (False, True), ours, ({}, COMPRESSED)):
            yield {**retry, "requests_certificate": asks, "lies": lies}, {**mine, **INFLATING}
        for retry, takes, data in product(retries, (False, True), (b"", QUESTION)):
            yield {**retry, **KNOWS_IT, "takes_early_data": takes}, {**HOLDS_IT, "early_data": data}
    else:
        identities = (None, certificates.client())
        retries = ({}, {"shared_groups": ()})
        for retry, identity, mode, lies in product(retries, identities, ClientAuth, ({}, COMPRESSED)):
            if identity is not None or not mode.requires_certificate:
                yield {**retry, "identity": identity, "lies": lies}, {"client_auth": mode, **INFLATING}
        for retry, data in product(retries, (None, QUESTION)):
            yield {**retry, **SHOWS_IT, "early_data": data}, early()


def afterwards(role):
    """What the peer does when the handshake is complete."""
    if role is Role.SERVER:
        return [["KeyUpdate", "KeyUpdate"]]
    messages = ["NewSessionTicket", "KeyUpdate"]
    return [list(three) for three in product(messages, repeat=3)]


@pytest.mark.parametrize(
    ("role", "options", "ours"),
    [
        (Role.CLIENT, {}, {}),
        (Role.CLIENT, {"requests_certificate": True}, {}),
        (Role.SERVER, {"identity": certificates.client()}, ASKING),
    ],
)
def test_a_compressed_certificate_is_refused_where_none_was_offered(role, options, ours):
    peer = meet(role, ours, lies=COMPRESSED, **options).run()
    assert peer.refusal is not None
    assert peer.refusal[:2] == ("unexpected_message", "unexpected_message")


@pytest.mark.parametrize("role", list(Role))
def test_what_comes_in_order_over_all_configurations_is_the_table(role):
    observed = set()
    for (options, ours), later in product(list(configurations(role)), afterwards(role)):
        seen = Messages()
        peer = meet(role, {**ours, "observers": [seen]}, **options).run()
        assert peer.complete, peer.connection.error
        for message in later:
            REACHED_AFTER[message](peer)
        assert peer.connection.error is None
        observed |= set(pairwise(states_of(role, seen)))
    assert observed == {(state, following) for state, next_ones in FLIGHTS[role].items() for following in next_ones}


# The page


def test_the_page_is_drawn_from_the_tables():
    """If this fails: python -m handfast.tools.pages.flights > docs/flights.md"""
    assert (Path(__file__).parents[2] / "docs" / "flights.md").read_text() == page()


@pytest.mark.parametrize("role", list(Role))
def test_the_diagram_has_every_transition(role):
    drawn = [line for line in page().splitlines() if " --> " in line]
    tables = [*FLIGHTS.values(), *LATER.values(), *FLIGHTS_12.values()]
    assert len(drawn) == sum(len(following) for flights in tables for following in flights.values())
    for state in FLIGHTS[role]:
        assert state == START or message_of(state) in page()
