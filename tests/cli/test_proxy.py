"""``handfast proxy``: its options, what it says, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from handfast.cli.proxy_options import parse_to
from handfast.errors import ConfigError
from handfast.proxy.settings import Mode
from handfast.trust.pins import key_pin
from tests import certificates
from tests.cli.conftest import Pki, Run, finish, start
from tests.proxy.program import proxying
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FREE = "127.0.0.1:0"


@pytest.fixture
def service() -> Iterator[int]:
    """A service that echoes, in threads; its port."""

    def serve(sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_line_of_ssl_proxy(pki: Pki) -> None:
    arguments = ("-cert", pki.server_cert, "-key", pki.server_key, "-from", FREE, "-to", "127.0.0.1:3000")
    with proxying(*arguments) as proxy:
        assert re.fullmatch(
            r"Proxying calls from https://127\.0\.0\.1:\d+ \(SSL/TLS\) to http://127\.0\.0\.1:3000", proxy.announced[0]
        )
        result = proxy.ends()
    assert result.status == 0
    assert result.complaints[:2] == [
        "handfast: Assuming -to URL is using http://",
        "handfast: clients are asked for no certificate: --client-ca FILE lets in only those that have one",
    ]


def test_bytes_through_both_sides(pki: Pki, service: int) -> None:
    with (
        proxying(*pki.server, "--client-ca", pki.ca, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as server,
        proxying("--from", FREE, "--to", f"tls://localhost:{server.ports[0]}", *_to(pki)) as client,
    ):
        assert server.announced[0].startswith("Proxying connections from tls://127.0.0.1:")
        assert client.announced[0].endswith(f" to tls://localhost:{server.ports[0]}")
        with socket.create_connection(("127.0.0.1", client.ports[0])) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
        line = server.hears("5 bytes in, 5 out")
        assert line.endswith(f" to 127.0.0.1:{service} CN=alice,O=handfast")
        assert client.hears("5 bytes in, 5 out").endswith(f" to localhost:{server.ports[0]} -")
        assert (client.ends().status, server.ends(signal.SIGINT).status) == (0, 130)


def _to(pki: Pki) -> tuple[object, ...]:
    return ("--to-cert", pki.client_cert, "--to-key", pki.client_key, "--to-cacert", pki.ca)


def test_whom_the_service_may_be_is_read_anew(pki: Pki, service: int) -> None:
    trusted = pki.directory / "trusted.pem"
    trusted.write_bytes(certificates.other_ca().certificate_pem)
    with (
        proxying(*pki.server, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as server,
        proxying(
            *("--from", FREE, "--to", f"tls://localhost:{server.ports[0]}", "--to-cacert", trusted, "--reload")
        ) as client,
    ):
        assert _echoed(client.ports[0]) == b""
        client.hears("backend_certificate")
        trusted.write_bytes(certificates.ca().certificate_pem)
        client.process.send_signal(signal.SIGHUP)
        assert until(lambda: _echoed(client.ports[0]) == b"hello")


def _echoed(port: int) -> bytes:
    """What comes back of a word; b"" where the proxy breaks off."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"hello")
        try:
            return sock.recv(100)
        except ConnectionResetError:
            return b""


