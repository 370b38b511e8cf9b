"""What programs say of their own files that they cannot use, and PostgreSQL and psql of everything."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from handfast.pki.fault_scene import general_names
from tests.doctor.matrix import CLIENTS, Cast
from tests.doctor.more_servers import postgresql
from tests.doctor.servers import PROGRAMS, go_program, s_server
from tests.doctor.written import Writing, Written, by_command, logged
from tests.peers.base import require_peer
from tests.peers.node import program as node_program
from tests.race.servers import threaded
from tests.waiting import LIMIT

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handfast.pki.authority import Issued

_PYTHON = "import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*sys.argv[1:], password='')"


def broken_files(cast: Cast) -> Iterator[tuple[str, str, Path, Path]]:
    """A case, its cause without the side, a certificate file and a key file."""
    good, other = cast.scene.client(cast.scene.intermediate), cast.scene.client()
    certificate, key = cast.identity("good", good)
    yield "key mismatch", "key_mismatch", certificate, cast.identity("other", other)[1]
    first, second = good.cert_pem.split(b"-----BEGIN")[1:]
    yield "chain order", "chain_order", cast.write("order.pem", b"-----BEGIN%b-----BEGIN%b" % (second, first)), key
    yield "encrypted key", "key_encrypted", certificate, cast.write("locked.key", _locked(good))
    convert = [require_peer("openssl"), "x509", "-in", str(certificate), "-outform", "DER"]
    der = subprocess.run(convert, capture_output=True, check=True, timeout=LIMIT).stdout
    yield "DER", "der_as_pem", cast.write("leaf.der", der), key
    yield "swapped", "files_swapped", key, certificate


def _locked(issued: Issued) -> bytes:
    key = load_pem_private_key(issued.key_pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def of_files(side: str, run: Callable[[Cast, Path, Path], str], leave_out: frozenset[str] = frozenset()) -> Writing:
    """What a program says of its own files that it cannot use."""

    def write(cast: Cast) -> Iterator[Written]:
        for case, cause, certificate, key in broken_files(cast):
            if case not in leave_out:
                yield Written(f"files: {case}", f"{side}_{cause}", run(cast, certificate, key))

    return write


def curl_loads(cast: Cast, certificate: Path, key: Path) -> str:
    """curl, which reads its files once it is connected."""
    files = ("--pass", "x", "--cert", certificate, "--key", key)
    with s_server(replace(cast.setting("1.3"), client_ca=None)) as running:
        return by_command(
            require_peer("curl"), "-sS", "--noproxy", "*", "-k", *files, f"https://127.0.0.1:{running.port}/"
        )


def python_loads(_cast: Cast, certificate: Path, key: Path) -> str:
    return by_command(sys.executable, "-c", _PYTHON, certificate, key)


def go_loads(_cast: Cast, certificate: Path, key: Path) -> str:
    return by_command(go_program(), certificate, key, "", "1.3")


def node_loads(_cast: Cast, certificate: Path, key: Path) -> str:
    return by_command(node_program(), PROGRAMS / "server.mjs", certificate, key, "", "", "1.3")


def nginx_loads(cast: Cast, certificate: Path, key: Path) -> str:
    config = cast.write(
        "files.conf",
        f"daemon off;\npid {cast.directory}/files.pid;\nevents {{}}\nhttp {{\naccess_log off;\nserver {{\n"
        f"listen 127.0.0.1:1 ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};\n}}\n}}\n".encode(),
    )
    return by_command(require_peer("nginx"), "-t", "-e", "stderr", "-p", cast.directory, "-c", config)


def nobody_listens(name: str) -> Writing:
    """A connection that comes to nothing."""

    def write(cast: Cast) -> Iterator[Written]:
        commands = {
            "curl": [require_peer("curl"), "-sS", "--noproxy", "*", "https://127.0.0.1:1/"],
            "python": [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 1))"],
        }
        yield Written(f"{name}: nobody listens", "unreachable", by_command(*commands[name]))

    return write


# PostgreSQL


def psql(cast: Cast, port: int, identity: tuple[Path, Path] | None = None, **more: object) -> str:
    """What psql says of a connection."""
    words: dict[str, object] = {"host": "127.0.0.1", "port": port, "user": "postgres", "dbname": "postgres"}
    words |= {"sslmode": "verify-ca", "sslrootcert": cast.ca, "connect_timeout": int(LIMIT)}
    if identity is not None:
        words |= dict(zip(("sslcert", "sslkey"), identity, strict=True))
    text = " ".join(f"{name}={value}" for name, value in (words | more).items())
    return by_command(require_peer("psql"), "-c", "", text, PATH="/usr/bin:/bin", HOME=str(cast.directory))


def of_postgresql(cast: Cast) -> Iterator[Written]:
    """psql and the server, over certificates of clients."""
    wanted = {"none", "wrong-ca", "expired", "self-signed"}
    for case in CLIENTS:
        if case.name in wanted:
            issued = case.client(cast)
            identity = None if issued is None else cast.identity("client", issued)
            with postgresql(cast.setting("1.3")) as running:
                told = psql(cast, running.port, identity)
                log = logged(running)
            yield Written(f"psql refused: {case.name}", case.cause, told)
            yield Written(f"PostgreSQL of a client: {case.name}", case.cause, log)
    with postgresql(cast.setting("1.3")) as running:
        good = cast.identity("client", cast.good)
        yield Written("PostgreSQL: another name", "client_not_allowed", psql(cast, running.port, good))
        yield Written("PostgreSQL: without TLS", "", psql(cast, running.port, sslmode="disable"))
        with_name = psql(cast, running.port, good, sslmode="verify-full", host="127.0.0.2")
        yield Written("psql: nobody listens", "unreachable", with_name)
        with_root = psql(cast, running.port, sslrootcert=cast.directory / "none.pem")
        yield Written("psql: no root file", "client_files_unusable", with_root)
        good[1].chmod(0o644)
        yield Written("psql: key for all", "client_files_unusable", psql(cast, running.port, good))
        good[1].chmod(0o600)
        no_key = (good[0], cast.directory / "none.key")
        yield Written("psql: no key file", "client_files_unusable", psql(cast, running.port, no_key))
        for name, cause, certificate, key in broken_files(cast):
            yield Written(f"psql: {name}", f"client_{cause}", psql(cast, running.port, (certificate, key)))
        by_command(require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{running.port}")
        yield Written("PostgreSQL: TLS at once", "starttls_port", logged(running))


def of_a_postgresql_without_tls(cast: Cast) -> Iterator[Written]:
    """psql, at a server that says no to the request for TLS."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"N")
        connection.recv(8)

    with threaded(refuse) as port:
        yield Written("psql: no TLS", "plain_text", psql(cast, port))


def of_postgresql_s_certificate(cast: Cast) -> Iterator[Written]:
    """psql, over certificates of servers."""
    cases = {
        "wrong name": ("server_wrong_name", cast.scene.server(names=general_names("www.other.example"))),
        "wrong CA": ("server_wrong_ca", cast.scene.server(cast.scene.other_ca())),
        "expired": ("server_expired", cast.scene.server(**cast.scene.expired())),
    }
    for name, (truth, issued) in cases.items():
        setting = replace(cast.setting("1.3", cast.identity("faulty", issued)), client_ca=cast.ca)
        with postgresql(setting) as running:
            told = psql(cast, running.port, cast.identity("client", cast.good), sslmode="verify-full")
        yield Written(f"psql of a server: {name}", truth, told)
