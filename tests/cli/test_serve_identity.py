"""Who ``handfast serve`` is, under several names and with a word of its CA, and whom it lets in."""

from __future__ import annotations

import json
import signal
import socket
import ssl

import pytest

from handfast.trust.pins import key_pin
from handfast.x509.certificates import parse
from tests import certificates
from tests.cli.serving import serving
from tests.waiting import LIMIT, until


@pytest.fixture
def other(pki):
    """A second certificate and key, for other names."""
    issued = certificates.ca().server("other.example", "*.sub.example")
    (pki.directory / "other.pem").write_bytes(issued.cert_pem)
    (pki.directory / "other.key").write_bytes(issued.key_pem)
    return ("--cert", pki.directory / "other.pem", "--key", pki.directory / "other.key")


def names_at(pki, port, server_name):
    """The DNS names of the certificate that a client gets that asks for a name."""
    context = ssl.create_default_context(cafile=pki.ca)
    context.check_hostname = False
    sock = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    with context.wrap_socket(sock, server_hostname=server_name) as tls:
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return parse(certificate).names.dns


def test_certificates_by_name(pki, other):
    with serving(*pki.server, *other, "--reload") as server:
        assert "localhost" in names_at(pki, server.port, "localhost")
        assert "other.example" in names_at(pki, server.port, "other.example")
        assert "other.example" in names_at(pki, server.port, "OTHER.example.")
        assert "other.example" in names_at(pki, server.port, "a.sub.example")
        assert "localhost" in names_at(pki, server.port, "a.b.sub.example")
        assert "localhost" in names_at(pki, server.port, "unknown.example")
        assert "localhost" in names_at(pki, server.port, None)
        issued = certificates.ca().server("other.example", "new.example")
        (pki.directory / "other.key").write_bytes(issued.key_pem)
        (pki.directory / "other.pem").write_bytes(issued.cert_pem)
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: "new.example" in names_at(pki, server.port, "other.example"))


def test_two_kinds_of_keys_for_one_name(pki):
    issued = certificates.server("rsa-2048")
    (pki.directory / "rsa.pem").write_bytes(issued.cert_pem + issued.key_pem)
    (pki.directory / "ec.pem").write_bytes(certificates.server().cert_pem + certificates.server().key_pem)
    with serving("--cert", pki.directory / "rsa.pem", "--cert", pki.directory / "ec.pem") as server:
        assert "localhost" in names_at(pki, server.port, "localhost")


@pytest.mark.parametrize("extra", ["--cert", "--key"])
def test_what_makes_no_pairs(run, pki, other, extra):
    value = dict(zip(other[::2], other[1::2], strict=True))[extra]
    assert run("serve", *pki.server, extra, value).is_error(2, "--key", "make no pairs")


# Staples


@pytest.fixture
def staple(pki):
    path = pki.directory / "server.ocsp"
    path.write_bytes(certificates.ca().ocsp_response(certificates.server()))
    return path


def test_a_staple(run, pki, other, staple):
    with serving(*pki.server, *other, "--staple", staple) as server:
        url = f"https://localhost:{server.port}/"
        assert run("connect", url, *pki.trust, "--ocsp", "require").status == 0
        there = f"other.example:{server.port}:127.0.0.1:{server.port}"
        refused = run("connect", f"https://other.example:{server.port}/", "--connect-to", there, *pki.trust,
                      "--ocsp", "require")  # fmt: skip
    assert refused.is_error(1, "OCSP")


def test_a_staple_that_is_replaced(run, pki, staple):
    with serving(*pki.server, "--staple", staple, "--reload") as server:
        ask = ("connect", f"https://localhost:{server.port}/", *pki.trust, "--ocsp", "require")
        assert run(*ask).status == 0
        staple.write_bytes(certificates.ca().ocsp_response(certificates.server(), "revoked"))
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: run(*ask).is_error(1, "revoked"))


def test_what_is_no_staple(run, pki, other, tmp_path):
    foreign = tmp_path / "foreign.ocsp"
    foreign.write_bytes(certificates.ca().ocsp_response(certificates.client()))
    assert run("serve", *pki.server, "--staple", foreign).is_error(2, "--staple", "about no --cert")
    assert run("serve", *pki.server, "--staple", pki.ca).is_error(2, "--staple", "no OCSP response")
    assert run("serve", *pki.server, "--staple", "missing").is_error(2, "missing")


