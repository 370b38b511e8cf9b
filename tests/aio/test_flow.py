"""Back-pressure, in both directions: what bounds memory when somebody does not read."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from handfast import aio, limits
from handfast.errors import BadMessage, ConnectionLost, HandfastError, PeerMisbehaved, PeerRejected
from handfast.io.aio.protocol import TLSProtocol
from handfast.io.aio.setup import Stage
from tests.aio.support import (
    ByHand,
    HalfOpen,
    Made,
    Recorder,
    below,
    client_by_hand,
    client_config,
    connected,
    listening,
    server_by_hand,
    server_config,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aio.conftest import Runner

# A sealed step is a little larger than its plaintext, and a TCP transport pauses above its mark, not at it.
MOST_SEALED = 2 * limits.SEAL_STEP + 4096


async def turns(count: int = 20) -> None:
    """Let the loop do what it can do without waiting."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_large_write_is_sealed_as_it_leaves(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            data = bytes(30_000_000)
            tracemalloc.start()
            server.transport.write(data)
            await turns()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 1_000_000
            assert server.told == ["made", "pause"]
            tcp = below(server.transport).tcp
            assert tcp.get_write_buffer_size() <= MOST_SEALED
            waiting = server.transport.get_write_buffer_size()
            assert 20_000_000 < waiting < 30_000_000
            # Reading a part of it lets as much leave.
            while len(peer.data) < 10_000_000:
                await peer.read()
                assert tcp.get_write_buffer_size() <= MOST_SEALED
            assert server.transport.get_write_buffer_size() < waiting
            assert server.told == ["made", "pause"]
            while len(peer.data) < len(data):
                await peer.read()
            await turns()
            assert server.told == ["made", "pause", "resume"]
            assert server.transport.get_write_buffer_size() == 0

    run(main())


