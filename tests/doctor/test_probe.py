"""How politely a server is asked: few connections, each announced, bounded in time and bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import handfast
from handfast import limits
from handfast.cli import main
from handfast.doctor import log_lines
from handfast.doctor.evidence import Asked, Attempt
from handfast.doctor.log_texts import texts
from handfast.doctor.probe import Way, probe
from handfast.engine import ClientConfig, ServerConfig
from handfast.io import sockets
from tests import certificates
from tests.waiting import LIMIT

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Asking:
    """A way to a server of ours in a thread, and what was announced."""

    def __init__(self, port: int, **changes: object) -> None:
        self.said: list[str] = []
        roots = handfast.Roots.from_der([certificates.ca().certificate_der])
        issued = certificates.ca().client("alice")
        settings = {
            "open": lambda: socket.create_connection(("127.0.0.1", port)),
            "config": ClientConfig(
                credentials=[handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)],
                verifier=handfast.PathVerifier(roots),
            ),
            "server_name": "localhost",
            "request": REQUEST,
            "announce": self.said.append,
            "timeout": LIMIT,
        }
        self.way = Way(**settings | changes)  # type: ignore[arg-type]

    def probe(self) -> tuple[Attempt, ...]:
        return probe(self.way)


def config(**changes: object) -> ServerConfig:
    issued = certificates.server()
    roots = handfast.Roots.from_der([certificates.ca().certificate_der])
    return ServerConfig(
        credentials=[handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)],
        verifier=handfast.PathVerifier(roots),
        ca_names=roots.names(),
        **changes,  # type: ignore[arg-type]
    )


def answer_ok(tls: sockets.TLSSocket) -> None:
    tls.recv(4096)
    tls.sendall(b"HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2036 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n")


@contextlib.contextmanager
def serving(settings: ServerConfig, serve: Callable[[sockets.TLSSocket], None] = answer_ok) -> Iterator[int]:
    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                tls = listener.accept()
                with contextlib.suppress(handfast.HandfastError), tls:
                    serve(tls)

    with sockets.listen("127.0.0.1", 0, settings, timeout=LIMIT) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.address[1]
        finally:
            listener.close()
            thread.join(LIMIT)


def test_a_server_that_asks_for_nothing_gets_one_connection() -> None:
    with serving(config()) as port:
        asking = Asking(port)
        (only,) = asking.probe()
    assert asking.said == ["connection 1: without a certificate"]
    assert (only.complete, only.asked, only.answered) == (True, Asked.NEVER, True)
    assert only.http is not None
    assert only.http.status == 200
    # The clock of its Date header.
    assert only.clock_ahead is not None
    assert only.clock_ahead > 86400


def test_one_that_requires_a_certificate_gets_two() -> None:
    with serving(config(client_auth="require_and_verify")) as port:
        asking = Asking(port)
        without, shown = asking.probe()
    assert len(asking.said) == 2
    assert without.server_alert == 116
    assert without.client_chain == ()
    assert without.ca_names == (certificates.ca().certificate.subject.public_bytes(),)
    assert shown.http is not None
    assert shown.client_chain
    assert shown.schemes


def test_the_certificate_is_shown_to_a_verified_server_only() -> None:
    with serving(config(client_auth="require_and_verify")) as port:
        stranger = handfast.PathVerifier(handfast.Roots.from_der([certificates.other_ca().certificate_der]))
        asking = Asking(port)
        settings = ClientConfig(credentials=asking.way.config.credentials, verifier=stranger)
        unverified = Asking(port, config=settings)
        (only,) = unverified.probe()
        assert only.client_chain == ()
        assert unverified.said[-1] == "the certificate is not shown, as the server is not verified"
        assert len(Asking(port, config=settings, show_to_unverified=True).probe()) == 2


def speaking_h2_only(tls: sockets.TLSSocket) -> None:
    """As gRPC's servers do: a client that names no protocol of theirs is closed on without a word."""
    tls.handshake()
    if tls.info.application_protocol == "h2":
        tls.sendall(bytes.fromhex("000000 04 00 00000000"))
        tls.recv(4096)
    else:
        tls.recv(4096)
        with socket.fromfd(tls.fileno(), socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.shutdown(socket.SHUT_RDWR)


def test_a_server_that_closes_without_a_word_is_asked_once_more_with_http_2_named() -> None:
    settings = config(client_auth="require_and_verify", application_protocols=("h2", "http/1.1"))
    with serving(settings, speaking_h2_only) as port:
        asking = Asking(port)
        _, closed, named = asking.probe()
    assert closed.closed_without_a_word
    assert (named.protocol, named.answered, named.error) == ("h2", True, "")
    assert named.client_chain
    assert asking.said[-1] == "connection 3: with the certificate, naming h2 (ALPN)"


def test_no_run_makes_more_connections_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handfast.doctor.probe.MAX_PROBES", 1)
    assert limits.MAX_PROBES <= 5
    with serving(config(client_auth="require_and_verify")) as port:
        asking = Asking(port)
        assert len(asking.probe()) == 1
    assert asking.said == ["connection 1: without a certificate"]


def test_a_server_that_is_asked_nothing_is_waited_for_a_little_while() -> None:
    """It neither answers nor refuses: what the handshake shows is all there is."""

    def wait(tls: sockets.TLSSocket) -> None:
        tls.recv(1)

    assert limits.PROBE_PATIENCE < limits.PROBE_TIMEOUT
    with serving(config(), wait) as port:
        (only,) = Asking(port, request=b"", patience=0.01).probe()
    assert only.complete
    assert only.error == ""


def test_of_an_endless_answer_a_part_is_read() -> None:
    read = 0

    def endless(tls: sockets.TLSSocket) -> None:
        nonlocal read
        tls.recv(4096)
        tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while True:
            tls.sendall(bytes(65536))
            read += 65536

    with serving(config(), endless) as port:
        (only,) = Asking(port).probe()
    assert only.http is not None
    # What stands in the buffers of both sockets is written too.
    assert read < 100 * limits.PROBE_ANSWER_BYTES


def test_of_a_long_log_the_first_lines_are_told() -> None:
    known = [text.shown for text in texts() if " ... " not in text.shown]
    text = "\n".join(known[: 3 * limits.MAX_LOG_LINES_TOLD])
    assert len(log_lines.parse(text).lines) == limits.MAX_LOG_LINES_TOLD


def test_of_a_large_log_file_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limits.MAX_LOG_BYTES >= 1024 * 1024
    monkeypatch.setattr("handfast.cli.doctor_inputs.MAX_LOG_BYTES", 20)
    path = tmp_path / "log"
    path.write_text(f"{' ' * 20}certificate revoked\n")
    assert main(["doctor", "--log", str(path)]) == 2
    assert "nothing in the log is known" in capsys.readouterr().err