SPARE = "sha256//" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("judged", "why"),
    [
        (("--to-pin", key_pin(certificates.server().chain[0])), ""),
        (("--to-pin", SPARE), "is not pinned"),
        (("--to-crl", "empty.crl"), ""),
        (("--to-crl", "revoked.crl"), "revoked"),
        (("--to-ocsp", "require"), "OCSP"),
    ],
)
def test_more_of_the_service_is_judged(
    pki: Pki, service: int, monkeypatch: pytest.MonkeyPatch, judged: tuple[str, str], why: str
) -> None:
    monkeypatch.chdir(pki.directory)
    (pki.directory / "empty.crl").write_bytes(certificates.ca().crl())
    (pki.directory / "revoked.crl").write_bytes(certificates.ca().crl([certificates.server()]))
    with proxying(*pki.server, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as server:
        to = ("--from", FREE, "--to", f"tls://localhost:{server.ports[0]}", "--to-cacert", pki.ca)
        with proxying(*to, *judged) as client:
            assert _echoed(client.ports[0]) == (b"" if why else b"hello")
            if why:
                assert why in client.hears("backend_certificate")


def test_a_revoked_service_is_read_anew(pki: Pki, service: int) -> None:
    lists = pki.directory / "ca.crl"
    lists.write_bytes(certificates.ca().crl())
    with proxying(*pki.server, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as server:
        to = ("--from", FREE, "--to", f"tls://localhost:{server.ports[0]}", "--to-cacert", pki.ca)
        pin = ("--to-pin", key_pin(certificates.server().chain[0]))
        with proxying(*to, *pin, "--to-crl", lists, "--reload") as client:
            assert _echoed(client.ports[0]) == b"hello"
            lists.write_bytes(certificates.ca().crl([certificates.server()]))
            client.process.send_signal(signal.SIGHUP)
            assert until(lambda: _echoed(client.ports[0]) == b"")
            assert "revoked" in client.hears("backend_certificate")


def test_the_password_of_our_key_for_the_service(pki: Pki, service: int) -> None:
    locked, password = pki.directory / "locked.key", pki.directory / "password"
    key = load_pem_private_key(pki.client_key.read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    password.write_text("secret\n")
    asking = ("--client-ca", pki.ca, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}")
    ours = ("--to-cert", pki.client_cert, "--to-key", locked, "--to-key-password-file", password)
    with (
        proxying(*pki.server, *asking) as server,
        proxying("--from", FREE, "--to", f"tls://localhost:{server.ports[0]}", *ours, "--to-cacert", pki.ca) as client,
    ):
        assert _echoed(client.ports[0]) == b"hello"


def test_who_is_refused_is_told_of_with_the_reason(pki: Pki, service: int) -> None:
    only_bob = ("--client-ca", pki.ca, "--allow-cn", "bob")
    with proxying(*pki.server, *only_bob, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as proxy:
        for ours, said in ((pki.alice, "(access_denied)"), (pki.trust, "(certificate_required)")):
            asking = start("connect", *ours, f"localhost:{proxy.ports[0]}")
            assert finish(asking).status == 1
            assert said in proxy.hears("refused")
        assert "CN=alice" in proxy.said[-2] or "CN=alice" in proxy.said[-1]


def test_a_backend_that_is_down_is_told_of(pki: Pki) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        to = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        with proxying(*pki.server, "--from", FREE, "--to", to) as proxy:
            assert finish(start("connect", *pki.trust, f"localhost:{proxy.ports[0]}")).status == 1
            assert proxy.hears("backend_refused").endswith(f"{to[6:]}: Connection refused)")


def test_ctrl_c_waits_and_the_second_does_not(pki: Pki, service: int) -> None:
    context = ssl.create_default_context(cafile=pki.ca)
    with proxying(*pki.server, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}") as proxy:
        sock = socket.create_connection(("127.0.0.1", proxy.ports[0]))
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"
            proxy.process.send_signal(signal.SIGINT)
            assert (
                proxy.hears("ending")
                == "handfast: ending: 1 connection may take 30 s; a second signal ends them at once"
            )
            tls.sendall(b"still here")
            assert tls.recv(100) == b"still here"
            assert proxy.ends(signal.SIGINT).status == 130


def _said(pki: Pki, port: int, words: bytes) -> bytes:
    """What comes back of a client without a certificate."""
    context = ssl.create_default_context(cafile=pki.ca)
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(words)
        return tls.recv(100)


@pytest.mark.parametrize("lens", ["--trace", "--keylog", "--html", "--pcapng"])
def test_lenses(pki: Pki, service: int, tmp_path: Path, lens: str) -> None:
    path = tmp_path / "out"
    given = (lens,) if lens == "--trace" else (lens, path)
    with proxying(*pki.server, "--from", FREE, "--to", f"tcp://127.0.0.1:{service}", *given) as proxy:
        assert _said(pki, proxy.ports[0], b"hello") == b"hello"
        result = proxy.ends()
    if lens == "--trace":
        assert "ClientHello" in result.err
    else:
        assert path.stat().st_size > 100


@pytest.mark.parametrize(
    ("text", "tcp", "tls", "found"),
    [
        ("127.0.0.1:3000", False, False, (("127.0.0.1", 3000), Mode.HTTP, False, "http")),
        ("127.0.0.1:3000", True, False, (("127.0.0.1", 3000), Mode.TCP, False, "tcp")),
        ("127.0.0.1:3000", False, True, (("127.0.0.1", 3000), Mode.HTTP, True, "https")),
        ("unix:/run/x", False, False, ("/run/x", Mode.HTTP, False, "http")),
        ("http://unix:/run/x", False, False, ("/run/x", Mode.HTTP, False, "")),
        ("http://localhost", False, True, (("localhost", 80), Mode.HTTP, False, "")),
        ("https://localhost/", False, False, (("localhost", 443), Mode.HTTP, True, "")),
        ("https://[::1]", False, False, (("::1", 443), Mode.HTTP, True, "")),
        ("tcp://[::1]:5432", False, False, (("::1", 5432), Mode.TCP, False, "")),
        ("TLS://b\xfccher.example:5432", True, False, (("xn--bcher-kva.example", 5432), Mode.TCP, True, "")),
    ],
)
def test_what_to_names(text: str, tcp: bool, tls: bool, found: tuple[object, ...]) -> None:
    target = parse_to(text, tcp=tcp, tls=tls)
    assert (target.address, target.mode, target.tls, target.assumed) == found


@pytest.mark.parametrize(
    "text",
    ["3000", "ftp://x:1", "http://x/path", "http://x/?q", "https://me@x", "tcp://x", "tls://:1", "tcp://x:0", "unix:",
     "http://[::1", "::1:80", "http://x:99999"],
)  # fmt: skip
def test_what_it_cannot_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--to"):
        parse_to(text, tcp=False, tls=False)


HTTP, TCP = ("--to", "127.0.0.1:3000"), ("--to", "tcp://127.0.0.1:3000")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*HTTP,), ("--from", "where clients come in")),
        (("--from", FREE), ("--to", "where clients go")),
        (("--from", "x", *HTTP, "--cert", "c"), ("--from", "does not end in :PORT")),
        (("--from", "unix:", *HTTP, "--cert", "c"), ("--from", "unix: names no path")),
        (("--from", FREE, "--to", "http://127.0.0.1:3000"), ("--to", "there is nothing to do")),
        (("--from", FREE, "--to", "http://127.0.0.1:3000", "--tcp", "--cert", "c"), ("--tcp", "--to says http://")),
        (("--from", "0.0.0.0:0", "--to", "tls://x:1"), ("--from", "would speak with our certificate")),
        (("--from", FREE, "--to", "tls://x:1", "--client-ca", "ca"), ("--client-ca", "there is no --cert")),
        (("--from", FREE, "--to", "tls://x:1", "--to-anywhere"), ("--to-anywhere", "may go anywhere")),
        (("--from", FREE, "--to", "tls://x:1", "--to-key", "k"), ("--to-key", "no --to-cert")),
        (("--from", FREE, "--to", "tls://x:1", "--to-key-password-file", "f"), ("password-file", "no --to-cert")),
        (("--from", FREE, "--to", "tls://x:1", "--to-crl", "/nothing"), ("/nothing",)),
        (("--from", FREE, "--to", "tls://x:1", "--to-pin", "sha256//short"), ("pin", "44 characters")),
        (("--from", FREE, "--to", "tls://x:1", "--starttls", "postgres"), ("--starttls", "there is no --cert")),
        (("--from", FREE, "--to", "tls://unix:/x"), ("--to-name", "give the name")),
        (("--from", FREE, "--to", "tls://x:1", "--from-anywhere"), ("--from-anywhere", "this machine only")),
        (("--from", "unix:x", "--to", "tls://x:1", "--from-anywhere"), ("--from-anywhere", "this machine only")),
        (("--from", "x:1", "--from", FREE, *HTTP), ("--from", "given twice")),
        (("-from", FREE, "-from", FREE, *HTTP), ("--from", "given twice")),
        (("--from", FREE, *HTTP, *TCP), ("--to", "given twice")),
        (("--from", FREE, *HTTP, "--grace", "1", "--grace=2"), ("--grace", "given twice")),
        (("--from", FREE, *TCP, "--proxy-protocol", "--proxy-protocol=tls"), ("--proxy-protocol", "given twice")),
        (("--config", "x", "--config", "y"), ("--config", "given twice")),
        (("--from", FREE, "--to", "tls://x:1", "--to-cacert", "/nothing"), ("/nothing",)),
    ],
)  # fmt: skip
def test_what_cannot_be(run: Run, arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert run("proxy", *arguments).is_error(2, *said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*HTTP, "--from-anywhere"), ("--from-anywhere", "may come from anywhere")),
        (("--to", "http://192.0.2.1:80"), ("--to", "not on this machine", "--to-anywhere")),
        ((*HTTP, "--to-anywhere"), ("--to-anywhere", "is on this machine")),
        (("--to", "tcp://unix:/x", "--to-anywhere"), ("--to-anywhere", "is on this machine")),
        ((*HTTP, "--admin", FREE, "--captures", "/nothing"), ("--captures", "/nothing", "no directory")),
        ((*HTTP, "--admin", FREE, "--captures", __file__), ("--captures", "no directory")),
        (("--to", "http://127.0.0.1:1", "--to-name", "x"), ("--to-name", "no TLS is spoken")),
        ((*TCP, "--to-pin", SPARE), ("--to-pin", "no TLS is spoken")),
        ((*TCP, "--to-name", ""), ("--to-name", "its value is empty")),
        ((*TCP, "--identity", "xfcc"), ("--identity", "give --proxy-protocol")),
        ((*HTTP, "--identity", "xfcc"), ("--identity", "give --client-ca")),
        ((*HTTP, "--allow-cn", "x"), ("--allow-", "give --client-ca")),
        ((*HTTP, "--starttls", "postgres"), ("--starttls", "HTTP has none")),
        (("--to", "https://x:1", "--to-starttls", "postgres"), ("--to-starttls", "HTTP has none")),
        ((*TCP, "--to-starttls", "postgres"), ("--to-starttls", "no TLS is spoken")),
        ((*HTTP, "--client-auth", "require_and_verify"), ("require_and_verify",)),
        ((*HTTP, "--client-ca", "/nothing"), ("/nothing",)),
        ((*HTTP, "--proxy-protocol", "tls"), ("--proxy-protocol=tls",)),
        ((*HTTP, "--policy", "strict"), ("--policy", "give --client-ca")),
        *(((*HTTP, f"--grace={one}"), ("--grace", "no time")) for one in ("nan", "inf", "-1", "1e300", "9" * 400)),
        *(((*HTTP, f"--per-second={one}"), ("--per-second", "no rate")) for one in ("nan", "inf", "-1", "1e308")),
        *(((*HTTP, f"--{one}={'9' * 30}"), (f"--{one}", "so many")) for one in ("connections", "per-client")),
        *(((*HTTP, f"--{one}=0"), (f"--{one}", "no client in")) for one in ("connections", "per-client")),
        *(((*HTTP, f"--workers={one}"), ("--workers", "outside")) for one in (0, -1, "9" * 30)),
    ],
)
def test_what_cannot_be_where_clients_come_by_tls(
    run: Run, pki: Pki, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    assert run("proxy", *pki.server, "--from", FREE, *arguments).is_error(2, *said)


def test_options_that_may_be_given_several_times(run: Run, pki: Pki) -> None:
    several = ("--to-pin", SPARE, "--to-pin", SPARE, "--tcp", "--tcp", "--to-cacert", "/nothing")
    assert run("proxy", "--from", FREE, "--to", "tls://x:1", *several).is_error(2, "/nothing")


def test_advice_about_files_for_the_service_names_their_options(run: Run, pki: Pki) -> None:
    ends = ("--from", FREE, "--to", "tls://x:1")
    no_key = run("proxy", *ends, "--to-cert", pki.client_cert)
    assert no_key.is_error(2, "holds no private key", "with --to-key;")
    assert run("proxy", *ends, "--to-cacert", pki.client_key).is_error(2, "no certificate", "a key goes to --to-key")


def test_files_that_are_not_there_or_not_right(run: Run, pki: Pki) -> None:
    ends = ("--from", FREE, *HTTP)
    assert run("proxy", "--cert", "/nothing", "--key", pki.server_key, *ends).is_error(2, "/nothing")
    assert run("proxy", "--cert", pki.server_cert, "--key", pki.client_key, *ends).is_error(2, "key")


def test_a_port_that_is_taken(run: Run, pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("proxy", *pki.server, "--from", address, *TCP)
    assert result.is_error(2, address, "in use", "port 0")


def test_packets_of_a_unix_socket(run: Run, pki: Pki, tmp_path: Path) -> None:
    arguments = ("--from", f"unix:{tmp_path}/x", *TCP, "--pcapng", tmp_path / "out")
    assert run("proxy", *pki.server, *arguments).is_error(2, "--pcapng", "no packets")
