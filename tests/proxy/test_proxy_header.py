"""The header of PROXY protocol version 2: its bytes, and what nginx and HAProxy read of it."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientAuth, PathVerifier, Roots, SessionCache, aio
from handfast.proxy.proxy_header import SIGNATURE
from handfast.proxy.settings import Backend, Listener, Mode, ProxyProtocol, Service
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.aio.support import client_config, server_config
from tests.proxy.programs import haproxy, nginx, started
from tests.proxy.support import backend, mutual, running, tcp

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.config.config import ServerConfig
    from tests.aio.conftest import Runner
    from tests.proxy.support import Running

ALPN, AUTHORITY, SSL = 0x01, 0x02, 0x20
VERSION, COMMON_NAME, CIPHER, SIGNATURE_HASH, KEY, GROUP, SCHEME, CERTIFICATE = range(0x21, 0x29)


@dataclass
class Header:
    """A header, taken apart as the specification says."""

    family: int
    addresses: bytes
    values: dict[int, bytes]
    rest: bytes

    def ssl(self) -> tuple[int, int, dict[int, bytes]]:
        flags, verify = struct.unpack_from(">BI", self.values[SSL])
        return flags, verify, tlvs(self.values[SSL][5:])


def tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack_from(">BH", data)
        assert len(data) >= 3 + length
        assert kind not in found
        found[kind], data = data[3 : 3 + length], data[3 + length :]
    return found


def taken_apart(data: bytes) -> Header:
    assert data[:12] == b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a" == SIGNATURE
    command, family, length = struct.unpack_from(">BBH", data, 12)
    assert command == 0x21
    size = {0x11: 12, 0x21: 36, 0x31: 216}[family]
    body = data[16 : 16 + length]
    assert len(body) == length
    return Header(family, body[:size], tlvs(body[size:]), data[16 + length :])


def header_of(
    run: Runner, form: ProxyProtocol, *, tls: ServerConfig | None = None, host: str = "127.0.0.1", **options: Any
) -> tuple[Header, Any]:
    """The header that a backend gets, and both addresses of the client's connection."""

    async def main() -> tuple[Header, Any]:
        came = asyncio.get_running_loop().create_future()

        async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set_result(await reader.read())

        async with backend(collect) as address:
            service = Service(Backend(address, proxy_protocol=form), mode=Mode.TCP)
            async with running(Listener((host, 0), service, tls=tls or mutual())) as proxy:
                _, writer = await proxy.client(**options)
                addresses = writer.get_extra_info("sockname"), proxy.address
                writer.write(b"hello")
                writer.close()
                header = taken_apart(await came)
                assert header.rest == b"hello"
                await proxy.ended()
        return header, addresses

    found: tuple[Header, Any] = run(main())
    return found


def test_addresses(run: Runner) -> None:
    header, (own, bound) = header_of(run, ProxyProtocol.ADDRESSES)
    assert header.family == 0x11
    expected = b"\x7f\0\0\1\x7f\0\0\1" + struct.pack(">HH", own[1], bound[1])
    assert (header.addresses, header.values) == (expected, {})


def test_addresses_of_version_6(run: Runner) -> None:
    header, (own, bound) = header_of(run, ProxyProtocol.ADDRESSES, host="::1")
    one = b"\0" * 15 + b"\1"
    assert (header.family, header.addresses) == (0x21, one + one + struct.pack(">HH", own[1], bound[1]))


def test_what_was_negotiated_and_who_it_is(run: Runner) -> None:
    tls = mutual(application_protocols=("postgresql",))
    header, _ = header_of(run, ProxyProtocol.TLS, tls=tls, application_protocols=("postgresql",))
    assert {kind: header.values[kind] for kind in (ALPN, AUTHORITY)} == {ALPN: b"postgresql", AUTHORITY: b"localhost"}
    flags, verify, values = header.ssl()
    assert (flags, verify) == (0x07, 0)
    assert values == {
        VERSION: b"TLSv1.3",
        COMMON_NAME: b"alice",
        CIPHER: b"TLS_AES_128_GCM_SHA256",
        SIGNATURE_HASH: b"SHA256",
        KEY: b"EC256",
        GROUP: values[GROUP],
        SCHEME: b"ecdsa_secp256r1_sha256",
    }


def test_the_certificate_comes_where_it_is_asked_for(run: Runner) -> None:
    header, _ = header_of(run, ProxyProtocol.CERTIFICATE)
    assert header.ssl()[2][CERTIFICATE] == certificates.client().chain[0]


