"""What a stranger can make a verifier do is bounded: processor time, and the ways out of it."""

from __future__ import annotations

import time
from math import lcm
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from handfast.limits import MAX_HANDSHAKE_MESSAGE, MAX_PRESENTED_CERTIFICATES
from handfast.verdict import Verdict
from handfast.x509.certificates import parse

from .crafting import (
    DAY,
    NOW,
    Made,
    client,
    dns,
    intermediate,
    judge,
    judge_client,
    new_key,
    root,
    rsa_key,
    server,
)

# Generous for a slow machine; the chains below take minutes where nothing bounds them.
CPU_SECONDS = 2.0


def bounded(chain: Made, trusted: Made) -> Verdict:
    start = time.process_time()
    verdict = judge_client(chain, trusted)
    assert time.process_time() - start < CPU_SECONDS
    assert not verdict
    return verdict


def with_large_exponent(bits: int) -> rsa.RSAPrivateKey:
    """As slow to verify with as is allowed; the exponent is a prime just below 2^32."""
    exponent = 2**32 - 5
    while True:
        made = rsa.generate_private_key(65537, bits).private_numbers()
        order = lcm(made.p - 1, made.q - 1)
        if order % exponent:
            private = pow(exponent, -1, order)
            public = rsa.RSAPublicNumbers(exponent, made.public_numbers.n)
            first, second = rsa.rsa_crt_dmp1(private, made.p), rsa.rsa_crt_dmq1(private, made.q)
            return rsa.RSAPrivateNumbers(made.p, made.q, private, first, second, made.iqmp, public).private_key()


@pytest.mark.parametrize("kind", ["p256", "p521", "ed25519", "rsa", "rsa-slow"])
def test_self_issued_certificates_of_one_name_and_key(kind: str) -> None:
    key: Any = with_large_exponent(2048) if kind == "rsa-slow" else new_key(kind)
    evil = [root("Evil", key=key) for _ in range(MAX_PRESENTED_CERTIFICATES - 1)]
    verdict = bounded(client(evil[0]).with_above(*evil), root())
    assert verdict.code == "unknown_issuer"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_certificates_that_issue_each_other(kind: str) -> None:
    first, second = root("First", key=new_key(kind)), root("Second", key=new_key(kind))
    circle = [intermediate("First", second, key=first.key), intermediate("Second", first, key=second.key)]
    verdict = bounded(client(first).with_above(*circle * 4), root())
    assert verdict.code == "unknown_issuer"


def test_name_constraints_of_a_stranger() -> None:
    names = (x509.NameConstraints([x509.DNSName(f"n{number}") for number in range(1000)], None), True)
    key = new_key()
    evil = [intermediate("Evil", root("Evil", key=key), names, key=key) for _ in range(2)]
    leaf = client(evil[0], dns(*["n999"] * 2000)).with_above(*evil)
    assert sum(map(len, leaf.chain)) < MAX_HANDSHAKE_MESSAGE
    bounded(leaf, root())


def test_name_constraints_of_a_trusted_ca() -> None:
    trusted = root()
    names = (x509.NameConstraints(None, [x509.DNSName(f"n{number}") for number in range(2000)]), True)
    leaf = client(intermediate("Middle", trusted, names), dns(*[f"a{number}.b" for number in range(2000)]))
    assert sum(map(len, leaf.chain)) < MAX_HANDSHAKE_MESSAGE
    verdict = bounded(leaf, trusted)
    assert verdict.code == "name_constraint"
    assert "too many" in verdict.explanation


def test_email_constraints_of_a_trusted_ca_on_a_long_subject() -> None:
    trusted = root()
    names = (x509.NameConstraints(None, [x509.RFC822Name(f"n{number}.b") for number in range(1000)]), True)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, f"a@{number}.b") for number in range(1000)])
    leaf = client(intermediate("Middle", trusted, names), subject=subject)
    assert sum(map(len, leaf.chain)) < MAX_HANDSHAKE_MESSAGE
    verdict = bounded(leaf, trusted)
    assert verdict.code == "name_constraint"
    assert "too many" in verdict.explanation


def test_long_names_are_shortened_in_sentences() -> None:
    trusted = root()
    many = server(trusted, dns(*[f"n{number}.example" for number in range(2000)]))
    verdict = judge(many, trusted)
    assert "and 1980 more" in verdict.explanation
    assert len(verdict.explanation) < 1000


def test_text_from_a_certificate_cannot_reach_a_terminal_raw() -> None:
    trusted = root()
    leaf = client(trusted, subject="\x1b[2Jalice\n\u202eevil")
    accepted, refused = judge_client(leaf, trusted), judge_client(leaf, root("Other"))
    assert accepted
    for text in (accepted.explanation, accepted.subject, refused.explanation):
        assert text.isprintable()
        assert "alice" in text


def test_a_modulus_at_the_limit_is_affordable() -> None:
    key = rsa_key(4096)
    evil = [root("Evil", key=key) for _ in range(MAX_PRESENTED_CERTIFICATES - 1)]
    bounded(client(evil[0]).with_above(*evil), root())


def test_no_verdict_is_kept() -> None:
    trusted = root()
    leaf = client(trusted)
    assert judge_client(leaf, trusted)
    assert judge_client(leaf, root("Other")).code == "unknown_issuer"
    assert judge_client(leaf, trusted, at=NOW + 400 * DAY).code == "expired"
    assert judge(leaf, trusted).code == "wrong_purpose"
    assert judge_client(leaf, trusted)


def test_what_strangers_send_is_kept_within_bounds() -> None:
    trusted = root()
    small, large = client(trusted).der, client(trusted, dns(*[f"n{number}.example" for number in range(500)])).der
    assert parse(small) is parse(small)
    assert parse(large) is not parse(large)
    kept = parse(small)
    for _ in range(100):
        parse(client(trusted).der)
    assert parse(small) is not kept
