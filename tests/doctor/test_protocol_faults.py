"""Faults that come before certificates, and those of what is said over TLS, at servers and at ports without TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import handfast
from handfast.crypto import new_keys
from handfast.io import sockets
from handfast.pki.fault_scene import general_names
from tests.doctor.matrix import Answer, Cast, ask, target
from tests.doctor.servers import Running, Setting, nginx, port_in, process, process_server, s_server
from tests.doctor.written import logged
from tests.peers.base import require_peer
from tests.ports import own_port
from tests.race.servers import threaded
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A server that says nothing is given up after this many seconds: long enough for a hello on a busy machine.
BRIEF = ("--max-time", "2")


def ask_of(port: int, cast: Cast, *more: object) -> Answer:
    """The doctor, with the good client's files."""
    certificate, key = cast.identity("client", cast.good)
    files = ("--cacert", cast.ca, "--cert", certificate, "--key", key)
    return ask(*target(Running(port)), *files, *more)


def saying(words: bytes, *, first: bool = False) -> Callable[[socket.socket], None]:
    """A server of plain text, which greets its client or waits for what it says."""

    def serve(connection: socket.socket) -> None:
        if not first:
            connection.recv(4096)
        connection.sendall(words)
        # What the client said must be read, or the end is a reset that overtakes the words.
        while connection.recv(4096):
            pass

    return serve


@pytest.mark.parametrize(
    ("words", "first", "cause"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", False, "plain_http"),
        (b"220 mail.example ESMTP ready\r\n", True, "starttls_port"),
        (b"* OK IMAP4rev1 ready\r\n", True, "starttls_port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", True, "plain_text"),
    ],
    ids=["HTTP", "SMTP", "IMAP", "SSH"],
)
def test_a_port_that_speaks_no_tls(words: bytes, first: bool, cause: str, cast: Cast) -> None:
    with threaded(saying(words, first=first)) as port:
        answer = ask_of(port, cast)
    assert answer.findings == ((cause,),), answer.document


def test_a_port_that_waits_for_a_line(cast: Cast) -> None:
    def wait(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with threaded(wait) as port:
        answer = ask_of(port, cast, *BRIEF)
    assert answer.findings == (("silent",),), answer.document


def test_a_server_that_starts_no_tls_when_asked(cast: Cast) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.recv(4096)
        connection.sendall(b"250 mail.example\r\n")
        connection.recv(4096)

    with threaded(refuse) as port:
        where = target(Running(port), http=False)
        answer = ask(*where, "--starttls", "smtp", "--cacert", cast.ca)
    assert answer.findings == (("unreachable",),), answer.document
    assert "does not offer STARTTLS" in str(answer.document["findings"][0]["evidence"])


@pytest.mark.parametrize("name", ["good", "none"])
def test_a_server_that_renegotiates_for_a_certificate(name: str, cast: Cast) -> None:
    """As IIS and Apache do for a path: OpenSSL's s_server, told to once the request has come."""
    setting = cast.setting("1.2")
    command = [require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-CAfile", str(cast.ca)]
    command += ["-cert", str(setting.certificate), "-key", str(setting.key)]
    log = setting.write("renegotiating.log", "")
    certificate, key = cast.identity("client", cast.good)
    own = ("--cert", certificate, "--key", key) if name == "good" else ()
    with process(command, log) as running:
        port = port_in(running, log, "ACCEPT")
        asking = threading.Thread(target=_renegotiate, args=(running, log))
        asking.start()
        answer = ask(*target(Running(port)), "--cacert", cast.ca, *own)
        asking.join(LIMIT)
    assert answer.findings == (("renegotiation",),), answer.document


def _renegotiate(running: subprocess.Popen[bytes], log: Path) -> None:
    assert running.stdin is not None
    until(lambda: "GET /" in log.read_text(errors="replace"))
    running.stdin.write(b"R\n")


def test_a_port_where_nothing_listens(cast: Cast) -> None:
    with own_port() as port:
        answer = ask_of(port, cast)
    assert answer.findings == (("unreachable",),), answer.document


@contextlib.contextmanager
def dropping_large_hellos(inside: int) -> Iterator[int]:
    """A middlebox that passes no hello of more than one packet on."""

    def serve(connection: socket.socket) -> None:
        hello = connection.recv(65536)
        if len(hello) > 1400:
            while connection.recv(4096):
                pass
            return
        with socket.create_connection(("127.0.0.1", inside)) as onwards:
            onwards.sendall(hello)
            back = threading.Thread(target=_pump, args=(onwards, connection))
            back.start()
            _pump(connection, onwards)
            back.join(LIMIT)

    with threaded(serve) as port:
        yield port


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_a_middlebox_that_drops_large_hellos(cast: Cast) -> None:
    with s_server(cast.setting("1.3")) as running, dropping_large_hellos(running.port) as port:
        answer = ask_of(port, cast, *BRIEF)
    assert answer.findings == (("large_hello",),), answer.document


@pytest.mark.parametrize(("theirs", "ours"), [("1.2", "1.3"), ("1.3", "1.2")], ids=["the server 1.2", "the server 1.3"])
def test_no_version_in_common(theirs: str, ours: str, cast: Cast) -> None:
    with s_server(cast.setting(theirs)) as running:
        answer = ask_of(running.port, cast, "--tls", ours)
    assert answer.findings == (("no_common_version",),), answer.document
    assert theirs in str(answer.document["findings"][0]["evidence"])


def with_arguments(setting: Setting, *arguments: str) -> contextlib.AbstractContextManager[Running]:
    """s_server with further arguments."""
    command = [require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", str(setting.certificate)]
    return process_server([*command, "-key", str(setting.key), *arguments], setting.write("more.log", ""), "ACCEPT")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "no_common_suite"),
        (("-groups", "P-521"), "no_common_group"),
        (("-sigalgs", "RSA-PSS+SHA256"), "no_common_scheme"),
    ],
    ids=["suite", "group", "scheme"],
)
def test_nothing_in_common(arguments: tuple[str, ...], cause: str, cast: Cast) -> None:
    own = ("--groups", "x25519") if cause == "no_common_group" else ()
    with with_arguments(cast.setting("1.3"), *arguments) as running:
        alone = ask_of(running.port, cast, *own)
        log = logged(running, cause)
    assert cause in alone.causes, alone.document
    assert len(alone.findings) == 1
    assert cause in ask("--log", log).causes, log


