"""A verdict is the only yes there is."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from datetime import UTC, datetime
from typing import Any

import pytest

from handfast.credentials.signers import DEFERRED
from handfast.errors import ApiMisuse, CertificateRejected
from handfast.registry import AlertDescription
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Reason, Verdict, accept, as_verdict, failed, refuse
from handfast.x509.purpose import Purpose

from .crafting import NOW, root, server


def test_a_verdict_is_true_exactly_when_it_accepts() -> None:
    assert accept()
    assert not refuse("expired", "long ago")


@pytest.mark.parametrize("value", [None, True, 1, "accepted", object(), (), DEFERRED, Verdict, accept])
def test_anything_that_is_not_a_verdict_is_a_refusal(value: object) -> None:
    verdict = as_verdict(value)
    assert not verdict.accepted
    assert verdict.code == "no_verdict"
    assert verdict.error().alert == AlertDescription.internal_error


def test_a_coroutine_that_nobody_awaited_is_a_refusal_and_leaves_no_warning() -> None:
    async def verify() -> Verdict:
        return accept()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = as_verdict(verify())
    assert not verdict
    assert "nobody awaited" in verdict.explanation


def test_a_verdict_passes_through() -> None:
    for verdict in (accept((b"leaf",)), refuse("revoked", "yesterday")):
        assert as_verdict(verdict) is verdict


def test_there_is_no_other_maker() -> None:
    fields: dict[str, Any] = {field.name: getattr(accept(), field.name) for field in dataclasses.fields(Verdict)}
    for maker in (None, True, object()):
        with pytest.raises(ApiMisuse):
            Verdict(**fields, maker=maker)
    with pytest.raises((ApiMisuse, TypeError, ValueError)):
        dataclasses.replace(refuse("expired", "long ago"), accepted=True)  # type: ignore[call-arg]
    with pytest.raises(dataclasses.FrozenInstanceError):
        refuse("expired", "long ago").accepted = True  # type: ignore[misc]


def test_a_refusal_has_a_code_of_the_catalogue() -> None:
    with pytest.raises(ApiMisuse):
        refuse("no_such_code", "x")
    verdict = refuse("expired", "2 days ago", advice="renew it", certificate_index=1)
    assert verdict.reasons == (Reason("expired", 1, "2 days ago"),)
    error = verdict.error()
    assert isinstance(error, CertificateRejected)
    assert (error.code, error.what, error.hint) == ("expired", "2 days ago", "renew it")
    assert error.verdict is verdict
    with pytest.raises(ApiMisuse):
        accept().error()


def test_braces_from_a_certificate_are_no_format_string() -> None:
    assert refuse("expired", "{advice} {0}", advice="{x}").error().what == "{advice} {0}"


def test_words_are_escaped() -> None:
    assert refuse("expired", "a\nb", advice="\x1b[0m").explanation == "a\\x0ab"
    assert accept(explanation="\u202e").explanation == "\\u202e"


def test_verdicts_can_be_stored() -> None:
    for verdict in (
        accept((b"leaf",), names=["DNS:a"], subject="CN=a", not_after=datetime(2026, 1, 1, tzinfo=UTC)),
        refuse("expired", "long ago", further=[Reason("weak_key", 0, "short")]),
    ):
        assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_a_verifier_that_fails_has_not_accepted() -> None:
    verdict = failed(RuntimeError("no\nconnection"))
    assert verdict.code == "verifier_failed"
    assert "RuntimeError: no\\x0aconnection" in verdict.explanation


@pytest.mark.parametrize(
    "changes",
    [
        {"chain": None},
        {"chain": ("text",)},
        {"at": None},
        {"at": "yesterday"},
        {"purpose": "nonsense"},
        {"server_name": 5},
    ],
)
def test_a_path_verifier_refuses_what_it_cannot_judge_and_never_raises(changes: dict[str, Any]) -> None:
    trusted = root()
    fields: dict[str, Any] = {
        "chain": server(trusted).chain,
        "purpose": Purpose.SERVER,
        "server_name": "localhost",
        "at": NOW,
    }
    verifier = PathVerifier(Roots.from_der([trusted.der]))
    assert verifier.verify(PresentedChain(**fields))
    assert not verifier.verify(PresentedChain(**(fields | changes)))


def test_an_unknown_policy_is_misuse() -> None:
    with pytest.raises(ApiMisuse):
        PathVerifier(Roots.from_der([]), policy="lenient")


def test_a_purpose_by_its_word_is_judged_as_the_member_is() -> None:
    trusted = root()
    shown: dict[str, Any] = {"chain": server(trusted).chain, "server_name": "elsewhere.example", "at": NOW}
    by_word = PresentedChain(purpose="server", **shown)  # type: ignore[arg-type]
    verdict = PathVerifier(Roots.from_der([trusted.der])).verify(by_word)
    assert verdict.code == "name_mismatch"
    other = PresentedChain(purpose="client", **shown)  # type: ignore[arg-type]
    assert other.purpose is Purpose.CLIENT
