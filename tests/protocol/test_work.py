"""What a peer can make us do, in instructions executed: no product of two things that it chooses.

Lists are filled to the limit of their message and offered to a whole handshake; records come in long runs, in one
piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, ServerConfig, ServerConnection
from handfast.errors import HandfastError
from handfast.record import protection, protection12
from handfast.roles import Role
from handfast.wire import extensions as ext
from handfast.wire.extensions import Extensions, OpaqueExtension
from handfast.wire.messages import ClientHello
from handfast.wire.parsing import parse_handshake
from tests import certificates
from tests.counting import instructions
from tests.lies import extended
from tests.peer import Server
from tests.protocol.ours import client, server
from tests.protocol.sessions import World

X25519 = 0x001D
ITEMS, NAMES = limits.MAX_LIST_ITEMS, limits.MAX_CA_NAMES


def hello_of(**ours: Any) -> ClientHello:
    raw = client(groups=(X25519,), **ours).outgoing()
    message = parse_handshake(raw[5:])
    assert isinstance(message, ClientHello)
    return message


def records(raw: bytes, step: int = 2**14) -> bytes:
    parts = [raw[start : start + step] for start in range(0, len(raw), step)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def shares(*groups: int) -> ext.KeyShareClientHello:
    return ext.KeyShareClientHello(
        tuple(ext.KeyShareEntry(group, b"\x09" + bytes(31) if group == X25519 else b"x") for group in groups)
    )


NUMBERS = tuple(range(0x2000, 0x2000 + 7600))
HELLOS: dict[str, Any] = {
    "suites": lambda hello: replace(hello, cipher_suites=(*NUMBERS, *hello.cipher_suites)),
    "versions": extended(ext.SupportedVersionsClientHello(tuple(range(0x1000, 0x1000 + 126)))),
    "groups": extended(ext.NamedGroupList((*NUMBERS, X25519))),
    "shares": extended(shares(*NUMBERS[:3000]), ext.NamedGroupList(NUMBERS)),
    "as many shares as are read": extended(
        shares(*NUMBERS[: ITEMS - 1], X25519), ext.NamedGroupList((*NUMBERS, X25519))
    ),
    "shares of one group": extended(shares(*[X25519] * 800)),
    "no share of ours": extended(shares(*NUMBERS[:ITEMS]), ext.NamedGroupList((*NUMBERS, X25519))),
    "schemes": extended(ext.SignatureSchemeList((*NUMBERS, 0x0403))),
    "schemes of certificates": extended(ext.SignatureSchemeListCert(NUMBERS)),
    "ALPN names": extended(ext.ProtocolNameList((b"x",) * 10_000)),
    "as many ALPN names as are read": extended(ext.ProtocolNameList((b"x" * 200,) * ITEMS)),
    "CA names": extended(ext.CertificateAuthorities((b"0\0",) * 7000)),
    "as many CA names as are read": extended(ext.CertificateAuthorities((bytes(20),) * NAMES)),
    "server names": extended(ext.ServerNameList(tuple(ext.ServerName(1 + n % 255, b"x") for n in range(5000)))),
    "compression algorithms": extended(ext.CertificateCompressionAlgorithms(tuple(range(100, 227)))),
    "modes": extended(ext.PskKeyExchangeModes(tuple(range(1, 256)))),
    "point formats": extended(ext.ECPointFormatList(tuple(range(255)))),
    "extensions": extended(*[OpaqueExtension(number, b"") for number in NUMBERS]),
    "as many extensions as are read": extended(*[OpaqueExtension(number, b"x" * 200) for number in NUMBERS[:100]]),
    "identities": lambda hello: with_psks(hello, 1300),
    "as many identities as are read": lambda hello: with_psks(hello, ITEMS),
}


def with_psks(hello: ClientHello, count: int) -> ClientHello:
    identities = tuple(ext.PskIdentity(b"x", 0) for _ in range(count))
    binders = tuple(bytes(32) for _ in range(min(count, 600)))
    return extended(ext.PskKeyExchangeModes((1,)), ext.OfferedPsks(identities, binders))(hello)  # type: ignore[no-any-return]


def settings(**more: Any) -> ServerConfig:
    world = World(server={"application_protocols": ("h2",), "client_auth": ClientAuth.REQUEST, **more})
    return ServerConfig(**world.server)


@pytest.mark.parametrize("versions", [(0x0304, 0x0303), (0x0303,)], ids=["both", "1.2 only"])
@pytest.mark.parametrize("what", HELLOS)
def test_a_hello_with_the_longest_list_costs_hardly_more_than_another(what: str, versions: Any) -> None:
    raw = HELLOS[what](hello_of()).encode()
    assert len(raw) <= limits.MAX_CLIENT_HELLO
    config = settings(versions=versions)

    def take(data: bytes) -> Callable[[], None]:
        def run() -> None:
            with suppress(HandfastError):
                ServerConnection(config).receive(data)

        return run

    # The second time what is remembered of hellos counts.
    for _ in range(3):
        assert instructions(take(records(raw))) < 150_000


def meant(connection: Any) -> list[int]:
    """Where the instructions of everything that this connection receives will be counted."""
    counts = []
    receive = connection.receive

    def counted(data: bytes) -> Any:
        answer: list[Any] = []

        def run() -> None:
            answer.append(receive(data))

        try:
            counts.append(instructions(run))
        except HandfastError:
            counts.append(0)
            raise
        return answer[0]

    connection.receive = counted
    return counts


OF_SERVERS: dict[str, tuple[str, Any]] = {
    "suites, in a request": ("CertificateRequest", extended(ext.SignatureSchemeList((*NUMBERS * 3, 0x0403)))),
    "CA names": ("CertificateRequest", extended(ext.CertificateAuthorities((bytes(20),) * NAMES))),
    "OID filters": ("CertificateRequest", extended(ext.OidFilters((ext.OidFilter(b"\x55\x1d\x25", b"0\0"),) * ITEMS))),
    "extensions, in a request": (
        "CertificateRequest",
        extended(*[OpaqueExtension(number, b"") for number in NUMBERS[:100]]),
    ),
    "extensions": ("EncryptedExtensions", extended(*[OpaqueExtension(number, b"") for number in NUMBERS])),
    "ALPN names": ("EncryptedExtensions", extended(ext.ProtocolNameList((b"h2",) * ITEMS))),
    "timestamps": (
        "Certificate",
        lambda certificate: replace(
            certificate,
            certificate_list=(
                replace(
                    certificate.certificate_list[0],
                    extensions=Extensions.of(ext.SignedCertificateTimestampList((b"x",) * ITEMS)),
                ),
            ),
        ),
    ),
    "certificates": (
        "Certificate",
        lambda certificate: replace(certificate, certificate_list=certificate.certificate_list[:1] * 60),
    ),
}


@pytest.mark.parametrize("what", OF_SERVERS)
def test_a_server_with_the_longest_list_costs_a_client_hardly_more_than_another(what: str) -> None:
    step, lie = OF_SERVERS[what]
    ours = client(groups=(X25519,), application_protocols=("h2",), ask_for_timestamps=True)
    counts = meant(ours)
    Server(ours, lies={step: lie}, requests_certificate=step == "CertificateRequest").run()
    assert max(counts) < 200_000


# Runs of records


def connected(version: int, role: Role) -> tuple[Any, Any]:
    """Ours, which is of this role, and its peer; no one watches."""
    pair = World(server={"versions": (version,), "verifier": None, "tickets": None}).meet()
    assert pair.client.connected
    assert pair.server.connected
    pair.server.outgoing()
    return (pair.client, pair.server) if role is Role.CLIENT else (pair.server, pair.client)


def empty_and_full(peer: Any, count: int) -> Iterator[bytes]:
    keys = peer._records.write_protection
    for _ in range(count // 2):
        yield keys.seal(23, b"")
        yield keys.seal(23, b"x")


def one_byte(peer: Any, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield peer._records.write_protection.seal(23, b"x")


def key_updates(peer: Any, count: int) -> Iterator[bytes]:
    for _ in range(count // 2):
        peer.update_keys()
        peer.send(b"x")
        yield peer.outgoing()


def split_message(peer: Any, count: int) -> Iterator[bytes]:
    message = b"\x04" + (count * 2).to_bytes(3, "big") + bytes(count * 2)
    for at in range(count):
        yield peer._records.write_protection.seal(22, message[at : at + 1])


def empty(peer: Any, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield peer._records.write_protection.seal(23, b"")


def warnings(peer: Any, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield peer._records.write_protection.seal(21, b"\x01\x5a")


def padded(peer: Any, count: int) -> Iterator[bytes]:
    for _ in range(count // 8):
        yield peer._records.write_protection.seal(23, b"x", 1000)


RUNS = {
    0x0304: (empty_and_full, one_byte, key_updates, split_message, empty, warnings, padded),
    0x0303: (empty_and_full, one_byte, split_message, empty, warnings),
}
COUNT = 1000


class Room(bytearray):
    """Counts what was reserved by its number of bytes."""

    reserved = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if arguments and isinstance(arguments[0], int):
            Room.reserved += arguments[0]


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("version", "run"), [(version, run) for version, runs in RUNS.items() for run in runs])
def test_a_run_of_records_costs_by_their_number(
    monkeypatch: pytest.MonkeyPatch, version: int, run: Any, role: Role, in_pieces: bool
) -> None:
    ours, peer = connected(version, role)
    data = b"".join(run(peer, COUNT))
    for module in (protection, protection12):
        monkeypatch.setattr(module, "bytearray", Room, raising=False)
    Room.reserved = 0
    step = 100 if in_pieces else len(data)

    def take() -> None:
        with suppress(HandfastError):
            for start in range(0, len(data), step):
                ours.receive(data[start : start + step])

    assert instructions(take) < 1500 * COUNT
    assert Room.reserved <= 2**15 * COUNT + 8 * len(data)


def test_a_hello_in_records_of_one_byte_costs_by_their_number() -> None:
    raw = extended(ext.Padding(bytes(4000)))(hello_of()).encode()
    data = records(raw, 1)
    assert instructions(lambda: server().receive(data)) < 300 * len(raw) + 100_000


@pytest.mark.parametrize(
    "record", [b"\x14\x03\x03\0\x01\x01", b"\x17\x03\x03\0\0", b"\x15\x03\x03\0\x02\x01\0", b"\x16\x03\x03\0\0"]
)
def test_a_run_of_plaintext_records_ends(record: bytes) -> None:
    def take() -> None:
        with suppress(HandfastError):
            server().receive(records(hello_of().encode()) + record * 10_000)

    assert instructions(take) < 150_000


def test_what_was_measured_is_what_is_served() -> None:
    assert certificates.server().chain
    for lie in ("suites", "groups", "as many shares as are read"):
        ours = ServerConnection(settings())
        ours.receive(records(HELLOS[lie](hello_of()).encode()))
        assert ours.outgoing()
        assert ours.error is None, lie
