"""grpcio's clients and servers at both ends of the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("grpc", reason="not installed: grpcio (make proxy)")

import grpc

from tests.proxy.grpc_service import Client, Service, secured, serving, use_all
from tests.proxy.program import lines_of, proxying, write_files

if TYPE_CHECKING:
    from pathlib import Path

ALICE = "CN=alice,O=handfast"
FREE = "127.0.0.1:0"


def ours(files: Path) -> tuple[object, ...]:
    return ("--cert", files / "server.pem", "--key", files / "server.key", "--client-ca", files / "ca.pem")


@pytest.mark.parametrize("at", ["loopback", "socket"])
def test_a_client_without_tls_to_a_server_that_wants_a_certificate(at: str, tmp_path: Path) -> None:
    files, service = write_files(tmp_path), Service()
    to_cert = ("--to-cert", files / "client.pem", "--to-key", files / "client.key", "--to-cacert", files / "ca.pem")
    listen = FREE if at == "loopback" else f"unix:{tmp_path}/grpc"
    with (
        serving(service, mutual=files) as port,
        proxying("--from", listen, "--to", f"tls://localhost:{port}", "--alpn", "h2", *to_cert) as proxy,
        Client(f"127.0.0.1:{proxy.ports[0]}" if at == "loopback" else listen) as client,
    ):
        use_all(client, service, "alice")


def test_a_client_with_a_certificate_to_a_server_without_tls(tmp_path: Path) -> None:
    files, service = write_files(tmp_path), Service()
    with (
        serving(service) as port,
        proxying(*ours(files), "--alpn", "h2", "--from", FREE, "--to", f"tcp://127.0.0.1:{port}") as proxy,
    ):
        with Client(f"localhost:{proxy.ports[0]}", secured(files)) as client:
            use_all(client, service, "nobody")
        with Client(f"localhost:{proxy.ports[0]}", secured(files, anonymous=True)) as client:
            error = client.fail(b"luck")
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "the client sent no certificate" in proxy.hears("certificate_required")


@pytest.mark.parametrize("to_tls", [False, True], ids=["h2c", "h2"])
def test_http_mode_tells_the_service_who_calls(tmp_path: Path, to_tls: bool) -> None:
    """Calls of all kinds as requests of HTTP/2, each with a line in the log."""
    files, service = write_files(tmp_path), Service()
    theirs = ("--to-cert", files / "client.pem", "--to-key", files / "client.key", "--to-cacert", files / "ca.pem")
    log = ("--access-log", files / "access.log", "--identity", "nginx")
    with serving(service, mutual=files if to_tls else None) as port:
        url = f"h2://localhost:{port}" if to_tls else f"h2c://127.0.0.1:{port}"
        with proxying(*ours(files), *log, "--from", FREE, "--to", url, *(theirs if to_tls else ())) as proxy:
            assert proxy.announced[0].endswith(f" to {url}")
            with Client(f"localhost:{proxy.ports[0]}", secured(files)) as client:
                client.unary(b"", metadata=[("x-ssl-client-s-dn", "CN=root"), ("x-mine", "1")])
                assert (service.metadata["x-ssl-client-s-dn"], service.metadata["x-mine"]) == (ALICE, "1")
                use_all(client, service, ALICE)
            proxy.ends()
    told = [line for line in lines_of(files / "access.log") if line["event"] == "request"]
    asked = [(line["target"].rpartition("/")[2], line["status"], line["subject"]) for line in told]
    methods = ("unary", "unary", "download", "upload", "both", "fail", "endless")
    assert asked == [(method, 200, ALICE) for method in methods]
    assert [line["code"] for line in told] == [""] * 6 + ["client_reset"]


def test_rules_for_methods(tmp_path: Path) -> None:
    """A route's rule answers 403, which a client of gRPC takes for PERMISSION_DENIED."""
    files, service = write_files(tmp_path), Service()
    with serving(service) as port:
        (tmp_path / "proxy.toml").write_text(f"""
            [backends.calls]
            address = "127.0.0.1:{port}"
            http2 = true
            [[listeners]]
            listen = "127.0.0.1:0"
            backend = "calls"
            cert = "server.pem"
            key = "server.key"
            client_ca = "ca.pem"
            identity = ["nginx"]
            [[listeners.routes]]
            prefix = "/test.Service/fail"
            allow.cn = ["bob"]
        """)
        with (
            proxying("--config", tmp_path / "proxy.toml") as proxy,
            Client(f"localhost:{proxy.ports[0]}", secured(files)) as client,
        ):
            assert client.fail(b"luck").code() is grpc.StatusCode.PERMISSION_DENIED
            assert client.unary(b"hello")[0] == b"hello"


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    with (
        proxying(*ours(files), "--from", FREE, "--to", f"h2c://unix:{tmp_path}/none") as proxy,
        Client(f"localhost:{proxy.ports[0]}", secured(files)) as client,
    ):
        assert client.fail(b"luck").code() is grpc.StatusCode.UNAVAILABLE
        assert " 502 " in proxy.hears("(backend_refused")
