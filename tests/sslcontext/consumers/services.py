"""Mail, PostgreSQL and Redis: servers that are programs of their own, or speak plainly first."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sslcontext.consumers.kinds import Contexts, client_only, consumer
from tests.sslcontext.consumers.servers import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = 77
# Seconds, in a process that is ended when it stands for longer than that.
PATIENCE = 40.0


def program(name: str, *folders: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"]]))
    if found is None:
        print(f"{name} is not installed")
        sys.exit(MISSING)
    return found


def _mail_server(contexts: Contexts) -> int:
    """SMTP as far as a client needs it to send one mail after STARTTLS."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        plain, _ = listening.accept()
        plain.sendall(b"220 ready\r\n")
        stream: Any = plain.makefile("rb")
        sock: Any = plain
        while line := stream.readline():
            word = line.split()[0].upper()
            if word == b"EHLO":
                sock.sendall(b"250-localhost\r\n250 STARTTLS\r\n" if sock is plain else b"250 localhost\r\n")
            elif word == b"STARTTLS":
                sock.sendall(b"220 go\r\n")
                sock = contexts.server().wrap_socket(plain, server_side=True)
                stream = sock.makefile("rb")
            elif word == b"DATA":
                sock.sendall(b"354 go on\r\n")
                while stream.readline() != b".\r\n":
                    pass
                sock.sendall(b"250 taken\r\n")
            else:
                sock.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    sock.close()
                    return

    threading.Thread(target=serve, daemon=True).start()
    return int(listening.getsockname()[1])


@consumer
def smtplib_starttls(contexts: Contexts) -> object:
    import smtplib

    with smtplib.SMTP("localhost", _mail_server(contexts)) as mail:
        mail.starttls(context=contexts.client())
        mail.ehlo()
        return mail.sendmail("a@example.com", ["b@example.com"], "Subject: hello\n\nhello")


@consumer
def aiosmtplib_starttls(contexts: Contexts) -> object:
    import aiosmtplib

    sent = aiosmtplib.send(
        "Subject: hello\n\nhello",
        sender="a@example.com",
        recipients=["b@example.com"],
        hostname="localhost",
        port=_mail_server(contexts),
        start_tls=True,
        tls_context=contexts.client(),
    )
    return asyncio.run(sent)


@contextmanager
def postgresql(contexts: Contexts) -> Iterator[tuple[int, Path]]:
    """PostgreSQL that wants client certificates (clientcert=verify-full); its certificate is not for 127.0.0.2.

    Gives its port and the folder of its local socket. It will not run as root, so it has a folder of its own.
    """
    with tempfile.TemporaryDirectory(prefix="handfast-postgresql-") as name, _cluster(contexts, Path(name)) as port:
        yield port, Path(name)


@contextmanager
def _cluster(contexts: Contexts, data: Path) -> Iterator[int]:
    folders = os.pathsep.join(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))))
    initdb, postgres = program("initdb", folders), program("postgres", folders)
    port = free_port()
    as_user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(contexts.folder / name, data / name)
        (data / name).chmod(0o600)
    if as_user:
        for path in (data, *data.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    cluster = data / "cluster"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run([initdb, "-D", cluster, "-A", "trust", "-U", "postgres"], check=True, **as_user, **quiet)
    (cluster / "pg_hba.conf").write_text(
        "local all all trust\nhostssl all all 127.0.0.0/8 trust clientcert=verify-full\n"
    )
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1,127.0.0.2",
        "unix_socket_directories": data,
        "ssl": "on",
        "ssl_ca_file": data / "ca.pem",
        "ssl_cert_file": data / "server.pem",
        "ssl_key_file": data / "server.key",
    }
    arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    server = subprocess.Popen([postgres, "-D", cluster, *arguments], **as_user, **quiet)
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


