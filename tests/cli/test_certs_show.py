"""`handfast certs show`: every form of file, what is said of it, and the exit status."""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PublicFormat,
    pkcs7,
    pkcs12,
)

from handfast.errors import ConfigError
from handfast.lint import RULES, read
from handfast.lint.certificate_checks import Case
from handfast.lint.findings import look
from handfast.pki.authority import CertificateAuthority
from handfast.pki.template import subject_name
from handfast.trust.pins import key_pin
from tests import certificates
from tests.cli.conftest import Pki, Run, finish, on_a_terminal, shown_until, start


def forms() -> dict[str, bytes]:
    """One file of each form, and what a healthy one holds."""
    issued = certificates.server()
    leaf, root = issued.certificate, certificates.ca().certificate
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name("lab", "localhost"))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    request = builder.add_extension(names, False).sign(issued.key, hashes.SHA256())
    public = issued.key.public_key()
    crl = certificates.ca().crl([leaf.serial_number])
    return {
        "a.pem": issued.cert_pem,
        "a.der": issued.chain[0],
        "a.p7b": pkcs7.serialize_certificates([leaf, root], Encoding.DER),
        "pem.p7b": pkcs7.serialize_certificates([leaf, root], Encoding.PEM),
        "a.p12": pkcs12.serialize_key_and_certificates(b"a", issued.key, leaf, [root], NoEncryption()),
        "a.csr": request.public_bytes(Encoding.PEM),
        "der.csr": request.public_bytes(Encoding.DER),
        "a.key": issued.key_pem,
        "public.pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "public.der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "a.crl": crl,
        "der.crl": x509.load_pem_x509_crl(crl).public_bytes(Encoding.DER),
    }


@pytest.mark.parametrize(
    ("name", "kinds", "form"),
    [
        ("a.pem", ["certificate"], "PEM"),
        ("a.der", ["certificate"], "DER"),
        ("a.p7b", ["certificate", "certificate"], "PKCS#7"),
        ("pem.p7b", ["certificate", "certificate"], "PKCS#7"),
        ("a.p12", ["certificate", "certificate", "private key"], "PKCS#12"),
        ("a.csr", ["certificate request"], "PEM"),
        ("der.csr", ["certificate request"], "DER"),
        ("a.key", ["private key"], "PEM"),
        ("public.pem", ["public key"], "PEM"),
        ("public.der", ["public key"], "DER"),
        ("a.crl", ["revocation list"], "PEM"),
        ("der.crl", ["revocation list"], "DER"),
    ],
)
def test_every_form_is_read(run: Run, tmp_path: Path, name: str, kinds: list[str], form: str) -> None:
    path = tmp_path / name
    path.write_bytes(forms()[name])
    result = run("certs", "show", "--json", path)
    assert result.status == 0, result
    things = json.loads(result.out)["things"]
    assert sorted(one["kind"] for one in things) == kinds
    assert {one["form"] for one in things} == {form}
    with_key = [one for one in things if one.get("pin") == key_pin(certificates.server().chain[0])]
    assert len(with_key) == len({kind for kind in kinds if kind != "revocation list"})
    assert "PRIVATE" not in result.out


def test_what_is_said_of_a_certificate_and_its_key(run: Run, pki: Pki) -> None:
    result = run("certs", "show", pki.server_cert, pki.server_key, pki.client_key)
    assert result.status == 1
    leaf = certificates.server().chain[0]
    for fact in (
        f"{pki.server_cert}: certificate (PEM)",
        "CN=localhost,O=handfast",
        "DNS:localhost, DNS:server.example.com, IP:127.0.0.1",
        "(89 days left)",
        "ECDSA P-256",
        "serverAuth",
        key_pin(leaf),
        f"its key       {pki.server_key}",
        f"fits          {pki.server_cert}",
        "refused       key_mismatch: it fits no certificate among these files",
    ):
        assert fact in result.out
    assert result.err.endswith("handfast: 1 reason for a refusal\n")


def test_a_healthy_set_is_not_refused(run: Run, pki: Pki) -> None:
    result = run("certs", "show", pki.ca, pki.server_cert, pki.server_key, pki.client_cert, pki.client_key)
    assert result.status == 0
    assert result.err == "handfast: nothing here will be refused\n"
    assert "refused" not in result.out


def test_the_role_and_the_time_are_given(run: Run, pki: Pki) -> None:
    assert run("certs", "show", pki.server_cert, "--as", "server").status == 0
    as_client = run("certs", "show", pki.server_cert, "--as", "client")
    assert as_client.status == 1
    assert "wrong_purpose: it is made for serverAuth, and not for clientAuth" in as_client.out
    later = run("certs", "show", pki.server_cert, "--at", "2199-01-01")
    assert later.status == 1
    assert "expired: it expired" in later.out
    assert run("certs", "show", pki.server_cert, "--at", "soon").is_error(2, "--at", "no date")


