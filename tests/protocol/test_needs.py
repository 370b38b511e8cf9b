"""When the handshake waits for somebody other than the peer: signers and verifiers, prompt, late, wrong or failing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.credentials.credentials import Credentials
from handfast.credentials.signers import DEFERRED, LocalSigner
from handfast.engine import ClientAuth, Data, HandshakeDone, UnverifiedPeer, VerifiedPeer
from handfast.errors import ApiMisuse, HandfastError
from handfast.events import Event, NeedAnswered, NeedAsked
from handfast.handshake.needs import Judge as JudgeNeed
from handfast.handshake.needs import Need, Sign
from handfast.handshake.seams import REAL
from handfast.roles import Role
from handfast.verdict import accept, refuse
from tests import certificates
from tests.lies import APPLICATION_DATA, Record, change, followed_by
from tests.peer import Client, Server
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    Judge,
    both_roles,
    client,
    credentials,
    meet,
    server,
)
from tests.scripted import Peer


class Signer:
    """A signer that answers as told; ``None`` signs with the key of the certificate."""

    def __init__(self, issued, answer=None):
        self.local = LocalSigner(issued.key)
        self.schemes = self.local.schemes
        self.answer = answer

    def sign(self, scheme, message):
        if self.answer is None:
            return self.local.sign(scheme, message)
        return self.answer(lambda: self.local.sign(scheme, message))


def issued_for(role):
    return certificates.client() if role is Role.CLIENT else certificates.server()


def signing(role, answer):
    """Our connection of this role, whose signer answers so, and its peer, which asks for the signature."""
    signer = Signer(issued_for(role), answer)
    ours = {"credentials": (Credentials(issued_for(role).chain, signer),)}
    return meet(role, ours, **({"requests_certificate": True} if role is Role.CLIENT else {}))


def judging(role, answer, **ours):
    """Our connection of this role, whose verifier answers so, and its peer, which shows a certificate."""
    ours["verifier"] = Judge(answer)
    if role is Role.SERVER:
        ours["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
        return meet(role, ours, identity=certificates.client())
    return meet(role, ours)


def raising(error):
    def answer(*_):
        raise error

    return answer


# What protects the alert: a client judges and signs under handshake keys, a server signs before its Finished and judges
# after it.
SIGNING = dict.fromkeys(Role, HANDSHAKE_KEYS)
JUDGING = {Role.CLIENT: HANDSHAKE_KEYS, Role.SERVER: APPLICATION_KEYS}


# Verifiers


@pytest.mark.parametrize(
    "answer",
    [lambda: None, lambda: True, lambda: 1, lambda: "accepted", lambda: object, lambda: (True,), lambda: accept],
    ids=["None", "True", "1", "a string", "a class", "a tuple", "the maker itself"],
)
@both_roles
def test_a_verifier_that_returns_no_verdict_has_refused(role, answer):
    peer = judging(role, answer).run()
    assert peer.refusal == ("no_verdict", "internal_error", JUDGING[role])
    assert isinstance(peer.connection.info.peer, UnverifiedPeer)


@pytest.mark.parametrize("error", [ValueError("what"), KeyError(), RecursionError(), NotImplementedError()])
@both_roles
def test_a_verifier_that_raises_has_refused(role, error):
    peer = judging(role, raising(error)).run()
    assert peer.refusal == ("need_failed", "internal_error", JUDGING[role])
    assert type(error).__name__ in peer.error.what


@both_roles
def test_a_verifier_that_raises_a_refusal_of_ours_has_refused_with_it(role):
    peer = judging(role, raising(refuse("expired", "why").error())).run()
    assert peer.refusal == ("expired", "certificate_expired", JUDGING[role])


@both_roles
def test_a_verifier_that_misuses_us_has_refused(role):
    """ApiMisuse is the caller's fault and leaves a connection alone, but not if the verifier is the caller."""
    peer = judging(role, lambda: refuse("no such code", "why")).run()
    assert peer.refusal == ("need_failed", "internal_error", JUDGING[role])


