"""Event loops, and what stands right above them."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.sslcontext.consumers.kinds import BIG, Contexts, consumer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _echo(reader: Any, writer: Any) -> None:
    data = await reader.read(100)
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    writer.write(data + str(certificate["subject"]).encode())
    await writer.drain()
    writer.close()


async def _much(_reader: Any, writer: Any) -> None:
    writer.write(bytes(BIG))
    await writer.drain()
    writer.close()


async def _cut(_reader: Any, writer: Any) -> None:
    writer.write(b"z" * 5)
    await writer.drain()
    writer.transport.abort()


async def _serve(handler: Callable[[Any, Any], Awaitable[None]], context: Any) -> tuple[Any, int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1]


async def _streams(contexts: Contexts) -> str:
    _one, port = await _serve(_echo, contexts.server())
    reader, writer = await asyncio.open_connection("localhost", port, ssl=contexts.client())
    writer.write(b"hello ")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"alice" in answer, answer
    for ca, name, code in (("other.pem", "localhost", (19, 20)), ("ca.pem", "wrong.example", (62,))):
        try:
            await asyncio.open_connection("127.0.0.1", port, ssl=contexts.client(ca=ca), server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            seen = error.verify_code
        else:
            seen = 0
        assert seen in code
    _two, port = await _serve(_much, contexts.server())
    reader, writer = await asyncio.open_connection("localhost", port, ssl=contexts.client())
    assert len(await reader.read()) == BIG
    writer.close()
    _three, port = await _serve(_cut, contexts.server())
    reader, writer = await asyncio.open_connection("localhost", port, ssl=contexts.client())
    try:
        ending = repr(await reader.read())
    except (ssl.SSLError, ConnectionError) as error:
        ending = type(error).__name__
    writer.close()
    return f"{len(answer)} {ending}"


async def _required(contexts: Contexts) -> str:
    """A client without the certificate that is required learns why."""
    _server, port = await _serve(_echo, contexts.server(verify=ssl.CERT_REQUIRED))
    try:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=contexts.client(certificate=False))
        writer.write(b"x")
        answer = await reader.read()
    except (ssl.SSLError, ConnectionError) as error:
        return type(error).__name__ + str(getattr(error, "reason", ""))
    assert not answer, "it was not refused"
    # The loop drops the alert of a stock server.
    assert contexts.pairing == "stock-server"
    return "cut off"


async def _start_tls(contexts: Contexts) -> str:
    async def handler(reader: Any, writer: Any) -> None:
        writer.write(b"220 ready\n")
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.drain()
        await writer.start_tls(contexts.server())
        writer.write(await reader.read(10) + b"!")
        await writer.drain()
        writer.close()

    _server, port = await _serve(handler, None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"STARTTLS\n")
    await reader.readline()
    await writer.start_tls(contexts.client(), server_hostname="localhost")
    writer.write(b"hi")
    answer = await reader.read()
    writer.close()
    assert answer == b"hi!", answer
    return "ok"


async def _tls_in_tls(contexts: Contexts) -> str:
    async def proxy(reader: Any, writer: Any) -> None:
        port = int(await reader.readline())
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ok\n")
        await writer.drain()

        async def move(source: Any, target: Any) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.close()

        await asyncio.gather(move(reader, other_writer), move(other_reader, writer), return_exceptions=True)

    _inner, port = await _serve(_echo, contexts.server())
    _outer, proxy_port = await _serve(proxy, contexts.server())
    reader, writer = await asyncio.open_connection("localhost", proxy_port, ssl=contexts.client())
    writer.write(f"{port}\n".encode())
    await reader.readline()
    await writer.start_tls(contexts.client(), server_hostname="localhost")
    writer.write(b"inside ")
    answer = await reader.read()
    writer.close()
    assert b"alice" in answer
    return "ok"


@consumer
def asyncio_streams(contexts: Contexts) -> object:
    return asyncio.run(_streams(contexts))


@consumer
def asyncio_client_without_certificate(contexts: Contexts) -> object:
    return asyncio.run(_required(contexts))


@consumer
def asyncio_start_tls(contexts: Contexts) -> object:
    return asyncio.run(_start_tls(contexts))


@consumer
def asyncio_tls_in_tls(contexts: Contexts) -> object:
    return asyncio.run(_tls_in_tls(contexts))


@consumer
def uvloop_streams(contexts: Contexts) -> object:
    import uvloop

    return uvloop.run(_streams(contexts))


@consumer
def uvloop_client_without_certificate(contexts: Contexts) -> object:
    import uvloop

    return uvloop.run(_required(contexts))


@consumer
def uvloop_start_tls(contexts: Contexts) -> object:
    import uvloop

    return uvloop.run(_start_tls(contexts))


@consumer
def anyio_streams(contexts: Contexts) -> object:
    import anyio
    from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream

    async def main() -> str:
        listener = TLSListener(await anyio.create_tcp_listener(local_host="127.0.0.1"), contexts.server())

        async def handle(stream: TLSStream) -> None:
            async with stream:
                await stream.send(await stream.receive())
                for _ in range(3):
                    await stream.send(bytes(BIG // 3))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            port = listener.listener.extra(anyio.abc.SocketAttribute.local_port)
            plain = await anyio.connect_tcp("127.0.0.1", port)
            stream = await TLSStream.wrap(plain, hostname="localhost", ssl_context=contexts.client())
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            version, cipher = stream.extra(TLSAttribute.tls_version), stream.extra(TLSAttribute.cipher)
            taken = 0
            while taken < BIG:
                taken += len(await stream.receive())
            await stream.aclose()
            tasks.cancel_scope.cancel()
        return f"{version} {cipher}"

    return anyio.run(main)


@consumer
def trio_streams(contexts: Contexts) -> object:
    import trio

    async def main() -> int:
        async def handle(stream: Any) -> None:
            await stream.do_handshake()
            assert stream.getpeercert()["subject"]
            await stream.send_all(await stream.receive_some() + bytes(BIG))
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_ssl_over_tcp, handle, 0, contexts.server(), host="127.0.0.1")
            listeners = await nursery.start(serve)
            port = listeners[0].transport_listener.socket.getsockname()[1]
            stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=contexts.client())
            await stream.send_all(b"hello")
            taken = 0
            async for data in stream:
                taken += len(data)
            await stream.aclose()
            nursery.cancel_scope.cancel()
        assert taken == BIG + 5
        return taken

    return trio.run(main)
