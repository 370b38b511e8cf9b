"""``handfast serve``: what it answers, what it says, and what it survives."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from handfast import limits
from handfast.cli import http
from handfast.cli.http import Request
from handfast.cli.lenses import Lenses
from handfast.cli.server import Server, answer, listener_for
from handfast.engine import ClientAuth, ConnectionInfo
from handfast.roles import Role
from tests import certificates
from tests.cli.conftest import finish, https_server, start
from tests.lens.connections import server_config, verifier
from tests.waiting import LIMIT, until


def whoami(run, port, *arguments):
    result = run("connect", f"https://localhost:{port}/whoami", *arguments)
    assert result.status == 0
    return json.loads(result.out)


def test_whoami_of_a_verified_client(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        who = whoami(run, port, *pki.alice)
    assert who["chain"] == [certificates.client().cert_pem.decode()]
    assert who["verdict"]["accepted"] is True
    assert {name: value for name, value in who.items() if name not in ("chain", "verdict")} == {
        "client_certificate": "verified",
        "subject": "CN=alice,O=handfast",
        "issuer": "CN=Test CA,O=handfast",
        "names": ["DNS:alice"],
        "ca_names": ["CN=Test CA,O=handfast"],
        "server_name": "localhost",
        "version": "TLS 1.3",
        "suite": "TLS_AES_128_GCM_SHA256",
        "group": "X25519MLKEM768",
        "signature_scheme": "ecdsa_secp256r1_sha256",
        "alpn": "http/1.1",
        "resumed": False,
    }


def test_whoami_of_others(run, pki):
    with https_server(ClientAuth.REQUEST, verifier=verifier(certificates.other_ca())) as port:
        unverified = whoami(run, port, *pki.alice)
        none = whoami(run, port, *pki.trust)
        words = run("connect", f"https://localhost:{port}/", *pki.alice).out
    assert (unverified["client_certificate"], unverified["verdict"]["accepted"]) == ("not verified", False)
    assert unverified["verdict"]["code"] == "unknown_issuer"
    assert (none["client_certificate"], none["subject"], none["chain"]) == ("none", None, [])
    assert "It is not verified: " in words
    with https_server(ClientAuth.NONE) as port:
        assert whoami(run, port, *pki.alice)["client_certificate"] == "not requested"


@pytest.mark.parametrize(
    ("mode", "settings", "names", "words"),
    [
        (ClientAuth.NONE, {}, None, "You were not asked for a certificate: "),
        (ClientAuth.REQUEST, {"ca_names": None}, [], "though asked for one from any CA, as none was named: "),
        (ClientAuth.REQUEST, {}, ["CN=Test CA,O=handfast"], "though asked for one from CN=Test CA,O=handfast: "),
    ],
)
def test_whoami_tells_the_three_requests_apart(run, pki, mode, settings, names, words):
    with https_server(mode, **settings) as port:
        assert whoami(run, port, *pki.trust)["ca_names"] == names
        assert words in run("connect", f"https://localhost:{port}/", *pki.trust).out


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (Request("GET", "/"), 200, b"This is "),
        (Request("HEAD", "/whoami?x"), 200, b'"client_certificate"'),
        (Request("POST", "/print", [], b"\0echo"), 200, b"\0echo"),
        (Request("GET", "/print"), 405, b"POST"),
        (Request("POST", "/"), 405, b"GET"),
        (Request("GET", "/\x1b"), 404, b"/whoami"),
    ],
)
def test_routes(request_, status, body):
    reply = answer(ConnectionInfo(Role.SERVER, version=0x0304, suite=0x1301), request_)
    assert reply.status == status
    assert body in reply.body


def test_the_program(run, pki):
    """The real thing: its address on stdout, a verdict or a warning per connection on stderr."""
    server = start("serve", *pki.server, "--client-ca", pki.ca, "--listen", "127.0.0.1:0", "--trace")
    assert server.stdout is not None
    address = re.fullmatch(r"Serving on https://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends\)\n", server.stdout.readline())
    assert address
    good = run("connect", f"https://localhost:{address[1]}/", *pki.alice)
    refused = run("connect", f"https://localhost:{address[1]}/", *pki.trust)
    with socket.create_connection(("127.0.0.1", int(address[1]))) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while plain.recv(4096):
            pass
    assert server.stderr is not None
    lines: list[str] = []
    said: list[str] = []
    bound = threading.Timer(LIMIT, server.kill)
    bound.start()
    while len(said) < 4:
        lines.append(server.stderr.readline())
        assert lines[-1]
        said += [line for line in lines[-1:] if line.startswith("handfast: ")]
    bound.cancel()
    server.terminate()
    finish(server)
    # Each connection has a thread of its own, and a refused one waits a while for its peer before it tells.
    said.sort(key=lambda line: ("plain HTTP" in line, "sent no certificate" in line, " 200 " in line))
    assert good.out.startswith("You are CN=alice")
    assert refused.is_error(1, "certificate_required")
    assert re.match(r"handfast: 127\.0\.0\.1:\d+: mutual TLS 1\.3 OK: client CN=alice,O=handfast \(issuer", said[0])
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"handfast: 127\.0\.0\.1:\d+: {stamp} GET / 200 CN=alice,O=handfast\n", said[1])
    assert re.match(r"handfast: warning: 127\.0\.0\.1:\d+: handshake failed .*sent no certificate", said[2])
    assert {line.split()[0] for line in lines if re.match(r"\d+ \d+ ", line)} == {"1", "2", "3"}


@pytest.mark.parametrize("in_directory", [False, True])
def test_a_revoked_client(run, pki, in_directory):
    """--crl, as a program and in a directory of lists."""
    directory = pki.directory / "lists"
    directory.mkdir()
    (directory / "ca.crl").write_bytes(certificates.ca().crl([certificates.client()]))
    lists = directory if in_directory else directory / "ca.crl"
    server = start("serve", *pki.server, "--client-ca", pki.ca, "--crl", lists, "--listen", "127.0.0.1:0")
    assert server.stdout is not None
    assert server.stderr is not None
    port = server.stdout.readline().rpartition(":")[2].partition("/")[0]
    refused = run("connect", f"https://localhost:{port}/", *pki.alice)
    assert refused.is_error(1, "certificate_revoked (44)")
    bound = threading.Timer(LIMIT, server.kill)
    bound.start()
    assert "CN=alice,O=handfast was revoked on" in server.stderr.readline()
    bound.cancel()
    server.terminate()
    finish(server)


@pytest.mark.parametrize("more", [(), ("--reload",)])
def test_a_client_of_whom_its_ca_must_say_something(run, pki, more):
    server = start("serve", *pki.server, "--client-ca", pki.ca, "--ocsp", "require", "--listen", "127.0.0.1:0", *more)
    assert server.stdout is not None
    port = server.stdout.readline().rpartition(":")[2].partition("/")[0]
    refused = run("connect", f"https://localhost:{port}/", *pki.alice)
    assert refused.is_error(1, "bad_certificate_status_response (113)")
    server.terminate()
    finish(server)


def test_a_port_that_is_taken(run, pki):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run("serve", *pki.server, "--listen", address).is_error(2, f"--listen: {address}", "in use", "port 0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listen", "localhost"), ("--listen", ":PORT")),
        (("--listen", "256.0.0.1:0"), ("--listen",)),
        (("--client-ca", "missing"), ("missing",)),
        (("--crl", "ca.pem"), ("--crl", "--client-ca")),
        (("--ocsp", "require"), ("--ocsp", "--client-ca")),
        (("--client-ca", "ca.pem", "--ocsp", "maybe"), ("--ocsp", "require")),
        (("--client-ca", "ca.pem", "--crl", "missing"), ("missing: no such file",)),
        (("--client-ca", "ca.pem", "--crl", "ca.pem"), ("ca.pem: holds no revocation list",)),
        (("--client-auth", "maybe"), ("--client-auth", "require_and_verify")),
        (("--client-auth", "require_and_verify"), ("--client-ca",)),
        (("--client-auth", "none", "--client-ca", "ca.pem"), ("--client-ca", "none")),
        (("--secrets",), ("--trace",)),
        (("--explain",), ("--trace",)),
        (("--require-later", "--client-auth", "none"), ("--require-later", "none")),
        (("--require-later", "--tls", "1.2"), ("--require-later", "TLS 1.3")),
        (("--require-later", "--client-ca", "ca.pem", "--tls", "1.2"), ("--require-later", "TLS 1.3")),
    ],
)
def test_bad_options(run, pki, monkeypatch, arguments, words):
    monkeypatch.chdir(pki.directory)
    assert run("serve", *pki.server, *arguments).is_error(2, *words)


def test_no_more_threads_than_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "SERVE_CONNECTIONS", 1)
    context = ssl.create_default_context(cadata=certificates.ca().certificate_pem.decode())

    def ask(port):
        sock = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return tls.recv(65536)

    with https_server() as port:
        answers: list[bytes] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(port)))
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"\x16")
            waiting.start()
            waiting.join(0.3)
            assert answers == []
        waiting.join(LIMIT)
        assert answers[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_is_silent_for_too_long_is_let_go(monkeypatch):
    monkeypatch.setattr(limits, "HTTP_IDLE_TIMEOUT", 0.05)
    server = Server(Lenses(Role.SERVER, None, None, None), say=lambda _line: None)
    context = ssl.create_default_context(cadata=certificates.ca().certificate_pem.decode())
    with listener_for("127.0.0.1", 0, server_config(ClientAuth.NONE), server) as listener:
        running = threading.Thread(target=server.run, args=(listener,))
        running.start()
        sock = socket.create_connection(listener.address, timeout=LIMIT)
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            assert tls.recv(1) == b""
        listener.close()
        running.join()


# Asked later


@contextmanager
def asking_later(mode=ClientAuth.REQUIRE_AND_VERIFY, **settings):
    """A server that asks at the first request: its port, and what it says."""
    said: list[str] = []
    server = Server(Lenses(Role.SERVER, None, None, None), say=said.append, later=mode)
    with listener_for("127.0.0.1", 0, server_config(ClientAuth.NONE, **settings), server) as listener:
        running = threading.Thread(target=server.run, args=(listener,))
        running.start()
        yield listener.address[1], said
        listener.close()
        running.join()


def test_a_client_that_is_asked_at_its_first_request(run, pki):
    with asking_later() as (port, said):
        who = whoami(run, port, *pki.alice, "--post-handshake-auth")
    assert (who["client_certificate"], who["subject"]) == ("verified", "CN=alice,O=handfast")
    assert "one-way: no client certificate was requested" in said[0]
    assert "mutual TLS 1.3 OK: client CN=alice" in said[1]


def test_a_client_is_asked_once_per_connection(pki):
    with asking_later(ClientAuth.REQUEST) as (port, said):
        context = ssl.create_default_context(cafile=pki.ca)
        context.load_cert_chain(pki.client_cert, pki.client_key)
        context.post_handshake_auth = True
        sock = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            for path in ("/", "/", "/"):
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                reply = b""
                while b"This is" not in reply:
                    reply += tls.recv(65536)
                assert b"You are CN=alice" in reply
    assert len(said) == 2


def test_clients_that_cannot_be_asked_or_have_no_certificate(run, pki):
    with asking_later() as (port, _):
        url = f"https://localhost:{port}/"
        forbidden = run("connect", url, *pki.alice, "-i")
        refused = run("connect", url, *pki.trust, "--post-handshake-auth")
    assert "403 Forbidden" in forbidden.out
    assert "does not offer it" in forbidden.out
    assert refused.status == 1
    assert "certificate_required" in refused.err
    with asking_later(ClientAuth.REQUEST) as (port, _):
        assert whoami(run, port, *pki.alice)["client_certificate"] == "not requested"
        assert whoami(run, port, *pki.trust, "--post-handshake-auth")["client_certificate"] == "none"


def test_a_client_that_is_refused_later(run, pki):
    with asking_later(verifier=verifier(certificates.other_ca())) as (port, said):
        refused = run("connect", f"https://localhost:{port}/", *pki.alice, "--post-handshake-auth")
    assert refused.status == 1
    assert "unknown_ca" in refused.err
    # The client may read its alert before the server has told of it.
    assert until(lambda: len(said) > 1)
    assert "server refused the client's certificate, unknown_ca (48): CN=alice" in said[1]


# What is said of requests, and what is offered


def test_the_access_log_says_what_was_answered(run, pki):
    said: list[str] = []
    server = Server(Lenses(Role.SERVER, None, None, None), say=lambda _line: None, access=said.append)
    with listener_for("127.0.0.1", 0, server_config(ClientAuth.NONE), server) as listener:
        running = threading.Thread(target=server.run, args=(listener,))
        running.start()
        port = listener.address[1]
        for arguments in (["/nowhere"], ["/print", "-d", "x"], ["/whoami?q=%1b", "-X", "HEAD"]):
            run("connect", f"https://localhost:{port}{arguments[0]}", *pki.trust, *arguments[1:])
        listener.close()
        running.join()
    answered = ["GET /nowhere 404 -", "POST /print 200 -", "HEAD /whoami?q=%1b 200 -"]
    assert [line.split("Z ")[1] for line in said] == answered
    assert all(re.match(r"127\.0\.0\.1:\d+: \d{4}-\d\d-\d\dT", line) for line in said)


def test_what_is_no_request_is_in_the_access_log_too():
    told: list[tuple[str, str, int]] = []

    class Stream:
        def recv(self, _size):
            return b"\x00\x01\r\n\r\n"

        def sendall(self, _data):
            pass

    http.serve(Stream(), lambda _request: http.Reply(200, b""), lambda *one: told.append(one))
    assert told == [("-", "-", 400)]


def test_without_a_certificate_it_says_how_to_get_one(run):
    assert run("serve").is_error(2, "needs a certificate and its key", "--cert and --key", "handfast certs")


def test_a_protocol_that_is_not_spoken_is_not_offered(run, pki):
    assert run("serve", *pki.server, "--alpn", "spdy/3", "--listen", "x").is_error(2, "--listen")
    assert run("serve", *pki.server, "--alpn", "spdy/3").is_error(2, "--alpn", "http/1.1 only, not spdy/3")
    later = run("serve", *pki.server, "--alpn", "h2", "--require-later")
    assert later.is_error(2, "--alpn", "http/1.1 only, not h2")
    server = start("serve", *pki.server, "--alpn", "spdy/3,http/1.1", "--listen", "127.0.0.1:0")
    assert server.stdout is not None
    address = re.fullmatch(r"Serving on https://(.*)/ \(Ctrl-C ends\)\n", server.stdout.readline())
    assert address
    context = ssl.create_default_context(cafile=pki.ca)
    context.set_alpn_protocols(["spdy/3", "http/1.1"])
    port = int(address[1].rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        assert tls.selected_alpn_protocol() == "http/1.1"
    server.terminate()
    assert "--alpn: spdy/3 is not offered" in finish(server).err