# Whom it lets in


@pytest.mark.parametrize(
    ("allow", "let_in"),
    [
        (["--allow-dns", "bob", "--allow-spki", key_pin(certificates.client().chain[0])], True),
        (["--allow-uri", "spiffe://corp.example/**", "--allow-cn", "alice"], True),
        (["--allow-dns", "*.example", "--reload"], False),
        (["--allow-if", "tests.cli.test_serve_identity:is_alice"], True),
        (["--allow-cn", "alice", "--allow-if", "tests.cli.test_serve_identity:is_nobody"], False),
    ],
)
def test_who_is_let_in(run, pki, allow, let_in):
    with serving(*pki.server, "--client-ca", pki.ca, *allow) as server:
        result = run("connect", f"https://localhost:{server.port}/whoami", *pki.alice)
        if let_in:
            assert json.loads(result.out)["subject"] == "CN=alice,O=handfast"
            server.hears("GET /whoami 200 CN=alice,O=handfast")
        else:
            assert result.is_error(1, "access_denied (49)")
            line = server.hears("CN=alice,O=handfast is genuine, and not let in: ")
            assert allow[1] in line or "is_nobody says no" in line


def is_alice(peer):
    return peer.verdict.subject == "CN=alice,O=handfast"


def is_nobody(_peer):
    return False


def test_a_file_of_names_is_followed(run, pki):
    names = pki.directory / "allow.txt"
    names.write_text("cn: bob\nou: people\n")
    with serving(*pki.server, "--client-ca", pki.ca, "--allow-file", names, "--reload") as server:
        ask = ("connect", f"https://localhost:{server.port}/", *pki.alice)
        assert run(*ask).is_error(1, "access_denied")
        assert "CN=bob, OU=people" in server.hears("not let in: it has DNS:alice; let in are: ")
        names.write_text("cn: alice\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: run(*ask).status == 0)


def test_a_certificate_must_be_good_besides(run, pki):
    mallory = certificates.other_ca().client("alice", "alice")
    (pki.directory / "mallory.pem").write_bytes(mallory.cert_pem + mallory.key_pem)
    with serving(*pki.server, "--client-ca", pki.ca, "--allow-cn", "alice") as server:
        cert = ("--cert", pki.directory / "mallory.pem")
        assert run("connect", f"https://localhost:{server.port}/", *pki.trust, *cert).is_error(1, "unknown_ca")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--allow-cn", "alice"], ("--allow-", "--client-ca")),
        (["--client-ca", "ca.pem", "--client-auth", "verify_if_given", "--allow-cn", "alice"], ("verify_if_given",)),
        (["--client-ca", "ca.pem", "--client-auth", "request", "--allow-cn", "alice"], ("with request",)),
        (["--client-ca", "ca.pem", "--allow-uri", "spiffe://a/b*"], ("whole segment",)),
        (["--client-ca", "ca.pem", "--allow-dns", ""], ("empty",)),
        (["--client-ca", "ca.pem", "--allow-spki", "sha256//x"], ("pin",)),
        (["--client-ca", "ca.pem", "--allow-file", "ca.pem"], ("ca.pem, line 1", "no entry")),
        (["--client-ca", "ca.pem", "--allow-if", "no_such_module:f"], ("no_such_module",)),
        (["--client-ca", "ca.pem", "--allow-ou", "bill*"], ("whole segment",)),
    ],
)
def test_lists_that_would_let_in_others(run, pki, monkeypatch, arguments, words):
    monkeypatch.chdir(pki.directory)
    assert run("serve", *pki.server, *arguments).is_error(2, *words)


def test_what_a_client_is_called_is_escaped_in_the_log(run, pki):
    issued = certificates.ca().client("a\nb\x1b[2J")
    (pki.directory / "odd.pem").write_bytes(issued.cert_pem + issued.key_pem)
    with serving(*pki.server, "--client-ca", pki.ca) as server:
        assert run("connect", f"https://localhost:{server.port}/", *pki.trust, "--cert", pki.directory / "odd.pem").out
        line = server.hears("GET / 200 CN=")
    assert "\x1b" not in line
