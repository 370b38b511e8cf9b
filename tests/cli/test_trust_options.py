"""``connect --pin``, ``connect --trust-on-first-use`` and ``serve --reload``."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from handfast.engine import ClientAuth
from handfast.trust.pins import key_pin
from tests import certificates
from tests.cli.conftest import finish, https_server, start
from tests.waiting import until

PIN = key_pin(certificates.server().chain[0])
SPARE = "sha256//" + "A" * 43 + "="


def url(port: int) -> str:
    return f"https://localhost:{port}/whoami"


def test_a_pin_counts_besides_the_ca(run, pki):
    with https_server() as port:
        assert run("connect", url(port), *pki.trust, "--pin", PIN).status == 0
        assert run("connect", url(port), *pki.trust, "--pin", f"{SPARE};{PIN}").status == 0
        assert run("connect", url(port), *pki.trust, "--pin", SPARE, "--pin", PIN).status == 0
        assert run("connect", url(port), *pki.trust, "--pin", SPARE).is_error(1, "is not pinned", PIN, SPARE)
        # The pin fits, and the CA is none that is trusted.
        other = pki.directory / "other.pem"
        other.write_bytes(certificates.other_ca().certificate_pem)
        assert run("connect", url(port), "--cacert", other, "--pin", PIN).is_error(1, "other.pem")


def test_with_k_the_pin_alone_counts_as_for_curl(run):
    with https_server() as port:
        good = run("connect", url(port), "-k", "--pin", PIN)
        assert good.status == 0
        assert "whoever answers" not in good.err
        assert run("connect", url(port), "-k", "--pin", SPARE).is_error(1, "is not pinned")


def test_trust_on_first_use(run, pki, tmp_path):
    store = tmp_path / "known"
    with https_server() as port:
        for _ in range(2):
            assert run("connect", url(port), "--trust-on-first-use", store).status == 0
    assert f"localhost {PIN}" in store.read_text().splitlines()
    store.write_text(f"localhost {SPARE}\n")
    with https_server() as port:
        refused = run("connect", url(port), "--trust-on-first-use", store)
    assert refused.is_error(1, PIN, SPARE, "remove the line of localhost")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--pin", "sha256//short"), ("pin", "44 characters")),
        (("--cacert", "pkcs11:token=roots"), ("--cacert", "PKCS#11 URI", "trust extract")),
        (("--trust-on-first-use", "known", "-k"), ("-k", "leave one")),
        (("--trust-on-first-use", "known", "--cacert", "ca.pem"), ("--cacert", "leave one")),
    ],
)
def test_what_cannot_be_meant(run, arguments, words):
    assert run("connect", "https://localhost:1/", *arguments).is_error(2, *words)


def test_the_trace_says_who_is_trusted(run):
    with https_server() as port:
        assert f"trusting Pinned({PIN})" in run("connect", url(port), "-k", "--pin", PIN, "--trace").err


def test_serve_reloads_at_a_change_and_warns_of_what_does_not_fit(run, pki):
    server = start("serve", "--listen", "127.0.0.1:0", *pki.server, "--client-ca", pki.ca, "--reload")
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        [port] = re.findall(r":(\d+)/", server.stdout.readline())
        assert run("connect", url(port), *pki.alice).status == 0
        new = certificates.ca().server("localhost")
        pki.server_cert.write_bytes(new.cert_pem)
        while "does not belong" not in server.stderr.readline():
            pass
        assert run("connect", url(port), *pki.alice, "--pin", PIN).status == 0
        pki.server_key.write_bytes(new.key_pem)
        server.send_signal(signal.SIGHUP)
        pin = key_pin(new.chain[0])
        assert until(lambda: run("connect", url(port), *pki.alice, "--pin", pin).status == 0)
    finally:
        server.send_signal(signal.SIGINT)
        finish(server)


def test_serve_reload_without_watchfiles(run, pki, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    refused = run("serve", "--listen", "127.0.0.1:0", *pki.server, "--client-auth", ClientAuth.NONE, "--reload")
    assert refused.is_error(2, "watchfiles is not installed", "handfast[reload]")
