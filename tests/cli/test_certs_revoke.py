"""`handfast certs revoke`, `crl` and `ocsp`: files that OpenSSL and our verifier act on, and that lose no entry."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from tests.certificates import require_peer
from tests.cli.conftest import finish, start

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def ca(run: Run, tmp_path: Path) -> Path:
    """The CA of a set with a server and the clients bob and carol."""
    assert run("certs", "localhost", "--client", "bob", "--client", "carol", "--dir", tmp_path).status == 0
    return tmp_path / "ca.pem"


def crl(ca: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(ca.with_suffix(".crl").read_bytes())


def number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def serial(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def openssl_says(ca: Path, who: str) -> str:
    command = [require_peer("openssl"), "verify", "-x509_strict", "-crl_check", "-CAfile", "ca.pem"]
    done = subprocess.run([*command, "-CRLfile", "ca.crl", f"{who}.pem"], cwd=ca.parent, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_revoked_client_is_refused_and_others_are_not(run: Run, ca: Path) -> None:
    assert run("certs", "revoke", ca.parent / "bob.pem", "--ca", ca, "--reason", "keyCompromise").status == 0
    assert "certificate revoked" in openssl_says(ca, "bob")
    assert openssl_says(ca, "carol") == "carol.pem: OK\n"
    entry = crl(ca).get_revoked_certificate_by_serial_number(serial(ca.parent / "bob.pem"))
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise


def test_the_list_grows_and_its_number_too(run: Run, ca: Path) -> None:
    numbers, entries = [], []
    for arguments in (
        ("crl",),
        ("revoke", ca.parent / "bob.pem"),
        ("revoke", ca.parent / "bob.pem", ca.parent / "carol.pem"),
        ("revoke", "--serial", "0A:0b:0c"),
        ("crl", "--days", "7"),
    ):
        assert run("certs", *arguments, "--ca", ca).status == 0
        numbers.append(number(crl(ca)))
        entries.append(len(crl(ca)))
    assert numbers == sorted(set(numbers))
    assert entries == [0, 1, 2, 3, 3]
    assert crl(ca).get_revoked_certificate_by_serial_number(0x0A0B0C) is not None
    end = crl(ca).next_update_utc
    assert end is not None
    assert (end - datetime.now(UTC)).days == 6


def test_of_revocations_at_once_none_is_lost(ca: Path) -> None:
    serials = [f"{number:x}" for number in range(1, 4)]
    running = [start("certs", "revoke", "--serial", one, "--ca", ca) for one in serials]
    assert [finish(process).status for process in running] == [0] * len(running)
    assert {entry.serial_number for entry in crl(ca)} == set(range(1, 4))


def test_who_is_not_this_cas_cannot_be_revoked(run: Run, ca: Path, tmp_path: Path) -> None:
    assert run("certs", "other", "--dir", tmp_path / "other").status == 0
    stranger = tmp_path / "other" / "client.pem"
    for command in ("revoke", "ocsp"):
        assert run("certs", command, stranger, "--ca", ca).is_error(2, "did not issue this", "CN=handfast CA")
    assert run("certs", "revoke", "--ca", ca).is_error(2, "CERT", "is missing")
    assert run("certs", "revoke", "--serial", "xyz", "--ca", ca).is_error(2, "no serial number")
    assert not ca.with_suffix(".crl").exists()


def test_a_list_that_is_not_the_cas_is_left_alone(run: Run, ca: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("certs", "other", "--dir", other).status == 0
    assert run("certs", "crl", "--ca", other / "ca.pem").status == 0
    for content, words in ((other / "ca.crl").read_bytes(), "another CA's"), (b"no list", "cannot be used"):
        ca.with_suffix(".crl").write_bytes(content)
        for command in (("revoke", ca.parent / "bob.pem"), ("crl",), ("ocsp", ca.parent / "bob.pem")):
            assert run("certs", *command, "--ca", ca).is_error(2, "ca.crl", words)
        assert ca.with_suffix(".crl").read_bytes() == content
    assert not (ca.parent / "bob.ocsp").exists()


def test_a_list_is_not_written_through_a_link(run: Run, ca: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    ca.with_suffix(".crl").symlink_to(tmp_path / "precious")
    assert run("certs", "revoke", ca.parent / "bob.pem", "--ca", ca).is_error(2, "a symbolic link")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_an_ocsp_response_says_what_the_list_says(run: Run, ca: Path) -> None:
    server = ca.parent / "server.pem"
    command = [require_peer("openssl"), "ocsp", "-respin", "server.ocsp", "-issuer", "ca.pem", "-cert", "server.pem"]
    for revoked, status in ((False, "good"), (True, "revoked")):
        if revoked:
            assert run("certs", "revoke", server, "--ca", ca, "--reason", "superseded").status == 0
        assert status in run("certs", "ocsp", server, "--ca", ca, "--days", 2).err
        done = subprocess.run([*command, "-CAfile", "ca.pem"], cwd=ca.parent, capture_output=True, text=True)
        assert "Response verify OK" in done.stderr
        assert f"server.pem: {status}" in done.stdout
    response = ocsp.load_der_ocsp_response((ca.parent / "server.ocsp").read_bytes())
    assert response.revocation_reason is x509.ReasonFlags.superseded
    assert response.revocation_time_utc == next(iter(crl(ca))).revocation_date_utc
    assert run("certs", "ocsp", server, "--ca", ca, "--crl", ca.parent / "absent.crl").is_error(2, "no such file")


def test_a_stapled_response_is_accepted(run: Run, ca: Path) -> None:
    from handfast.credentials.credentials import Credentials
    from handfast.engine import ClientConfig, ServerConfig
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import PathVerifier
    from tests.lens.connections import converse

    server = ca.parent / "server.pem"
    assert run("certs", "ocsp", server, "--ca", ca).status == 0
    own = Credentials.from_files(server, server.with_suffix(".key"))
    own = replace(own, ocsp_response=server.with_suffix(".ocsp").read_bytes())
    verifier = PathVerifier(Roots.from_file(ca), ocsp="require")
    watched, _ = converse(ClientConfig(verifier=verifier), ServerConfig(credentials=[own]))
    assert watched.info.ocsp_response == own.ocsp_response


def test_an_intermediate_has_a_list_of_its_own(run: Run, ca: Path) -> None:
    assert run("certs", "--ca", ca, "--intermediate", "issuing", "--client", "dora").status == 0
    issuing = ca.parent / "issuing.pem"
    assert run("certs", "revoke", ca.parent / "dora.pem", "--ca", ca).is_error(2, "did not issue this", "CN=issuing")
    assert run("certs", "revoke", ca.parent / "dora.pem", "--ca", issuing).status == 0
    assert crl(issuing).issuer.rfc4514_string() == "CN=issuing,O=handfast"
    assert run("certs", "revoke", issuing, "--ca", ca).status == 0