async def _ask_postgresql(contexts: Contexts, port: int, folder: Path) -> str:
    import asyncpg

    known = {"host": "127.0.0.1", "port": port, "database": "postgres"}
    while True:
        try:
            first = await asyncpg.connect(**known, user="postgres", ssl=contexts.client())
        except asyncpg.CannotConnectNowError:
            await asyncio.sleep(0.05)
        except asyncpg.InvalidAuthorizationSpecificationError:
            # The certificate is alice's, and the user is not.
            break
        else:
            await first.close()
            raise AssertionError("another's certificate was taken")
    own = await asyncpg.connect(host=str(folder), port=port, database="postgres", user="postgres", ssl=False)
    await own.execute("CREATE ROLE alice LOGIN")
    await own.close()
    async with asyncpg.create_pool(**known, user="alice", ssl=contexts.client(), min_size=2, max_size=4) as pool:
        answers = await asyncio.gather(*(pool.fetchval("SELECT repeat('x', 1000000)") for _ in range(8)))
        assert {len(one) for one in answers} == {1_000_000}
        row = await pool.fetchrow("SELECT version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert row is not None
        assert "alice" in row["client_dn"]
    for options, error_class in (
        ({"ssl": contexts.client(certificate=False)}, asyncpg.InvalidAuthorizationSpecificationError),
        ({"ssl": contexts.client(ca="other.pem")}, ssl.SSLCertVerificationError),
        ({"ssl": contexts.client(), "host": "127.0.0.2"}, ssl.SSLCertVerificationError),
    ):
        try:
            await asyncpg.connect(**{**known, "user": "alice", **options})
        except error_class:
            continue
        raise AssertionError("it was not refused")
    return f"{row['version']} {row['client_dn']}"


@client_only
def asyncpg_postgresql(contexts: Contexts) -> object:
    with postgresql(contexts) as (port, folder):
        return asyncio.run(_ask_postgresql(contexts, port, folder))


@client_only
def asyncpg_uvloop_postgresql(contexts: Contexts) -> object:
    import uvloop

    with postgresql(contexts) as (port, folder):
        return uvloop.run(_ask_postgresql(contexts, port, folder))


@contextmanager
def redis_server(contexts: Contexts) -> Iterator[int]:
    port = free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "tls-cert-file": contexts.file("server.pem"),
        "tls-key-file": contexts.file("server.key"),
        "tls-ca-cert-file": contexts.file("ca.pem"),
        "tls-auth-clients": "yes",
        "save": "",
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    command = [program("redis-server"), *arguments]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(contexts.folder))
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


@client_only
def redis_threads(contexts: Contexts) -> object:
    import redis

    class Connection(redis.connection.SSLConnection):
        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            return contexts.client().wrap_socket(sock, server_hostname="localhost")

    with redis_server(contexts) as port:
        pool = redis.ConnectionPool(connection_class=Connection, host="127.0.0.1", port=port)
        client = redis.Redis(connection_pool=pool)
        assert client.set("key", b"x" * 1_000_000)
        assert len(client.get("key")) == 1_000_000  # type: ignore[arg-type]
        listener = client.pubsub()
        listener.subscribe("channel")
        client.publish("channel", "hello")
        messages = [listener.get_message(timeout=PATIENCE) for _ in range(2)]
        assert messages[1]["data"] == b"hello"  # type: ignore[index]
        client.close()
    return "ok"


@client_only
def redis_asyncio(contexts: Contexts) -> object:
    import redis.asyncio as redis

    class Connection(redis.SSLConnection):
        def _connection_arguments(self) -> Any:
            return {**super()._connection_arguments(), "ssl": contexts.client(), "server_hostname": "localhost"}

    async def main(port: int) -> str:
        pool = redis.ConnectionPool(connection_class=Connection, host="127.0.0.1", port=port)
        client = redis.Redis(connection_pool=pool)
        assert await client.set("key", b"x" * 1_000_000)
        assert len(await client.get("key")) == 1_000_000
        await client.aclose()
        return "ok"

    with redis_server(contexts) as port:
        return asyncio.run(main(port))