def test_no_protocol_in_common(cast: Cast) -> None:
    with with_arguments(cast.setting("1.3"), "-alpn", "postgresql") as running:
        answer = ask_of(running.port, cast)
    assert answer.findings == (("no_common_alpn",),), answer.document


def test_a_name_that_the_server_refuses(cast: Cast) -> None:
    with nginx(cast.setting("1.3"), "ssl_reject_handshake on") as running:
        answer = ask_of(running.port, cast)
    assert answer.findings == (("sni_refused",),), answer.document


def test_the_default_certificate_of_another_name(cast: Cast) -> None:
    scene = cast.scene
    other = cast.identity("other", scene.server(names=general_names("www.other.example")))
    with nginx(cast.setting("1.3", other)) as running:
        alone = ask_of(running.port, cast)
        decided = ask_of(running.port, cast, "--server-cert", cast.server[0])
    assert alone.findings == (("server_wrong_name", "default_certificate"),), alone.document
    assert "the server's certificate file" in alone.document["findings"][0]["separates"]
    assert decided.findings == (("default_certificate",),), decided.document


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_owner_who_is_not_allowed(version: str, cast: Cast) -> None:
    """nginx asks, takes any certificate of the CA, and lets nobody of that name in; without one the page is free."""
    lines = "ssl_verify_client optional; if ($ssl_client_verify = SUCCESS) { return 403; } return 200"
    with nginx(replace(cast.setting(version), client_ca=None), f"ssl_client_certificate {cast.ca}; {lines}") as running:
        answer = ask_of(running.port, cast)
    assert answer.findings == (("client_not_allowed",),), answer.document


def test_a_path_that_is_closed_to_all(cast: Cast) -> None:
    lines = "ssl_verify_client optional; return 403"
    with nginx(replace(cast.setting("1.3"), client_ca=None), f"ssl_client_certificate {cast.ca}; {lines}") as running:
        answer = ask_of(running.port, cast)
    assert answer.findings == (("client_not_allowed", "path_forbidden"),), answer.document


def test_a_server_that_asks_after_the_handshake(cast: Cast) -> None:
    """handfast's own, which asks once it has read the request."""
    roots = handfast.Roots.from_file(cast.ca)
    config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_files(*cast.server)], verifier=handfast.PathVerifier(roots)
    )

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                tls = listener.accept()
                with contextlib.suppress(handfast.HandfastError), tls:
                    tls.recv(4096)
                    tls.request_client_certificate(client_auth="require_and_verify")
                    tls.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")

    with sockets.listen("127.0.0.1", 0, config, timeout=LIMIT) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        answer = ask_of(listener.address[1], cast, "--max-time", "20")
        listener.close()
        thread.join(LIMIT)
    assert answer.findings == (("requested_later",),), answer.document


def test_an_unknown_bundle_of_the_environment(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    other = cast.write("other-ca.pem", cast.scene.other_ca().certificate_pem)
    for name in ("SSL_CERT_DIR", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cast.ca))
    with s_server(replace(cast.setting("1.3"), client_ca=None)) as running:
        answer = ask(*target(running))
    assert ("bundle_shadowed",) in answer.findings, answer.document
    assert os.fspath(cast.ca) in str(answer.document["findings"])


def test_a_client_key_of_a_kind_that_the_server_does_not_take(cast: Cast) -> None:
    edwards = cast.scene.client(key=new_keys.generate_private_key("ed25519"))
    certificate, key = cast.identity("edwards", edwards)
    command = ("-CAfile", str(cast.ca), "-Verify", "5", "-client_sigalgs", "ECDSA+SHA256")
    with with_arguments(cast.setting("1.3"), *command) as running:
        answer = ask(*target(running), "--cacert", cast.ca, "--cert", certificate, "--key", key)
    assert answer.findings == (("client_scheme",),), answer.document
