"""The way in: who is admitted, which service is whose, and the end of the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from handfast import limits
from handfast.config.by_name import ByName
from handfast.errors import ConfigError, ConnectionLost
from handfast.proxy.entrance import Refusal
from handfast.proxy.listening import listening
from handfast.proxy.settings import Backend, IdentityForm, Listener, Mode, Route, Service, StartTls, is_local
from tests.proxy.support import LOCAL, backend, echo, mutual, running, tcp

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.connection_info import VerifiedPeer
    from tests.aio.conftest import Runner

NOWHERE = Backend(("127.0.0.1", 1))


async def answer_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    data = await reader.read()
    writer.close()
    with contextlib.suppress(Exception):
        await writer.wait_closed()
    return data


def test_the_service_is_that_of_the_name(run: Runner) -> None:
    def says(words: bytes) -> Any:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(words)

        return handler

    async def main() -> None:
        async with backend(says(b"one")) as one, backend(says(b"two")) as two:
            services = ByName({"localhost": _tcp(one), "server.example.com": _tcp(two)})
            async with running(Listener(LOCAL, services, tls=mutual())) as proxy:
                assert await answer_of(*await proxy.client()) == b"one"
                assert await answer_of(*await proxy.client(server_name="SERVER.example.com")) == b"two"
                # An address is no name that a client may ask for, and there is no default.
                reader, writer = await proxy.client(server_name="127.0.0.1")
                assert await answer_of(reader, writer) == b""
                entry = await proxy.refused(3)
                assert entry.code == "unknown_server_name"
                assert entry.why == "it asked for no name, and there is no service for that"
                assert {service.mode for service in services.values} == {Mode.TCP}

    run(main())


def _tcp(address: Any, **options: Any) -> Service:
    return Service(Backend(address), mode=Mode.TCP, **options)


class OnlyBob:
    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        name = "no one" if peer is None else peer.verdict.subject
        return None if "bob" in name else f"{name} is not bob"


def test_a_rule_says_no_before_the_backend_hears_of_it(run: Runner) -> None:
    async def main() -> None:
        service = Service(NOWHERE, mode=Mode.TCP, rule=OnlyBob())
        async with running(Listener(LOCAL, service, tls=mutual())) as proxy:
            assert await answer_of(*await proxy.client()) == b""
            entry = await proxy.refused()
            assert (entry.code, entry.why) == ("not_allowed", "CN=alice,O=handfast is not bob")
            assert entry.info is not None

    run(main())


class Broken:
    def why_not(self, peer: VerifiedPeer | None) -> str | None:
        raise LookupError("no such table")


def test_a_rule_that_fails_refuses(run: Runner) -> None:
    async def main() -> None:
        service = Service(NOWHERE, mode=Mode.TCP, rule=Broken())
        async with running(Listener(LOCAL, service, tls=mutual())) as proxy:
            assert await answer_of(*await proxy.client()) == b""
            entry = await proxy.refused()
            assert (entry.code, entry.why) == ("not_allowed", "the rule failed: LookupError: no such table")

    run(main())


class One:
    """Admits one client at a time."""

    def __init__(self) -> None:
        self.there = 0
        self.asked: list[Any] = []

    def admit(self, listener: str, address: Any) -> Refusal | None:
        self.asked.append(address)
        if self.there:
            return Refusal("too_many", "one is there already")
        self.there += 1
        return None

    def handshake_over(self) -> None:
        """Nothing is counted."""

    def leave(self, listener: str, address: Any) -> None:
        self.there -= 1


@pytest.mark.parametrize("plain", [False, True])
def test_who_is_not_admitted_is_closed_unread(run: Runner, plain: bool) -> None:
    async def main() -> None:
        door = One()
        async with backend(echo) as address:
            listener = tcp(address, plain=plain)
            async with running(listener, admission=door) as proxy:
                first, writer = await asyncio.open_connection(*proxy.address)
                while not door.there:
                    await asyncio.sleep(0)
                reader, second = await asyncio.open_connection(*proxy.address)
                assert await answer_of(reader, second) == b""
                entry = await proxy.refused()
                assert (entry.code, entry.why, entry.info) == ("too_many", "one is there already", None)
                writer.close()
                assert await first.read() == b""
                while door.there:
                    await asyncio.sleep(0)
                assert len(door.asked) == 2
                assert proxy.proxy.journal.connections == 0

    run(main())


def test_a_check_whether_somebody_listens_is_no_client(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            _, writer = await asyncio.open_connection(*proxy.address)
            writer.close()
            await writer.wait_closed()
            reader, writer = await proxy.client()
            writer.write_eof()
            assert await answer_of(reader, writer) == b""
            await proxy.ended()
            while proxy.proxy.journal.connections:
                await asyncio.sleep(0)
            assert len(proxy.entries) == 1

    run(main())


def test_the_end_waits_for_who_is_there(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            closing = asyncio.create_task(proxy.proxy.close(limits.PROXY_GRACE))
            while not proxy.proxy.draining:
                await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*proxy.bound)
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
            writer.write_eof()
            assert await answer_of(reader, writer) == b""
            await closing
            assert (await proxy.ended()).code == ""

    run(main())


def test_the_end_does_not_wait_for_ever(run: Runner) -> None:
    async def main() -> None:
        async with backend(echo) as address, running(tcp(address)) as proxy:
            reader, writer = await proxy.client()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await proxy.proxy.close(0.0)
            with pytest.raises(ConnectionLost):
                await answer_of(reader, writer)
            entry = await proxy.ended()
            assert (entry.received, entry.code) == (1, "shutdown")

    run(main())


def test_others_hold_for_new_clients_once_they_are_replaced(run: Runner) -> None:
    def says(words: bytes) -> Any:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(words)
            await reader.read()

        return handler

    async def main() -> None:
        async with backend(says(b"old")) as old, backend(says(b"new")) as new, running(tcp(old)) as proxy:
            reader, writer = await proxy.client()
            assert await reader.readexactly(3) == b"old"
            proxy.proxy.replace([tcp(new)])
            other, other_writer = await proxy.client()
            assert await other.readexactly(3) == b"new"
            for one in (writer, other_writer):
                one.write_eof()
            assert await answer_of(reader, writer) == await answer_of(other, other_writer) == b""
            await proxy.told(2)

    run(main())


def test_a_port_that_is_taken(run: Runner) -> None:
    async def main() -> None:
        with socket.create_server(LOCAL) as taken:
            listener = Listener(taken.getsockname(), _tcp(("127.0.0.1", 1)), tls=mutual())
            with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)) as caught:
                async with running(tcp(("127.0.0.1", 1)), listener):
                    pass
            assert (caught.value.errno, caught.value.filename) == (
                errno.EADDRINUSE,
                f"127.0.0.1:{taken.getsockname()[1]}",
            )

    run(main())


def test_a_socket_file_that_a_dead_process_left(tmp_path: Path) -> None:
    path = str(tmp_path / "it")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with listening(path) as alive:
        assert alive.getsockname() == path
        # Now one listens there.
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            listening(path)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        listening(str(file))
    assert file.read_text() == "mine"


def test_a_queue_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    made = socket.create_server

    def create_server(address: Any, *, backlog: int, **options: Any) -> socket.socket:
        asked.append(backlog)
        return made(address, **options)

    monkeypatch.setattr(socket, "create_server", create_server)
    listening(LOCAL).close()
    assert asked == [limits.PROXY_BACKLOG]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Backend(("192.0.2.1", 80)), "192.0.2.1:80 is not on this machine"),
        (lambda: Backend(("127.0.0.1", 80), server_name="x"), "not spoken to by TLS"),
        (lambda: Listener(("0.0.0.0", 80), _tcp(LOCAL)), "would lend anyone our identity"),
        (lambda: Listener(LOCAL, ByName({"x": _tcp(LOCAL)})), "only TLS tells the name"),
        (lambda: _tcp(LOCAL, identity=(IdentityForm.XFCC,)), "this service relays bytes"),
        (lambda: Service(NOWHERE, routes=(Route("/a"), Route("/a"))), "'/a' is there twice"),
        (lambda: Route("a"), "'a' is no path"),
        (lambda: Backend(LOCAL, starttls=StartTls.POSTGRES), "not spoken to by TLS"),
        (lambda: Listener(LOCAL, Service(NOWHERE), tls=mutual(), starttls=StartTls.POSTGRES), "HTTP has none"),
        (lambda: Listener(LOCAL, _tcp(LOCAL), starttls=StartTls.POSTGRES), "clients come without TLS"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_made(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("/run/x", True),
        (("127.8.9.1", 1), True),
        (("::1", 1), True),
        (("LOCALHOST.", 1), True),
        (("localhost.example", 1), False),
        (("0.0.0.0", 1), False),
        (("::", 1), False),
        (("10.0.0.1", 1), False),
    ],
)
def test_what_is_on_this_machine(address: Any, local: bool) -> None:
    assert is_local(address) == local


def test_times() -> None:
    assert (NOWHERE.connect_timeout, limits.PROXY_CONNECT_TIMEOUT) == (10.0, 10.0)
    assert Service(NOWHERE).idle_timeout == limits.PROXY_IDLE_TIMEOUT
    with pytest.raises(ConfigError, match="connect timeout"):
        Backend(LOCAL, connect_timeout=-1.0)
    with pytest.raises(ConfigError, match="idle timeout"):
        Service(NOWHERE, idle_timeout=float("nan"))