@both_roles
def test_a_verifier_that_calls_the_connection_has_refused(role):
    peers: list[Peer] = []
    peers.append(judging(role, lambda: peers[0].connection.receive(b"")))
    peer = peers[0].run()
    assert peer.refusal == ("need_failed", "internal_error", JUDGING[role])


@both_roles
def test_under_modes_that_do_not_verify_a_verifier_that_raises_still_ends_the_connection(role):
    ours: dict[str, Any] = {"verifier": Judge(raising(ValueError()))}
    if role is Role.SERVER:
        ours["client_auth"] = ClientAuth.REQUEST
        peer = meet(role, ours, identity=certificates.client()).run()
    else:
        peer = meet(role, {**ours, "enforce_verdict": False}).run()
    assert peer.refusal == ("need_failed", "internal_error", JUDGING[role])


# Signers


@pytest.mark.parametrize("value", [None, True, "signature", 7, [1], bytearray(70), memoryview(b"signature")])
@both_roles
def test_a_signer_that_returns_no_bytes(role, value):
    peer = signing(role, lambda _: value).run()
    assert peer.refusal == ("signing_failed", "internal_error", SIGNING[role])


def with_another_end(signature):
    return signature[:-1] + bytes((signature[-1] ^ 1,))


@pytest.mark.parametrize(
    "value", [lambda _: b"", lambda _: bytes(70), lambda sign: with_another_end(sign()), lambda sign: sign() + b"\0"],
    ids=["nothing", "zeros", "one changed byte", "one byte more"],
)  # fmt: skip
@both_roles
def test_a_signature_that_our_own_certificate_does_not_verify_never_leaves(role, value):
    peer = signing(role, value).run()
    assert peer.refusal == ("wrong_signature", "internal_error", SIGNING[role])
    assert "CertificateVerify" not in [type(message).__name__ for message in peer.messages]


@both_roles
def test_a_signer_with_another_key(role):
    other = certificates.server("ecdsa-p256", names=("elsewhere",))
    ours = {"credentials": (Credentials(issued_for(role).chain, Signer(other)),)}
    peer = meet(role, ours, **({"requests_certificate": True} if role is Role.CLIENT else {})).run()
    assert peer.refusal == ("wrong_signature", "internal_error", SIGNING[role])


@pytest.mark.parametrize("error", [OSError("the token is gone"), ValueError(), ApiMisuse("no_need")])
@both_roles
def test_a_signer_that_raises(role, error):
    peer = signing(role, raising(error)).run()
    assert peer.refusal == ("signing_failed", "internal_error", SIGNING[role])
    assert str(error) in peer.error.what


def test_no_signer_runs_before_the_server_is_proven():
    asked = []

    def sign(signature):
        asked.append(signature)
        return signature()

    signer = Signer(certificates.client(), sign)
    for lie, times in ((change(verify_data=bytes(32)), 0), (followed_by(), 1)):
        ours = client(credentials=(Credentials(certificates.client().chain, signer),))
        Server(ours, requests_certificate=True, lies={"Finished": lie}).run()
        assert len(asked) == times


# Answers that come later


