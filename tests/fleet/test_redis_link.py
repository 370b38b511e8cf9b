"""A Redis that is slow, paused, gone or odd: nothing waits for it, and handshakes go on as full ones."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import aio, limits
from handfast.fleet import redis_link
from tests.fleet.support import (
    NEVER,
    OFTEN,
    QUESTION,
    Redis,
    client_config,
    early_flight,
    fleet,
    meet,
    replayed,
    server_config,
)
from tests.peers.base import require_module
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handfast import RedisFleet, ServerConfig

STATE, POLICY, LIFETIME = b"what the session is", bytes(range(32)), 100
SOON = 0.05
"""Seconds for an answer, in tests that let it pass."""


def stored(node: RedisFleet) -> ServerConfig:
    return server_config(node, tickets=node.stored_tickets)


def test_a_paused_redis_costs_one_timeout_and_then_nothing(redis: Redis, often: None) -> None:
    with fleet(redis, timeout=SOON) as node:
        clients = [client_config() for _ in range(3)]
        sealed_flights = []
        for client in clients:
            meet(client, server_config(node))
            sealed_flights.append(early_flight(client, server_config(node)))
            meet(client, stored(node))
        redis.pause()
        try:
            # One that is asked while it is paused; from then on none is asked.
            assert not meet(clients[0], stored(node)).resumed
            assert until(lambda: node.trouble)
            for client in clients:
                pair = meet(client, stored(node), QUESTION)
                assert not pair.resumed
            assert node.trouble == "it does not answer"
            assert node.replay_guard.scope == b""
        finally:
            redis.go_on()
        assert node.wait(LIMIT)
        # What was asked and not answered may have been done since: nothing is accepted a second time.
        assert all(replayed(flight, server_config(node)).startswith("rejected: ") for flight in sealed_flights)
        assert [meet(clients[0], stored(node)).resumed for _ in range(2)] == [False, True]


def test_a_redis_that_pauses_its_clients(redis: Redis, often: None) -> None:
    with fleet(redis, timeout=SOON) as node:
        ticket: Any = node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"")
        redis.client.execute_command("CLIENT", "PAUSE", 3_600_000, "ALL")
        assert node.stored_tickets.redeem(ticket, POLICY) is None
        assert until(lambda: node.trouble)
    redis.restart()


def test_a_redis_that_is_not_there_yet(tmp_path: Path, often: None) -> None:
    """A node begins without it, and uses it as soon as it comes."""
    with fleet(f"unix://{tmp_path}/redis.sock", ready=False) as node:
        assert until(lambda: node.trouble)
        assert not node.wait(0.0)
        client = client_config()
        assert [meet(client, server_config(node)).resumed for _ in range(2)] == [False, False]
        assert [meet(client, stored(node)).resumed for _ in range(2)] == [False, False]
        with Redis(tmp_path):
            assert node.wait(LIMIT)
            assert node.trouble == ""
            assert [meet(client, stored(node)).resumed for _ in range(2)] == [False, True]


def test_one_line_when_it_goes_and_one_when_it_is_back(
    tmp_path: Path, often: None, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis(tmp_path) as redis, fleet(redis) as node:
        for _ in range(2):
            redis.kill()
            assert until(lambda: not node.wait(0.0))
            assert until(lambda: "No such file" in node.trouble or "refused" in node.trouble)
            redis.start()
            assert node.wait(LIMIT)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("is used again" in line for line in lines) == 2
    told: list[str] = []
    for line in lines:
        # The connection's end, a socket that refuses, none: whichever of them are met, each is told once.
        assert line not in told
        told = [] if "is used again" in line else [*told, line]


class Raising(logging.Handler):
    """Of a program: it raises for every line."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


def test_a_handler_of_the_log_that_raises_costs_nothing_else(tmp_path: Path, often: None) -> None:
    handler = Raising()
    logging.getLogger("handfast").addHandler(handler)
    try:
        with Redis(tmp_path) as redis, fleet(redis) as node:
            redis.kill()
            assert until(lambda: node.trouble)
            redis.start()
            assert node.wait(LIMIT)
            redis.client.config_set("maxmemory", "1")
            assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
            redis.client.config_set("maxmemory", "0")
            assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"")
    finally:
        logging.getLogger("handfast").removeHandler(handler)


