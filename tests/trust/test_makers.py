"""Certificates as well-known makers write them are accepted: what these differ in from the public web's is no fault."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509.purpose import Purpose

from .crafting import CLIENT, SERVER, Made, constraints, dns, eku, judge, judge_client, make, new_key, san, usage


def sscg_ca(*permitted: x509.GeneralName) -> Made:
    """sscg 3: a CA whose basicConstraints is not critical, constrained to the names it is made for."""
    names = (x509.NameConstraints(permitted, None), True)
    return make(
        "ca", None, constraints(True, critical=False), (usage("key_cert_sign"), True), names, key=new_key("rsa")
    )


@pytest.mark.parametrize("policy", ["handfast", "openssl"])
def test_sscg(policy: str) -> None:
    ca = sscg_ca(x509.DNSName("localhost"))
    service = make(
        "localhost",
        ca,
        constraints(False, critical=False),
        (usage("digital_signature", "key_encipherment"), True),
        eku(SERVER),
        dns("localhost"),
        key=new_key("rsa"),
        identifiers=False,
    )
    assert judge(service, ca, policy=policy)
    assert judge_client(service, ca, policy=policy).code == "wrong_purpose"
    assert judge(service, ca, policy="strict").code == "missing_required_extension"


def easy_rsa(subject: str, issuer: Made | None, *extensions: tuple[x509.ExtensionType, bool], **options) -> Made:
    """easy-rsa 3.1: nothing is critical, and authorityKeyIdentifier names issuer and serial number too."""
    key = new_key("rsa")
    signing = key if issuer is None else issuer.key
    above = make(subject, None, key=key).certificate if issuer is None else issuer.certificate
    if issuer is None:
        # A root names itself.
        options["serial_number"] = above.serial_number
    identifier = x509.AuthorityKeyIdentifier(
        x509.SubjectKeyIdentifier.from_public_key(signing.public_key()).digest,
        [x509.DirectoryName(above.issuer)],
        above.serial_number,
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return make(subject, issuer, (own, False), (identifier, False), *extensions, key=key, identifiers=False, **options)


@pytest.mark.parametrize("policy", ["handfast", "openssl"])
def test_easy_rsa(policy: str) -> None:
    ca = easy_rsa("Easy-RSA CA", None, constraints(True, critical=False), (usage("key_cert_sign", "crl_sign"), False))
    client = easy_rsa("alice", ca, constraints(False, critical=False), eku(CLIENT), (usage("digital_signature"), False))
    server = easy_rsa("localhost", ca, constraints(False, critical=False), eku(SERVER), dns("localhost"))
    assert judge_client(client, ca, policy=policy)
    assert judge(server, ca, policy=policy)
    assert judge(client, ca, policy=policy).code == "wrong_purpose"


def test_easy_rsas_key_identifier_tells_a_missing_intermediate_from_a_foreign_root() -> None:
    ca = easy_rsa("Omega", None, constraints(True, critical=False))
    sub = easy_rsa("Alpha", ca, constraints(True, critical=False))
    client = easy_rsa("alice", sub)
    missing = judge_client((client.der,), ca)
    assert missing.code == "missing_intermediate"
    assert "CN=Omega,O=lab, a trusted root, issued it" in missing.explanation
    foreign = judge_client(easy_rsa("alice", easy_rsa("Beta", None, constraints(True))), ca)
    assert foreign.code == "unknown_issuer"
    assert "it is a root" in foreign.explanation


@pytest.mark.parametrize("policy", ["handfast", "openssl"])
def test_trustme_by_hand(policy: str) -> None:
    ca = make("trustme CA", None, constraints(True, 9), (usage("key_cert_sign", "crl_sign"), True))
    leaf = make(
        "trustme leaf",
        ca,
        san(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")), critical=True),
        constraints(False),
        (usage("digital_signature", "key_encipherment"), True),
        eku(CLIENT, SERVER, ExtendedKeyUsageOID.CODE_SIGNING, critical=True),
    )
    assert judge(leaf, ca, policy=policy)
    assert judge_client(leaf, ca, policy=policy)


@pytest.mark.parametrize("policy", ["handfast", "openssl", "strict"])
def test_trustme_itself(policy: str) -> None:
    ca = trustme.CA()
    issued = ca.create_child_ca().issue_cert("localhost", "127.0.0.1")
    chain = tuple(
        x509.load_pem_x509_certificate(blob.bytes()).public_bytes(Encoding.DER) for blob in issued.cert_chain_pems
    )
    verifier = PathVerifier(Roots.from_pem(ca.cert_pem.bytes()), policy=policy)
    for purpose in Purpose:
        presented = PresentedChain(chain=chain, purpose=purpose, server_name="127.0.0.1", at=datetime.now(UTC))
        assert verifier.verify(presented), verifier.verify(presented)
