"""Our client is asked for its certificate after the handshake, by honest servers and others; and every order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from handfast.credentials.credentials import Credentials
from handfast.credentials.signers import DEFERRED, LocalSigner
from handfast.engine import (
    HandshakeDone,
    PeerAuthenticated,
)
from handfast.handshake.needs import Sign
from handfast.limits import MAX_CERTIFICATE_REQUESTS, MAX_PENDING_CERTIFICATE_REQUESTS
from handfast.pki.authority import Issued
from handfast.roles import Role
from handfast.sessions.state import ClientSession
from handfast.tools.pages.flights import LATER, START, may_come
from handfast.wire.extensions import CertificateAuthorities, Extensions, PostHandshakeAuth, SignatureSchemeList
from handfast.wire.messages import (
    Certificate,
    CertificateRequest,
    ClientHello,
    Finished,
    NewSessionTicket,
)
from tests import certificates
from tests.lies import APPLICATION_DATA, HANDSHAKE
from tests.peer import Server
from tests.protocol.later import (
    ALICE,
    DATA,
    MALLORY,
    SCHEMES,
    TheirClient,
    TheirServer,
    check_client_refuses,
    data_of,
    our_client,
    our_server,
)
from tests.protocol.ours import APPLICATION_KEYS, SECP256R1, assert_dead, client, credentials, server
from tests.protocol.test_flights import CLASSES, KNOWN, TICKET, Messages, states_of

# Our client answers


def test_our_client_offers_it_only_if_told():
    for offers in (False, True):
        peer = Server(client(post_handshake_auth=offers)).run()
        assert (peer.got(ClientHello).find(PostHandshakeAuth) is not None) == offers


def test_our_client_answers():
    peer = our_client()
    request = peer.ask()
    assert peer.take_answer(request) == ALICE.chain
    info = peer.connection.info
    assert (info.client_auth_requested, info.certificate_sent, info.ca_names) == (True, True, ())
    assert peer.results == []
    peer.connection.send(b"ours")
    assert bytes(peer.say(DATA).listen().data) == b"ours"


def test_our_client_answers_again_and_after_the_handshakes_own_request():
    ours = client(post_handshake_auth=True, credentials=(credentials(ALICE),))
    peer = TheirServer(ours, requests_certificate=True, group=SECP256R1)
    for number in range(3):
        request = peer.ask(b"%d" % number)
        assert peer.take_answer(request) == ALICE.chain


def test_our_client_without_a_certificate_that_fits():
    for mine in ((), (credentials(ALICE),)):
        peer = our_client(credentials=mine)
        request = peer.ask(b"context", SignatureSchemeList((0x0807,)))
        assert peer.take_answer(request) == ()
        assert not peer.connection.info.certificate_sent


def test_our_client_prefers_the_certificate_of_a_ca_that_is_named():
    stranger = certificates.other_ca().client("alice")
    peer = our_client(credentials=(credentials(stranger), credentials(ALICE)))
    name = certificates.ca().certificate.subject.public_bytes()
    assert peer.take_answer(peer.ask(b"a", SCHEMES, CertificateAuthorities((name,)))) == ALICE.chain
    assert peer.take_answer(peer.ask(b"b")) == stranger.chain


def test_our_client_answers_under_the_keys_of_the_moment():
    peer = our_client()
    peer.connection.update_keys()
    peer.update_keys(1)
    peer.connection.send(b"data")
    assert peer.take_answer(peer.ask()) == ALICE.chain


def test_an_answer_in_small_records_is_consecutive():
    peer = our_client(max_fragment=64)
    request = peer.ask()
    peer.connection.send(b"data")
    assert peer.take_answer(request) == ALICE.chain
    peer.listen()
    kinds = [record.content_type for record in peer.records if record.under == APPLICATION_KEYS]
    assert kinds == [HANDSHAKE] * (len(kinds) - 1) + [APPLICATION_DATA]


# Their server lies


@pytest.mark.parametrize(
    ("request_", "code", "name"),
    [
        (CertificateRequest(b"a", Extensions()), "missing_extension", "missing_extension"),
        (
            CertificateRequest(b"a", Extensions.of(SCHEMES, PostHandshakeAuth())),
            "extension_in_wrong_message",
            "illegal_parameter",
        ),
    ],
)
def test_a_wrong_request(request_, code, name):
    check_client_refuses(lambda peer: peer.say(request_), code, name)


def test_a_context_that_came_before():
    def act(peer):
        for context in (b"a", b"b", b"", b"a"):
            assert peer.connection.error is None
            peer.ask(context)

    check_client_refuses(act, "reused_request_context", "illegal_parameter")


def test_the_context_of_the_handshakes_own_request():
    ours = client(post_handshake_auth=True)
    peer = TheirServer(ours, requests_certificate=True)
    peer.ask(b"")
    assert peer.refusal == ("reused_request_context", "illegal_parameter", APPLICATION_KEYS)


@pytest.mark.parametrize("protocol", ["h2", "h3"])
def test_a_request_under_a_protocol_that_forbids_it(protocol):
    ours = client(post_handshake_auth=True, application_protocols=(protocol,))
    peer = TheirServer(ours, protocol=protocol.encode())
    peer.ask()
    assert peer.refusal == ("unexpected_message", "unexpected_message", APPLICATION_KEYS)


def test_more_requests_than_one_connection_may_bring(monkeypatch):
    def act(peer):
        for number in range(MAX_CERTIFICATE_REQUESTS):
            peer.ask(b"%d" % number)
        assert peer.connection.error is None
        peer.ask(b"one more")

    check_client_refuses(act, "too_many_certificate_requests", "unexpected_message", credentials=())


def test_more_requests_than_may_wait():
    def act(peer):
        for number in range(MAX_PENDING_CERTIFICATE_REQUESTS):
            peer.ask(b"%d" % number)
        assert peer.connection.error is None
        peer.ask(b"one more")

    check_client_refuses(act, "too_many_certificate_requests", "unexpected_message", credentials=(signing_later(),))


# Our client waits for a signature


class Signer:
    """A signer that says what it was made to say."""

    def __init__(self, answer=lambda: DEFERRED):
        self.schemes = LocalSigner(ALICE.key).schemes
        self.answer = answer

    def sign(self, scheme, content):
        return self.answer()


def signing_later(*answer):
    return Credentials(ALICE.chain, Signer(*answer))


def signature(need):
    assert isinstance(need, Sign)
    return LocalSigner(ALICE.key).sign(need.scheme, need.content)


def test_data_goes_both_ways_while_a_signature_is_awaited():
    peer = our_client(credentials=(signing_later(),))
    ours = peer.connection
    request = peer.ask()
    need = ours.need
    assert isinstance(need, Sign)
    peer.say(DATA).update_keys(1).say(TICKET, DATA)
    ours.send(b"first")
    assert data_of(peer) == [b"data", b"data"]
    assert ours.answer(need, signature(need)) == []
    ours.send(b"second")
    # Under the keys that the KeyUpdate before "first" put on.
    assert peer.take_answer(request) == ALICE.chain
    peer.listen()
    kinds = [record.content_type for record in peer.records if record.under == APPLICATION_KEYS]
    assert kinds == [HANDSHAKE, APPLICATION_DATA, HANDSHAKE, APPLICATION_DATA]
    assert bytes(peer.data) == b"firstsecond"


def test_signatures_are_asked_for_one_at_a_time():
    peer = our_client(credentials=(signing_later(),))
    ours = peer.connection
    requests = [peer.ask(b"%d" % number) for number in range(MAX_PENDING_CERTIFICATE_REQUESTS)]
    for request in requests:
        assert peer.listen().messages[-1].HANDSHAKE_TYPE == Finished.HANDSHAKE_TYPE
        peer.connection.answer(ours.need, signature(ours.need))
        assert peer.take_answer(request) == ALICE.chain
    assert ours.need is None
    assert peer.ask(b"again")
    assert ours.need is not None


def test_a_signature_that_comes_after_our_close_is_not_used():
    peer = our_client(credentials=(signing_later(),))
    ours = peer.connection
    peer.ask()
    need = ours.need
    ours.close()
    peer.ask(b"another")
    assert ours.answer(need, signature(need)) == []
    peer.say(DATA)
    assert data_of(peer) == [b"data"]
    assert [type(message) for message in peer.listen().messages[-1:]] == [Finished]
    assert peer.records[-1].content_type not in (HANDSHAKE, APPLICATION_DATA)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(lambda: b"", "wrong_signature"), (lambda: None, "signing_failed"), (dict.popitem, "signing_failed")],
)
def test_a_signer_that_fails(answer, code):
    peer = our_client(credentials=(signing_later(answer),))
    peer.ask()
    assert peer.refusal == (code, "internal_error", APPLICATION_KEYS)
    assert not any(isinstance(message, Certificate) for message in peer.messages)


def test_a_signer_that_calls_the_connection_has_failed():
    peers: list[Any] = []
    peers.append(our_client(credentials=(signing_later(lambda: peers[0].connection.send(b"x")),)))
    peers[0].ask()
    assert peers[0].refusal == ("signing_failed", "internal_error", APPLICATION_KEYS)


# Both are ours


def test_our_client_and_our_server():
    ours = client(post_handshake_auth=True, credentials=(credentials(ALICE),))
    theirs = server()
    results = []
    while not (ours.connected and theirs.connected):
        results += theirs.receive(ours.outgoing())
        results += ours.receive(theirs.outgoing())
    assert theirs.info.post_handshake_auth
    for _ in range(3):
        context = theirs.request_client_certificate()
        assert ours.receive(theirs.outgoing()) == []
        (result,) = theirs.receive(ours.outgoing())
        assert result == PeerAuthenticated(context, theirs.info.verified_peer)
    assert [type(result) for result in results] == [HandshakeDone, HandshakeDone]


# Every order that the table does not allow

REACHED = {
    Role.SERVER: {
        START: lambda peer: peer,
        "KeyUpdate": TheirClient.update_keys,
        "Certificate; empty": lambda peer: peer.say(*peer.answer(identity=None)[:1]),
        "Certificate; not empty": lambda peer: peer.say(*peer.answer()[:1]),
        "CertificateVerify": lambda peer: peer.say(*peer.answer()[:2]),
        "Finished": lambda peer: peer.say(*peer.answer()),
    },
    Role.CLIENT: {
        START: lambda peer: peer,
        "NewSessionTicket": lambda peer: peer.say(TICKET),
        "KeyUpdate": TheirServer.update_keys,
        "CertificateRequest": lambda peer: peer.ask(),
    },
}


@pytest.mark.parametrize(
    ("role", "state", "message"),
    [
        pytest.param(role, state, message, id=f"{message} to our {role} after {state}")
        for role, flights in LATER.items()
        for state in flights
        for message in KNOWN
        if message not in may_come(role, state, LATER)
    ],
)
def test_refused(role, state, message):
    seen = Messages()
    peer = our_client(observers=[seen]) if role is Role.CLIENT else our_server(observers=[seen])
    REACHED[role][state](peer)
    assert peer.connection.error is None
    peer.say(KNOWN[message])
    if message in CLASSES:
        assert type(seen.pop().message).__name__ == message
    assert peer.refusal is not None
    assert (peer.error.code, peer.refusal.alert) == ("unexpected_message", "unexpected_message")
    assert_dead(peer.connection)


@pytest.mark.parametrize("role", list(Role))
def test_what_comes_in_order_is_the_table(role):
    observed = set()
    for states in paths(role):
        seen = Messages()
        peer = our_client(observers=[seen]) if role is Role.CLIENT else our_server(observers=[seen])
        handshake_messages = len(states_of(role, seen)) - 1
        answer = iter(())
        for number, state in enumerate(states):
            if state == "CertificateRequest":
                peer.ask(b"%d" % number)
            elif state in ("KeyUpdate", "NewSessionTicket"):
                REACHED[role][state](peer)
            elif state.startswith("Certificate;"):
                answer = iter(peer.answer(identity=None if state.endswith("; empty") else ALICE))
                peer.say(next(answer))
            else:
                peer.say(next(answer))
        assert peer.connection.error is None
        states = [START, *states_of(role, seen)[1 + handshake_messages :]]
        observed |= set(pairwise(states))
    assert observed == {(state, following) for state, next_ones in LATER[role].items() for following in next_ones}


def paths(role):
    """Ways through the table that take each of its arrows."""
    if role is Role.CLIENT:
        names = LATER[role][START]
        return [(first, second) for first in names for second in names]
    empty, full = ("Certificate; empty", "Finished"), ("Certificate; not empty", "CertificateVerify", "Finished")
    return [(*before, *answer, "KeyUpdate") for before in ((), ("KeyUpdate", "KeyUpdate")) for answer in (empty, full)]


# Tickets that come after an answer


class Handle:
    """Credentials that are loaded anew by setting ``current``."""

    def __init__(self, issued: Issued) -> None:
        self.current = credentials(issued)


def kept_around_an_answer(then: Callable[[], None] = lambda: None, **options: Any) -> list[bool]:
    """Of a ticket before the answer and one after it: whether the session that is kept stands for our certificate."""
    kept: list[bool] = []

    class Sessions:
        def put(self, partition: bytes, session: ClientSession) -> None:
            kept.append(session.identified)

        def take(self, partition: bytes) -> None:
            return None

    peer = our_client(sessions=Sessions(), **options)
    for number in range(2):
        peer.say(NewSessionTicket(1000, 0, bytes((number,)), b"ticket", Extensions())).listen()
        if not number:
            then()
            peer.take_answer(peer.ask())
    assert peer.connection.error is None
    return kept


def test_a_session_stands_for_what_was_shown_after_the_handshake():
    assert kept_around_an_answer() == [False, True]
    # A server whose request was declined has nobody to remember.
    assert kept_around_an_answer(credentials=()) == [False, False]


def test_a_session_of_whom_we_became_after_the_handshake_is_not_kept_for_whom_we_were():
    handle = Handle(ALICE)

    def change() -> None:
        handle.current = credentials(MALLORY)

    assert kept_around_an_answer(change, credentials=(handle,)) == [False]
