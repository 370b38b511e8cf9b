"""Who is let in by a list of patterns, and in which words the others are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from handfast.connection_info import CHECKED, VerifiedPeer
from handfast.errors import ConfigError
from handfast.registry import AlertDescription
from handfast.trust.allow import Allowed
from handfast.trust.pins import key_pin
from handfast.trust.presented import PresentedChain
from handfast.verdict import accept
from handfast.x509.purpose import Purpose
from tests import certificates


def presented(*names: str, common_name: str = "somebody") -> PresentedChain:
    issued = certificates.ca().client(common_name, *names)
    return PresentedChain(chain=issued.chain, purpose=Purpose.CLIENT, server_name=None, at=datetime.now(UTC))


def lets_in(allowed: Allowed, *names: str, **how: str) -> bool:
    return allowed.verify(presented(*names, **how)).accepted


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("web.corp.example", "web.corp.example", True),
        ("WEB.corp.example.", "web.corp.EXAMPLE", True),
        ("web.corp.example", "web.corp.example.evil", False),
        ("web.corp.example", "webxcorp.example", False),
        ("*.corp.example", "web.corp.example", True),
        ("*.corp.example", "a.web.corp.example", False),
        ("*.corp.example", "corp.example", False),
        ("web.*.example", "web.corp.example", True),
        ("*.*.example", "web.corp.example", True),
    ],
)
def test_dns_names(pattern, name, matches):
    assert lets_in(Allowed(dns=[pattern]), name) is matches


SPIFFE = "spiffe://corp.example"


@pytest.mark.parametrize(
    ("pattern", "uri", "matches"),
    [
        (f"{SPIFFE}/billing", f"{SPIFFE}/billing", True),
        (f"{SPIFFE}/billing", f"{SPIFFE}/billing/", False),
        (f"{SPIFFE}/billing", f"{SPIFFE}/Billing", False),
        (f"{SPIFFE}/*", f"{SPIFFE}/billing", True),
        (f"{SPIFFE}/*", f"{SPIFFE}/billing/a", False),
        (f"{SPIFFE}/*", f"{SPIFFE}/", False),
        (f"{SPIFFE}/*/a", f"{SPIFFE}/billing/a", True),
        (f"{SPIFFE}/**", f"{SPIFFE}/billing/a", True),
        (f"{SPIFFE}/**", "spiffe://corp.example.evil/billing", False),
        ("spiffe://*/billing", f"{SPIFFE}/billing", True),
        (f"{SPIFFE}/a.c", f"{SPIFFE}/abc", False),
    ],
)
def test_uris(pattern, uri, matches):
    assert lets_in(Allowed(uris=[pattern]), uri) is matches


def test_one_entry_of_any_kind_is_enough():
    allowed = Allowed(dns=["web.example"], uris=[f"{SPIFFE}/*"], common_names=["alice"])
    assert lets_in(allowed, "web.example")
    assert lets_in(allowed, f"{SPIFFE}/x")
    assert lets_in(allowed, common_name="alice")
    assert not lets_in(allowed, common_name="Alice")
    assert not lets_in(allowed, "alice")
    # A name of one kind is none of another.
    assert not lets_in(Allowed(dns=["alice"]), "bob.example", common_name="alice")


def test_keys():
    alice = presented()
    assert Allowed(keys=[key_pin(alice.chain[0])]).verify(alice).accepted
    refused = Allowed(keys=[key_pin(certificates.server().chain[0])]).verify(alice)
    assert (refused.accepted, refused.code) == (False, "access_denied")
    assert key_pin(alice.chain[0]) in refused.explanation


def test_the_reason_is_told():
    refused = Allowed(dns=["*.example"], common_names=["alice"]).verify(presented("web.test", common_name="bob"))
    assert refused.code == "access_denied"
    for words in ("CN=bob", "DNS:web.test", "DNS:*.example", "CN=alice"):
        assert words in refused.explanation
    assert refused.error().alert is AlertDescription.access_denied


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"dns": [""]},
        {"uris": [""]},
        {"common_names": [""]},
        {"dns": ["web*.example"]},
        {"dns": ["**.example"]},
        {"dns": ["corp.**"]},
        {"uris": [f"{SPIFFE}/bill*"]},
        {"uris": [f"{SPIFFE}/**/a"]},
        {"uris": ["**"]},
        {"uris": [f"{SPIFFE}/***"]},
        {"keys": ["sha256//short"]},
    ],
)
def test_what_is_no_entry(entries):
    with pytest.raises(ConfigError):
        Allowed(**entries)


def test_no_certificate_and_what_is_none():
    allowed = Allowed(common_names=["alice"])
    for chain, code in (((), "certificate_required"), ((b"\x30\x00",), "malformed")):
        verdict = allowed.verify(
            PresentedChain(chain=chain, purpose=Purpose.CLIENT, server_name=None, at=datetime.now(UTC))
        )
        assert (verdict.accepted, verdict.code) == (False, code)


def test_the_policy_is_that_of_its_entries():
    assert Allowed(dns=["a", "b"]).policy_id == Allowed(dns=["b", "a"]).policy_id
    assert Allowed(dns=["a"]).policy_id != Allowed(common_names=["a"]).policy_id
    assert repr(Allowed(dns=["a"])) == "Allowed(DNS:a)"


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("alice", "alice", True),
        ("web.corp.example", "web.corp.example", True),
        ("*.corp.example", "web.corp.example", True),
        ("*.corp.example", "a.web.corp.example", False),
        ("*.corp.example", "WEB.CORP.EXAMPLE", False),
        ("*", "alice", True),
        ("*", "alice.example", False),
    ],
)
def test_common_names(pattern, name, matches):
    assert lets_in(Allowed(common_names=[pattern]), common_name=name) is matches


def test_organizational_units():
    issued = certificates.ca().client("carol", subject="O=corp,OU=billing,OU=eu.people")
    carol = PresentedChain(chain=issued.chain, purpose=Purpose.CLIENT, server_name=None, at=datetime.now(UTC))
    assert Allowed(organizational_units=["billing"]).verify(carol).accepted
    assert Allowed(organizational_units=["*.people"]).verify(carol).accepted
    refused = Allowed(organizational_units=["bill", "People"]).verify(carol)
    assert (refused.code, "let in are: OU=People, OU=bill" in refused.explanation) == ("access_denied", True)
    assert not Allowed(common_names=["billing"]).verify(carol).accepted


def test_a_rule_says_why_not():
    peer = VerifiedPeer(presented("alice").chain, accept(), CHECKED)
    assert Allowed(dns=["alice"]).why_not(peer) is None
    assert "let in are: DNS:bob" in (Allowed(dns=["bob"]).why_not(peer) or "")
    assert "no verified certificate" in (Allowed(dns=["bob"]).why_not(None) or "")
