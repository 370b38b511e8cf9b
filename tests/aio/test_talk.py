"""Talking in order: streams and protocols, what is known of the connection, and the usual ends."""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import VerifiedPeer, aio
from handfast.errors import ApiMisuse, HandfastError
from handfast.registry import NamedGroup
from tests import certificates
from tests.aio.support import MUTUAL, HalfOpen, Made, Recorder, client_config, connected, listening, server_config

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_streams(run: Runner) -> None:
    async def main() -> None:
        server = await aio.start_server(echo, "127.0.0.1", 0, server_config(client_auth=MUTUAL))
        async with listening(server) as port:
            reader, writer = await aio.open_connection("localhost", port, client_config(), family=2)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.writelines([b"a", b"", b"b"])
            writer.write_eof()
            assert await reader.read() == b"ab"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_five_megabytes_both_ways_at_once(run: Runner) -> None:
    up, down = random.Random(1).randbytes(5_000_000), random.Random(2).randbytes(5_000_000)

    async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
        sizes, at = random.Random(3), 0
        while at < len(data):
            size = sizes.choice((1, 100, 5000, 65536, 65537, 700_000))
            writer.write(data[at : at + size])
            at += size
            await writer.drain()
        writer.write_eof()

    async def main() -> None:
        arrived = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received, _ = await asyncio.gather(reader.read(), send(writer, down))
            writer.close()
            await writer.wait_closed()
            arrived.set_result(received)

        async with listening(await aio.start_server(serve, "127.0.0.1", 0, server_config())) as port:
            reader, writer = await aio.open_connection("127.0.0.1", port, client_config())
            received, _ = await asyncio.gather(reader.read(), send(writer, up))
            assert received == down
            assert await arrived == up
            writer.close()
            await writer.wait_closed()

    run(main())


def test_what_is_known_of_a_connection(run: Runner) -> None:
    async def main() -> None:
        async with connected(client_auth=MUTUAL) as (client, server):
            assert isinstance(handfast.info(server.transport).peer, VerifiedPeer)
            assert handfast.info(server.transport).peer_chain == certificates.client().chain
            info = handfast.info(client.transport)
            assert info is client.transport.info is client.transport.get_extra_info("handfast")
            writer = asyncio.StreamWriter(client.transport, client, None, asyncio.get_running_loop())
            assert handfast.info(writer) is info
            ask = client.transport.get_extra_info
            assert ask("cipher") == (str(info.suite), "TLSv1.3", 128)
            assert info.group == NamedGroup.X25519MLKEM768
            assert ask("peername") == server.transport.get_extra_info("sockname")
            assert ask("sockname") == server.transport.get_extra_info("peername")
            assert ask("socket").fileno() > 0
            for name in ("compression", "ssl_object", "sslcontext", "peercert", "nonsense"):
                assert ask(name) is None
            assert ask("ssl_object", "default") == "default"
            assert client.transport.export("label", b"", 16) == server.transport.export("label", b"", 16)
            for kind in ("tls-exporter", "tls-server-end-point"):
                assert client.transport.channel_binding(kind) == server.transport.channel_binding(kind)
            assert client.transport.can_write_eof()

    run(main())


def test_what_is_known_of_a_connection_in_tls_12(run: Runner) -> None:
    async def main() -> None:
        async with connected(client_auth=MUTUAL, versions=(0x0303,)) as (client, server):
            info = handfast.info(client.transport)
            asked = client.transport.get_extra_info("cipher")
            assert asked == (str(info.suite), "TLSv1.2", 128)
            assert isinstance(handfast.info(server.transport).peer, VerifiedPeer)
            assert client.transport.export("label", None, 16) == server.transport.export("label", None, 16)

    run(main())


def test_info_of_a_blocking_socket_and_of_an_engine() -> None:
    connection = handfast.ClientConnection(client_config(), server_name="localhost")
    assert handfast.info(connection) is connection.info
    with pytest.raises(ApiMisuse, match="str is not a connection"):
        handfast.info("x")


def test_half_close(run: Runner) -> None:
    async def main() -> None:
        async with connected(client=HalfOpen, server=HalfOpen) as (client, server):
            client.transport.write(b"question")
            client.transport.write_eof()
            client.transport.write_eof()
            await server.until(lambda: "eof" in server.told)
            assert server.told == ["made", "data", "eof"]
            assert not server.transport.is_closing()
            server.transport.write(bytes(300_000))
            await client.until(lambda: len(client.data) == 300_000)
            with pytest.raises(RuntimeError):
                client.transport.write(b"more")
            server.transport.close()
            await client.until(lambda: "eof" in client.told)
            client.transport.close()
            assert await server.lost is None
            assert await client.lost is None

    run(main())


