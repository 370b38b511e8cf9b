"""Certificates in words: right for good ones, and an answer for any bytes at all."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.x509.certificates import Malformed, parse_all
from handfast.x509.describe import CertificateDescription, describe
from tests.trust.crafting import CLIENT, SERVER, client, constraints, dns, eku, make, new_key, root, san, server, usage


def texts(description: CertificateDescription) -> list[str]:
    values = [value for value in dataclasses.astuple(description) if not isinstance(value, bool)]
    return [text for value in values for text in ([value] if isinstance(value, str) else value)]


def test_a_certificate_in_words() -> None:
    made = server(
        root("Root"),
        constraints(False),
        (usage("digital_signature", "key_agreement"), True),
        eku(SERVER, CLIENT, x509.ObjectIdentifier("1.2.3")),
        san(
            x509.UniformResourceIdentifier("spiffe://lab.example/a"),
            x509.DNSName("localhost"),
            x509.RFC822Name("a@example.com"),
            x509.IPAddress(ipaddress.ip_address("::1")),
            x509.DirectoryName(x509.Name([])),
        ),
    )
    assert describe(made.der) == CertificateDescription(
        subject="CN=localhost,O=lab",
        issuer="CN=Root,O=lab",
        serial_number=f"{made.certificate.serial_number:x}",
        names=("DNS:localhost", "IP:::1", "URI:spiffe://lab.example/a", "email:a@example.com"),
        not_before="2026-10-22 12:00:00 UTC",
        not_after="2027-09-17 12:00:00 UTC",
        key="ECDSA P-256",
        signature_algorithm="ecdsa-with-SHA256",
        is_ca=False,
        key_usage=("digitalSignature", "keyAgreement"),
        extended_key_usage=("serverAuth", "clientAuth", "1.2.3"),
        sha256=hashlib.sha256(made.der).hexdigest(),
    )


def test_a_ca_and_a_certificate_without_extensions() -> None:
    assert describe(root().der).is_ca
    bare = describe(make("x", None, identifiers=False, key=new_key("ed448")).der)
    assert (bare.is_ca, bare.names, bare.key_usage, bare.extended_key_usage) == (False, (), (), ())
    assert (bare.key, bare.signature_algorithm) == ("Ed448", "ed448")


def test_text_is_escaped() -> None:
    made = client(root(), dns("a"), subject="\x1b[31mred\u202e")
    assert describe(made.der).subject == "CN=\\x1b[31mred\\u202e,O=lab"


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x03\x02\x01\x00"])
def test_junk_is_unreadable(junk: bytes) -> None:
    description = describe(junk)
    assert description.subject.startswith("unreadable: ")
    assert description.names[0].startswith("unreadable: ")
    assert description.sha256 == hashlib.sha256(junk).hexdigest()


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 900), flip=st.integers(1, 255), cut=st.integers(0, 3))
def test_a_damaged_certificate_is_described_and_parsed_without_a_surprise(at: int, flip: int, cut: int) -> None:
    position = at % len(_GOOD)
    damaged = _GOOD[:position] + bytes([_GOOD[position] ^ flip]) + _GOOD[position + 1 : len(_GOOD) - cut]
    assert all(text.isprintable() for text in texts(describe(damaged)))
    (parsed,) = parse_all([damaged])
    assert not isinstance(parsed, Malformed) or str(parsed).isprintable()


_GOOD = server(
    root(),
    constraints(False),
    (usage("digital_signature"), True),
    eku(SERVER),
    san(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::1"))),
).der