def test_a_writer_that_drains_is_stopped_by_a_peer_that_does_not_read(run: Runner) -> None:
    async def main() -> None:
        written = 0
        writers = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writers.append(writer)
            with contextlib.suppress(ConnectionLost):
                while True:
                    writer.write(bytes(100_000))
                    written += 100_000
                    await writer.drain()

        async with listening(await aio.start_server(serve, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            before = -1
            while written != before:
                before = written
                await turns(200)
            # What the kernel's buffers took is not ours; what is held here is.
            assert writers[0].transport.get_write_buffer_size() < 64 * 1024 + 100_000 + MOST_SEALED
            while len(peer.data) < before + 5_000_000:
                await peer.read()
            assert written > before
            peer.sock.close()
            while not writers[0].transport.is_closing():
                await asyncio.sleep(0)

    run(main())


def test_small_writes_that_had_to_wait_share_records(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            server.transport.write(bytes(8_000_000))
            for number in range(5000):
                server.transport.write(b"%04d" % (number % 10_000))
            while len(peer.data) < 8_020_000:
                await peer.read()
            assert peer.data[8_000_000:] == b"".join(b"%04d" % number for number in range(5000))
            sent = below(server.transport).connection._records.write_protection
            assert sent is not None
            assert sent.records < 8_000_000 / 2**14 + 100

    run(main())


def test_the_marks(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            transport = server.transport
            assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            transport.set_write_buffer_limits(low=1000)
            assert transport.get_write_buffer_limits() == (1000, 4000)
            transport.set_write_buffer_limits(high=1_000_000)
            assert transport.get_write_buffer_limits() == (250_000, 1_000_000)
            with pytest.raises(ValueError, match="must be >= low"):
                transport.set_write_buffer_limits(high=1, low=2)
            while not transport.get_write_buffer_size():
                transport.write(bytes(100_000))
            transport.write(bytes(500_000))
            assert server.told == ["made"]
            transport.write(bytes(500_000))
            assert server.told == ["made", "pause"]
            # Raising the mark ends the pause; a mark of 0 makes anything that waits one.
            transport.set_write_buffer_limits(high=10_000_000)
            assert server.told == ["made", "pause", "resume"]
            transport.set_write_buffer_limits(high=0)
            assert server.told == ["made", "pause", "resume", "pause"]
            while server.told[-1] == "pause":
                await peer.read()
            assert transport.get_write_buffer_size() == 0

    run(main())


def test_a_mark_of_0_makes_anything_that_waits_a_pause(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (_, server):
            transport = server.transport
            transport.set_write_buffer_limits(high=0)
            while not transport.get_write_buffer_size():
                transport.write(bytes(1000))
            assert server.told == ["made", "pause"]

    run(main())


def test_a_pause_ends_although_the_last_step_leaves_slowly(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand() as (peer, server):
            transport = server.transport
            # A kernel that takes little at a time, so that what is left of a step is between the two marks.
            with socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM) as tcp:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            while server.told[-1] != "pause":
                transport.write(bytes(limits.SEAL_STEP))
            transport.write(bytes(limits.SEAL_STEP // 2))
            while server.told[-1] == "pause":
                await peer.read()

    run(main())


def test_pause_reading_stops_the_peer(run: Runner) -> None:
    async def main() -> None:
        async with connected(server=HalfOpen) as (client, server):
            server.transport.pause_reading()
            server.transport.pause_reading()
            assert not server.transport.is_reading()
            client.transport.write(bytes(20_000_000))
            client.transport.write_eof()
            before = -1
            while client.transport.get_write_buffer_size() != before:
                before = client.transport.get_write_buffer_size()
                await turns(100)
            assert before > 5_000_000
            assert server.told == ["made"]
            server.transport.resume_reading()
            assert server.transport.is_reading()
            await server.until(lambda: "eof" in server.told)
            assert len(server.data) == 20_000_000

    run(main())


class Pausing(HalfOpen):
    """Pauses after all that it gets."""

    def data_received(self, data: bytes) -> None:
        self.transport.pause_reading()
        super().data_received(data)


def test_what_was_decrypted_is_held_while_reading_is_paused(run: Runner) -> None:
    async def main() -> None:
        # Somebody who watches gets every record by itself, so that several results come out of one read.
        watch = {"observe": lambda address: ((lambda event: None,), ())}
        async with connected(server=Pausing, server_options=watch) as (client, server):
            for text in (b"one", b"two", b"three"):
                below(client.transport).connection.send(text)
            client.transport.write_eof()
            await server.until(lambda: server.data)
            await turns()
            assert server.data == b"one"
            server.transport.resume_reading()
            server.transport.pause_reading()
            await turns()
            assert server.data == b"one"
            for expected in (bytearray(b"onetwo"), bytearray(b"onetwothree")):
                server.transport.resume_reading()
                await turns()
                assert server.data == expected
                assert "eof" not in server.told
            server.transport.resume_reading()
            await server.until(lambda: "eof" in server.told)

    run(main())


def several(peer: ByHand) -> bytes:
    """Three texts with new keys between them: three results of one read."""
    for text in (b"one", b"two", b"three"):
        peer.connection.send(text)
        peer.connection.update_keys()
    return peer.connection.outgoing()


async def held_and_failed(peer: ByHand, near: Recorder) -> None:
    """In one read: ``several``, and a record that is no record."""
    await asyncio.get_running_loop().sock_sendall(peer.sock, several(peer) + b"\xff" * 5)
    with pytest.raises(PeerRejected):
        await peer.read_to_end()
    peer.sock.close()
    await near.until(near.transport.is_closing)


async def tcp_is_lost(near: Recorder) -> None:
    while below(near.transport)._stage is not Stage.LOST:
        await asyncio.sleep(0)


def test_what_is_held_when_the_connection_fails_comes_before_its_end(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(Pausing) as (peer, near):
            await held_and_failed(peer, near)
            await tcp_is_lost(near)
            for expected in (bytearray(b"onetwo"), bytearray(b"onetwothree")):
                assert near.told == ["made", "data"]
                near.transport.resume_reading()
                await turns()
                assert near.data == expected
            assert near.told == ["made", "data", "lost"]
            assert isinstance(near.lost.result(), BadMessage | PeerMisbehaved)

    run(main())


def test_what_is_held_is_delivered_while_the_alert_leaves_too(run: Runner) -> None:
    async def main() -> None:
        async with client_by_hand(Pausing) as (peer, near):
            await asyncio.get_running_loop().sock_sendall(peer.sock, several(peer) + b"\xff" * 5)
            await near.until(near.transport.is_closing)
            while len(near.data) < 11:
                near.transport.resume_reading()
                await turns()
            assert near.told == ["made", "data"]
            # No reset follows the alert, though more comes that nobody will read.
            await asyncio.get_running_loop().sock_sendall(peer.sock, bytes(1000))
            with pytest.raises(PeerRejected):
                await peer.read_to_end()
            assert await asyncio.get_running_loop().sock_recv(peer.sock, 1) == b""
            peer.sock.close()
            assert isinstance(await near.lost, HandfastError)

    run(main())


@pytest.mark.parametrize("how", ["write", "wait", "close", "abort"])
def test_who_writes_hears_of_the_end_without_reading_on(run: Runner, how: str) -> None:
    async def main() -> None:
        async with client_by_hand(Pausing) as (peer, near):
            transport = near.transport
            if how == "wait":
                transport.write(bytes(20_000_000))
                await near.until(lambda: "pause" in near.told)
                await asyncio.get_running_loop().sock_sendall(peer.sock, several(peer) + b"\xff" * 5)
                await near.until(transport.is_closing)
                peer.reset()
            else:
                await held_and_failed(peer, near)
                await tcp_is_lost(near)
                assert not near.lost.done()
                {"write": lambda: transport.write(b"x"), "close": transport.close, "abort": transport.abort}[how]()
            assert isinstance(await near.lost, HandfastError)
            # Only who closes drops what came.
            assert bytes(near.data) == (b"one" if how in ("close", "abort") else b"onetwothree")

    run(main())


def test_a_protocol_that_fails_gets_no_more_of_what_is_held(run: Runner) -> None:
    class Failing(Pausing):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"two":
                raise ZeroDivisionError

    async def main() -> None:
        async with client_by_hand(Failing) as (peer, near):
            await held_and_failed(peer, near)
            near.transport.resume_reading()
            assert isinstance(await near.lost, HandfastError)
            assert near.data == b"onetwo"
        assert len(run.complaints) == 1
        run.complaints.clear()

    run(main())


def test_while_reading_is_paused_the_rest_of_a_lost_connection_is_not_delivered(run: Runner) -> None:
    async def main() -> None:
        async with server_by_hand() as (port, accepting):
            connecting = asyncio.create_task(aio.create_connection(HalfOpen, "127.0.0.1", port, client_config()))
            peer = await accepting
            await peer.handshake()
            transport, client = await connecting
            transport.pause_reading()
            await peer.send(b"unread")
            peer.reset()
            transport.write(b"x")
            assert isinstance(await client.lost, ConnectionLost)
            assert client.told == ["made", "lost"]

    run(main())


def test_an_ended_connection_is_freed_without_the_collector(run: Runner) -> None:
    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            # What other tests hold is none of this one's.
            before = connections()
            async with connected() as (client, server):
                client.transport.close()
                await server.lost
                await client.lost
            for end in (client, server):
                del end.transport, end.made
            await turns(3)
            assert [one for one in connections() if not any(one is other for other in before)] == []
        finally:
            gc.enable()

    run(main())


def test_a_protocol_may_keep_the_transport_of_an_ended_connection(run: Runner) -> None:
    """As most do: the two would keep each other alive, and all of the engine with them, until the collector comes."""

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            before = connections()
            async with connected() as (client, server):
                client.transport.close()
                await server.lost
                await client.lost
            for end in (client, server):
                assert end.transport.get_protocol() is not end
                end.transport.close()
                end.transport.abort()
                end.transport.write(b"too late")
            await turns(3)
            assert (client.told[-1], server.told[-2:]) == ("lost", ["eof", "lost"])
            del client, server, end
            await turns(3)
            assert [one for one in connections() if not any(one is other for other in before)] == []
        finally:
            gc.enable()

    run(main())


def connections() -> list[Any]:
    return [thing for thing in gc.get_objects() if issubclass(type(thing), aio.TLSTransport | TLSProtocol)]


def holds(end: Any, size: int) -> bool:
    return len(end.data) == size


def test_reads_that_overlap_do_not_share_memory(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            # As a loop does that reads in the background, or finds nothing to read after all.
            ends = (client, server)
            first, second = (below(end.transport).get_buffer(-1) for end in ends)
            assert first.obj is not second.obj
            for end in ends:
                end.transport.write(b"x" * 100_000)
            for end in ends:
                await end.until(partial(holds, end, 100_000))
                assert end.data == b"x" * 100_000
            # Everything was given back: the two get the same again.
            first = below(client.transport).get_buffer(-1)
            below(client.transport).eof_received()
            assert below(server.transport).get_buffer(-1).obj is first.obj

    run(main())


def test_memory_of_an_idle_connection(run: Runner) -> None:
    async def main() -> None:
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            peers = []

            async def open_some(count: int) -> int:
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(count):
                    peers.append(await ByHand.connect(port, client_config(anonymous=True)))
                    await peers[-1].handshake()
                    await made.all[-1].made
                gc.collect()
                return (tracemalloc.get_traced_memory()[0] - before) // count

            await open_some(5)
            tracemalloc.start()
            # Both ends count here: the server's transport and engine, and the engine of the peer.
            # The goal is 20 KiB for the server alone; debug mode keeps tracebacks beside it, longer in newer Pythons.
            assert await open_some(20) < 50_000
            tracemalloc.stop()
            for peer in peers:
                peer.sock.close()
            await asyncio.gather(*(server.lost for server in made.all))

    run(main())


def test_a_negative_time_is_refused(run: Runner) -> None:
    async def main() -> None:
        for seconds in (-1.0, float("nan"), None):
            with pytest.raises(ValueError, match="shutdown_timeout"):
                await aio.open_connection("127.0.0.1", 1, client_config(), shutdown_timeout=seconds)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="shutdown_timeout"):
                await aio.create_server(Recorder, "127.0.0.1", 0, server_config(), shutdown_timeout=seconds)  # type: ignore[arg-type]

    run(main())


@pytest.mark.parametrize("end", ["near", "far"])
def test_a_file_is_sent_as_over_asyncio_s_own_tls(run: Runner, tmp_path: Path, end: str) -> None:
    """``loop.sendfile``, which aiohttp uses; uvloop has none, and programs fall back by themselves."""
    data = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with connected() as (near, far):
            one, other = (near, far) if end == "near" else (far, near)
            with (tmp_path / "file").open("rb") as file:
                if type(loop).__module__ == "uvloop":
                    with pytest.raises(NotImplementedError):
                        await loop.sendfile(one.transport, file)
                    return
                assert await loop.sendfile(one.transport, file, 3, len(data) - 7) == len(data) - 7
            await other.until(lambda: len(other.data) == len(data) - 7)
            assert bytes(other.data) == data[3:-4]
            # The protocol is the program's again, and hears what comes.
            assert one.transport.get_protocol() is one
            other.transport.write(b"thanks")
            await one.until(lambda: one.data == b"thanks")
            one.transport.close()
            with (tmp_path / "file").open("rb") as file, pytest.raises(RuntimeError, match="closing"):
                await loop.sendfile(one.transport, file)

    run(main())