def deferring_all(role):
    """Our connection, whose signer and verifier both defer, with its peer."""
    signer = Signer(issued_for(role), lambda _: DEFERRED)
    options = {"verifier": Judge(DEFERRED), "credentials": (Credentials(issued_for(role).chain, signer),)}
    if role is Role.CLIENT:
        return meet(role, options, requests_certificate=True)
    options["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
    return meet(role, options, identity=certificates.client())


def answer_to(need):
    """What a good signer or verifier says."""
    if isinstance(need, Sign):
        local = LocalSigner(certificates.client().key if b"client" in need.content[64:] else certificates.server().key)
        return local.sign(need.scheme, need.content)
    assert isinstance(need, JudgeNeed)
    return accept()


@both_roles
def test_deferred_answers(role):
    peer = deferring_all(role)
    needs = []

    def answer(connection):
        need = connection.need
        assert connection.awaitable is None
        assert connection.receive(b"") == []
        assert connection.need is need
        needs.append(type(need))
        peer.results += connection.answer(need, answer_to(need))
        if connection.need is not None:
            answer(connection)

    peer.on_need = answer
    peer.run()
    assert peer.complete, peer.connection.error
    assert needs == ([JudgeNeed, Sign] if role is Role.CLIENT else [Sign, JudgeNeed])
    assert [type(result) for result in peer.results] == [HandshakeDone]
    assert isinstance(peer.connection.info.peer, VerifiedPeer)


@both_roles
def test_awaitable_answers(role):
    """The connection hands the awaitable on; whoever has an event loop awaits it."""

    async def verdict():
        await asyncio.sleep(0)
        return accept()

    async def signature(sign):
        await asyncio.sleep(0)
        return sign()

    signer = Signer(issued_for(role), signature)
    ours = {"verifier": Judge(verdict), "credentials": (Credentials(issued_for(role).chain, signer),)}
    if role is Role.SERVER:
        ours["client_auth"] = ClientAuth.REQUIRE_AND_VERIFY
        peer = meet(role, ours, identity=certificates.client())
    else:
        peer = meet(role, ours, requests_certificate=True)

    def answer(connection):
        while connection.need is not None:
            connection.answer(connection.need, asyncio.run(connection.awaitable))

    peer.on_need = answer
    assert peer.run().complete
    assert isinstance(peer.connection.info.peer, VerifiedPeer)


@both_roles
def test_what_came_while_we_waited_is_read_afterwards(role):
    peer = judging(role, DEFERRED).run()
    need = peer.connection.need
    assert isinstance(need, JudgeNeed)
    assert peer.connection.waiting_for == "our verifier"
    peer.say(Record(APPLICATION_DATA, b"data"))
    assert peer.results == []
    assert peer.connection.answer(need, accept()) == [HandshakeDone(peer.connection.info), Data(b"data")]


@both_roles
def test_what_may_come_while_we_wait_has_a_limit(role):
    peer = judging(role, DEFERRED).run()
    connection, need = peer.connection, peer.connection.need
    records = b"".join(peer._seal(Record(APPLICATION_DATA, bytes(1000))) for _ in range(80))
    room = limits.UNJUDGED_BYTES - connection.held
    assert connection.receive(records[:room]) == []
    assert connection.held == limits.UNJUDGED_BYTES
    # What is not taken may come again: it is no fault of the peer's.
    for _ in range(2):
        assert_refused("unjudged_bytes", connection.receive, records[room:])
    assert connection.held == limits.UNJUDGED_BYTES
    results = connection.answer(need, accept()) + connection.receive(records[room:])
    assert sum(len(result.data) for result in results if isinstance(result, Data)) == 80_000
    assert connection.error is None


@both_roles
def test_a_deferred_refusal(role):
    peer = judging(role, DEFERRED).run()
    with pytest.raises(HandfastError) as caught:
        peer.connection.answer(peer.connection.need, refuse("revoked", "why"))
    assert caught.value is peer.connection.error
    assert peer.refusal == ("revoked", "certificate_revoked", JUDGING[role])


@pytest.mark.parametrize("value", [None, True, object()])
@both_roles
def test_a_deferred_answer_that_is_no_verdict(role, value):
    peer = judging(role, DEFERRED).run()
    with pytest.raises(HandfastError):
        peer.connection.answer(peer.connection.need, value)
    assert peer.refusal == ("no_verdict", "internal_error", JUDGING[role])


@both_roles
def test_a_coroutine_that_nobody_awaited_is_a_refusal(role):
    async def verdict():
        return accept()

    peer = judging(role, DEFERRED).run()
    with pytest.raises(HandfastError):
        peer.connection.answer(peer.connection.need, verdict())
    assert peer.refusal == ("no_verdict", "internal_error", JUDGING[role])


@pytest.mark.parametrize("error", [TimeoutError, asyncio.CancelledError, KeyboardInterrupt])
@both_roles
def test_a_need_that_cannot_be_answered(role, error):
    for make, code, under in ((judging, "need_failed", JUDGING), (signing, "signing_failed", SIGNING)):
        answer = DEFERRED if make is judging else lambda _: DEFERRED
        peer = make(role, answer).run()
        with pytest.raises(HandfastError):
            peer.connection.fail(peer.connection.need, error("nobody answered"))
        assert peer.refusal == (code, "internal_error", under[role])
        assert "nobody answered" in peer.error.what


# An answer is tied to its need


def assert_refused(code, call, *arguments):
    with pytest.raises(ApiMisuse) as caught:
        call(*arguments)
    assert caught.value.code == code


@both_roles
def test_an_answer_that_nobody_waits_for(role):
    peer = meet(role)
    assert peer.connection.need is None
    need = Need()
    assert_refused("no_need", peer.connection.answer, need, accept())
    assert_refused("no_need", peer.connection.fail, need, ValueError())
    assert peer.run().complete


@both_roles
def test_a_double_answer(role):
    peer = judging(role, DEFERRED).run()
    need = peer.connection.need
    peer.connection.answer(need, accept())
    assert_refused("no_need", peer.connection.answer, need, accept())
    assert_refused("no_need", peer.connection.fail, need, ValueError())
    peer.flush()
    assert peer.connection.connected


@both_roles
def test_an_answer_to_an_earlier_need(role):
    peer = deferring_all(role)
    earlier: list[Need] = []

    def answer(connection):
        need = connection.need
        if not earlier:
            earlier.append(need)
        else:
            assert_refused("foreign_need", connection.answer, earlier[0], answer_to(earlier[0]))
            assert_refused("foreign_need", connection.fail, earlier[0], ValueError())
            assert connection.need is need
        peer.results += connection.answer(need, answer_to(need))
        if connection.need is not None:
            answer(connection)

    peer.on_need = answer
    assert peer.run().complete


@both_roles
def test_an_answer_to_the_need_of_another_connection(role):
    mine, other = judging(role, DEFERRED).run(), judging(role, DEFERRED).run()
    assert_refused("foreign_need", mine.connection.answer, other.connection.need, accept())
    assert_refused("foreign_need", mine.connection.answer, replace(mine.connection.need), accept())
    assert not mine.connection.connected
    mine.connection.answer(mine.connection.need, accept())
    assert mine.connection.connected


@both_roles
def test_no_answer_revives_a_dead_connection(role):
    peer = judging(role, DEFERRED).run()
    need = peer.connection.need
    with pytest.raises(HandfastError) as caught:
        peer.connection.timed_out()
    assert peer.connection.need is None
    with pytest.raises(HandfastError) as again:
        peer.connection.answer(need, accept())
    assert again.value is caught.value


# What observers hear of it


@both_roles
def test_waiting_is_told_with_its_place_and_how_long_it_took(role):
    events: list[Event] = []
    now = [100.0]
    seams = replace(REAL, monotonic=lambda: now[0])
    peer = judging(role, DEFERRED, observers=[events.append], seams=seams).run()
    now[0] += 2.5
    peer.connection.answer(peer.connection.need, accept())
    [waiting] = [event for event in events if isinstance(event, NeedAsked)]
    [resumed] = [event for event in events if isinstance(event, NeedAnswered)]
    assert waiting.what == resumed.what == "Judge"
    assert waiting.where.partition(":")[0] == str(role)
    assert resumed.seconds == 2.5


def test_credentials_of_a_local_key_need_nobody():
    assert Client(server(credentials=(credentials(certificates.server()),))).run().connection.need is None
