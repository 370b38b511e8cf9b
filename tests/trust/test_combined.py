"""AllOf, WithTimeout, DangerouslyAcceptAnyone: what they make of every answer that a verifier can give."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

import handfast
from handfast.errors import ApiMisuse, CertificateRejected
from handfast.trust.pins import key_pin
from handfast.trust.presented import PresentedChain
from handfast.x509.purpose import Purpose
from tests import certificates

PRESENTED = PresentedChain(
    chain=certificates.server().chain, purpose=Purpose.SERVER, server_name="localhost", at=datetime.now(UTC)
)
PATH = handfast.PathVerifier(handfast.Roots.from_der([certificates.ca().certificate_der]))


class Says:
    """Answers with what it was given, at once or later; raises what is an error."""

    def __init__(self, answer: Any, *, later: bool = False) -> None:
        self.answer = answer
        self.later = later
        self.asked = 0

    def verify(self, presented: PresentedChain) -> Any:
        self.asked += 1
        return self._later() if self.later else self._now()

    def _now(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def _later(self) -> Any:
        await asyncio.sleep(0)
        return self._now()


def verdict_of(verifier: Any) -> handfast.Verdict:
    """The verdict of either kind of verifier."""

    async def ask() -> handfast.Verdict:
        answer = verifier.verify(PRESENTED)
        return answer if isinstance(answer, handfast.Verdict) else await answer

    verdict = asyncio.run(ask())
    assert isinstance(verdict, handfast.Verdict)
    return verdict


YES, NO = handfast.accept(explanation="fine"), handfast.refuse("access_denied", "not today")
BAD_ANSWERS = [
    (None, "no_verdict"),
    (True, "no_verdict"),
    (handfast.DEFERRED, "no_verdict"),
    (OSError("down"), "verifier_failed"),
    (NO, "access_denied"),
]
LATER = pytest.mark.parametrize("later", [False, True])


@LATER
def test_all_accept(later):
    verdict = verdict_of(handfast.AllOf(PATH, Says(YES, later=later), Says(YES)))
    assert verdict.accepted
    assert verdict.path == PATH.verify(PRESENTED).path
    assert "DNS:localhost" in verdict.names
    assert verdict.explanation.endswith("; fine; fine")


@LATER
@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize(("answer", "code"), BAD_ANSWERS)
def test_one_that_does_not_accept_refuses_and_those_after_it_are_not_asked(answer, code, position, later):
    verifiers = [Says(YES, later=later), Says(YES)]
    verifiers.insert(position, Says(answer, later=later))
    assert verdict_of(handfast.AllOf(*verifiers)).code == code
    assert [one.asked for one in verifiers] == [int(index <= position) for index in range(3)]


def test_all_of_nobody_is_refused_when_it_is_made():
    with pytest.raises(ApiMisuse):
        handfast.AllOf()


def test_policy_ids_of_all_of():
    pinned = handfast.Pinned([handfast.key_pin(PRESENTED.chain[0])])
    assert handfast.AllOf(PATH, pinned).policy_id == handfast.AllOf(PATH, pinned).policy_id
    assert handfast.AllOf(PATH, pinned).policy_id != handfast.AllOf(pinned, PATH).policy_id
    assert handfast.AllOf(PATH, Says(YES)).policy_id is None


class Never:
    """Gives no verdict; remembers that it was cancelled. A stubborn one then accepts all the same."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.cancelled = False

    async def verify(self, presented: PresentedChain) -> handfast.Verdict:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            if not self.stubborn:
                raise
        return YES


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_verifier_that_takes_too_long_is_cancelled_and_refuses(stubborn):
    never = Never(stubborn=stubborn)
    verdict = verdict_of(handfast.WithTimeout(never, 0.01))
    assert verdict.code == "verifier_failed"
    assert "within 0.01 s" in verdict.explanation
    assert never.cancelled


@LATER
@pytest.mark.parametrize(("answer", "code"), [(YES, ""), (TimeoutError("its own"), "verifier_failed"), *BAD_ANSWERS])
def test_in_time_the_answer_passes(answer, code, later):
    assert verdict_of(handfast.WithTimeout(Says(answer, later=later), 60)).code == code


