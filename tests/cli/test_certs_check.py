"""`handfast certs check` judges as a connection does: the same verdicts, words and hints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from handfast.pki.faults import FAULTS, Role
from tests import certificates
from tests.cli.conftest import Pki, Run, https_server

JUDGED = [fault for fault in FAULTS.values() if fault.code and "chain_order" not in fault.code]


def test_a_healthy_server_and_client(run: Run, pki: Pki) -> None:
    result = run("certs", "check", *pki.trust, pki.server_cert, "--for", "localhost")
    assert result.status == 0
    accepted = f"{pki.server_cert}: accepted as a server's: CN=localhost,O=handfast, trusted through CN=Test CA"
    assert result.out.startswith(accepted)
    assert result.err == f"handfast: held against {pki.ca} (1 root)\n"
    client = run("certs", "check", *pki.trust, pki.client_cert)
    assert client.status == 0
    assert "accepted as a client's" in client.out


def test_without_a_name_none_is_compared(run: Run, pki: Pki) -> None:
    result = run("certs", "check", *pki.trust, pki.server_cert)
    assert result.status == 0
    assert "no name was compared; --for HOST does that" in result.err


@pytest.mark.parametrize("name", ["wrong-san", "no-san", "expired", "wrong-ca", "missing-intermediate", "rsa-1024"])
def test_a_fault_of_a_server_is_found(run: Run, tmp_path: Path, name: str) -> None:
    assert run("certs", "--fault", name, "--dir", tmp_path).status == 0
    result = run("certs", "check", "--cacert", tmp_path / "ca.pem", tmp_path / "server.pem", "--for", "localhost")
    assert result.status == 1
    assert "client refused the server's certificate" in result.out
    assert "  hint          " in result.out
    told = run(
        "certs", "check", "--json", "--cacert", tmp_path / "ca.pem", tmp_path / "server.pem", "--for", "localhost"
    )
    checked = json.loads(told.out)["checked"][0]
    # A missing intermediate is told from another CA by what else is known.
    assert checked["code"] == FAULTS[name].code.replace("missing_intermediate", "unknown_issuer")  # type: ignore[union-attr]
    assert not checked["accepted"]


def test_the_words_are_those_of_a_connection(run: Run, pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(certificates.other_ca().certificate_pem)
    with https_server() as port:
        connected = run("connect", f"https://localhost:{port}/", "--cacert", tmp_path / "other.pem")
    checked = run("certs", "check", "--cacert", tmp_path / "other.pem", pki.server_cert, "--for", "localhost")
    words, hint = checked.out.splitlines()
    assert words.removeprefix(f"{pki.server_cert}: ") in connected.err
    assert hint.removeprefix("  hint").strip() in connected.err


def test_a_client_is_told_the_same_option(run: Run, pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(certificates.other_ca().certificate_pem)
    result = run("certs", "check", "--cacert", tmp_path / "other.pem", pki.client_cert)
    assert result.status == 1
    assert "server refused the client's certificate" in result.out
    assert "trust that CA with --cacert" in result.out


def test_another_file_tells_that_an_intermediate_is_missing(run: Run, tmp_path: Path) -> None:
    assert run("certs", "--fault", "missing-intermediate", "--dir", tmp_path).status == 0
    files = tmp_path / "server.pem", tmp_path / "intermediate.pem"
    result = run("certs", "check", "--cacert", tmp_path / "ca.pem", *files, "--as", "server")
    assert result.status == 1
    assert "it is an intermediate: it is known here" in result.out


def test_policy_role_time_and_lists(run: Run, pki: Pki, tmp_path: Path) -> None:
    assert run("certs", "--fault", "no-aki", "--dir", tmp_path).status == 0
    check = ("certs", "check", "--cacert", tmp_path / "ca.pem", tmp_path / "server.pem")
    assert run(*check).status == 0
    strict = run(*check, "--policy", "strict")
    assert strict.status == 1
    assert "authorityKeyIdentifier" in strict.out
    assert "wrong_purpose" in run(*check, "--as", "client", "--json").out
    assert "expired" in run(*check, "--at", "2199-01-01T00:00:00").out
    revoked = tmp_path / "crl.pem"
    revoked.write_bytes(certificates.ca().crl([certificates.server().certificate]))
    listed = run("certs", "check", *pki.trust, pki.server_cert, "--crl", revoked)
    assert listed.status == 1
    assert "certificate_revoked (44)" in listed.out


def test_every_fault_of_a_client_is_found(run: Run, tmp_path: Path) -> None:
    for fault in JUDGED:
        if fault.role is not Role.CLIENT or fault.code in ("certificate_required", "missing_intermediate"):
            continue
        folder = tmp_path / fault.name
        assert run("certs", "--fault", fault.name, "--dir", folder).status == 0
        lists = ("--crl", folder / "crl.pem") if (folder / "crl.pem").exists() else ()
        client = ("--as", "client", folder / "client.pem")
        result = run("certs", "check", "--json", "--cacert", folder / "ca.pem", *lists, *client)
        if fault.code in ("swapped", "password_needed", "key_mismatch", "der_as_pem"):
            continue
        assert result.status == 1, fault
        assert json.loads(result.out)["checked"][0]["code"] == fault.code


def test_a_bundle_is_its_leaf_and_what_is_above(run: Run, pki: Pki, tmp_path: Path) -> None:
    issued = certificates.server_below_intermediate()
    middle = certificates.intermediate().certificate
    path = tmp_path / "a.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"a", issued.key, issued.certificate, [middle], NoEncryption())
    )
    result = run("certs", "check", *pki.trust, path, "--for", "localhost")
    assert result.status == 0
    assert "  through       CN=Test Intermediate" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("CERT",)),
        (("none.pem",), ("none.pem", "no such file")),
        (("{key}",), ("no certificate", "private key")),
        (("{cert}", "--for", "not a name"), ("not a DNS name",)),
        (("{cert}", "--for", "localhost", "--as", "client"), ("--for",)),
        (("{cert}", "--at", "soon"), ("--at",)),
        (("{cert}", "--policy", "lax"), ("lax",)),
        (("{cert}", "--crl", "none.crl"), ("none.crl",)),
    ],
)
def test_bad_arguments(run: Run, pki: Pki, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    given = [one.format(cert=pki.server_cert, key=pki.server_key) for one in arguments]
    assert run("certs", "check", *pki.trust, *given).is_error(2, *words)
