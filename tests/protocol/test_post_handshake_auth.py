"""A client that is asked for its certificate after the handshake: honest peers, and peers that lie about it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from handfast.crypto import signatures
from handfast.engine import (
    ClientAuth,
    Data,
    HandshakeDone,
    PeerAuthenticated,
    PeerClosed,
    UnverifiedPeer,
    VerifiedPeer,
)
from handfast.errors import ApiMisuse, HandfastError
from handfast.events import Epoch, Role
from handfast.handshake.flights import LATER, START, may_come
from handfast.handshake.flow import Judge as JudgeNeed
from handfast.handshake.flow import Sign
from handfast.limits import MAX_CERTIFICATE_REQUESTS, MAX_PENDING_CERTIFICATE_REQUESTS
from handfast.registry import AlertDescription
from handfast.trust.credentials import Credentials
from handfast.trust.signers import DEFERRED, LocalSigner
from handfast.trust.verdict import accept, refuse
from handfast.wire.extensions import CertificateAuthorities, Extensions, PostHandshakeAuth, SignatureSchemeList
from handfast.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    Finished,
    KeyUpdate,
)
from tests import certificates
from tests.lies import APPLICATION_DATA, HANDSHAKE, Record, alert, change, extended
from tests.peer import Client, Server
from tests.protocol.ours import APPLICATION_KEYS, SECP256R1, Judge, assert_dead, client, credentials, server
from tests.protocol.test_flights import CLASSES, KNOWN, TICKET, Messages, states_of
from tests.scripted import proof_content

NONE, REQUEST, REQUIRE_ANY, VERIFY_IF_GIVEN, REQUIRE_AND_VERIFY = ClientAuth
ALICE, MALLORY = certificates.client(), certificates.client(name="mallory")
OFFER = dict.fromkeys(("ClientHello", "SecondClientHello"), extended(PostHandshakeAuth()))
DATA = Record(APPLICATION_DATA, b"data")
SCHEMES = SignatureSchemeList(signatures.SUPPORTED_SCHEMES)


# Peers


class TheirClient(Client):
    """A client that offers authentication after the handshake, and answers requests, or lies in its answers."""

    def __init__(self, ours, **options):
        super().__init__(ours, **{"lies": OFFER, **options})
        self.run()
        assert self.complete, ours.error
        self.base = self.transcript.copy()
        self.results.clear()

    def _send_finished(self):
        self.handshake_secret = self.write_secret
        super()._send_finished()

    @property
    def requests(self):
        return [message for message in self.listen().messages if isinstance(message, CertificateRequest)]

    def answer(self, request=None, identity=ALICE, lies=None, *, key=None, proves_as="client", secret=None):
        """The messages of an answer as what they are sent as; a lie is about one of them, as in a handshake."""
        request = request or self.requests[-1]
        transcript = self.base.copy()
        transcript.add(request.raw)
        sent = []

        def say(message):
            lie = (lies or {}).get(type(message).__name__, message)
            lie = lie(message) if callable(lie) else lie
            for item in lie if isinstance(lie, list) else [lie]:
                raw = item if isinstance(item, bytes | Record) else item.encode()
                if isinstance(raw, bytes):
                    transcript.add(raw)
                sent.append(raw)

        chain: tuple[bytes, ...] = () if identity is None else identity.chain
        say(Certificate(request.certificate_request_context, tuple(map(CertificateEntry, chain))))
        if identity is not None:
            scheme = signatures.schemes_for(signatures.certificate_public_key(chain[0]))[0]
            content = proof_content(proves_as, transcript)
            say(CertificateVerify(scheme, signatures.sign(key or identity.key, scheme, content)))
        say(Finished((secret or self.write_secret).finished(transcript.digest())))
        return sent


class TheirServer(Server):
    """A server that asks after the handshake, and checks each answer."""

    def __init__(self, ours, **options):
        super().__init__(ours, **options)
        self.run()
        assert self.complete, ours.error
        self.base = self.transcript.copy()
        self.results.clear()

    def ask(self, context=b"context", *bodies):
        request = CertificateRequest(context, Extensions.of(*(bodies or (SCHEMES,))))
        self.say(request)
        return request

    def take_answer(self, request):
        """The chain of the next answer, which must be right in every point. It must be for ``request``."""
        transcript = self.base.copy()
        transcript.add(request.encode())
        certificate = self._take(Certificate, transcript)
        assert certificate.certificate_request_context == request.certificate_request_context
        chain = tuple(entry.cert_data for entry in certificate.certificate_list)
        if chain:
            content = proof_content("client", transcript)
            proof = self._take(CertificateVerify, transcript)
            assert signatures.verify(
                signatures.certificate_public_key(chain[0]), proof.algorithm, proof.signature, content
            )
        expected = self.read_secret.finished(transcript.digest())
        assert self._take(Finished, transcript).verify_data == expected
        return chain

    def _take(self, kind, transcript):
        while isinstance(message := self._next(), KeyUpdate):
            self._follow()
        assert isinstance(message, kind), message
        transcript.add(message.raw)
        return message

    def _next(self):
        self._incoming += self.connection.outgoing()
        return self._next_message()

    def _follow(self):
        self._read_with(Epoch.APPLICATION, self.read_secret.updated())


def our_server(**options):
    """Our server, which asked a client that offered it, and the client."""
    asks = options.pop("asks", {})
    ours = server(**{"client_auth": NONE, **options})
    peer = TheirClient(ours)
    ours.request_client_certificate(**asks)
    return peer


def our_client(**options):
    options.setdefault("credentials", (credentials(ALICE),))
    return TheirServer(client(post_handshake_auth=True, **options))


def authenticated(peer):
    return [result.peer for result in peer.results if isinstance(result, PeerAuthenticated)]


def data_of(peer):
    return [bytes(result.data) for result in peer.results if isinstance(result, Data)]


def check_refused(act, code, alert_name, **options):
    """``act`` of a client that was asked is refused: at once and byte by byte, watched and not."""
    for chunk, observers in ((0, []), (1, [repr])):
        peer = our_server(observers=observers, **options)
        peer.chunk = chunk
        act(peer)
        assert peer.refusal == (code, alert_name, APPLICATION_KEYS), peer.connection.error
        assert_dead(peer.connection)
        assert authenticated(peer) == []


def check_client_refuses(act, code, alert_name, **options):
    for chunk, observers in ((0, []), (1, [repr])):
        peer = our_client(observers=observers, **options)
        peer.chunk = chunk
        act(peer)
        assert peer.refusal == (code, alert_name, APPLICATION_KEYS), peer.connection.error
        assert_dead(peer.connection)


# Our server asks

NO_CERTIFICATE, GOOD, REFUSED, NOT_PROVEN = "no certificate", "good", "refused", "not proven"
REQUIRED = ("certificate_required", "certificate_required", APPLICATION_KEYS)
UNKNOWN = ("unknown_issuer", "unknown_ca", APPLICATION_KEYS)
UNPROVEN = ("bad_signature", "decrypt_error", APPLICATION_KEYS)
OUTCOMES: dict[ClientAuth, dict[str, Any]] = {
    NONE: {NO_CERTIFICATE: None, GOOD: VerifiedPeer, REFUSED: UnverifiedPeer, NOT_PROVEN: UNPROVEN},
    REQUEST: {NO_CERTIFICATE: None, GOOD: VerifiedPeer, REFUSED: UnverifiedPeer, NOT_PROVEN: UNPROVEN},
    REQUIRE_ANY: {NO_CERTIFICATE: REQUIRED, GOOD: VerifiedPeer, REFUSED: UnverifiedPeer, NOT_PROVEN: UNPROVEN},
    VERIFY_IF_GIVEN: {NO_CERTIFICATE: None, GOOD: VerifiedPeer, REFUSED: UNKNOWN, NOT_PROVEN: UNPROVEN},
    REQUIRE_AND_VERIFY: {NO_CERTIFICATE: REQUIRED, GOOD: VerifiedPeer, REFUSED: UNKNOWN, NOT_PROVEN: UNPROVEN},
}


@pytest.mark.parametrize("what", [NO_CERTIFICATE, GOOD, REFUSED, NOT_PROVEN])
@pytest.mark.parametrize("mode", ClientAuth)
def test_every_mode_against_every_client(mode, what):
    judge = Judge(refuse("unknown_issuer", "its CA is unknown") if what == REFUSED else None)
    peer = our_server(verifier=judge, asks={"client_auth": mode})
    identity = None if what == NO_CERTIFICATE else ALICE
    peer.say(*peer.answer(identity=identity, key=MALLORY.key if what == NOT_PROVEN else None))

    expected, ours = OUTCOMES[mode][what], peer.connection
    if isinstance(expected, tuple):
        assert peer.refusal == expected
        assert not isinstance(ours.info.peer, VerifiedPeer)
        assert authenticated(peer) == []
    else:
        assert peer.refusal is None, ours.error
        assert authenticated(peer) == [ours.info.peer]
        assert type(ours.info.peer) is (type(None) if expected is None else expected)
    assert len(judge.asked) == (what in (GOOD, REFUSED))
    assert ours.info.presented == (() if identity is None else ALICE.chain)


@pytest.mark.parametrize("mode", [mode for mode in ClientAuth if mode is not NONE])
def test_the_mode_of_the_configuration_holds_unless_another_is_given(mode):
    ours = server(client_auth=mode)
    peer = TheirClient(ours, identity=MALLORY)
    before = ours.info.verified_peer
    assert before is not None
    ours.request_client_certificate()
    peer.say(*peer.answer(identity=None))
    if mode.requires_certificate:
        assert peer.refusal == REQUIRED
    else:
        assert authenticated(peer) == [None]
        # It declined to show another certificate, and is still who it was.
        assert ours.info.peer is before


def test_a_client_can_become_somebody_else():
    ours = server(client_auth=REQUEST)
    peer = TheirClient(ours, identity=MALLORY)
    context = ours.request_client_certificate()
    peer.say(*peer.answer())
    now = ours.info.verified_peer
    assert now is not None
    assert now.chain == ALICE.chain
    assert peer.results == [PeerAuthenticated(context, now)]


def test_the_request():
    peer = our_server(ca_names=(b"0\0",))
    (request,) = peer.requests
    assert len(request.certificate_request_context) == 32
    assert request.extensions == Extensions.of(SCHEMES, CertificateAuthorities((b"0\0",)))
    peer.connection.request_client_certificate()
    assert len({request.certificate_request_context for request in peer.requests}) == 2


def test_identity_holds_for_what_comes_later_only():
    peer = our_server()
    ours = peer.connection
    peer.say(DATA)
    assert (peer.results, ours.info.peer) == ([Data(b"data")], None)
    peer.say(DATA, *peer.answer(), Record(APPLICATION_DATA, b"more"))
    assert [type(result) for result in peer.results] == [Data, Data, PeerAuthenticated, Data]
    assert isinstance(ours.info.peer, VerifiedPeer)
    ours.send(b"ours")
    assert bytes(peer.listen().data) == b"ours"


def test_an_answer_in_pieces():
    peer = our_server()
    peer.fragment, peer.chunk = 7, 1
    peer.say(*peer.answer())
    assert isinstance(authenticated(peer)[0], VerifiedPeer)


def test_new_keys_between_request_and_answer():
    peer = our_server()
    peer.update_keys().update_keys()
    peer.connection.update_keys(request=True)
    peer.listen()
    peer.update_keys()
    peer.say(*peer.answer())
    assert isinstance(authenticated(peer)[0], VerifiedPeer)
    peer.update_keys().say(DATA)
    assert data_of(peer) == [b"data"]


def test_requests_may_be_answered_in_any_order():
    peer = our_server()
    ours = peer.connection
    for _ in range(MAX_PENDING_CERTIFICATE_REQUESTS - 1):
        ours.request_client_certificate()
    with pytest.raises(ApiMisuse, match="8 requests have no answer"):
        ours.request_client_certificate()
    for number, request in enumerate(reversed(peer.requests)):
        identity = (ALICE, MALLORY, None)[number % 3]
        peer.say(*peer.answer(request, identity), DATA)
        result = peer.results[-2]
        assert result.context == request.certificate_request_context
        assert result.peer is None if identity is None else result.peer.chain == identity.chain
    assert ours.info.peer.chain == MALLORY.chain
    ours.request_client_certificate()


def test_after_a_hello_retry_request_and_in_small_records():
    ours = server(groups=(SECP256R1,), max_fragment=64)
    peer = TheirClient(ours, shared_groups=())
    ours.request_client_certificate()
    peer.say(*peer.answer())
    assert ours.info.retried
    assert isinstance(authenticated(peer)[0], VerifiedPeer)


def why_not(ours):
    with pytest.raises(ApiMisuse) as caught:
        ours.request_client_certificate()
    assert caught.value.code == "cannot_request"
    return caught.value.what


def test_when_no_certificate_can_be_requested():
    ours = server()
    assert "not complete" in why_not(ours)
    TheirClient(ours, lies={})
    assert "did not offer" in why_not(ours)
    ours = server()
    TheirClient(ours)
    ours.close()
    assert "closed" in why_not(ours)
    for protocol in ("h2", "h3"):
        ours = server(application_protocols=(protocol,))
        TheirClient(ours, protocols=(protocol.encode(),))
        assert f"{protocol} forbids it" in why_not(ours)
        assert ours.outgoing() == b""


def test_a_mode_that_verifies_needs_a_verifier():
    ours = server(verifier=None)
    TheirClient(ours)
    with pytest.raises(ApiMisuse) as caught:
        ours.request_client_certificate(client_auth=REQUIRE_AND_VERIFY)
    assert caught.value.code == "bad_argument"
    ours.request_client_certificate(client_auth=REQUIRE_ANY)


# Their client lies


@pytest.mark.parametrize(
    ("lies", "code", "name"),
    [
        ({"Certificate": change(certificate_request_context=b"")}, "certificate_context", "illegal_parameter"),
        ({"Certificate": change(certificate_request_context=bytes(32))}, "certificate_context", "illegal_parameter"),
        ({"CertificateVerify": []}, "unexpected_message", "unexpected_message"),
        ({"CertificateVerify": change(signature=b"")}, "bad_signature", "decrypt_error"),
        ({"CertificateVerify": change(algorithm=0x0401)}, "scheme_forbidden", "illegal_parameter"),
        ({"CertificateVerify": change(algorithm=0x0201)}, "scheme_not_offered", "illegal_parameter"),
        ({"CertificateVerify": change(algorithm=0x0804)}, "scheme_for_other_key", "illegal_parameter"),
        ({"Finished": change(verify_data=bytes(32))}, "bad_finished", "decrypt_error"),
        ({"Finished": change(verify_data=b"")}, "length_out_of_bounds", "decode_error"),
    ],
)
def test_a_wrong_message(lies, code, name):
    check_refused(lambda peer: peer.say(*peer.answer(lies=lies)), code, name)


def test_a_wrong_finished_of_a_client_that_declines():
    lies = {"Finished": change(verify_data=bytes(32))}
    check_refused(lambda peer: peer.say(*peer.answer(identity=None, lies=lies)), "bad_finished", "decrypt_error")


def test_a_finished_by_the_keys_before_the_last_key_update():
    def act(peer):
        secret = peer.write_secret
        peer.update_keys().say(*peer.answer(secret=secret))

    check_refused(act, "bad_finished", "decrypt_error")


def test_a_finished_by_the_handshake_keys():
    def act(peer):
        peer.say(*peer.answer(secret=peer.handshake_secret))

    check_refused(act, "bad_finished", "decrypt_error")


def test_a_transcript_without_the_request():
    def act(peer):
        request = peer.requests[-1]
        request.raw = b""
        peer.say(*peer.answer(request))

    check_refused(act, "bad_signature", "decrypt_error")


def test_a_proof_of_another_request():
    """What a key signed for one request is of no use for another."""

    def act(peer):
        peer.connection.request_client_certificate()
        first, second = peer.requests
        stolen = peer.answer(first)[1]
        peer.say(*peer.answer(second, key=MALLORY.key, lies={"CertificateVerify": stolen}))

    check_refused(act, "bad_signature", "decrypt_error")


def test_a_proof_in_the_servers_name():
    check_refused(lambda peer: peer.say(*peer.answer(proves_as="server")), "bad_signature", "decrypt_error")


def test_a_second_answer():
    def act(peer):
        answer = peer.answer()
        peer.say(*answer)
        peer.results.clear()
        peer.say(*answer)

    check_refused(act, "unexpected_message", "unexpected_message")


def test_a_second_answer_while_another_is_asked_for():
    def act(peer):
        answer = peer.answer()
        peer.connection.request_client_certificate()
        peer.say(*answer)
        peer.results.clear()
        peer.say(*answer)

    check_refused(act, "certificate_context", "illegal_parameter")


def test_an_answer_inside_of_another():
    def act(peer):
        peer.connection.request_client_certificate()
        first, second = (peer.answer(request) for request in peer.requests)
        peer.say(first[0], *second)

    check_refused(act, "unexpected_message", "unexpected_message")


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("between", [DATA, KeyUpdate(0), KeyUpdate(1), alert(AlertDescription.handshake_failure)])
def test_between_the_messages_of_an_answer_comes(at, between):
    def act(peer):
        answer = peer.answer()
        peer.say(*answer[:at], between, *answer[at:])

    if isinstance(between, Record) and between.content_type != APPLICATION_DATA:
        peer = our_server()
        act(peer)
        assert peer.error.code == "handshake_failure"
    else:
        check_refused(act, "unexpected_message", "unexpected_message")


def test_data_inside_a_message_of_an_answer():
    def act(peer):
        certificate = peer.answer()[0]
        peer.say(Record(HANDSHAKE, certificate[:9]), DATA)

    check_refused(act, "interleaved_record", "unexpected_message")


def test_a_client_may_leave_in_the_middle_of_an_answer():
    peer = our_server()
    peer.say(*peer.answer()[:2], alert(AlertDescription.close_notify, 1))
    assert [type(result) for result in peer.results] == [PeerClosed]
    assert peer.connection.error is None
    assert peer.connection.info.peer is None


def test_an_answer_to_no_request():
    for lies in ({}, OFFER):
        ours = server()
        peer = TheirClient(ours, lies=lies)
        request = CertificateRequest(b"", Extensions.of(SCHEMES))
        request.raw = request.encode()
        peer.say(*peer.answer(request))
        assert peer.refusal == ("unexpected_message", "unexpected_message", APPLICATION_KEYS)


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


# Our server waits for a verdict


def test_data_is_read_while_a_verdict_is_awaited():
    peer = our_server(verifier=Judge(DEFERRED))
    ours = peer.connection
    peer.say(*peer.answer(), DATA)
    need = ours.need
    assert isinstance(need, JudgeNeed)
    assert (data_of(peer), ours.info.peer) == ([b"data"], None)
    peer.update_keys(1).say(DATA)
    ours.send(b"ours")
    assert data_of(peer) == [b"data", b"data"]
    assert bytes(peer.listen().data) == b"ours"
    (result,) = ours.answer(need, accept())
    assert result.peer is ours.info.verified_peer
    assert ours.need is None


def test_verdicts_are_asked_for_one_at_a_time():
    judge = Judge(DEFERRED)
    peer = our_server(verifier=judge)
    ours = peer.connection
    ours.request_client_certificate()
    first, second = peer.requests
    peer.say(*peer.answer(second, MALLORY), *peer.answer(first, ALICE), DATA)
    assert [presented.chain for presented in judge.asked] == [MALLORY.chain]
    assert data_of(peer) == [b"data"]
    old = ours.need
    (result,) = ours.answer(old, accept())
    assert (result.context, result.peer.chain) == (second.certificate_request_context, MALLORY.chain)
    with pytest.raises(ApiMisuse, match="another need"):
        ours.answer(old, accept())
    (result,) = ours.answer(ours.need, accept())
    assert (result.context, result.peer.chain) == (first.certificate_request_context, ALICE.chain)


def test_a_deferred_refusal():
    peer = our_server(verifier=Judge(DEFERRED), asks={"client_auth": REQUIRE_AND_VERIFY})
    peer.say(*peer.answer())
    with pytest.raises(HandfastError):
        peer.connection.answer(peer.connection.need, refuse("revoked", "why"))
    assert peer.refusal == ("revoked", "certificate_revoked", APPLICATION_KEYS)
    assert isinstance(peer.connection.info.peer, UnverifiedPeer)


@pytest.mark.parametrize("answer", [None, True, object()])
def test_what_is_no_verdict_is_a_refusal(answer):
    peer = our_server(verifier=Judge(lambda: answer), asks={"client_auth": REQUIRE_AND_VERIFY})
    peer.say(*peer.answer())
    assert peer.refusal == ("no_verdict", "internal_error", APPLICATION_KEYS)


@pytest.mark.parametrize("error", [TimeoutError, asyncio.CancelledError])
def test_a_verdict_that_does_not_come(error):
    peer = our_server(verifier=Judge(DEFERRED))
    peer.say(*peer.answer())
    with pytest.raises(HandfastError):
        peer.connection.fail(peer.connection.need, error("nobody answered"))
    assert peer.refusal == ("need_failed", "internal_error", APPLICATION_KEYS)


def test_a_verdict_after_our_close():
    peer = our_server(verifier=Judge(DEFERRED))
    peer.say(*peer.answer())
    peer.connection.close()
    (result,) = peer.connection.answer(peer.connection.need, accept())
    assert isinstance(result.peer, VerifiedPeer)


@pytest.mark.parametrize("call", [lambda ours: ours.receive(b""), lambda ours: ours.send(b"x")])
def test_a_verifier_that_calls_the_connection_has_refused(call):
    peers: list[Any] = []
    peers.append(our_server(verifier=Judge(lambda: call(peers[0].connection))))
    peer = peers[0]
    peer.say(*peer.answer())
    assert peer.refusal == ("need_failed", "internal_error", APPLICATION_KEYS)
    assert "inside one of its own callbacks" in peer.error.what


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