def test_in_a_handshake_a_verdict_that_does_not_come_in_time_refuses():
    async def connect() -> None:
        issued = certificates.server()
        own = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
        config = handfast.ServerConfig(credentials=[own])
        server = await handfast.aio.create_server(asyncio.Protocol, "127.0.0.1", 0, config)
        port = server.sockets[0].getsockname()[1]
        client = handfast.ClientConfig(verifier=handfast.WithTimeout(Never(), 0.05))
        try:
            await handfast.aio.open_connection("127.0.0.1", port, client, server_name="localhost")
        finally:
            server.close()
            await server.wait_closed()

    with pytest.raises(CertificateRejected) as caught:
        asyncio.run(connect())
    assert caught.value.code == "verifier_failed"


def test_cancelling_from_outside_is_no_verdict():
    async def cancel() -> None:
        never = Never()
        task = asyncio.ensure_future(handfast.WithTimeout(never, 60).verify(PRESENTED))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert never.cancelled

    asyncio.run(cancel())


def test_a_timeout_takes_time_and_the_id_of_its_verifier():
    with pytest.raises(ApiMisuse):
        handfast.WithTimeout(PATH, 0)
    assert handfast.WithTimeout(PATH, 1).policy_id == PATH.policy_id


@LATER
@pytest.mark.parametrize(("answer", "code"), BAD_ANSWERS)
def test_anyone_is_accepted_and_the_verdict_reported(answer, code, later):
    reported = []
    verifier = handfast.DangerouslyAcceptAnyone(Says(answer, later=later), report=lambda *told: reported.append(told))
    verdict = verdict_of(verifier)
    assert verdict.accepted
    assert verdict.path == ()
    assert verdict.explanation.startswith("accepted without verification")
    assert [(presented, told.code) for presented, told in reported] == [(PRESENTED, code)]


def test_one_that_is_good_is_accepted_as_such():
    assert handfast.DangerouslyAcceptAnyone(PATH).verify(PRESENTED) == PATH.verify(PRESENTED)


def test_by_default_the_log_is_told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("handfast"), "propagate", True)
    handfast.DangerouslyAcceptAnyone().verify(PRESENTED)
    [record] = caplog.records
    assert "accepted without verification: CN=localhost" in record.getMessage()
    assert record.levelno == logging.WARNING


def test_a_report_that_fails_accepts_nobody():
    verifier = handfast.DangerouslyAcceptAnyone(report=lambda *_: 1 / 0)
    client = handfast.ClientConnection(handfast.ClientConfig(verifier=verifier), server_name="localhost")
    issued = certificates.server()
    credentials = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
    server = handfast.ServerConnection(handfast.ServerConfig(credentials=[credentials]))
    server.receive(client.outgoing())
    with pytest.raises(handfast.HandfastError):
        client.receive(server.outgoing())
    assert client.info.verified_peer is None


def test_no_other_verifier_has_its_id():
    assert handfast.DangerouslyAcceptAnyone(PATH).policy_id != PATH.policy_id


def test_what_needs_an_ocsp_response_asks_for_one_however_it_is_wrapped():
    for ocsp, asks in (("check", False), ("require", True)):
        path = handfast.PathVerifier(PATH.roots, ocsp=ocsp)
        pinned = handfast.Pinned([key_pin(certificates.server().chain[0])])
        for verifier in (
            handfast.AllOf(pinned, path),
            handfast.WithTimeout(path, 1),
            handfast.DangerouslyAcceptAnyone(path),
            handfast.WithTimeout(handfast.AllOf(path, pinned), 1),
        ):
            assert handfast.ClientConfig(verifier=verifier).asks_for_ocsp_response == asks
    assert not handfast.ClientConfig(verifier=handfast.DangerouslyAcceptAnyone()).asks_for_ocsp_response


def test_ids_of_another_length_do_not_run_into_each_other():
    def of(own: bytes) -> Any:
        verifier: Any = Says(YES)
        verifier.policy_id = own
        return verifier

    ids = {handfast.AllOf(of(one), of(other)).policy_id for one, other in ((b"a", b"bc"), (b"ab", b"c"), (b"", b"abc"))}
    assert len(ids) == 3
