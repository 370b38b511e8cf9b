"""A peer that vanishes after any record of a conversation: the other side ends, with the right exception, and no rest.

Client and server talk through a wire that is cut after one record, then after two, and so on; to each of them the other
one vanishes there. Each conversation is had by blocking sockets, by buffers, and by both doors of asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast.errors import ConnectionLost
from tests.aio.support import MUTUAL, client_config, server_config
from tests.load.cutting import NO_CUT, wire
from tests.load.support import Census, Door, closed, eventually, run, serving
from tests.sslcontext.pairs import OURS, Files, Pair, client_context, server_context
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
# Three records each way.
SIZE = 40_000
# Records of one direction; there are fewer.
MOST = 30

pytestmark = [pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)]
by_wire = pytest.mark.parametrize("end", ["FIN", "RST"])
directions = pytest.mark.parametrize("direction", [0, 1], ids=["by client", "by server"])


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "handfast")


def is_cut(error: BaseException) -> bool:
    """Whether it says that the connection was cut, and nothing else."""
    if isinstance(error, ConnectionLost):
        return error.code in ("eof_in_handshake", "unexpected_eof", "reset", "connect_failed")
    return isinstance(error, ssl.SSLEOFError | ConnectionError | asyncio.IncompleteReadError)


def judge(outcomes: list[BaseException | None], cut: bool) -> None:
    """Of both ends: where nothing was cut both came to their end, and else each that did not says that it was cut."""
    assert len(outcomes) == 2, outcomes
    wrong = [error for error in outcomes if error is not None and not is_cut(error)]
    assert wrong == []
    assert cut or outcomes == [None, None]


def every_cut(converse: Callable[[int], tuple[list[BaseException | None], int]]) -> None:
    """Has the conversation with the wire cut after each number of records; ends with the first that is not cut."""
    outcomes, records = converse(NO_CUT)
    judge(outcomes, cut=False)
    assert 4 < records < MOST
    failed = 0
    for number in range(records):
        outcomes, _ = converse(number)
        judge(outcomes, cut=True)
        failed += any(outcomes)
    # All but the last ones, which are no loss to one that has had its answer.
    assert failed >= records - 2


def outcome_of(act: Callable[[], object]) -> BaseException | None:
    try:
        act()
    except Exception as error:
        return error
    return None


def talk(tls: Any, *, first: bool) -> None:
    """Over a blocking connection: one request, one answer, and an end in order."""
    for turn in (first, not first):
        if turn:
            tls.sendall(bytes(SIZE))
        else:
            left = SIZE
            while left:
                data = tls.recv(65536)
                assert data, "a cut connection looks like an end in order"
                left -= len(data)
    if first:
        tls.unwrap()
    else:
        assert tls.recv(1) == b""
        tls.unwrap()


@by_wire
@directions
def test_blocking_drop_in(context_files: Files, version: ssl.TLSVersion, direction: int, end: str) -> None:
    server = server_context(OURS, context_files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, context_files, certificate=True)
    for context in (server, client):
        context.minimum_version = context.maximum_version = version

    # ``ssl`` looks at a socket when it wraps it, and leaves one open that was reset before that.
    wrapped = threading.Barrier(2, timeout=LIMIT)
    options: dict[str, Any] = {"do_handshake_on_connect": False, "suppress_ragged_eofs": False}

    def serve(plain: socket.socket) -> None:
        with server.wrap_socket(plain, server_side=True, **options) as tls:
            wrapped.wait()
            talk(tls, first=False)

    def ask(plain: socket.socket) -> None:
        with client.wrap_socket(plain, server_hostname="localhost", **options) as tls:
            wrapped.wait()
            talk(tls, first=True)

    in_threads(serve, ask, direction, end)


@by_wire
@directions
def test_blocking_direct(version: ssl.TLSVersion, direction: int, end: str) -> None:
    versions = [version.name.removeprefix("TLSv").replace("_", ".")]
    server = server_config(client_auth=MUTUAL, versions=versions)
    client = client_config(versions=versions)

    def finish(tls: handfast.TLSSocket, first: bool) -> None:
        with tls:
            for turn in (first, not first):
                if turn:
                    tls.sendall(bytes(SIZE))
                else:
                    left = SIZE
                    while left:
                        data = tls.recv()
                        assert data
                        left -= len(data)
            if not first:
                assert tls.recv() == b""

    def serve(plain: socket.socket) -> None:
        finish(handfast.TLSSocket(plain, handfast.ServerConnection(server), timeout=LIMIT), first=False)

    def ask(plain: socket.socket) -> None:
        finish(
            handfast.TLSSocket(plain, handfast.ClientConnection(client, server_name="localhost"), timeout=LIMIT),
            first=True,
        )

    in_threads(serve, ask, direction, end)


def in_threads(
    serve: Callable[[socket.socket], None], ask: Callable[[socket.socket], None], direction: int, end: str
) -> None:
    """The conversation of two blocking sockets, cut everywhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def converse(number: int) -> tuple[list[BaseException | None], int]:
            outcomes: list[BaseException | None] = []

            def at_server() -> None:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(LIMIT)
                    outcomes.append(outcome_of(lambda: serve(accepted)))

            def at_client() -> None:
                plain = socket.create_connection(("127.0.0.1", port), LIMIT)
                with plain:
                    outcomes.append(outcome_of(lambda: ask(plain)))

            with wire(listener.getsockname()[1], direction, number, end) as (port, wires):
                thread = threading.Thread(target=at_server)
                thread.start()
                at_client()
                thread.join(LIMIT)
                assert not thread.is_alive()
            return outcomes, wires[0].passed[direction]

        converse(NO_CUT)
        before = Census.take()
        every_cut(converse)
        assert Census.take().grown_since(before, others=200) == {}


