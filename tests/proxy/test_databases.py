"""PostgreSQL with psql, and Redis, through the proxy: as people run them."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handfast.proxy.postgres import SSL_REQUEST
from tests import certificates
from tests.cli.conftest import CLEAN_ENVIRONMENT, Pki
from tests.peers.base import missing, require_peer
from tests.proxy.program import proxying
from tests.starttls.servers import QUIET, owned_by, program
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE = "127.0.0.1:0"
# To a proxy that speaks TLS for it, psql must not try it by itself.
PLAIN = {"sslmode": "disable", "gssencmode": "disable"}
WHO = "select usename, inet_client_addr() is null from pg_stat_activity where pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """For a server: other users may enter it, unlike pytest's own, and paths of sockets in it are short enough."""
    path = Path(tempfile.mkdtemp(prefix="handfast-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def pki(folder: Path) -> Pki:
    contents = {
        "ca.pem": certificates.ca().certificate_pem,
        "server.pem": certificates.server().cert_pem,
        "server.key": certificates.server().key_pem,
        "client.pem": certificates.client().cert_pem,
        "client.key": certificates.client().key_pem,
    }
    made = folder / "pki"
    made.mkdir()
    for name, content in contents.items():
        (made / name).touch(mode=0o600)
        (made / name).write_bytes(content)
    return Pki(made, *(made / name for name in contents))


@contextmanager
def listening_at(path: Path, command: list[object], **options: object) -> Iterator[None]:
    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(path)) == 0 or process.poll() is not None

    process = subprocess.Popen([*map(str, command)], **{**QUIET, **options})
    try:
        assert until(listens)
        assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait(LIMIT)


@pytest.fixture(scope="module")
def postgres(pki: Pki, folder: Path) -> Iterator[str]:
    """PostgreSQL at a Unix socket, and with TLS at a port of 127.0.0.1: its folder. TLS clients must be alice."""
    initdb, server = program("initdb"), program("postgres")
    require_peer("psql")
    home = folder / "postgres"
    home.mkdir()
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(pki.directory / name, home / name)
        (home / name).chmod(0o600)
    user = owned_by("postgres", home)
    cluster = home / "cluster"
    subprocess.run([initdb, "-D", cluster, "-A", "trust", "-U", "alice", "-N"], check=True, cwd="/", **QUIET, **user)
    # Whose certificate must be of the CA, and name the user: what the method cert is, spelled out.
    demanded = "hostssl all all 127.0.0.1/32 trust clientcert=verify-full\n"
    (cluster / "pg_hba.conf").write_text(f"local all all trust\n{demanded}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": home, "fsync": "off", "ssl": "on",
        "ssl_cert_file": home / "server.pem", "ssl_key_file": home / "server.key", "ssl_ca_file": home / "ca.pem",
    }  # fmt: skip
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    path = home / f".s.PGSQL.{port}"
    with listening_at(path, [server, "-D", cluster, *given], cwd="/", **user):
        yield str(path)


def psql(query: str, port: int, **settings: object) -> subprocess.CompletedProcess[str]:
    words = {"host": "localhost", "hostaddr": "127.0.0.1", "port": port, "user": "alice", "dbname": "postgres"}
    given = " ".join(f"{name}='{value}'" for name, value in {**words, "gssencmode": "prefer", **settings}.items())
    command = [require_peer("psql"), "-XAtc", query, given]
    environment = CLEAN_ENVIRONMENT | {"PGCONNECT_TIMEOUT": "30"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False)


def verify_full(pki: Pki, *, anonymous: bool = False) -> dict[str, object]:
    ours = {} if anonymous else {"sslcert": pki.client_cert, "sslkey": pki.client_key}
    return {"sslmode": "verify-full", "sslrootcert": pki.ca, "sslcert": "", **ours}


def port_of(path: str) -> int:
    return int(path.rpartition(".")[2])


def test_psql_with_verify_full_to_a_postgresql_without_tls(pki: Pki, postgres: str) -> None:
    ends = ("--starttls", "postgres", "--from", FREE, "--to", f"tcp://unix:{postgres}")
    with proxying(*pki.server, "--client-ca", pki.ca, *ends) as proxy:
        found = psql(WHO, proxy.ports[0], **verify_full(pki))
        assert (found.stdout, found.stderr) == ("alice|t\n", "")
        assert "CN=alice,O=handfast" in proxy.hears(" bytes in, ")
        # Larger than all buffers on the way.
        large = psql("select repeat('x', 3000000)", proxy.ports[0], **verify_full(pki))
        assert len(large.stdout) == 3_000_001
        refused = psql(WHO, proxy.ports[0], **verify_full(pki, anonymous=True))
        assert refused.returncode == 2
        assert "certificate required" in refused.stderr
        assert "certificate_required" in proxy.hears("refused")
        other = psql(WHO, proxy.ports[0], **verify_full(pki) | {"host": "other.example"})
        assert "does not match host name" in other.stderr
        plain = psql(WHO, proxy.ports[0], **PLAIN)
        assert "this server is reached by TLS only: sslmode=verify-full" in plain.stderr
        assert "without asking for TLS" in proxy.hears("(no_tls)")


def test_psql_without_tls_to_a_postgresql_that_wants_it(pki: Pki, postgres: str) -> None:
    to = ("--to", f"tls://localhost:{port_of(postgres)}", "--to-starttls", "postgres", "--to-cacert", pki.ca)
    ours = ("--to-cert", pki.client_cert, "--to-key", pki.client_key)
    with proxying("--from", FREE, *to, *ours) as proxy:
        seen = psql("select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()", proxy.ports[0], **PLAIN)
        assert (seen.stdout, seen.stderr) == ("t|/O=handfast/CN=alice\n", "")
    with proxying("--from", FREE, *to) as proxy:
        assert "connection requires a valid client certificate" in psql(WHO, proxy.ports[0], **PLAIN).stderr


@pytest.mark.skipif(find_spec("psycopg_binary") is None, reason="not installed: psycopg[binary] (make proxy)")
@pytest.mark.parametrize("at", ["loopback", "socket"])
def test_psycopg_without_tls_to_a_postgresql_that_wants_it(at: str, pki: Pki, postgres: str, folder: Path) -> None:
    """psycopg speaks to a proxy on its machine, which shows PostgreSQL our certificate and verifies its own."""
    import psycopg

    to = ("--to", f"tls://localhost:{port_of(postgres)}", "--to-starttls", "postgres", "--to-cacert", pki.ca)
    ours = ("--to-cert", pki.client_cert, "--to-key", pki.client_key)
    listen = FREE if at == "loopback" else f"unix:{folder}/.s.PGSQL.5432"
    with proxying("--from", listen, *to, *ours) as proxy:
        where = {"host": folder} if at == "socket" else {"host": "127.0.0.1", "port": proxy.ports[0]}
        settings = {"user": "alice", "dbname": "postgres", **PLAIN, **where}
        with psycopg.connect(**settings, connect_timeout=LIMIT) as connection:
            seen = connection.execute("select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()")
            assert seen.fetchall() == [(True, "/O=handfast/CN=alice")]
            connection.execute("create temporary table numbers (n integer, words text)")
            # Larger than all buffers on the way, there and back.
            with connection.cursor().copy("copy numbers from stdin") as copy:
                for n in range(3000):
                    copy.write_row((n, "x" * 1000))
            found = connection.execute("select sum(n), sum(length(words)) from numbers").fetchone()
            assert found == (sum(range(3000)), 3_000_000)
            assert len(connection.execute("select n, words from numbers").fetchall()) == 3000
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("select 1 / 0")
        assert f" to localhost:{port_of(postgres)} " in proxy.hears(" bytes in, ")
    with proxying("--from", FREE, *to) as proxy:
        settings = {"user": "alice", "dbname": "postgres", **PLAIN, "host": "127.0.0.1", "port": proxy.ports[0]}
        with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
            psycopg.connect(**settings, connect_timeout=LIMIT)


def test_tls_of_psql_inside_of_tls(pki: Pki, postgres: str) -> None:
    """A tunnel of two proxies carries what is TLS already: psql verifies PostgreSQL's own certificate."""
    inner = ("--from", FREE, "--to", f"tcp://127.0.0.1:{port_of(postgres)}")
    with proxying(*pki.server, "--client-ca", pki.ca, *inner) as far:
        to = ("--to", f"tls://localhost:{far.ports[0]}", "--to-cacert", pki.ca)
        ours = ("--to-cert", pki.client_cert, "--to-key", pki.client_key)
        with proxying("--from", FREE, *to, *ours) as near:
            found = psql(
                "select version from pg_stat_ssl where pid = pg_backend_pid()", near.ports[0], **verify_full(pki)
            )
            assert found.stdout == "TLSv1.3\n", found.stderr


def test_a_backend_that_has_no_tls(pki: Pki, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        to = ("--to", f"tls://127.0.0.1:{listening.getsockname()[1]}", "--to-starttls", "postgres")
        with proxying("--from", FREE, *to, "--to-cacert", pki.ca) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.ports[0])) as client:
                sock, _ = listening.accept()
                with sock:
                    assert sock.recv(8) == SSL_REQUEST
                    sock.sendall(b"N")
                    assert client.recv(1) == b""
            assert "was asked for TLS in PostgreSQL's way and said 'N'" in proxy.hears("backend_no_tls")