@pytest.mark.parametrize("anonymous", [False, True])
def test_of_who_is_not_verified_nothing_is_said(run: Runner, anonymous: bool) -> None:
    """A certificate that was shown and not verified is none."""
    others = PathVerifier(Roots.from_der([certificates.other_ca().certificate_der]))
    tls = server_config(client_auth=ClientAuth.REQUEST, verifier=others)
    header, _ = header_of(run, ProxyProtocol.CERTIFICATE, tls=tls, anonymous=anonymous)
    flags, verify, values = header.ssl()
    assert (flags, verify) == (0x01, 1)
    assert not {COMMON_NAME, CERTIFICATE} & values.keys()


def test_a_resumed_session(run: Runner) -> None:
    async def main() -> None:
        sessions = SessionCache()
        headers: asyncio.Queue[bytes] = asyncio.Queue()

        async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The answer brings the client to read, and so to its tickets.
            writer.write(b"hello")
            writer.write_eof()
            headers.put_nowait(await reader.read())

        tls = mutual(tickets=SealedTickets())
        async with (
            backend(collect) as address,
            running(tcp(address, tls=tls, proxy_protocol=ProxyProtocol.TLS)) as proxy,
        ):
            seen = []
            for _ in range(2):
                reader, writer = await proxy.client(sessions=sessions)
                assert await reader.read() == b"hello"
                writer.close()
                seen.append(taken_apart(await headers.get()).ssl())
            await proxy.told(2)
            (flags, verify, _), (again, still, values) = seen
            # The certificate came over the first connection, and stands for the session.
            assert (flags, verify, again, still) == (0x07, 0, 0x05, 0)
            assert values[COMMON_NAME] == b"alice"
            assert KEY not in values

    run(main())


def test_a_client_of_a_unix_socket(run: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "in")

    async def main() -> None:
        came = asyncio.get_running_loop().create_future()

        async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set_result(await reader.read())

        async with backend(collect) as address:
            to = Backend(address, proxy_protocol=ProxyProtocol.TLS)
            async with running(Listener(path, Service(to, mode=Mode.TCP), tls=mutual())) as proxy:
                _, writer = await open_unix(path)
                writer.write(b"hello")
                writer.close()
                header = taken_apart(await came)
                await proxy.ended()
        assert (header.family, header.rest) == (0x31, b"hello")
        client, bound = header.addresses[:108], header.addresses[108:]
        assert (client.strip(b"\0"), bound.rstrip(b"\0")) == (b"", path.encode())
        assert header.ssl()[2][COMMON_NAME] == b"alice"

    run(main())


async def open_unix(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, path)
    return await aio.open_connection(None, None, client_config(), server_name="localhost", sock=sock)


async def asked(proxy: Running) -> tuple[str, Any]:
    """What a web server behind the proxy answers, and the client's own address."""
    reader, writer = await proxy.client()
    own = writer.get_extra_info("sockname")
    writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 200 " in head, head
    await proxy.ended()
    return body.decode(), own


@pytest.mark.parametrize("form", list(ProxyProtocol))
def test_nginx_reads_it(run: Runner, tmp_path: Path, form: ProxyProtocol) -> None:
    answer = '"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"'
    command, path = nginx(tmp_path, f"location / {{ return 200 {answer}; }}", listen="proxy_protocol")

    async def main(to: str) -> None:
        async with running(tcp(to, proxy_protocol=form)) as proxy:
            body, own = await asked(proxy)
            assert body == f"127.0.0.1 {own[1]} 127.0.0.1 {proxy.address[1]}"

    with started(command, path) as to:
        run(main(to))


@pytest.mark.parametrize("form", list(ProxyProtocol))
def test_haproxy_reads_it(run: Runner, tmp_path: Path, form: ProxyProtocol) -> None:
    facts = '"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]"'
    command, path = haproxy(
        tmp_path, f"http-request return status 200 content-type text/plain lf-string {facts}", bind="accept-proxy"
    )

    async def main(to: str) -> None:
        async with running(tcp(to, proxy_protocol=form)) as proxy:
            body, own = await asked(proxy)
            name = "" if form is ProxyProtocol.ADDRESSES else "localhost"
            assert body == f"127.0.0.1 {own[1]} 127.0.0.1 {proxy.address[1]} {name}"

    with started(command, path) as to:
        run(main(to))