@by_wire
@directions
def test_asyncio(
    door: Door,
    context_files: Files,
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    version: ssl.TLSVersion,
    direction: int,
    end: str,
) -> None:
    here = type(door)(context_files, version)

    async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bool) -> None:
        try:
            for turn in (first, not first):
                if turn:
                    writer.write(bytes(SIZE))
                    await writer.drain()
                else:
                    await reader.readexactly(SIZE)
            if not first:
                assert await reader.read() == b""
        finally:
            await closed(writer)

    async def main() -> None:
        at_server: list[BaseException | None] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            at_server.append(await outcome(finish(reader, writer, first=False)))

        async def ask(port: int) -> None:
            reader, writer = await here.connect(port)
            await finish(reader, writer, first=True)

        async def converse(number: int) -> tuple[list[BaseException | None], int]:
            at_server.clear()
            with wire(port, direction, number, end) as (between, wires):
                mine = await outcome(ask(between))
                assert await eventually(lambda: len(asyncio.all_tasks()) == 1)
                assert await eventually(lambda: wires and wires[0].over)
            # A server whose handshake was cut has told its log, and nobody else.
            return [mine, *(at_server or [ConnectionResetError()])], wires[0].passed[direction]

        async with serving(here, answer) as port:
            _, records = await converse(NO_CUT)
            before = Census.take()
            assert 4 < records < MOST
            failed = 0
            for number in range(records):
                outcomes, _ = await converse(number)
                judge(outcomes, cut=True)
                failed += any(outcomes)
                # Their tracebacks keep what they passed through.
                outcomes.clear()
            assert failed >= records - 2
            judge((await converse(NO_CUT))[0], cut=False)
            await eventually(lambda: not Census.take().grown_since(before, others=200))
            assert Census.take().grown_since(before, others=200) == {}

    run(main(), loop_factory)


async def outcome(coroutine: Any) -> BaseException | None:
    try:
        await coroutine
    except Exception as error:
        return error
    return None


@directions
def test_buffers(context_files: Files, version: ssl.TLSVersion, direction: int) -> None:
    """Over buffers an end is told by ``write_eof``."""
    server = server_context(OURS, context_files, verify=ssl.CERT_REQUIRED)
    client = client_context(OURS, context_files, certificate=True)
    for context in (server, client):
        context.minimum_version = context.maximum_version = version

    def converse(number: int) -> tuple[list[BaseException | None], int]:
        return Buffers(Pair(server, client), direction, number).run()

    converse(NO_CUT)
    before = Census.take()
    every_cut(converse)
    assert Census.take().grown_since(before, others=200) == {}


class Buffers:
    """Two ends over buffers, whose records are moved one at a time until it is cut."""

    def __init__(self, pair: Pair, direction: int, records: int) -> None:
        self._direction, self._left = direction, records
        self._passed = [0, 0]
        self._ended = [False, False]
        self._outcomes: dict[int, BaseException | None] = {}
        # By the number of their direction: what is written by a client and by a server.
        self._written = (ssl.MemoryBIO(), ssl.MemoryBIO())
        self._read = (ssl.MemoryBIO(), ssl.MemoryBIO())
        contexts: Any = pair.client.context, pair.server.context
        ends = (
            contexts[0].wrap_bio(self._read[1], self._written[0], server_hostname="localhost"),
            contexts[1].wrap_bio(self._read[0], self._written[1], server_side=True),
        )
        self._talks = [self._talk(ends[0], True), self._talk(ends[1], False)]

    def run(self) -> tuple[list[BaseException | None], int]:
        """Both outcomes, and how many records passed in the direction that is cut."""
        for _ in range(20 * MOST):
            for which, conversation in enumerate(self._talks):
                if which not in self._outcomes:
                    self._outcomes |= self._step(which, conversation)
                self._move(which)
            if len(self._outcomes) == 2:
                break
        return list(self._outcomes.values()), self._passed[self._direction]

    def _step(self, which: int, conversation: Any) -> dict[int, BaseException | None]:
        try:
            next(conversation)
        except StopIteration:
            return {which: None}
        except Exception as error:
            return {which: error}
        return {}

    def _move(self, which: int) -> None:
        while record := self._written[which].read(5):
            record += self._written[which].read(int.from_bytes(record[3:5], "big"))
            if which == self._direction and self._passed[which] == self._left:
                self._end()
            if not self._ended[which]:
                self._passed[which] += 1
                self._read[which].write(record)

    def _end(self) -> None:
        for which in (0, 1):
            if not self._ended[which]:
                self._ended[which] = True
                self._read[which].write_eof()

    @staticmethod
    def _talk(tls: Any, first: bool) -> Any:
        """The conversation of ``talk``, which yields where it has to wait."""

        def done(act: Callable[[], Any]) -> Any:
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    yield

        yield from done(tls.do_handshake)
        for turn in (first, not first):
            if turn:
                yield from done(lambda: tls.write(bytes(SIZE)))
            else:
                left = SIZE
                while left:
                    data = yield from done(lambda: tls.read(65536))
                    assert data, "a cut connection looks like an end in order"
                    left -= len(data)
        if not first:
            assert (yield from done(lambda: tls.read(1))) == b""
        yield from done(tls.unwrap)
