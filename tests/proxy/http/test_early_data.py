"""Requests in early data: they wait, unless a service takes them, marked. RFC 8470."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientAuth, SessionCache, aio
from handfast.proxy.operation.stores import Stores
from handfast.proxy.settings import IdentityForm
from tests.aio.support import client_config, server_config
from tests.proxy.http.support import OK, Asker, Origin, Web, web
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast import ServerConfig, VerifiedPeer
    from tests.aio.conftest import Runner

REQUEST = b"GET /early HTTP/1.1\r\nhost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Verified:
    """Lets in who is known."""

    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        return "it is not verified" if peer is None else None


def taking_early_data() -> ServerConfig:
    settings = Stores().settings(resume=True, early_data=True)
    return server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY, **settings)


async def early(proxy: Web, request: bytes = REQUEST) -> Asker:
    """A client that has sent the request as early data, on a session that it resumed."""
    config = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
    host, port = proxy.address[:2]

    async def connect(**options: Any) -> Asker:
        return Asker(*await aio.open_connection(host, port, config, server_name="localhost", **options))

    first = await connect()
    assert (await first.get("/first")).status == 200
    first.close()
    second = await connect(early_data=request)
    assert aio_info(second).early_data == "accepted"
    return second


def aio_info(client: Asker) -> Any:
    return client.writer.transport.get_extra_info("handfast")


SERVICES: dict[str, dict[str, Any]] = {
    "off": {},
    "a rule": {"early_data": True, "rule": Verified()},
    "identity": {"early_data": True, "identity": (IdentityForm.NGINX,)},
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_request_waits_where_it_is_not_wanted_or_the_client_must_be_known(run: Runner, name: str) -> None:
    async def main() -> None:
        async with web(tls=taking_early_data(), **SERVICES[name]) as proxy:
            client = await early(proxy)
            assert (await client.answer()).status == 200
            client.close()
            seen = proxy.origin.seen[-1]
            assert seen.target == "/early"
            # After the handshake it is a request like others, and the client is who it is.
            assert "early-data" not in seen
            if name == "identity":
                assert seen["x-ssl-client-verify"] == "SUCCESS"

    run(main())


def test_a_request_is_handed_on_at_once_and_marked_where_it_is_wanted(run: Runner) -> None:
    async def main() -> None:
        async with web(tls=taking_early_data(), early_data=True) as proxy:
            client = await early(proxy)
            assert (await client.answer()).status == 200
            assert (await client.get("/later")).status == 200
            client.close()
            first, seen, later = proxy.origin.seen
            assert (seen.target, seen["early-data"]) == ("/early", "1")
            assert "early-data" not in first
            assert "early-data" not in later
            assert {entry.code for entry in await proxy.requests(3)} == {""}

    run(main())


def test_too_early_goes_through(run: Runner) -> None:
    async def main() -> None:
        origin = Origin(
            lambda seen: b"HTTP/1.1 425 Too Early\r\ncontent-length: 0\r\n\r\n" if "early-data" in seen else OK
        )
        async with web(origin, tls=taking_early_data(), early_data=True) as proxy:
            client = await early(proxy)
            assert (await client.answer()).status == 425
            assert (await client.get("/early")).status == 200
            client.close()

    run(main())


def test_a_mark_of_a_hop_before_stays(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            for lines in (("early-data: 1",), ("Early-Data: 1", "early-data: x", "connection: early-data")):
                await client.get("/", *lines)
                # Neither taken out nor twice: RFC 8470 5.1.
                assert proxy.origin.seen[-1]["early-data"] == "1"
            await client.get("/", "early_data: 1")
            assert "early-data" not in proxy.origin.seen[-1]
            client.close()

    run(main())


def test_a_handshake_that_fails_ends_what_was_begun(run: Runner) -> None:
    async def main() -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /first"):
                writer.write(OK)
            asked.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            gone.set()

        origin = Origin()
        origin.handle = slow  # type: ignore[method-assign]
        async with web(origin, tls=taking_early_data(), early_data=True) as proxy:
            from handfast import ClientConnection

            cache = SessionCache()
            config = client_config(sessions=cache, early_data_with_client_identity=True)
            host, port = proxy.address[:2]
            first = Asker(*await aio.open_connection(host, port, config, server_name="localhost"))
            assert (await first.get("/first")).status == 200
            first.close()
            # A client that says no more after its first flight.
            engine = ClientConnection(config, server_name="localhost", early_data=REQUEST)
            _, writer = await asyncio.open_connection(host, port)
            writer.write(engine.outgoing())
            async with asyncio.timeout(LIMIT):
                await asked.wait()
                writer.transport.abort()
                await gone.wait()
                while proxy.proxy.clients:
                    await asyncio.sleep(0)
            assert proxy.proxy.journal.connections == 0

    run(main())