def test_what_is_no_redis(often: None) -> None:
    require_module("redis")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def answer() -> None:
            while not stop.is_set():
                with suppress(OSError), listener.accept()[0] as peer:
                    peer.recv(1000)
                    peer.sendall(b"HTTP/1.1 400 \x1b[2J\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with fleet(f"redis://127.0.0.1:{listener.getsockname()[1]}", ready=False) as node:
            assert until(lambda: node.trouble)
            assert "\x1b" not in node.trouble
            stop.set()
            socket.create_connection(listener.getsockname()).close()
        thread.join(LIMIT)


def test_many_questions_at_once_are_few_round_trips(redis: Redis) -> None:
    with fleet(redis) as node, ThreadPoolExecutor(64) as threads:
        before = redis.client.info("stats")["total_reads_processed"]
        scope = node.replay_guard.scope

        async def ask_all() -> list[bool]:
            # All but the first few wait until it answers those.
            redis.pause()
            asked: Any = [node.replay_guard.first_use(scope + b"%d" % number, 20) for number in range(1000)]
            redis.go_on()
            return list(await asyncio.gather(*asked))

        assert asyncio.run(ask_all()) == [True] * 1000
        assert redis.client.info("stats")["total_reads_processed"] - before < 500
        found = list(threads.map(lambda number: node.replay_guard.first_use(scope + b"%d" % number, 20), range(1500)))
        assert found == [False] * 1000 + [True] * 500


def test_only_so_many_questions_wait(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FLEET_PENDING", 3)
    monkeypatch.setattr(limits, "FLEET_BATCH", 1)
    with fleet(redis) as node:
        scope = node.replay_guard.scope
        redis.pause()

        async def ask_all() -> list[bool]:
            first: Any = node.replay_guard.first_use(scope + b"first", 20)
            link = node._link
            assert link is not None
            # It is under way, and three wait behind it.
            assert await asyncio.to_thread(until, lambda: not link._waiting)
            asked: Any = [node.replay_guard.first_use(scope + b"%d" % number, 20) for number in range(5)]
            assert asked[3:] == [False, False]
            redis.go_on()
            return list(await asyncio.gather(first, *asked[:3]))

        try:
            assert asyncio.run(ask_all()) == [True] * 4
        finally:
            redis.go_on()


def test_a_question_that_has_waited_for_too_long_is_not_put(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FLEET_BATCH", 1)
    with fleet(redis) as node:
        scope, link = node.replay_guard.scope, node._link
        assert link is not None
        redis.pause()

        async def ask_both() -> list[bool]:
            first: Any = node.replay_guard.first_use(scope + b"first", 20)
            assert await asyncio.to_thread(until, lambda: not link._waiting)
            second: Any = node.replay_guard.first_use(scope + b"second", 20)
            monkeypatch.setattr(redis_link, "monotonic", lambda: monotonic() + LIMIT + 1)
            redis.go_on()
            return list(await asyncio.gather(first, second))

        try:
            assert asyncio.run(ask_both()) == [True, False]
        finally:
            redis.go_on()
        assert node.wait(0.0)
        assert node.replay_guard.first_use(scope + b"second", 20) is True


def test_a_paused_redis_holds_no_event_loop(redis: Redis) -> None:
    """A client whose session is looked for waits; others of the same loop do not."""
    with fleet(redis) as node:
        client = client_config()
        assert not meet(client, stored(node)).resumed

        other_config = server_config(node, tickets=None, max_early_data=0, ticket_count=limits.TICKETS_PER_CONNECTION)

        async def main() -> tuple[bool, bool]:
            waiting = await aio.start_server(answer, "127.0.0.1", 0, stored(node))
            other = await aio.start_server(answer, "127.0.0.1", 0, other_config)
            redis.pause()
            resuming = asyncio.create_task(ask(waiting, client))
            link = node._link
            assert link is not None
            assert not await ask(other, client_config())
            redis.go_on()
            resumed = await resuming
            for server in (waiting, other):
                server.close()
                await server.wait_closed()
            return resumed, bool(node.trouble)

        async def ask(server: asyncio.Server, config: handfast.ClientConfig) -> bool:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            told = await reader.read()
            writer.close()
            return told == b"resumed"

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            info = handfast.info(writer)
            writer.write(b"resumed" if info.resumed else b"full")
            writer.close()

        try:
            assert asyncio.run(main()) == (True, False)
        finally:
            redis.go_on()


def test_a_blocking_server_in_the_thread_of_a_loop_does_without(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot await: handshakes are full ones, without early data, and the log says what to do."""
    with fleet(redis) as node:
        for config, said in ((stored(node), ["Issue", "Redeem"]), (server_config(node), ["CheckReplay"])):
            with handfast.listen("127.0.0.1", 0, config) as listener, ThreadPoolExecutor(1) as threads:
                client = client_config()

                def visit(*, config: handfast.ClientConfig = client, port: int = listener.address[1]) -> str:
                    with handfast.connect(
                        "127.0.0.1", port, config, server_name="localhost", early_data=QUESTION, timeout=LIMIT
                    ) as tls:
                        assert tls.recv(10) == b"hello"
                        return tls.info.early_data

                def serve(*, listener: handfast.Listener = listener) -> None:
                    with listener.accept() as tls:
                        tls.sendall(b"hello")

                async def serve_in_a_loop(serve: Callable[[], None] = serve) -> None:
                    serve()

                # The first leaves the client a session, without a loop.
                visits = threads.submit(visit)
                serve()
                visits.result(LIMIT)
                visits = threads.submit(visit)
                asyncio.run(serve_in_a_loop())
                assert visits.result(LIMIT).startswith("rejected: ")
            for need in said:
                words = f"{need} returned an awaitable, and this side cannot await; use handfast.aio, or a signer"
                assert words in caplog.text


def test_who_cancels_a_question_is_not_waited_for(redis: Redis) -> None:
    with fleet(redis) as node:
        redis.pause()

        async def ask_and_cancel() -> None:
            asked: Any = node.replay_guard.first_use(node.replay_guard.scope + b"a", 20)
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled()

        asyncio.run(ask_and_cancel())
        redis.go_on()
        assert node.replay_guard.first_use(node.replay_guard.scope + b"b", 20) is True


def test_a_closed_fleet_shares_nothing_more(redis: Redis) -> None:
    node = fleet(redis)
    ticket: Any = node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"")
    sealed = node.tickets.issue(STATE, POLICY, LIFETIME)
    assert sealed is not None
    scope = node.replay_guard.scope
    node.close()
    node.close()
    assert node.tickets.issue(STATE, POLICY, LIFETIME) is None
    assert node.tickets.redeem(sealed, POLICY) is None
    assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
    assert node.stored_tickets.redeem(ticket, POLICY) is None
    assert node.replay_guard.first_use(scope + b"a", 20) is False
    assert node.replay_guard.scope == b""
    assert not node.wait(0.0)
    assert node.trouble == "it is closed"


@pytest.fixture
def on_signal() -> Iterator[list[Callable[[], object]]]:
    """What a signal's handler calls, which ``signal.raise_signal`` brings in the middle of what the thread does."""
    calls: list[Callable[[], object]] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: [call() for call in calls])
    yield calls
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_s_handler_closes_it_in_the_middle_of_a_question(
    redis: Redis, on_signal: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet(redis) as node:
        link = node._link
        assert link is not None
        on_signal.append(node.close)
        wake = link._loop.call_soon_threadsafe

        def interrupted(*arguments: Any) -> Any:
            monkeypatch.setattr(link._loop, "call_soon_threadsafe", wake)
            signal.raise_signal(signal.SIGUSR1)
            return wake(*arguments)

        monkeypatch.setattr(link._loop, "call_soon_threadsafe", interrupted)
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
        assert node.trouble == "it is closed"
        assert not link._thread.is_alive()


def test_a_signal_s_handler_closes_it_in_the_middle_of_its_start(
    redis: Redis, on_signal: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        node = fleet(redis, ready=False)
    on_signal.append(node.close)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        start(thread)
        started.append(thread)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
    assert node.trouble == "it is closed"
    assert [thread.is_alive() for thread in started] == [False]


def test_what_waits_when_it_is_closed_is_answered(redis: Redis) -> None:
    node = fleet(redis)
    redis.pause()
    try:

        async def ask() -> list[Any]:
            asked: Any = [node.replay_guard.first_use(node.replay_guard.scope + b"%d" % one, 20) for one in range(200)]
            await asyncio.to_thread(node.close)
            return list(await asyncio.gather(*asked))

        assert asyncio.run(ask()) == [False] * 200
    finally:
        node.close()
        redis.go_on()


def test_who_waits_for_redis_is_told_when_the_fleet_is_closed(tmp_path: Path) -> None:
    node = fleet(f"unix://{tmp_path}/nothing.sock", ready=False)
    link = node._link
    assert link is not None
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(one.wait, 2 * LIMIT) for one in (node, link)]
        node.close()
        # As if it had asked for the link just before.
        waiting.append(pool.submit(link.wait, 2 * LIMIT))
        assert [one.result(LIMIT) for one in waiting] == [False, False, False]


def test_no_room_for_a_thread_is_a_redis_that_is_away(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        node = fleet(redis, ready=False)
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"") is None
    with node:
        assert node.wait(LIMIT)
        assert node.stored_tickets.issue(STATE, POLICY, LIFETIME, b"")


def test_the_pause_between_attempts_grows_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    enough = threading.Event()
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            enough.set()
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    with fleet(f"unix://{tmp_path}/nothing.sock", ready=False):
        assert enough.wait(LIMIT)
    assert pauses[:3] == [limits.RECONNECT_FIRST, 2 * limits.RECONNECT_FIRST, 4 * limits.RECONNECT_FIRST]
    assert pauses[11] == limits.FLEET_PAUSE == 10.0


def test_a_redis_that_never_finishes_its_greeting_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FLEET_CONNECT_TIMEOUT", SOON)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rediss://localhost:{listener.getsockname()[1]}"
        with fleet(url, ready=False) as node:
            assert until(lambda: node.trouble == "it does not answer")


def test_a_node_looks_every_two_seconds() -> None:
    assert (limits.FLEET_BEAT, OFTEN < 1 < NEVER) == (2.0, True)
    assert limits.FLEET_TIMEOUT == 0.5
