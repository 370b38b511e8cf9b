"""A client that is refused learns why, from the alert and never from a bare reset: 1,440 refusals at each door.

In TLS 1.3 a client's handshake is over before the server looks at its certificate. It then writes a request and reads,
and must be told by reading. In half of the refusals there is no certificate, in half it is of a CA that the server does
not trust; half are of TLS 1.3, half of TLS 1.2. ``ssl=context`` under a loop is counted, not judged: what the loop does
with bytes and resets is not ours. docs/sslcontext.md tells the numbers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from handfast import aio
from handfast.errors import HandfastError, PeerRejected
from tests import certificates
from tests.aio.support import MUTUAL, client_config, identity, server_config
from tests.load.support import BACKLOG, tell
from tests.sslcontext.pairs import OURS, STOCK, Files, client_context, server_context
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

REFUSALS = 1440
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(5000)
VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}
KINDS = [(version, certificate) for version in VERSIONS for certificate in ("none", "unknown")]
EACH = REFUSALS // len(KINDS)
# Seconds for which a loop does something else: the alert and the end of the connection have come when it writes.
BUSY = 0.005
# What TLS 1.2 has no name of its own for is handshake_failure there. RFC 5246 7.2.2.
ALERTS = {
    ("1.3", "none"): "certificate_required",
    ("1.2", "none"): "handshake_failure",
    ("1.3", "unknown"): "unknown_ca",
    ("1.2", "unknown"): "unknown_ca",
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "handfast")


def contexts(files: Files, version: str, certificate: str) -> tuple[Any, Any]:
    server = server_context(OURS, files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, files)
    if certificate == "unknown":
        mallory = certificates.other_ca().client("alice")
        client.load_cert_chain(mallory.cert_pem, mallory.key_pem)
    for context in (server, client):
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return server, client


def learned(error: Exception | None, kind: tuple[str, str]) -> str:
    """ "told", or what was learned instead of the alert."""
    if isinstance(error, PeerRejected) and error.code == ALERTS[kind]:
        return "told"
    if isinstance(error, ssl.SSLError) and f"ALERT_{ALERTS[kind]}".upper() in str(error.reason):
        return "told"
    return f"{kind}: {error!r}"


@contextmanager
def in_a_thread(server: ssl.SSLContext) -> Iterator[tuple[str, int]]:
    """The address of a blocking server, for as many refusals as there are of one kind."""

    def serve() -> None:
        for _ in range(EACH):
            accepted, _ = listener.accept()
            accepted.settimeout(LIMIT)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with accepted, suppress(OSError), server.wrap_socket(accepted, server_side=True) as tls:
                tls.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_blocking(context_files: Files, kind: tuple[str, str]) -> None:
    server, client = contexts(context_files, *kind)
    outcomes = Counter[str]()

    def ask() -> None:
        plain = socket.create_connection(address, LIMIT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with plain, client.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(REQUEST)
            tls.recv(100)

    with in_a_thread(server) as address:
        for _ in range(EACH):
            try:
                ask()
                outcomes["answered"] += 1
            except Exception as error:
                outcomes[learned(error, kind)] += 1
    assert outcomes == {"told": EACH}


async def refusals(
    kind: tuple[str, str],
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    busy: float = 0,
) -> Counter[str]:
    """What so many clients of streams learn, four at a time; if it is busy, the loop is so between two writes."""
    outcomes = Counter[str]()

    async def ask() -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await connect()
            writer.write(REQUEST)
            if busy:
                time.sleep(busy)  # the scene, not a wait
                writer.write(REQUEST)
            await reader.read(100)
            outcomes["nothing"] += 1
        except Exception as error:
            outcomes[learned(error, kind)] += 1
        if writer is not None:
            writer.close()
            with suppress(OSError, HandfastError):
                await writer.wait_closed()

    for _ in range(EACH // 4):
        await asyncio.gather(*(ask() for _ in range(4)))
    return outcomes


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, HandfastError):
        await reader.read(100)
    writer.close()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_direct(loop_factory: Callable[[], asyncio.AbstractEventLoop], kind: tuple[str, str]) -> None:
    version, certificate = kind
    mallory = identity(certificates.other_ca().client("alice"))
    client = client_config(versions=[version], credentials=[mallory] if certificate == "unknown" else [])
    server = server_config(versions=[version], client_auth=MUTUAL)

    async def main() -> Counter[str]:
        listening = await aio.start_server(answer, "127.0.0.1", 0, server, backlog=BACKLOG)
        port = listening.sockets[0].getsockname()[1]
        try:
            return await refusals(kind, lambda: aio.open_connection("127.0.0.1", port, client, server_name="localhost"))
        finally:
            listening.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) == {"told": EACH}


@pytest.mark.parametrize("maker", ["handfast", "ssl"])
def test_context_under_a_loop(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    context_files: Files,
    capsys: pytest.CaptureFixture[str],
    maker: str,
) -> None:
    """How many were told is printed. A server of ssl closes at once; there the loop is busy between two writes."""

    async def main() -> Counter[str]:
        outcomes = Counter[str]()
        for kind in KINDS:
            server, client = contexts(context_files, *kind)
            if maker == "ssl":
                server = server_context(STOCK, context_files, verify=ssl.CERT_REQUIRED)
                server.minimum_version = server.maximum_version = VERSIONS[kind[0]]
                with in_a_thread(server) as (_, port):
                    outcomes += await refusals(kind, partial(connect, port, client), BUSY)
            else:
                listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server, backlog=BACKLOG)
                port = listening.sockets[0].getsockname()[1]
                outcomes += await refusals(kind, partial(connect, port, client))
                listening.close()
        return outcomes

    async def connect(port: int, client: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        outcomes = runner.run(main())
    assert outcomes.total() == REFUSALS
    lost = REFUSALS - outcomes["told"]
    where = f"ssl=context under {loop_factory.__module__.partition('.')[0]}, at a server of {maker}"
    tell(capsys, f"{where}: {lost} of {REFUSALS} refused clients were not told why: {dict(outcomes)}")
