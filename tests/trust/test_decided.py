"""Who is let in by a function of the user's own, and by a file of entries."""

from __future__ import annotations

import logging

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.trust.allow import Allowed
from handfast.trust.decided import Decided
from handfast.trust.pins import key_pin
from tests import certificates
from tests.trust.test_allow import presented


def only_alice(peer):
    return True if "DNS:alice" in peer.verdict.names else "she is called alice"


def test_a_function_decides():
    decided = Decided(only_alice)
    assert decided.verify(presented("alice")).accepted
    refused = decided.verify(presented("bob"))
    assert (refused.accepted, refused.code) == (False, "access_denied")
    assert "only_alice: she is called alice" in refused.explanation


async def _later(_peer):
    return True


def _fails(_peer):
    raise LookupError("the directory\n is down")


@pytest.mark.parametrize("answer", [lambda _: None, lambda _: 1, lambda _: "", _later, _fails, lambda _: False])
def test_what_is_no_yes_is_a_refusal(answer, caplog):
    with caplog.at_level(logging.WARNING, "handfast"):
        assert Decided(answer).verify(presented("alice")).code == "access_denied"


def test_an_exception_is_told_in_the_log_and_not_in_the_reason(caplog):
    with caplog.at_level(logging.WARNING, "handfast"):
        refused = Decided(_fails, "rules:fails").verify(presented("alice"))
    assert "directory" not in refused.explanation
    assert any("rules:fails failed" in record.getMessage() for record in caplog.records)


def test_a_decision_is_a_rule_too():
    class Peer:
        chain = certificates.client().chain
        verdict = Allowed(dns=["*"]).verify(presented("alice"))

    assert Decided(only_alice).why_not(Peer) is None
    assert Decided(lambda _: "closed", "rules:night").why_not(Peer) == "rules:night: closed"
    assert Decided(only_alice).why_not(None) == "it has no verified certificate"


def test_a_function_has_a_name():
    decided = Decided.named("tests.trust.test_decided:only_alice")
    assert decided.verify(presented("alice")).accepted
    assert decided.policy_id == Decided.named("tests.trust.test_decided:only_alice").policy_id
    for name in ("tests.trust.test_decided", "no_such_module:x", "tests.trust.test_decided:nothing", "tests:__name__"):
        with pytest.raises(ConfigError):
            Decided.named(name)


# A file of entries


def test_entries_of_a_file(tmp_path):
    path = tmp_path / "allow.txt"
    key = key_pin(certificates.server().chain[0])
    path.write_text(f"# who may\n\ndns: *.corp.example\n CN: alice \nou: people\nuri: spiffe://corp/**\nspki: {key}\n")
    allowed = Allowed.from_file(path)
    assert allowed.verify(presented("web.corp.example")).accepted
    assert allowed.verify(presented("spiffe://corp/a/b")).accepted
    assert allowed.verify(presented(common_name="alice")).accepted
    assert not allowed.verify(presented("web.test", common_name="bob")).accepted


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("cn: alice\nalice\n", ("line 2", "'alice' is no entry", "cn: alice")),
        ("name: alice\n", ("line 1", "no entry")),
        ("cn: alice\ndns: web*.example\n", ("line 2", "whole segment")),
        ("dns:\n", ("line 1", "empty")),
        ("# nobody yet\n", ("no entry",)),
        ("spki: sha256//x\n", ("line 1", "not the SHA-256 of a key")),
        ("cn: " + "a" * limits.ALLOW_FILE_BYTES, ("1048576",)),
    ],
)
def test_what_is_no_file_of_entries(tmp_path, content, words):
    path = tmp_path / "allow.txt"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Allowed.from_file(path)
    assert all(word in str(caught.value) + caught.value.hint for word in ("allow.txt", *words))
