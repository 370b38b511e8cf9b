"""``handfast connect`` over real sockets: what it prints, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from handfast.cli.target import port_hint
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth
from tests import certificates
from tests.cli.conftest import finish, https_server, on_a_terminal, shown_until, start, tls_server
from tests.lens.connections import verifier
from tests.waiting import LIMIT, with_growing

OK = b"HTTP/1.1 200 OK\r\n"
REFUSED = "client refused the server's certificate"


@contextlib.contextmanager
def tcp_server(talk):
    """A server without TLS that has one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def url(port, path="/"):
    return f"https://localhost:{port}{path}"


# A URL


def test_a_verified_client_gets_the_body_on_stdout_and_a_verdict_on_stderr(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", url(port), *pki.alice)
    assert result.status == 0
    assert result.out.startswith("You are CN=alice,O=handfast")
    (verdict,) = result.complaints
    assert verdict.startswith("handfast: mutual TLS 1.3 OK: server CN=localhost,O=handfast (issuer CN=Test CA,")
    assert "we showed CN=alice,O=handfast (issuer CN=Test CA,O=handfast) and the server answered" in verdict


@pytest.mark.parametrize(("spoken", "version"), [((), "1.3"), (("1.2",), "1.2"), (("1.2", "TLSv1.3"), "1.3")])
def test_the_versions_that_are_spoken(run, pki, spoken, version):
    with https_server() as port:
        result = run("connect", *(word for one in spoken for word in ("--tls", one)), url(port), *pki.trust)
    assert result.status == 0
    (verdict,) = result.complaints
    assert f"TLS {version} OK" in verdict


def test_a_refusal_is_one_error_and_one_hint(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "server refused: certificate_required (116)", "offered 1 CA name", "--cert and --key")
    assert len(result.complaints) == 2
    assert result.out == ""


def test_a_tls_12_server_that_misses_a_certificate_is_understood(run, pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", "--tls", "1.2", url(port), *pki.trust)
    assert result.is_error(1, "handshake_failure (40), because the client sent no certificate", "--cert and --key")
    assert "suites" not in result.err


def test_a_server_for_another_name_is_refused(run, pki):
    with https_server() as port:
        result = run("connect", url(port), *pki.trust, "--servername", "elsewhere.example")
    assert result.is_error(1, f"{REFUSED}, bad_certificate (42)", "elsewhere.example", "DNS:localhost")


def test_a_revoked_server(run, pki):
    ca = certificates.ca()
    lists = {"none": [], "revoked": [certificates.server()]}
    for name, revoked in lists.items():
        (pki.directory / name).write_bytes(ca.crl(revoked))
    (pki.directory / "stale").write_bytes(ca.crl(next_update=datetime.now(UTC) - timedelta(minutes=1)))
    with https_server() as port:
        assert run("connect", url(port), *pki.trust, "--crl", pki.directory / "none").status == 0
        result = run("connect", url(port), *pki.trust, "--crl", pki.directory / "revoked")
        assert result.is_error(1, f"{REFUSED}, certificate_revoked (44)", "was revoked on")
        result = run("connect", url(port), *pki.trust, "--crl", pki.directory / "stale")
    assert result.is_error(
        1, "internal_error (80)", "stale (1 revocation list)", "no fault of the peer's", "our side's"
    )


def stapling(status):
    """Credentials of a server whose CA says this of its certificate."""
    issued = certificates.server()
    response = certificates.ca().ocsp_response(issued, status)
    return {"credentials": [replace(Credentials.from_key(issued.chain, issued.key), ocsp_response=response)]}


def test_an_ocsp_response(run, pki):
    with https_server(**stapling("good")) as port:
        assert run("connect", url(port), *pki.trust, "--ocsp", "require").status == 0
    with https_server(**stapling("revoked")) as port:
        for asking in ("check", "require"):
            refused = run("connect", url(port), *pki.trust, "--ocsp", asking)
            assert refused.is_error(1, f"{REFUSED}, certificate_revoked (44)")
        # Who asks for no response gets none.
        for silent in ((), ("--ocsp", "ignore")):
            assert run("connect", url(port), *pki.trust, *silent).status == 0
    with https_server() as port:
        assert run("connect", url(port), *pki.trust, "--ocsp", "check").status == 0
        refused = run("connect", url(port), *pki.trust, "--ocsp", "require")
        assert refused.is_error(1, "bad_certificate_status_response (113)")


def test_an_ocsp_response_of_whom_nobody_looks_up(run, pki):
    fingerprint = "sha256//" + "A" * 43 + "="
    assert run("connect", "https://localhost:1/", "-k", "--pin", fingerprint, "--ocsp", "check").is_error(2, "--ocsp")


def test_a_ca_that_is_not_trusted_is_refused_and_with_k_told(run, pki):
    other = pki.directory / "other.pem"
    other.write_bytes(certificates.other_ca().certificate_pem)
    with https_server() as port:
        assert run("connect", url(port), "--cacert", other).is_error(1, "unknown_ca (48)")
        result = run("connect", "-k", url(port), "--cacert", other)
    assert result.status == 0
    assert result.out.startswith("You have shown no certificate")
    warning, verdict = result.complaints
    assert warning.startswith("handfast: warning: -k")
    assert "server NOT VERIFIED: CN=localhost" in verdict


def test_the_request_that_the_options_ask_for(run, pki, tmp_path):
    (tmp_path / "data").write_bytes(b"from\r\na file")
    arguments = ("-d", "a=1", "-d", f"@{tmp_path / 'data'}", "-H", "Accept:", "-H", "X-Empty;", "-H", "X-Own: 1")
    seen = []

    def talk(tls):
        data = b""
        while not data.endswith(b"froma file"):
            data += tls.recv()
        seen.append(data)
        tls.sendall(OK + b"Content-Length: 2\r\nX-Evil: \xff\r\n\r\nok")

    with tls_server(talk) as port:
        result = run("connect", url(port, "/p?q"), *pki.trust, "-i", *arguments)
    assert result.out == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Evil: \\xff\r\n\r\nok"
    head, body = seen[0].split(b"\r\n\r\n", 1)
    assert body == b"a=1&froma file"
    assert head.split(b"\r\n") == [
        b"POST /p?q HTTP/1.1",
        b"Host: localhost:%d" % port,
        b"User-Agent: handfast",
        b"Connection: close",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: 14",
        b"X-Empty: ",
        b"X-Own: 1",
    ]


@pytest.mark.parametrize(("option", "value"), [("-H", "no header"), ("-X", "P T"), ("-H", "A: b\r\nC: d")])
def test_what_is_no_http_is_not_sent(run, pki, option, value):
    with https_server() as port:
        assert run("connect", url(port), *pki.trust, option, value).is_error(2, option)


def test_connect_to_and_servername(run, pki):
    with https_server() as port:
        result = run("connect", "https://server.example.com/whoami", *pki.trust, "--connect-to", f"::127.0.0.1:{port}")
        assert '"server_name": "server.example.com"' in result.out
        result = run("connect", f"https://127.0.0.1:{port}/whoami", *pki.trust, "--servername", "localhost")
        assert '"server_name": "localhost"' in result.out


def test_suites_groups_and_alpn_restrict_the_offer(run, pki):
    arguments = ("--suites", "TLS_CHACHA20_POLY1305_SHA256", "--groups", "secp384r1", "--tls", "1.3")
    with https_server() as port:
        result = run("connect", url(port), *pki.trust, *arguments)
        assert "TLS_CHACHA20_POLY1305_SHA256, secp384r1, ALPN http/1.1" in result.err
        assert run("connect", url(port), *pki.trust, "--alpn", "h2").is_error(1, "no_application_protocol (120)")


def test_a_protocol_that_is_not_spoken_here_is_not_guessed_at(run, pki):
    with tls_server(lambda tls: tls.recv(), application_protocols=("spdy/3",)) as port:
        result = run("connect", url(port), *pki.trust, "--alpn", "spdy/3,http/1.1")
    assert result.is_error(1, "the server chose ALPN spdy/3", "speaks h2 and http/1.1 only", "--alpn")


def test_output_goes_to_the_file_and_only_whole(run, pki, tmp_path):
    with https_server() as port:
        assert run("connect", url(port, "/print"), *pki.trust, "-d", "body", "-o", tmp_path / "out").out == ""
    assert (tmp_path / "out").read_bytes() == b"body"
    with tls_server(lambda tls: tls.sendall(OK + b"Content-Length: 9\r\n\r\nhalf")) as port:
        result = run("connect", url(port), *pki.trust, "-o", tmp_path / "out")
    assert result.is_error(1, "not a complete HTTP response")
    assert (tmp_path / "out").read_bytes() == b"body"


def test_nothing_is_asked_of_a_server_whose_answer_has_no_place(run, pki, tmp_path):
    # Port 1 has no server: had we connected, the error would be another.
    result = run("connect", "https://127.0.0.1:1/", *pki.trust, "-d", "pay", "-o", tmp_path / "none" / "out")
    assert result.is_error(2, "cannot be written")


def test_a_body_without_length_that_ends_without_close_notify_is_truncated(run, pki):
    def talk(tls):
        tls.sendall(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        with socket.socket(fileno=os.dup(tls.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_WR)

    with tls_server(talk) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "without close_notify", "truncated")
    assert result.out == "half"
    # The handshake did come off, and that is told too.
    assert result.complaints[0].startswith("handfast: TLS 1.3 OK, one-way")


def test_max_time_bounds_everything(run, pki):
    def attempt(seconds):
        finished = threading.Event()
        with tcp_server(lambda connection: finished.wait(LIMIT)) as port:
            result = run("connect", url(port), *pki.trust, "--max-time", seconds)
            finished.set()
        assert result.is_error(1, f"not finished within {seconds:g} s", "the handshake stood after ClientHello")

    with_growing(0.5, attempt)


# Refusals that are no alert


def answering(status, body=b""):
    """What a server says that takes one request and refuses it by HTTP."""

    def talk(tls):
        tls.recv()
        tls.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))

    return talk


NGINX = b"<html><head><title>400 The SSL certificate error</title></head></html>"


def test_an_http_status_about_our_certificate_is_a_refusal(run, pki):
    with tls_server(answering(b"400 Bad Request", NGINX), ClientAuth.REQUEST) as port:
        result = run("connect", url(port), *pki.alice)
    assert result.is_error(1, "TLS 1.3 OK, but the server answered HTTP 400 Bad Request", "we showed CN=alice")
    assert "mutual" not in result.err
    assert result.out == NGINX.decode()


def test_an_http_status_about_a_missing_certificate_says_how_to_give_one(run, pki):
    body = b"400 No required SSL certificate was sent"
    with tls_server(answering(b"400 Bad Request", body), ClientAuth.REQUEST) as port:
        assert run("connect", url(port), *pki.trust).is_error(1, "we showed none", "--cert and --key", "[CN=Test CA")


def test_another_http_status_takes_the_word_mutual_away(run, pki):
    with tls_server(answering(b"403 Forbidden", b"no"), ClientAuth.REQUEST) as port:
        result = run("connect", url(port), *pki.alice)
    (verdict,) = result.complaints
    assert (result.status, result.out) == (0, "no")
    assert verdict.startswith("handfast: TLS 1.3 OK, but the server answered HTTP 403 Forbidden: server CN=localhost")


def test_what_a_status_may_mean_is_said_where_something_is_known(run, pki):
    with tls_server(answering(b"403 Forbidden", b"no"), ClientAuth.REQUEST) as port:
        result = run("connect", url(port), *pki.trust)
    verdict, advice = result.complaints
    assert result.status == 0
    assert verdict.startswith("handfast: TLS 1.3 OK, one-way, but the server answered HTTP 403 Forbidden: ")
    assert advice.startswith("handfast: if that is about the certificate: the server requires a client certificate")


@pytest.mark.parametrize("status", [b"403 Forbidden", b"404 Not Found", b"500 Oops"])
def test_fail_makes_a_failure_of_a_status(run, pki, status):
    with tls_server(answering(status, b"the body")) as port:
        result = run("connect", "--fail", url(port), *pki.trust)
    assert result.is_error(1, f"the server answered HTTP {status.decode()}")
    assert result.out == ""
    assert result.complaints[0].startswith("handfast: TLS 1.3 OK")
    with tls_server(answering(b"302 Found", b"the body")) as port:
        assert run("connect", "-f", url(port), *pki.trust).out == "the body"


def test_fail_is_for_requests(run, pki):
    assert run("connect", "--fail", "localhost:1", *pki.trust).is_error(2, "https:// URL")


@pytest.mark.parametrize("in_order", [True, False], ids=["close_notify", "eof"])
def test_a_close_before_any_data_is_almost_certainly_a_refusal(run, pki, in_order):
    def talk(tls):
        tls.recv()
        if not in_order:
            with socket.socket(fileno=os.dup(tls.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_WR)

    with tls_server(talk, ClientAuth.REQUEST) as port:
        result = run("connect", url(port), *pki.alice)
    assert result.is_error(1, "right after the client showed CN=alice", "almost certainly a refusal")
    with tls_server(talk, ClientAuth.REQUEST) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "asked for a certificate and sent none (none is configured)", "--cert and --key")


def test_a_session_that_we_end_first_was_not_refused(run, pki):
    with tls_server(lambda tls: tls.recv(), ClientAuth.REQUEST) as port:
        result = finish(start("connect", f"localhost:{port}", *pki.alice))
    assert result.status == 0
    assert "has not refused within" in result.err


# Peers that speak no TLS, or stop


def test_a_peer_that_speaks_plain_http(run, pki):
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert run("connect", url(port), *pki.trust).is_error(1, "does not speak TLS", "HTTP/1.1 400")


def test_a_peer_that_closes(run, pki):
    with tcp_server(lambda connection: connection.recv(65536)) as port:
        assert run("connect", url(port), *pki.trust).is_error(1, "closed the connection during the handshake")


def test_a_server_that_waits_for_starttls_is_named_by_its_port():
    assert "PostgreSQL" in port_hint(5432)
    assert port_hint(443) == ""


@pytest.mark.parametrize(
    ("banner", "words"),
    [(b"220 mail ESMTP\r\n", ("an SMTP server", "--starttls")), (b"HTTP/1.1 400 Bad\r\n\r\n", ("use http://",))],
)
def test_a_banner_in_plain_text_is_named(run, pki, banner, words):
    with tcp_server(lambda connection: connection.sendall(banner)) as port:
        assert run("connect", url(port), *pki.trust).is_error(1, "does not speak TLS but is", *words)


def test_a_close_after_a_large_hello_advises_a_small_one(run, pki):
    with tcp_server(lambda connection: connection.recv(65536)) as port:
        result = run("connect", url(port), *pki.trust)
    assert result.is_error(1, "nothing came back for our hello of", "--groups x25519")


def test_nobody_there(run, pki):
    assert run("connect", "https://127.0.0.1:1/", *pki.trust).is_error(1, "cannot connect to 127.0.0.1:1", "refused")
    assert run("connect", "https://no-such-host.invalid/", *pki.trust).is_error(1, "no-such-host.invalid")


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_dns_cannot_hold(run, pki, host):
    assert run("connect", f"https://{host}/", *pki.trust).is_error(1, f"cannot connect to {host}:443", "label")
    proxy = ("--proxy", f"{host}:80")
    assert run("connect", "https://127.0.0.1:1/", *pki.trust, *proxy).is_error(1, f"cannot connect to {host}:80")


# Files


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cacert", "missing"), ("missing: no such file",)),
        (("--cacert", "client.key"), ("client.key", "no certificate")),
        (("--crl", "missing"), ("missing: no such file",)),
        (("--crl", "ca.pem"), ("ca.pem: holds no revocation list",)),
        (("--cert", "missing", "--key", "client.key"), ("missing: no such file",)),
        (("--cert", "client.pem", "--key", "."), ("a directory",)),
        (("--cert", "client.pem"), ("client.pem", "no private key")),
        (("--cert", "client.key", "--key", "client.pem"), ("exchanged", "swap --cert and --key")),
        (("--cert", "client.pem", "--key", "server.key"), ("does not belong",)),
        (("--cert", "der.pem", "--key", "client.key"), ("der.pem", "DER")),
        (("--cert", "empty", "--key", "client.key"), ("empty", "no certificate")),
        (("--cert", "client.pem", "--key", "encrypted.key"), ("encrypted", "--key-password-file")),
        (("--cert", "client.pem", "--key", "encrypted.key", "--key-password-file", "missing"), ("missing",)),
        (("--cert", "client.pem", "--key", "encrypted.key", "--key-password-file", "empty"), ("password",)),
    ],
)
def test_bad_files(run, pki, monkeypatch, arguments, words):
    monkeypatch.chdir(pki.directory)
    (pki.directory / "der.pem").write_bytes(certificates.client().chain[0])
    (pki.directory / "encrypted.key").write_bytes(certificates.client().encrypted_key_pem(b"secret"))
    (pki.directory / "empty").touch()
    assert run("connect", "https://127.0.0.1:1/", *arguments).is_error(2, *words)


