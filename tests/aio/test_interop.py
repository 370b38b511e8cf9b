"""handfast.aio at one end, asyncio with the loop's own TLS (OpenSSL) at the other."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING

import pytest

import handfast
from handfast import aio
from tests import certificates
from tests.aio.support import MUTUAL, client_config, listening, server_config

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.pki.authority import Issued
    from tests.aio.conftest import Runner

DATA = random.Random(5).randbytes(2_000_000)


def context(protocol: int, issued: Issued | None, tmp_path: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    # Not as DER: then Python takes an old error in this thread's queue of OpenSSL's for one of its own.
    made.load_verify_locations(cadata=certificates.ca().certificate_pem.decode())
    if issued is not None:
        path = tmp_path / "identity.pem"
        path.write_bytes(issued.cert_pem + issued.key_pem)
        made.load_cert_chain(path)
    return made


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def check_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send() -> None:
        for at in range(0, len(DATA), 150_000):
            writer.write(DATA[at : at + 150_000])
            await writer.drain()

    received, _ = await asyncio.gather(reader.readexactly(len(DATA)), send())
    assert received == DATA


def test_an_openssl_client(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        peers = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peers.append(handfast.info(writer).verified_peer)
            await echo(reader, writer)

        async with listening(await aio.start_server(serve, "127.0.0.1", 0, server_config(client_auth=MUTUAL))) as port:
            tls = context(ssl.PROTOCOL_TLS_CLIENT, certificates.client(), tmp_path)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost")
            await check_echo(reader, writer)
            writer.close()
            await writer.wait_closed()
        # OpenSSL adds the CA that it found among those it trusts.
        assert [peer and peer.chain[0] for peer in peers] == [certificates.client().chain[0]]

    run(main())


def test_an_openssl_client_that_is_refused_learns_why(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(await aio.start_server(echo, "127.0.0.1", 0, server_config(client_auth=MUTUAL))) as port:
            tls = context(ssl.PROTOCOL_TLS_CLIENT, None, tmp_path)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost")
            writer.write(b"x" * 1000)
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
                await reader.read()
            writer.transport.abort()

    run(main())


def test_an_openssl_server(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        tls = context(ssl.PROTOCOL_TLS_SERVER, certificates.server(), tmp_path)
        tls.verify_mode = ssl.CERT_REQUIRED
        async with listening(await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls)) as port:
            reader, writer = await aio.open_connection("127.0.0.1", port, client_config())
            await check_echo(reader, writer)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    run(main())
