"""grpcio's clients and servers at both ends of the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("grpc", reason="not installed: grpcio (make proxy)")

import grpc

from tests.proxy.grpc_service import Client, Service, secured, serving, use_all
from tests.proxy.program import proxying, write_files

if TYPE_CHECKING:
    from pathlib import Path

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
