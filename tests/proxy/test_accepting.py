"""How connections are taken: none is forgotten when the taking ends, or while there are no descriptors left."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.proxy.accepting import Acceptor
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


class Greeter(asyncio.Protocol):
    """Says hello and goes."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        transport.close()


def test_what_was_accepted_is_served_though_it_ends(run: Runner) -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        clients = [await asyncio.open_connection(*sock.getsockname()) for _ in range(limits.PROXY_ACCEPTS + 5)]
        acceptor = Acceptor(sock, Greeter)
        # One go: those beyond are the next one's, and get a reset when there is none.
        acceptor._accept()
        acceptor.close()
        await acceptor.settled()
        answers = await asyncio.gather(*(reader.read() for reader, _ in clients), return_exceptions=True)
        assert answers.count(b"hello") == limits.PROXY_ACCEPTS
        for _, writer in clients:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    run(main())


class NoneLeft(socket.socket):
    """A socket whose process has no descriptors left for a while."""

    refusals = 2

    def accept(self) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_clients_wait_while_there_are_no_descriptors(run: Runner, monkeypatch, caplog) -> None:
    monkeypatch.setattr(limits, "PROXY_ACCEPT_PAUSE", 0.001)

    async def main() -> None:
        sock = NoneLeft()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        acceptor = Acceptor(sock, Greeter)
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        assert await asyncio.wait_for(reader.read(), LIMIT) == b"hello"
        writer.close()
        await writer.wait_closed()
        sock.refusals = 1
        other, writer = await asyncio.open_connection(*sock.getsockname())
        while sock.refusals:
            await asyncio.sleep(0)
        # It may end in a pause.
        acceptor.close()
        await acceptor.settled()
        del other
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    with caplog.at_level(logging.ERROR, "handfast"):
        run(main())
    assert "no connection could be accepted: Too many open files" in caplog.text