def test_without_an_answer_to_eof_received_the_connection_is_closed(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            client.transport.write_eof()
            assert await server.lost is None
            assert await client.lost is None
            assert server.told == client.told == ["made", "eof", "lost"]
            assert server.transport.is_closing()

    run(main())


def test_close_sends_what_is_queued(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            client.transport.write(bytes(5_000_000))
            client.transport.close()
            client.transport.write(b"dropped")
            client.transport.close()
            assert client.transport.is_closing()
            assert await server.lost is None
            assert await client.lost is None
            assert len(server.data) == 5_000_000
            assert client.told == ["made", "pause", "lost"] or client.told == ["made", "pause", "resume", "lost"]

    run(main())


def test_after_close_nothing_is_delivered(run: Runner) -> None:
    async def main() -> None:
        async with connected(server=HalfOpen) as (client, server):
            client.transport.close()
            await server.until(lambda: "eof" in server.told)
            server.transport.write(bytes(200_000))
            server.transport.close()
            assert await client.lost is None
            assert await server.lost is None
            assert client.told == ["made", "lost"]

    run(main())


class Buffered(asyncio.BufferedProtocol):
    """Echoes through a buffer of 1000 bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, aio.TLSTransport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint > 0
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(memoryview(self.buffer)[:nbytes])


def test_a_buffered_protocol(run: Runner) -> None:
    data = random.Random(4).randbytes(300_000)

    async def main() -> None:
        async with listening(await aio.create_server(Buffered, "127.0.0.1", 0, server_config())) as port:
            reader, writer = await aio.open_connection("127.0.0.1", port, client_config())
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.close()
            await writer.wait_closed()

    run(main())


def test_the_protocol_can_be_replaced(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            other = Recorder()
            server.transport.set_protocol(other)
            assert server.transport.get_protocol() is other
            client.transport.write(b"x")
            await other.until(lambda: other.data)
            server.transport.abort()
            assert await other.lost is None
            server.lost.set_result(None)

    run(main())


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_was_written_may_change_afterwards(run: Runner, kind: type) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            source = bytearray(b"a" * 4_000_000)
            client.transport.write(kind(source))
            source[:] = bytes(len(source))
            await server.until(lambda: len(server.data) == len(source))
            assert server.data == b"a" * len(source)
            with pytest.raises(TypeError):
                client.transport.write("text")  # type: ignore[arg-type]

    run(main())


@pytest.mark.parametrize(
    ("host", "options", "message"),
    [
        (None, {}, "server_name must say"),
    ],
)
def test_what_would_be_ignored_is_refused(run: Runner, host: str | None, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiMisuse, match=message):
        run(aio.open_connection(host, 1, client_config(), **options))


@pytest.mark.parametrize("call", [aio.open_connection, aio.create_connection, aio.start_server, aio.create_server])
def test_every_argument_is_named_and_others_are_refused(call: Any) -> None:
    parameters = inspect.signature(call).parameters.values()
    assert not [parameter for parameter in parameters if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    # What would be the loop's own TLS can be given to none of them.
    assert not {"ssl", "server_hostname"} & {parameter.name for parameter in parameters}
    assert "observe" in {parameter.name for parameter in parameters}


def test_observers_are_made_by_a_factory_that_is_given_the_peers_address(run: Runner) -> None:
    told: list[tuple[str, Any, list[object]]] = []

    def observing(role: str) -> Any:
        def observe(address: Any) -> Any:
            told.append((role, address, []))
            return [told[-1][2].append], []

        return observe

    async def main() -> None:
        made = Made()
        server = await aio.create_server(made, "127.0.0.1", 0, server_config(), observe=observing("server"))
        async with listening(server) as port:
            transport, protocol = await aio.create_connection(
                Recorder, "127.0.0.1", port, client_config(), observe=observing("client")
            )
            far = await made.all[0].made
            addresses = {"client": transport.get_extra_info("peername"), "server": far.get_extra_info("peername")}
            assert {role: address for role, address, _ in told} == addresses
            assert all(events for _, _, events in told)
            transport.close()
            await protocol.lost
            await made.all[0].lost

    run(main())


def test_an_observer_factory_that_fails_ends_its_connection_alone(run: Runner, caplog: Any) -> None:
    def fails(address: Any) -> Any:
        raise ZeroDivisionError("no observer today")

    async def main() -> None:
        server = await aio.create_server(Recorder, "127.0.0.1", 0, server_config(), observe=fails)
        async with listening(server) as port:
            with pytest.raises(HandfastError):
                await aio.open_connection("127.0.0.1", port, client_config())
            with pytest.raises(ZeroDivisionError):
                await aio.open_connection("127.0.0.1", port, client_config(), observe=fails)

    run(main())
    assert "no observer today" in caplog.text
