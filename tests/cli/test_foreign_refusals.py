"""How servers that people run refuse a client, and what ``connect`` makes of it."""

from __future__ import annotations

import pytest

from tests import certificates
from tests.peers.base import ClientAuth, Options
from tests.peers.nginx import NginxServer


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_nginx_refuses_by_an_answer_and_that_is_no_success(run, pki, version):
    options = Options(
        certificate=pki.server_cert,
        key=pki.server_key,
        trust=pki.ca,
        client_auth=ClientAuth.REQUIRE,
        version=version,
    )
    stranger = certificates.other_ca().client("alice")
    (pki.directory / "other.pem").write_bytes(stranger.cert_pem)
    (pki.directory / "other.key").write_bytes(stranger.key_pem)
    shown = ("--cert", pki.directory / "other.pem", "--key", pki.directory / "other.key")
    for arguments, said, advice in (
        ((), "we showed none", "--cert and --key"),
        (shown, "we showed CN=alice", "one of the CAs named issued"),
    ):
        with NginxServer(options) as server:
            result = run("connect", f"https://localhost:{server.port}/", *pki.trust, *arguments)
        assert result.is_error(1, f"TLS {version} OK", "but the server answered HTTP 400", said)
        assert "mutual" not in result.err
        assert advice in result.err
        assert "SSL certificate" in result.out