def test_an_encrypted_key_and_its_password(run, pki, tmp_path):
    pki.client_key.write_bytes(certificates.client().encrypted_key_pem(b"secret"))
    (tmp_path / "password").write_bytes(b"secret\n")
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", url(port), *pki.alice, "--key-password-file", tmp_path / "password")
    assert result.status == 0


# Traces and keys


def test_a_trace_goes_to_stderr_and_says_which_roots_were_used(run, pki):
    with https_server() as port:
        result = run("connect", "--trace", url(port), *pki.trust)
    assert result.complaints[0] == f"handfast: trusting {pki.ca} (1 root)"
    assert result.complaints[1].startswith("1 1  0.0000 (0.0000)  C>S  Handshake")
    assert "(hidden: --secrets shows them)" in result.err
    assert result.out.startswith("You have shown no certificate")
    assert "\x1b" not in result.err


def test_a_trace_explains_if_asked(run, pki):
    with https_server() as port:
        result = run("connect", "--trace=fields", "--explain", url(port), *pki.trust)
    assert (
        result.err.count("The client opens the handshake and offers everything that it can do. (RFC 9846 4.2.2)") == 1
    )


def test_a_key_log_is_private_appended_to_and_announced(run, pki, tmp_path):
    path = tmp_path / "keys.log"
    path.write_text("# kept\n")
    path.chmod(0o644)
    with https_server() as port:
        for _ in range(2):
            result = run("connect", url(port), *pki.trust, "--keylog", path)
            assert result.complaints[0].startswith(f"handfast: appending keys to {path}: whoever has that file")
    lines = path.read_text().splitlines()
    assert lines[0] == "# kept"
    assert len(lines) == 11
    assert all(re.fullmatch(r"[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64}", line) for line in lines[1:])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_secrets_of_the_key_log_are_in_no_trace(run, pki, tmp_path):
    with https_server() as port:
        result = run("connect", "--trace=bytes", url(port), *pki.trust, "--keylog", tmp_path / "keys.log")
        shown = run("connect", "--trace=bytes", "--secrets", url(port), *pki.trust, "--keylog", tmp_path / "shown.log")
    secrets = [line.split()[2] for line in (tmp_path / "keys.log").read_text().splitlines()]
    assert len(secrets) == 5
    assert [secret for secret in secrets if secret in result.err] == []
    traffic = [line.split()[2] for line in (tmp_path / "shown.log").read_text().splitlines() if "TRAFFIC" in line]
    assert len(traffic) == 4
    assert [secret for secret in traffic if secret not in shown.err] == []


