"""What ``handfast connect`` has of curl's: -v -I -s -L, FILE:PASSWORD; and --json, --showcerts, --policy."""

from __future__ import annotations

import json
import threading

import pytest

from handfast import limits
from handfast.cli.http import Request
from handfast.cli.responses import follow
from handfast.cli.target import Target
from handfast.engine import ClientAuth
from handfast.io import sockets
from handfast.x509 import pem
from tests import certificates
from tests.cli.conftest import https_server, on_a_terminal, shown_until, tls_server
from tests.cli.test_connect import OK, url
from tests.lens.connections import server_config
from tests.waiting import LIMIT

BODY = OK + b"Content-Length: 4\r\n\r\nbody"


def answer(response):
    """What a server does that takes one request and answers it so."""

    def talk(tls):
        tls.recv()
        tls.sendall(response)

    return talk


def test_verbose_tells_what_was_asked_shown_sent_and_why(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", "-v", url(port), *pki.alice)
    said = [line for line in result.complaints if line.startswith("* ")]
    assert said[0] == f"* trusting {pki.ca} (1 root)"
    assert f"* connected to localhost (127.0.0.1) port {port}" in said
    assert "* we asked for the name localhost, and offered h2, http/1.1" in said
    assert any(line.startswith("*   [0] subject: CN=localhost,O=handfast") for line in said)
    assert any("    names: DNS:localhost" in line for line in said)
    assert any("    valid: 20" in line and line.endswith(" left)") for line in said)
    assert "* verified, up to CN=Test CA,O=handfast" in said
    assert "* the server asked for a client certificate, and names 1 CA: CN=Test CA,O=handfast" in said
    assert any(line.startswith("* we sent CN=alice,O=handfast (issuer CN=Test CA") for line in said)
    assert "> GET / HTTP/1.1" in result.complaints
    assert f"> Host: localhost:{port}" in result.complaints
    assert "< HTTP/1.1 200 OK" in result.complaints


def test_verbose_tells_of_a_chain_that_is_refused(run, pki):
    other = pki.directory / "other.pem"
    other.write_bytes(certificates.other_ca().certificate_pem)
    with https_server() as port:
        result = run("connect", "-v", url(port), "--cacert", other)
    assert any(line.startswith("*   [0] subject: CN=localhost") for line in result.complaints)
    assert result.is_error(1, "unknown_ca (48)")


def test_the_variable_that_names_the_roots_is_told(run, pki, monkeypatch):
    with https_server() as port:
        for variable in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(variable, str(pki.ca))
            result = run("connect", "-v", url(port))
            assert result.status == 0
            assert result.complaints[0] == f"* trusting ${variable}={pki.ca} (1 root)"


def test_head_asks_for_the_head_and_prints_it(run, pki):
    with https_server() as port:
        result = run("connect", "-I", url(port), *pki.trust)
    assert result.out.startswith("HTTP/1.1 200 OK\r\n")
    assert result.out.endswith("\r\n\r\n")


def test_silent_says_nothing_but_errors(run, pki):
    with https_server(ClientAuth.REQUEST) as port:
        result = run("connect", "-sS", "-k", url(port))
        assert (result.status, result.err) == (0, "")
        assert result.out.startswith("You have shown no certificate")
        result = run("connect", "-s", url(port), "--cacert", pki.client_cert)
    assert result.is_error(1, "unknown_ca (48)")
    assert len(result.complaints) == 2


# Redirects


class Servers:
    """Servers that answer one request after the other, each on a connection of its own."""

    def __init__(self, *answers):
        self.requests = []
        self.clients = []
        self._answers = answers
        settings = server_config(ClientAuth.REQUEST)
        self._listener = sockets.listen("127.0.0.1", 0, settings, timeout=LIMIT)
        self.port = self._listener.address[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def _run(self):
        for response in self._answers:
            try:
                tls = self._listener.accept()
            except OSError:
                return
            with tls:
                self.requests.append(tls.recv().decode())
                self.clients.append(tls.info.peer is not None)
                tls.sendall(response)

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(LIMIT)


def redirecting(status, location):
    head = f"HTTP/1.1 {status} Over there\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\n"
    return head.encode() + b"gone"


def test_a_redirect_is_followed_if_asked_for(run, pki):
    with Servers(redirecting(302, "/there?x#y"), BODY) as servers:
        result = run("connect", "-L", url(servers.port), *pki.alice, "-H", "Authorization: secret")
    assert (result.status, result.out) == (0, "body")
    assert servers.requests[1].startswith("GET /there?x HTTP/1.1\r\n")
    # One server: it is told again who asks.
    assert "Authorization: secret" in servers.requests[1]
    assert servers.clients == [True, True]
    with Servers(redirecting(302, "/there")) as servers:
        assert run("connect", url(servers.port), *pki.alice).out == "gone"


def test_another_server_gets_no_credentials(run, pki):
    with Servers(BODY) as other, Servers(redirecting(307, f"https://127.0.0.1:{other.port}/")) as first:
        arguments = ("-H", "Authorization: secret", "-H", "Cookie: secret", "-H", "X-Own: 1", "-d", "data")
        result = run("connect", "-L", url(first.port), *pki.alice, *arguments)
    assert (result.status, result.out) == (0, "body")
    (request,) = other.requests
    assert "secret" not in request
    assert request.startswith(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{other.port}\r\n")
    assert "X-Own: 1" in request
    assert (first.clients, other.clients) == ([True], [False])


@pytest.mark.parametrize("location", ["http://localhost/", "file:///etc/passwd", "https://[::1/", "gopher:x"])
def test_only_https_is_followed(run, pki, location):
    with Servers(redirecting(301, location)) as servers:
        assert run("connect", "-L", url(servers.port), *pki.trust).is_error(1, "not followed", "without -L")


def test_redirects_have_an_end(run, pki):
    with Servers(*[redirecting(302, "/")] * 3) as servers:
        result = run("connect", "-L", "--max-redirs", 2, url(servers.port), *pki.trust)
    assert result.is_error(1, "more than 2 redirects", "--max-redirs")
    with Servers(*[redirecting(302, "/")] * 3) as servers, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_REDIRECTS", 1)
        assert run("connect", "-L", url(servers.port), *pki.trust).is_error(1, "more than 1 redirects")


@pytest.mark.parametrize(
    ("status", "method", "kept", "after"),
    [
        (302, "POST", False, ("GET", b"")),
        (303, "PUT", False, ("GET", b"")),
        (302, "POST", True, ("POST", b"")),
        (307, "POST", False, ("POST", b"data")),
        (308, "PUT", True, ("PUT", b"data")),
        (302, "HEAD", False, ("HEAD", b"data")),
    ],
)
def test_what_becomes_of_method_and_body(status, method, kept, after):
    here = Target("a", 443, "/")
    request = Request(method, "/", [("Host", "a"), ("Content-Length", "4")], b"data")
    followed = follow(request, here, Target("a", 443, "/b"), status, kept=kept)
    assert (followed.method, followed.body) == after
    assert ("Content-Length", "4") in followed.headers or not followed.body


# JSON, certificates, policies


def test_events_as_json_with_the_outcome_last(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", "--json", "-", url(port), *pki.alice)
        refused = run("connect", "--json", "-", url(port), *pki.trust)
    events = [json.loads(line) for line in result.out.splitlines()]
    assert {"record", "message", "negotiated", "closed"} <= {event["event"] for event in events}
    last = events[-1]
    assert last["event"] == "outcome"
    assert (last["failed"], last["http_status"], last["version"]) == (False, 200, "TLS 1.3")
    assert (last["server"], last["server_verified"], last["certificate_sent"]) == (
        "CN=localhost,O=handfast",
        True,
        True,
    )
    assert last["verdict"].startswith("mutual TLS 1.3 OK")
    last = json.loads(refused.out.splitlines()[-1])
    assert last["failed"]
    assert "certificate_required" in last["verdict"]
    assert "--cert" in last["hint"] or "credentials" in last["hint"]


def test_events_in_a_file_and_the_body_where_it_always_is(run, pki, tmp_path):
    path = tmp_path / "events"
    with https_server() as port:
        for _ in range(2):
            result = run("connect", "--json", path, url(port), *pki.trust)
            assert result.out.startswith("You have shown no certificate")
        assert json.loads(path.read_text().splitlines()[-1])["event"] == "outcome"
        path.write_text("something else")
        assert run("connect", "--json", path, url(port), *pki.trust).is_error(2, "exists already")


def test_showcerts_prints_the_chain_also_of_a_server_that_is_refused(run, pki):
    chain = [block.der() for block in pem.blocks(certificates.server().cert_pem)]
    with tls_server(lambda tls: tls.recv()) as port:
        result = run("connect", "--showcerts", f"localhost:{port}", *pki.trust)
    assert result.status == 0
    assert result.out.startswith("# [0] CN=localhost,O=handfast (issuer CN=Test CA,O=handfast)\n-----BEGIN")
    assert [block.der() for block in pem.blocks(result.out.encode())] == chain
    with https_server() as port:
        refused = run("connect", "--showcerts", url(port), "--cacert", pki.client_cert)
    assert refused.is_error(1, "unknown_ca (48)")
    assert [block.der() for block in pem.blocks(refused.out.encode())] == chain


def test_policy(run, pki):
    with https_server() as port:
        for policy in ("handfast", "openssl", "strict"):
            assert run("connect", "--policy", policy, url(port), *pki.trust).status in (0, 1)
        assert run("connect", "--policy", "lax", url(port), *pki.trust).is_error(2, "--policy")
        arguments = ("--policy", "openssl", "-k", "--pin", "sha256//" + "A" * 43 + "=")
        assert run("connect", url(port), *arguments).is_error(2, "--policy")


def test_names_as_openssl_has_them(run, pki):
    arguments = ("--tls", "1.2", "--suites", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    with https_server() as port:
        result = run("connect", url(port), *pki.trust, *arguments)
        assert "_WITH_AES_128_GCM_SHA256, " in result.err
        result = run("connect", url(port), *pki.trust, "--tls", "1.3", "--groups", "?P-384:secp521r1")
    assert ", secp384r1, " in result.err or ", secp521r1, " in result.err


# Passwords


@pytest.fixture
def encrypted(pki):
    pki.client_key.write_bytes(certificates.client().encrypted_key_pem(b"se:cret"))
    return pki


def test_a_password_behind_the_files_name(run, encrypted, tmp_path):
    pki = encrypted
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        given = (*pki.trust, "--cert", pki.client_cert, "--key")
        assert run("connect", url(port), *given, f"{pki.client_key}:se:cret").status == 0
        assert run("connect", url(port), *given, f"{pki.client_key}:wrong").is_error(2, "password")
        twice = run("connect", url(port), *given, f"{pki.client_key}:se:cret", "--key-password-file", pki.ca)
        assert twice.is_error(2, "--key-password-file")
        # A file whose own name has a colon is that file.
        (tmp_path / "a:b").write_bytes(certificates.client().key_pem)
        assert run("connect", url(port), *given, tmp_path / "a:b").status == 0


def test_a_password_is_asked_for_on_a_terminal(encrypted):
    pki = encrypted
    with (
        https_server(ClientAuth.REQUIRE_AND_VERIFY) as port,
        on_a_terminal("connect", url(port), *pki.alice) as (process, controller),
    ):
        import os

        shown_until(controller, "client.key:")
        os.write(controller, b"se:cret\n")
        shown = shown_until(controller, "mutual TLS 1.3 OK")
        assert process.wait(LIMIT) == 0
    assert "se:cret" not in shown
