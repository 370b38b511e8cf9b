"""The library's side of requests, subjects, constraints and revocation lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import ApiMisuse, ConfigError
from handfast.pki import CertificateAuthority, client_request, renew_crl, server_request
from handfast.pki.constraints import name_constraints, violated
from handfast.pki.general_names import general_name
from handfast.pki.subject import parse_subject
from tests import certificates
from tests.pki.openssl import verify_errors

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def test_a_request_is_signed_and_its_key_stays(tmp_path):
    request = server_request("localhost", "127.0.0.1")
    signed = certificates.intermediate().sign_request(request.csr_pem)
    assert signed.certificate.public_key() == request.key.public_key()
    assert signed.chain[1:] == certificates.server_below_intermediate().chain[1:]
    options = ("-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost")
    assert verify_errors(tmp_path, certificates.ca().certificate_pem, signed, *options) == set()
    assert repr(request) == "<CertificateRequest CN=localhost>"
    assert repr(signed) == "<CertificateChain CN=localhost>"


def test_der_is_read_as_well_as_pem():
    request = client_request("alice", subject=parse_subject("O=Acme"))
    signed = certificates.ca().sign_request(request.request.public_bytes(Encoding.DER), days=3)
    assert signed.certificate.subject.rfc4514_string() == "CN=alice,O=Acme"
    assert b"ENCRYPTED" in request.encrypted_key_pem(b"secret")


ALICES = client_request("alice").request
REQUEST = ALICES.public_bytes(Encoding.DER)


def test_a_request_of_another_version_is_refused_in_words():
    der = REQUEST.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)
    with pytest.raises(ConfigError) as caught:
        certificates.ca().sign_request(der, purpose="client")
    assert caught.value.code == "bad_request"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_requests_are_refused_in_words(data):
    der = bytearray(REQUEST)
    # How many bits of the signature's last octet are unused may be said otherwise and change nothing (X.690 8.6.2).
    unused = len(der) - len(ALICES.signature) - 1
    position = data.draw(st.integers(0, len(der) - 1).filter(lambda at: at != unused))
    der[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConfigError) as caught:
        certificates.ca().sign_request(bytes(der), purpose="client")
    assert caught.value.code in {"bad_request", "unsupported_key"}
    assert caught.value.hint


def test_a_request_for_a_server_needs_a_name():
    with pytest.raises(ApiMisuse):
        server_request()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O=Acme,OU=Pay,CN=bob", "CN=bob,OU=Pay,O=Acme"),
        ("CN=bob, OU=Pay, O=Acme", "CN=bob,OU=Pay,O=Acme"),
        ("/C=DE/O=Acme, Inc./CN=bob", "CN=bob,O=Acme\\, Inc.,C=DE"),
        ("OU=one,OU=two", "OU=two,OU=one"),
        ("DC=corp,DC=example,UID=b", "UID=b,DC=example,DC=corp"),
    ],
)
def test_subjects_are_put_in_order(text, expected):
    assert parse_subject(text).rfc4514_string() == expected


@pytest.mark.parametrize("text", ["", "/", "bob", "O=", "X=1", "O=a" + "b" * 64, "2.5.4.3", "O=a,,"])
def test_what_is_no_subject(text):
    with pytest.raises(ConfigError) as caught:
        parse_subject(text)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize(
    ("permitted", "good", "bad"),
    [
        (["corp.example"], ["corp.example", "a.CORP.example", "*.corp.example"], ["xcorp.example", "10.0.0.1"]),
        (["corp.example", "10.0.0.0/8"], ["10.1.2.3"], ["11.0.0.1", "::1"]),
        (["corp.example", "@corp.example"], ["a@corp.example"], ["a@x.corp.example", "a@example"]),
        (["corp.example", "spiffe://corp.example"], ["spiffe://corp.example/a"], ["spiffe://example/a"]),
        (["corp.example"], ["a@anywhere.example", "spiffe://anywhere/x"], []),
        ([], ["anything.example", "10.0.0.1"], []),
    ],
)  # fmt: skip
def test_constraints(permitted, good, bad):
    ca = CertificateAuthority.create(constrain=tuple(permitted))
    for name in good + bad:
        assert (violated([ca.certificate], [general_name(name)]) is None) is (name in good), name


def test_openssl_reads_the_constraints_as_we_do(tmp_path):
    ca = CertificateAuthority.create(constrain=("corp.example", "10.0.0.0/8", "@corp.example", "spiffe://corp.example"))
    for name in ("a.corp.example", "10.1.1.1", "a@corp.example", "spiffe://corp.example/a"):
        assert verify_errors(tmp_path, ca.certificate_pem, ca.server(name), "-x509_strict") == set(), name
        ca.check_names((general_name(name),))
    for name in ("a.example", "11.1.1.1", "a@example", "spiffe://example/a"):
        # permitted subtree violation
        assert verify_errors(tmp_path, ca.certificate_pem, ca.server(name), "-x509_strict") == {47}, name
        with pytest.raises(ConfigError, match="may not vouch"):
            ca.check_names((general_name(name),))


def test_a_clients_name_that_constraints_forbid_stays_its_cn():
    leaf = CertificateAuthority.create(constrain=("corp.example",)).client("bob").certificate
    assert leaf.subject.rfc4514_string() == "CN=bob,O=handfast"
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_no_constraint_means_no_extension():
    assert name_constraints([]) is None


def test_the_number_grows_even_if_the_clock_is_set_back(tmp_path):
    created = CertificateAuthority.create(now=NOW)
    renew_crl(tmp_path / "ca.crl", created, [1])
    earlier = CertificateAuthority(created.certificate, created.key, now=NOW - timedelta(days=1))
    later = renew_crl(tmp_path / "ca.crl", earlier, [2], reason=x509.ReasonFlags.superseded)
    number = later.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number == int(NOW.timestamp()) + 1
    assert {entry.serial_number for entry in later} == {1, 2}


def test_only_ones_own_certificates_are_revoked(tmp_path):
    with pytest.raises(ConfigError) as caught:
        renew_crl(tmp_path / "ca.crl", certificates.other_ca(), [certificates.client()])
    assert caught.value.code == "not_its_issuer"
    assert list(tmp_path.iterdir()) == []


def test_cas_without_a_name_have_one_of_their_own():
    assert len({CertificateAuthority.create().certificate.subject for _ in range(3)}) == 3
    assert CertificateAuthority.create("Mine").certificate.subject.rfc4514_string() == "CN=Mine,O=handfast"
