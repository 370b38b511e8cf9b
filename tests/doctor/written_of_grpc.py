"""What gRPC says when TLS fails: its C core, on BoringSSL, as Python's grpcio has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.doctor.matrix import CLIENTS, SERVER_CASES, Cast
from tests.doctor.more_servers import grpc_core
from tests.doctor.others import python_with
from tests.doctor.servers import PROGRAMS
from tests.doctor.written import Written, answering_in_http, by_command, converse, logged
from tests.doctor.written_of_files import broken_files
from tests.race.servers import threaded
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doctor.matrix import Case

# It starts with no server certificate of this kind, and with no key that is not the certificate's.
_REFUSED_AS_ITS_OWN = "no-digital-signature"


def call(cast: Cast, port: int, files: tuple[Path, Path] | None = None, name: str = "localhost") -> str:
    """What a client says of a call; "" where it is answered."""
    own = files or ("", "")
    told = by_command(python_with("grpc"), PROGRAMS / "grpc_client.py", LIMIT, port, cast.ca, name, *own)
    return "" if "hello world" in told else told


def of_servers(cast: Cast) -> Iterator[Written]:
    """A client, over certificates of servers."""
    for case in SERVER_CASES:
        if case.name == _REFUSED_AS_ITS_OWN:
            continue
        setting = cast.setting("", cast.identity("faulty", case.server(cast.scene)), asks=False)
        with grpc_core(setting) as running:
            told = call(cast, running.port, name=case.host)
        if told:
            yield Written(f"gRPC of a server: {case.name}", case.cause, told)


def _refused(cast: Cast, port: int, case: Case, files: tuple[Path, Path] | None) -> Iterator[Written]:
    """All that a client says that is refused, until it has said that the server closed.

    Where the server closes before the client has written, that may be a reset or a broken pipe: which one is luck.
    """
    told: list[str] = []

    def named() -> bool:
        told.append(call(cast, port, files))
        return "Socket closed" in told[-1]

    until(named)
    for one in told:
        yield Written(f"gRPC refused: {case.name}", case.cause, one)


def of_clients(cast: Cast) -> Iterator[Written]:
    """A client that is refused, and the server's log of it."""
    for case in CLIENTS:
        if case.lists or case.name in ("rsa-1024", _REFUSED_AS_ITS_OWN):
            continue
        issued = case.client(cast)
        files = None if issued is None else cast.identity("client", issued)
        with grpc_core(cast.setting("")) as running:
            yield from _refused(cast, running.port, case, files)
            yield Written(f"gRPC of a client: {case.name}", case.cause, logged(running))


def of_others(cast: Cast) -> Iterator[Written]:
    """Keys that may not sign, ports without TLS, files that cannot be used."""
    issued = next(case for case in CLIENTS if case.name == _REFUSED_AS_ITS_OWN).client(cast)
    assert issued is not None
    with grpc_core(cast.setting("")) as running:
        converse("python", running.port, cast, cast.identity("client", issued))
        yield Written("gRPC of a client: key usage", "client_key_may_not_sign", logged(running))
    with grpc_core(cast.setting("")) as running:
        for name, cause, certificate, key in broken_files(cast):
            told = call(cast, running.port, (certificate, key))
            if told:
                yield Written(f"gRPC: {name}", f"client_{cause}", told)
    with threaded(answering_in_http) as port:
        yield Written("gRPC: plain HTTP", "plain_http", call(cast, port))
    yield Written("gRPC: nobody listens", "unreachable", call(cast, 1))