def test_a_key_log_is_no_link_and_no_pipe(run, pki, tmp_path):
    (tmp_path / "elsewhere").touch()
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "a symbolic link"), ("pipe", "a pipe"), (".", "a directory")):
        assert run("connect", "127.0.0.1:1", *pki.trust, "--keylog", tmp_path / name).is_error(2, words)
    assert (tmp_path / "elsewhere").read_bytes() == b""


@pytest.mark.parametrize("by", ["--keylog", "$SSLKEYLOGFILE"])
def test_keys_are_not_appended_to_a_file_of_another_kind(run, pki, tmp_path, monkeypatch, by):
    path = tmp_path / "notes.txt"
    path.write_text("what I must not forget\n")
    path.chmod(0o644)
    if by != "--keylog":
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    given = ["--keylog", path] if by == "--keylog" else []
    assert run("connect", "127.0.0.1:1", *pki.trust, *given).is_error(2, f"{path}: holds something else")
    assert path.read_text() == "what I must not forget\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_sslkeylogfile_is_honoured_and_said(run, pki, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "environment.log"))
    with https_server() as port:
        result = run("connect", url(port), *pki.trust)
        assert result.complaints[0] == "handfast: $SSLKEYLOGFILE is set"
        assert len((tmp_path / "environment.log").read_text().splitlines()) == 5
        run("connect", url(port), *pki.trust, "--keylog", tmp_path / "option.log")
    assert len((tmp_path / "environment.log").read_text().splitlines()) == 5
    assert len((tmp_path / "option.log").read_text().splitlines()) == 5