@pytest.mark.parametrize(
    ("sent", "answer", "said"),
    [
        (SSL_REQUEST + b"select", b"", "more behind its SSLRequest"),
        (struct.pack(">IIII", 16, 80877102, 1, 2), b"", "CancelRequest"),
        (b"GET / HTTP/1.1\r\n\r\n", b"E", "without asking for TLS"),
    ],
)
def test_what_must_not_be_said_before_tls(pki: Pki, sent: bytes, answer: bytes, said: str) -> None:
    with (
        proxying(*pki.server, "--starttls", "postgres", "--from", FREE, "--to", "tcp://127.0.0.1:1") as proxy,
        socket.create_connection(("127.0.0.1", proxy.ports[0])) as sock,
    ):
        sock.sendall(sent)
        assert sock.recv(1) == answer
        assert said in proxy.hears("(no_tls)")


def test_redis_through_both_sides(pki: Pki, folder: Path) -> None:
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        missing("redis is not installed")
    path = folder / "redis.sock"
    server = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
    with (
        listening_at(path, [*server]),
        proxying(*pki.server, "--client-ca", pki.ca, "--from", FREE, "--to", f"tcp://unix:{path}") as far,
        proxying(
            *("--from", FREE, "--to", f"tls://localhost:{far.ports[0]}", "--to-cacert", pki.ca),
            *("--to-cert", pki.client_cert, "--to-key", pki.client_key),
        ) as near,
    ):
        value = os.urandom(1000).hex() * 100

        def redis(port: int, *arguments: str, sent: str = "") -> str:
            command = ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *arguments]
            done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=LIMIT, check=True)
            return done.stdout.rstrip("\n")

        assert redis(near.ports[0], "-x", "set", "key", sent=value) == "OK"
        assert redis(near.ports[0], "get", "key") == value
        tls = ("--tls", "--sni", "localhost", "--cacert", pki.ca, "--cert", pki.client_cert, "--key", pki.client_key)
        assert redis(far.ports[0], *map(str, tls), "strlen", "key") == str(len(value))
