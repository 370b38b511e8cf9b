"""Our server asks clients for their certificate after the handshake: honest clients, and clients that lie about it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from handfast.credentials.signers import DEFERRED
from handfast.engine import (
    ClientAuth,
    Data,
    PeerAuthenticated,
    PeerClosed,
    UnverifiedPeer,
    VerifiedPeer,
)
from handfast.errors import ApiMisuse, HandfastError
from handfast.handshake.needs import Judge as JudgeNeed
from handfast.limits import MAX_PENDING_CERTIFICATE_REQUESTS
from handfast.registry import AlertDescription
from handfast.verdict import accept, refuse
from handfast.wire.extensions import CertificateAuthorities, Extensions
from handfast.wire.messages import (
    CertificateRequest,
    KeyUpdate,
)
from tests.lies import APPLICATION_DATA, HANDSHAKE, Record, alert, change
from tests.protocol.later import (
    ALICE,
    DATA,
    MALLORY,
    OFFER,
    SCHEMES,
    TheirClient,
    authenticated,
    check_refused,
    data_of,
    our_server,
)
from tests.protocol.ours import APPLICATION_KEYS, SECP256R1, Judge, server

NONE, REQUEST, REQUIRE_ANY, VERIFY_IF_GIVEN, REQUIRE_AND_VERIFY = ClientAuth

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
    assert ours.info.peer_chain == (() if identity is None else ALICE.chain)


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


def test_what_was_wrong_with_a_certificate_is_forgotten_with_the_next():
    verdicts = iter([refuse("expired", "it is old"), accept(), refuse("revoked", "it is stolen")])
    peer = our_server(verifier=Judge(lambda: next(verdicts)))
    ours = peer.connection
    for kind, error in ((UnverifiedPeer, "it is old"), (VerifiedPeer, ""), (UnverifiedPeer, "it is stolen")):
        peer.say(*peer.answer())
        assert (type(ours.info.peer), ours.info.client_cert_error) == (kind, error)
        ours.request_client_certificate()


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
