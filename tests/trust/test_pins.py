"""Pinned: by key, by certificate, with a spare; alone and beside the path check."""

from __future__ import annotations

import subprocess
from hashlib import sha256

import pytest

import handfast
from handfast.errors import ConfigError
from handfast.trust.presented import PresentedChain
from handfast.trust.verifiers import PathVerifier
from handfast.x509.purpose import Purpose
from tests import certificates

from .crafting import NOW

SPARE = "sha256//" + "A" * 43 + "="


def presented(*chain: bytes, server_name: str = "localhost") -> PresentedChain:
    return PresentedChain(chain=chain, purpose=Purpose.SERVER, server_name=server_name, at=NOW)


LEAF = certificates.server().chain[0]
PIN = handfast.key_pin(LEAF)


def test_a_pin_is_what_curl_and_openssl_make_of_the_key():
    certificates.require_peer("openssl")
    pipeline = (
        "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64"
    )
    made = subprocess.run(["sh", "-c", pipeline], input=certificates.server().cert_pem, capture_output=True, check=True)
    assert "sha256//" + made.stdout.decode().strip() == PIN


@pytest.mark.parametrize("keys", [[PIN], [SPARE, PIN], [f"{SPARE};{PIN}"]])
def test_a_pinned_key_is_accepted_whoever_issued_its_certificate(keys):
    verdict = handfast.Pinned(keys).verify(presented(LEAF, server_name="another.example"))
    assert verdict.accepted
    assert verdict.path == (LEAF,)
    assert "DNS:localhost" in verdict.names


def test_a_renewed_certificate_with_the_same_key_has_the_same_pin():
    from dataclasses import replace

    template = certificates.ca().server_template("localhost")
    first, second = (certificates.ca().issue(replace(template)).chain[0] for _ in range(2))
    assert first != second
    assert handfast.Pinned([handfast.key_pin(first)]).verify(presented(second)).accepted


def test_another_key_is_refused_with_both_pins():
    verdict = handfast.Pinned([SPARE]).verify(presented(LEAF))
    assert verdict.code == "pin_mismatch"
    assert PIN in verdict.explanation
    assert SPARE in verdict.explanation
    assert verdict.advice


@pytest.mark.parametrize("shape", [str, str.upper, lambda text: bytes.fromhex(text).hex(":")])
def test_a_certificate_by_its_fingerprint(shape):
    pinned = handfast.Pinned(certificates=[shape(sha256(LEAF).hexdigest())])
    assert pinned.verify(presented(LEAF)).accepted
    refused = pinned.verify(presented(certificates.client().chain[0]))
    assert refused.code == "pin_mismatch"
    assert sha256(LEAF).hexdigest() in refused.explanation


def test_only_the_first_certificate_counts():
    other = certificates.client().chain[0]
    assert handfast.Pinned([PIN]).verify(presented(other, LEAF)).code == "pin_mismatch"


@pytest.mark.parametrize(("chain", "code"), [((), "certificate_required"), ((b"\x30\x00",), "malformed")])
def test_what_is_no_certificate(chain, code):
    assert handfast.Pinned([PIN]).verify(presented(*chain)).code == code


@pytest.mark.parametrize("keys", [[], ["sha256//AAAA"], ["sha1//" + SPARE[8:]], [SPARE[8:]], [""], [PIN + "\n;x"]])
def test_what_is_no_pin(keys):
    with pytest.raises(ConfigError) as caught:
        handfast.Pinned(keys)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize("text", ["", "00", "zz" * 32])
def test_what_is_no_fingerprint(text):
    with pytest.raises(ConfigError):
        handfast.Pinned(certificates=[text])


def test_beside_the_path_check():
    path = PathVerifier(handfast.Roots.from_der([certificates.ca().certificate_der]))
    chain = certificates.server().chain
    from datetime import UTC, datetime

    now = PresentedChain(chain=chain, purpose=Purpose.SERVER, server_name="localhost", at=datetime.now(UTC))
    accepted = handfast.AllOf(path, handfast.Pinned([PIN])).verify(now)
    assert isinstance(accepted, handfast.Verdict)
    assert accepted.accepted
    refused = handfast.AllOf(path, handfast.Pinned([SPARE])).verify(now)
    assert isinstance(refused, handfast.Verdict)
    assert refused.code == "pin_mismatch"


def test_policy_ids_are_equal_for_equal_pins_only():
    assert handfast.Pinned([PIN, SPARE]).policy_id == handfast.Pinned([SPARE, PIN]).policy_id
    ids = [handfast.Pinned([PIN]), handfast.Pinned([SPARE]), handfast.Pinned(certificates=["00" * 32])]
    assert len({one.policy_id for one in ids}) == 3
