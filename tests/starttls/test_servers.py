"""``handfast connect`` against real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import finish, start
from tests.starttls import servers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Pki, Result

VERIFIED = "OK, one-way: server CN=localhost,O=handfast"


def asked(pki: Pki, protocol: str, port: int, *more: object, typed: str | None = None) -> Result:
    """The program against a server of that protocol, with lines that it sends inside of TLS."""
    options = {} if typed is None else {"stdin": -1}
    process = start("connect", "-v", "--starttls", protocol, f"localhost:{port}", *pki.trust, *more, **options)
    return finish(process, typed)


def test_postgresql(pki: Pki, folder: Path) -> None:
    with servers.postgresql(pki, folder) as port:
        result = asked(pki, "postgres", port)
        chain = finish(start("connect", "--starttls", "postgres", "--showcerts", f"localhost:{port}", *pki.trust))
        other = finish(start("connect", "--starttls", "postgres", f"127.0.0.2:{port}", *pki.trust))
    assert VERIFIED in result.complaints[-1]
    assert "* PostgreSQL: the server is ready for TLS" in result.complaints
    assert chain.out.count("BEGIN CERTIFICATE") >= 1
    assert other.status == 1


def test_mariadb(pki: Pki, folder: Path) -> None:
    with servers.mariadb(pki, folder) as port:
        result = asked(pki, "mysql", port)
    assert VERIFIED in result.complaints[-1] or VERIFIED in result.err
    assert "* MySQL: the server is ready for TLS" in result.complaints


def test_dovecot(pki: Pki, folder: Path) -> None:
    with servers.dovecot(pki, folder) as (imap, pop3, lmtp):
        result = asked(pki, "imap", imap, typed="b CAPABILITY\r\nc LOGOUT\r\n")
        assert "* CAPABILITY IMAP4rev1" in result.out
        assert "* BYE" in result.out
        assert VERIFIED in result.err
        result = asked(pki, "pop3", pop3, typed="CAPA\r\nQUIT\r\n")
        assert "+OK" in result.out
        assert VERIFIED in result.err
        result = asked(pki, "lmtp", lmtp, typed="LHLO me\r\nQUIT\r\n")
    assert "250" in result.out
    assert "STARTTLS" not in result.out
    assert VERIFIED in result.err


def test_exim(pki: Pki, folder: Path) -> None:
    with servers.exim(pki, folder) as port:
        result = asked(pki, "smtp", port, typed="EHLO me\r\nQUIT\r\n")
    assert "250" in result.out
    assert "STARTTLS" not in result.out
    assert VERIFIED in result.err


def test_slapd(pki: Pki, folder: Path) -> None:
    with servers.slapd(pki, folder) as port:
        result = asked(pki, "ldap", port)
    assert "* LDAP: the server is ready for TLS" in result.complaints
    assert VERIFIED in result.err


def test_vsftpd(pki: Pki, folder: Path) -> None:
    with servers.vsftpd(pki, folder) as port:
        result = asked(pki, "ftp", port, typed="FEAT\r\nQUIT\r\n")
    assert "211 End" in result.out
    assert "221" in result.out
    assert VERIFIED in result.err


def test_prosody(pki: Pki, folder: Path) -> None:
    """It goes as soon as we say that no more comes, so nothing is said to it."""
    with servers.prosody(pki, folder) as (clients, others):
        for protocol, port in (("xmpp", clients), ("xmpp-server", others)):
            result = asked(pki, protocol, port)
            assert "* XMPP: the server is ready for TLS" in result.complaints
            assert VERIFIED in result.err
        stranger = asked(pki, "xmpp", clients, "--servername", "other.example")
    assert stranger.is_error(1, "XMPP")


@pytest.mark.parametrize("name", servers.HTTP_SERVERS)
def test_http(pki: Pki, folder: Path, name: str) -> None:
    version = "1.0" if name == "s_server" else "2"
    with servers.HTTP_SERVERS[name](pki, folder) as port:
        url = f"https://localhost:{port}/"
        result = finish(start("connect", "-i", url, *pki.alice))
        assert result.status == 0
        assert result.out.startswith(f"HTTP/{version} 200")
        assert "OK" in result.complaints[-1]
        head = finish(start("connect", "-I", url, *pki.trust)) if name != "s_server" else result
        assert head.out.startswith(f"HTTP/{version} 200")
        if name != "s_server":
            older = finish(start("connect", "-i", "--alpn", "http/1.1", url, *pki.trust))
            assert older.out.startswith("HTTP/1.1 200 OK")


@pytest.mark.parametrize("name", ["node", "go"])
def test_a_body_by_http_2(pki: Pki, folder: Path, name: str) -> None:
    (folder / "body").write_bytes(b"x" * 300_000)
    with servers.HTTP_SERVERS[name](pki, folder) as port:
        result = finish(start("connect", "-d", f"@{folder / 'body'}", f"https://localhost:{port}/", *pki.trust))
    assert "300000 bytes by HTTP" in result.out
    assert "2.0" in result.out


def test_a_redirect_of_nginx(pki: Pki, folder: Path) -> None:
    with servers.nginx(pki, folder) as port:
        result = finish(start("connect", "-L", f"https://localhost:{port}/large", *pki.trust))
    assert (result.status, result.out) == (0, "nginx says hello\n")