def test_no_keys_are_logged_with_another_users_rights(run, pki, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    with https_server() as port:
        result = run("connect", url(port), *pki.trust)
    assert result.status == 0
    assert "$SSLKEYLOGFILE is not honoured" in result.complaints[0]
    assert run("connect", "127.0.0.1:1", *pki.trust, "--keylog", tmp_path / "keys.log").is_error(2, "--keylog")
    assert not (tmp_path / "keys.log").exists()


def test_the_log_can_be_asked_to_trace(run, pki, monkeypatch):
    monkeypatch.setenv("HANDFAST_LOG", "trace")
    with https_server() as port:
        result = run("connect", url(port), *pki.trust)
    assert "      ClientHello, " in result.err


# A session


def echo(tls):
    while data := tls.recv():
        tls.sendall(data.upper())


def test_a_session_sends_what_is_typed_and_prints_what_comes(pki):
    with tls_server(echo) as port:
        result = finish(start("connect", f"localhost:{port}", *pki.trust, stdin=-1), "one\ntwo\n")
    assert (result.status, result.out) == (0, "ONE\nTWO\n")
    (verdict,) = result.complaints
    assert verdict.startswith("handfast: TLS 1.3 OK, one-way: server CN=localhost")


def test_a_session_ends_when_the_peer_ends_it(pki):
    with tls_server(lambda tls: tls.sendall(b"bye\n")) as port:
        process = start("connect", f"localhost:{port}", *pki.trust, stdin=-1)
        assert process.wait(LIMIT) == 0
        result = finish(process)
    assert result.out == "bye\n"


def test_a_refused_session_says_why_even_while_it_writes(pki):
    with https_server(ClientAuth.REQUIRE_AND_VERIFY, verifier=verifier(certificates.other_ca())) as port:
        result = finish(start("connect", f"localhost:{port}", *pki.alice, stdin=-1), "GET / HTTP/1.0\r\n\r\n" * 5000)
    assert result.is_error(1, "server refused: unknown_ca (48), after the client showed CN=alice,O=handfast")


def test_an_interactive_session_says_that_it_is_connected(pki):
    with (
        tls_server(lambda tls: tls.sendall(b"you: " + tls.recv())) as port,
        on_a_terminal("connect", f"localhost:{port}", *pki.trust) as (process, controller),
    ):
        assert f"connected to 127.0.0.1:{port} by TLS 1.3" in " ".join(shown_until(controller, "ends it").split())
        os.write(controller, b"hello\n")
        shown = shown_until(controller, "http/1.1")
        assert process.wait(LIMIT) == 0
    assert "you: hello" in shown
    assert "TLS 1.3 OK, one-way" in shown


def test_ctrl_c_still_tells_the_verdict(pki):
    with (
        tls_server(lambda tls: tls.recv()) as port,
        on_a_terminal("connect", f"localhost:{port}", *pki.trust) as (process, controller),
    ):
        shown_until(controller, "ends it")
        process.send_signal(signal.SIGINT)
        shown = shown_until(controller, "http/1.1")
        assert process.wait(LIMIT) == 130
    assert "handfast: TLS 1.3 OK, one-way: server CN=localhost" in shown


def test_a_body_without_a_newline_does_not_swallow_the_verdict(run, pki):
    def talk(tls):
        tls.recv()
        tls.sendall(OK + b"Content-Length: 4\r\n\r\nbody")

    with (
        tls_server(talk) as port,
        on_a_terminal("connect", url(port), *pki.trust) as (process, controller),
    ):
        shown = shown_until(controller, "http/1.1")
        assert process.wait(LIMIT) == 0
    assert "body\r\nhandfast: TLS 1.3 OK" in shown
    assert max(map(len, shown.splitlines())) <= 80
    # What goes into a file or a pipe stays what it was.
    with tls_server(talk) as port:
        assert run("connect", url(port), *pki.trust).out == "body"


# A proxy


@contextlib.contextmanager
def proxy(answer, to_port):
    """An HTTP proxy that answers CONNECT with ``answer`` and then, if it is a 200, carries bytes to a port."""
    seen = []

    def talk(client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        seen.append(head)
        client.sendall(answer)
        if b" 200 " not in answer:
            return
        with socket.create_connection(("127.0.0.1", to_port)) as upstream:
            back = threading.Thread(target=carry, args=(upstream, client))
            back.start()
            carry(client, upstream)
            back.join()

    with tcp_server(talk) as port:
        yield port, seen


def carry(source, destination):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)


def test_through_a_proxy(run, pki):
    with https_server() as port, proxy(b"HTTP/1.1 200 Connected\r\n\r\n", port) as (proxy_port, seen):
        result = run("connect", url(port), *pki.trust, "--proxy", f"http://127.0.0.1:{proxy_port}/")
    assert result.status == 0
    assert result.out.startswith("You have shown no certificate")
    assert seen[0].split(b"\r\n")[:2] == [b"CONNECT localhost:%d HTTP/1.1" % port, b"Host: localhost:%d" % port]


def test_a_proxy_that_refuses(run, pki):
    with proxy(b"HTTP/1.1 403 Not \x1bYou\r\n\r\n", 0) as (port, _):
        result = run("connect", "https://localhost/", *pki.trust, "--proxy", f"127.0.0.1:{port}")
    assert result.is_error(1, "the proxy 127.0.0.1", "--proxy")
    assert "\x1b" not in result.err
    assert run("connect", "https://a/", *pki.trust, "--proxy", "socks5://127.0.0.1:1").is_error(2, "--proxy")
    assert run("connect", "https://a/", *pki.trust, "--proxy", "http://127.0.0.1:1").is_error(1, "127.0.0.1:1")
