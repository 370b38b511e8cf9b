"""``handfast doctor`` as a user meets it: what it prints, its report, its exit statuses."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

from handfast.cli.doctor import _Output
from handfast.doctor.catalogue import PLACES
from handfast.doctor.diagnosis import diagnose
from handfast.doctor.evidence import Asked, Attempt, Evidence
from handfast.engine import ClientAuth
from handfast.pki.faults import write_fault
from tests import certificates

from .conftest import https_server


@pytest.fixture
def broken(tmp_path):
    """Files of a case whose client has expired."""
    write_fault("client-expired", tmp_path)
    return tmp_path


def files_of(folder):
    return ("--cert", folder / "client.pem", "--key", folder / "client.key", "--cacert", folder / "ca.pem")


def test_cause_evidence_and_fix(run, broken):
    result = run("doctor", *files_of(broken))
    assert result.status == 1
    cause, evidence, *rest = result.out.splitlines()
    assert cause == "cause: the client's certificate, or one above it, has expired [client_expired] (the client's side)"
    assert evidence.startswith("  evidence: the certificate CN=alice,O=lab expired 2 days ago")
    fix = "\n".join(rest)
    assert all(f"\n    {title}" in fix for title in PLACES.values())
    assert str(broken / "client.pem") in fix


def test_what_is_open_names_the_option_that_would_tell(run, tmp_path):
    write_fault("client-missing-intermediate", tmp_path)
    result = run("doctor", *files_of(tmp_path))
    assert result.status == 1
    assert "one of these" in result.out
    assert "  what would tell: the certificate of the CA that issued the client's certificate (--issuer)" in result.out
    decided = run("doctor", *files_of(tmp_path), "--issuer", tmp_path / "intermediate.pem")
    assert "[client_missing_intermediate]" in decided.out
    assert "what would tell" not in decided.out


def test_a_healthy_server_and_client(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("doctor", f"https://localhost:{port}/", *pki.alice)
    assert (result.status, result.out.count("\n")) == (0, 1)
    assert "nothing is wrong" in result.out
    assert "connection 1: without a certificate" in result.err
    assert "connection 2: with the certificate" in result.err
    assert "2 connections made" in result.err


def test_json(run, broken):
    document = json.loads(run("doctor", *files_of(broken), "--json").out)
    (finding,) = document["findings"]
    assert document["healthy"] is False
    assert finding["decided"] is True
    assert finding["causes"][0]["code"] == "client_expired"
    assert finding["causes"][0]["fixes"][0]["nginx"]
    (identity,) = document["certificates"]
    assert identity["side"] == "client"
    assert identity["chain"][0]["subject"] == "CN=alice,O=lab"


def test_a_report_has_nothing_secret_in_it(run, broken, pki):
    secret = (broken / "client.key").read_text().splitlines()[1]
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("doctor", f"https://localhost:{port}/", *pki.trust, *files_of(broken)[:4], "--report", "-k")
    assert result.status == 1
    assert result.out.startswith("## handfast doctor\n")
    assert "client_expired" in result.out
    assert "SHA-256: " in result.out
    assert secret not in result.out
    assert "BEGIN" not in result.out
    assert str(broken) not in result.out
    assert "client.pem" in result.out


@pytest.mark.parametrize("form", [(), ("--json",), ("--report",)])
def test_no_password_and_no_pin_is_repeated(run, broken, form):
    own = ("--cert", broken / "client.pem", "--client-ca", broken / "ca.pem")
    result = run("doctor", *own, "--key", f"{broken / 'client.key'}:hunter2", *form)
    assert result.status == 1
    assert "hunter2" not in result.out + result.err
    token = run("doctor", *own, "--key", "pkcs11:token=none;object=x?pin-value=1234&module-path=/none", *form)
    assert token.status in (1, 2)
    assert "1234" not in token.out


def test_what_a_certificate_says_is_escaped(run, tmp_path):
    issued = certificates.ca().client("a\x1b[31mred")
    (tmp_path / "own.pem").write_bytes(issued.cert_pem + issued.key_pem)
    (tmp_path / "ca.pem").write_bytes(certificates.other_ca().certificate_pem)
    for form in ((), ("--json",), ("--report",)):
        result = run("doctor", "--cert", tmp_path / "own.pem", "--cacert", tmp_path / "ca.pem", *form)
        assert result.status == 1
        assert "\x1b" not in result.out


def test_a_log_from_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"x: CRL has expired\n"), isatty=lambda: False))
    result = run("doctor", "--log", "-")
    assert result.status == 1
    assert "[client_crl_stale]" in result.out


@pytest.mark.parametrize("name", ["missing.pcapng", "."])
def test_a_capture_that_cannot_be_read(run, name, tmp_path):
    result = run("doctor", "--capture", tmp_path / name)
    assert result.status == 2
    assert len(result.complaints) == 2


def test_what_is_no_capture(run, tmp_path):
    (tmp_path / "text").write_text("no capture")
    result = run("doctor", "--capture", tmp_path / "text")
    assert result.status == 2
    assert "this is no capture" in result.err


@pytest.mark.parametrize("may_be_http", [True, False])
def test_a_request_is_proposed_only_where_one_can_be_made(capsys, may_be_http):
    """https:// is no way to ask a server of PostgreSQL."""
    asked = Attempt(title="with the certificate", complete=True, spoke=True, asked=Asked.HANDSHAKE, ca_names=())
    evidence = Evidence(attempts=(asked,))
    _Output(diagnose(evidence), evidence, may_be_http).print(as_json=False, report=False)
    said = capsys.readouterr()
    assert "nothing is wrong, as far as the connections can tell" in said.out
    assert ("https:// shows" in said.err) is may_be_http
