"""What requests, httpx and aiohttp say when TLS fails, each in the environment of others."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.doctor.matrix import CLIENTS, SERVER_CASES, Cast
from tests.doctor.others import python_with
from tests.doctor.servers import PROGRAMS, ourselves, s_server
from tests.doctor.written import Written, answering_in_http, by_command
from tests.doctor.written_of_files import broken_files
from tests.race.servers import threaded
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doctor.matrix import Case
    from tests.doctor.servers import Setting
    from tests.doctor.written import Writing

LIBRARIES = ("requests", "httpx", "aiohttp")
# Python itself does not use it.
_REFUSED_AS_ITS_OWN = "rsa-1024"


def fetch(library: str, cast: Cast, port: int, files: tuple[Path, Path] | None = None, host: str = "localhost") -> str:
    """What it says of a request; "" where it is answered."""
    own = files or ("", "")
    url = f"https://{host}:{port}/"
    told = by_command(python_with(library), PROGRAMS / "fetch.py", library, LIMIT, url, cast.ca, *own)
    return "" if told.startswith("answered") else told


def of_servers(library: str) -> Writing:
    def write(cast: Cast) -> Iterator[Written]:
        for case in SERVER_CASES:
            setting = cast.setting("1.3", cast.identity("faulty", case.server(cast.scene)), asks=False)
            with s_server(setting) as running:
                told = fetch(library, cast, running.port, host=case.host)
            if told:
                yield Written(f"{library} of a server: {case.name}", case.cause, told)

    return write


def of_refusals(library: str) -> Writing:
    def write(cast: Cast) -> Iterator[Written]:
        for version in ("1.3", "1.2"):
            for case in CLIENTS:
                if case.name == _REFUSED_AS_ITS_OWN:
                    continue
                issued = case.client(cast)
                files = None if issued is None else cast.identity("client", issued)
                setting = cast.setting(version, crl=cast.crl if case.lists else None)
                yield from _refused(library, cast, setting, files, (f"{library} refused in {version}", case))

    return write


def of_lost_connections(library: str) -> Writing:
    """What it says of a server that goes after the handshake: it resets the connection, or closes it."""

    def write(cast: Cast) -> Iterator[Written]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cast.server)

        def reset(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(4096)
                tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def close(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(4096)
                tls.unwrap()

        for serve in (reset, close):
            with threaded(serve) as port:
                yield Written(f"{library}: {serve.__name__}", "closed_later", fetch(library, cast, port))

    return write


def _refused(
    library: str, cast: Cast, setting: Setting, files: tuple[Path, Path] | None, named: tuple[str, Case]
) -> Iterator[Written]:
    """What it says of one refusal, each time in what words luck has it: the server's alert, or a lost connection."""
    title, case = named
    told: list[str] = []

    def says_why() -> bool:
        told.append(fetch(library, cast, running.port, files))
        return "alert" in told[-1]

    with s_server(setting) as running:
        # In TLS 1.3 the server may be gone before its alert is read.
        until(says_why) if case.name == "none" else says_why()
    for one in told:
        yield Written(f"{title}: {case.name}", case.cause, one)


def of_others(library: str) -> Writing:
    """Ports without TLS, or without anybody, and files that cannot be used."""

    def write(cast: Cast) -> Iterator[Written]:
        with threaded(answering_in_http) as port:
            yield Written(f"{library}: plain HTTP", "plain_http", fetch(library, cast, port))
        yield Written(f"{library}: nobody listens", "unreachable", fetch(library, cast, 1))
        with ourselves(replace(cast.setting("1.3"), client_ca=None)) as running:
            for name, cause, certificate, key in broken_files(cast):
                yield Written(
                    f"{library}: {name}", f"client_{cause}", fetch(library, cast, running.port, (certificate, key))
                )

    return write


ALL = (of_servers, of_refusals, of_lost_connections, of_others)