def test_a_fault_names_who_refuses_it_and_what_to_do(run: Run, tmp_path: Path) -> None:
    assert run("certs", "--fault", "no-aki", "--dir", tmp_path).status == 0
    result = run("certs", "show", tmp_path / "server.pem")
    assert result.status == 1
    assert "refused       no_authority_key_identifier: it has no authorityKeyIdentifier" in result.out
    assert "by            Python 3.13 and newer" in result.out
    assert "hint          have it issued anew with authorityKeyIdentifier" in result.out


def encrypted(tmp_path: Path) -> dict[Path, bytes]:
    issued = certificates.server()
    leaf = issued.certificate
    bundle = pkcs12.serialize_key_and_certificates(b"a", issued.key, leaf, [], BestAvailableEncryption(b"secret"))
    return {tmp_path / "a.key": issued.encrypted_key_pem(b"secret"), tmp_path / "a.p12": bundle}


def test_a_password_comes_from_a_file(run: Run, tmp_path: Path) -> None:
    for name, word in (("right", "secret\n"), ("wrong", "guess\n")):
        (tmp_path / name).write_text(word)
    for path, content in encrypted(tmp_path).items():
        path.write_bytes(content)
        assert run("certs", "show", path, "--key-password-file", tmp_path / "right").status == 0
        assert run("certs", "show", path, "--key-password-file", tmp_path / "wrong").is_error(2, str(path), "password")
        assert run("certs", "show", path).is_error(2, str(path), "encrypted", "--key-password-file")


def test_a_password_is_asked_for_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(certificates.server().encrypted_key_pem(b"secret"))
    with on_a_terminal("certs", "show", path) as (_, terminal):
        assert "Password:" in shown_until(terminal, "Password:")
        os.write(terminal, b"secret\n")
        shown = shown_until(terminal, "will be refused")
    assert "nothing here will be refused" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello\n", "no form of certificate that is known"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "not base64"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "does not parse"),
        (b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", "revocation list"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "request"),
        (b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", "does not parse"),
        (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "private key does not parse"),
        (b"\x30\x03\x02\x01\x07", "neither PEM nor"),
        (b"\x30\x04\x02\x01\x03\x30\0\0", "PKCS#12"),
        (b"ssh-ed25519 AAAA\n", "SSH"),
        (b"\xfe\xed\xfe\xed\0\0", "Java keystore"),
    ],
)
def test_a_bad_file_is_a_usage_error(run: Run, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    assert run("certs", "show", path).is_error(2, str(path), words)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("der.crl", b"\x0c\x08handfast", b"\x0d\x08handfast"),
        ("der.csr", b"\x0c\x09localhost", b"\x0c\x09localhos\xff"),
        ("a.p7b", b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x20"),
    ],
)
def test_what_the_parser_finds_late_is_a_bad_file_too(
    run: Run, tmp_path: Path, name: str, good: bytes, bad: bytes
) -> None:
    content = forms()[name]
    assert good in content
    path = tmp_path / name
    path.write_bytes(content.replace(good, bad))
    assert run("certs", "show", path).is_error(2, str(path))


def test_damaged_files_are_bad_files_or_are_shown() -> None:
    # Without PKCS#12: damage to a number of iterations would cost time.
    whole = [forms()[name] for name in ("a.der", "a.p7b", "der.csr", "der.crl", "public.der")]
    chance = random.Random(17)
    for _ in range(300):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            report = look(read(bytes(damaged), "damaged"), Case(datetime.now(UTC)))
        except ConfigError:
            continue
        assert all(text.isprintable() for one in report.shown for _, text in one.facts.lines())


def test_standard_input_is_read(pki: Pki) -> None:
    with pki.server_cert.open() as file:
        result = finish(start("certs", "show", "-", stdin=file))
    assert result.status == 0
    assert result.out.startswith("/dev/stdin: certificate (PEM)")


def test_a_missing_file_and_none_at_all(run: Run, tmp_path: Path) -> None:
    assert run("certs", "show", tmp_path / "none").is_error(2, "no such file")
    assert run("certs", "show").is_error(2, "FILE")


def test_text_of_certificates_is_escaped(run: Run, tmp_path: Path) -> None:
    authority = CertificateAuthority.create("evil\x1b[31m\nhandfast: all is well")
    path = tmp_path / "evil.pem"
    path.write_bytes(authority.certificate_pem)
    result = run("certs", "show", path)
    assert result.status == 0
    assert "\x1b" not in result.out
    assert "\\x1b[31m" in result.out
    assert not [line for line in result.out.splitlines() if line.startswith("handfast:")]


def test_the_rules_are_listed(run: Run) -> None:
    listed = run("certs", "show", "--list-rules").out.splitlines()
    assert [line.split()[0] for line in listed] == list(RULES)
    assert any("Python 3.13" in line for line in listed)
