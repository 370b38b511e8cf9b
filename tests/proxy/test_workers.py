"""A proxy of several processes: what they share, and what the death of one costs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handfast import limits
from handfast.proxy.operation.channel import Channel, pair
from handfast.proxy.operation.plan import Operation, Plan
from handfast.proxy.operation.workers import Workers, orders
from handfast.proxy.settings import Backend, Listener, Mode, Service
from handfast.proxy.watching.metrics import Key
from tests.fleet.conftest import redis, shared_redis
from tests.proxy.program import asked, backend, client_context, get, lines_of, metric, proxying, write_files
from tests.proxy.test_operation import free_port, listener, written
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.aio.conftest import Runner

__all__ = ["free_port", "redis", "shared_redis"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def top(admin: int, workers: int = 2) -> str:
    return f'workers = {workers}\naccess_log = "access.log"\n[admin]\nlisten = "127.0.0.1:{admin}"'


def test_workers_serve_and_their_numbers_are_added_up(folder, free_port):
    admin = free_port()
    with backend() as app:
        path = written(folder, top(admin), listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            assert len(children(proxy.process.pid)) == 2
            for number in range(20):
                assert get(folder, proxy.ports[0], f"/{number}") == f"app /{number}"
            assert until(lambda: metric(admin, "handfast_connections_open") == 0)
            assert metric(admin, "handfast_workers") == 2
            assert metric(admin, 'handfast_handshakes_total{version="TLS 1.3",resumed="false"}') == 20
            assert asked(admin, "/health") == (200, "ok\n")
            assert proxy.ends().status == 0
        targets = sorted(entry["target"] for entry in lines_of(folder / "access.log") if entry["event"] == "request")
        assert targets == sorted(f"/{number}" for number in range(20))


def test_the_death_of_one_costs_its_own_connections(folder, free_port):
    admin = free_port()
    with backend() as app:
        path = written(folder, top(admin), listener("app", more='mode = "tcp"'), app=app.at)
        with proxying("--config", path) as proxy:
            context, port = client_context(folder), proxy.ports[0]
            clients = [_connected(context, port) for _ in range(16)]
            workers = children(proxy.process.pid)
            os.kill(workers[0], signal.SIGKILL)
            proxy.hears(f"worker {workers[0]} ended by signal 9, and is started again")
            alive = [client for client in clients if _answers(client)]
            owners = _owners(workers[1], port)
            assert len(alive) == owners
            # Who comes now is served, also while there is one only.
            assert get(folder, port) == "app /"
            assert until(lambda: metric(admin, "handfast_workers") == 2)
            assert metric(admin, "handfast_worker_restarts_total") == 1
            for client in clients:
                client.close()
            assert until(lambda: metric(admin, "handfast_connections_open") == 0)
            assert proxy.ends().status == 0


def _connected(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    client = context.wrap_socket(socket.create_connection(("127.0.0.1", port), LIMIT), server_hostname="localhost")
    assert _answers(client)
    return client


def _answers(client: ssl.SSLSocket) -> bool:
    """Whether a whole answer comes, in however many pieces."""
    answer = b""
    try:
        client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        while not answer.endswith(b"\r\n\r\napp /x"):
            piece = client.recv(1000)
            if not piece:
                return False
            answer += piece
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200")


def _owners(pid: int, port: int) -> int:
    """How many connections to a port a process has accepted."""
    mine = {os.readlink(entry)[8:-1] for entry in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(entry)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" and row[9] in mine for row in rows)


def _is_socket(entry: Path) -> bool:
    try:
        return os.readlink(entry).startswith("socket:[")
    except OSError:
        return False


def test_a_session_is_resumed_by_another_worker(folder, free_port):
    admin = free_port()
    with backend() as app:
        path = written(folder, top(admin), listener("app", more='mode = "tcp"\nresume = true'), app=app.at)
        with proxying("--config", path) as proxy:
            context, port = client_context(folder), proxy.ports[0]
            first = _connected(context, port)
            session = first.session
            reused = []
            for _ in range(8):
                sock = socket.create_connection(("127.0.0.1", port), LIMIT)
                with context.wrap_socket(sock, server_hostname="localhost", session=session) as client:
                    assert _answers(client)
                    reused.append(client.session_reused)
            assert reused == [True] * 8
            # With the one that gave the ticket gone, it is another one's for certain.
            for worker in children(proxy.process.pid):
                before = set(children(proxy.process.pid))
                os.kill(worker, signal.SIGKILL)
                assert until(partial(_is_followed, proxy.process.pid, before))
            assert until(lambda: metric(admin, "handfast_workers") == 2)
            sock = socket.create_connection(("127.0.0.1", port), LIMIT)
            with context.wrap_socket(sock, server_hostname="localhost", session=session) as client:
                assert _answers(client)
                assert client.session_reused
            first.close()


def test_a_session_is_resumed_by_another_proxy(folder, redis):
    (folder / "fleet.key").write_text(os.urandom(32).hex() + "\n")
    with backend() as app:
        head = f'workers = 2\n[redis]\nurl = "{redis.url}"\nkey = "fleet.key"'
        path = written(folder, head, listener("app", more='mode = "tcp"'), app=app.at)
        ours = ("--cert", folder / "server.pem", "--key", folder / "server.key", "--client-ca", folder / "ca.pem")
        shared = ("--redis", redis.url, "--redis-key", folder / "fleet.key")
        ends = ("--from", "127.0.0.1:0", "--to", f"tcp://{app.at}")
        with proxying("--config", path) as one, proxying(*ours, *shared, *ends) as other:
            context = client_context(folder)
            first = _connected(context, one.ports[0])
            for port in (other.ports[0], one.ports[0]):
                assert _resumes(context, port, first.session)
            # A reload keeps the fleet.
            one.signals(signal.SIGHUP)
            assert _resumes(context, one.ports[0], first.session)
            first.close()
            assert one.ends().status == other.ends().status == 0


def _resumes(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> bool:
    sock = socket.create_connection(("127.0.0.1", port), LIMIT)
    with context.wrap_socket(sock, server_hostname="localhost", session=session) as client:
        assert _answers(client)
        return bool(client.session_reused)


def _is_refused(folder: Path, port: int) -> bool:
    try:
        get(folder, port)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _is_followed(pid: int, before: set[int]) -> bool:
    """Whether a process has a child that it did not have."""
    return bool(set(children(pid)) - before)


def test_a_reload_reaches_all_workers(folder, free_port):
    one, other = free_port(), free_port()
    admin = free_port()
    with backend("first") as first, backend("second") as second:
        path = written(folder, top(admin), listener("a", one), a=first.at, b=second.at)
        with proxying("--config", path) as proxy:
            assert get(folder, one) == "first /"
            written(folder, top(admin), listener("b", one), listener("b", other), a=first.at, b=second.at)
            proxy.signals(signal.SIGHUP)
            assert until(lambda: metric(admin, "handfast_reload_generation") == 2)
            assert {get(folder, port) for port in (one, other) for _ in range(8)} == {"second /"}
            path.write_text(path.read_text() + "x = ")
            proxy.signals(signal.SIGHUP)
            assert "this is no TOML" in proxy.hears("not reloaded")
            written(folder, top(admin), listener("b", other), a=first.at, b=second.at)
            proxy.signals(signal.SIGHUP)
            assert until(lambda: metric(admin, "handfast_reload_generation") == 3)
            assert until(lambda: _is_refused(folder, one))
            assert get(folder, other) == "second /"
            assert proxy.ends().status == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_second_signal_ends_workers_at_once(folder, free_port, number, status):
    with backend() as app:
        head = "grace = 1000\n" + top(free_port())
        path = written(folder, head, listener("app", more='mode = "tcp"'), app=app.at)
        with proxying("--config", path) as proxy:
            client = _connected(client_context(folder), proxy.ports[0])
            workers = children(proxy.process.pid)
            proxy.signals(number)
            proxy.hears("ending: 1 connection may take 1000 s")
            proxy.signals(number)
            assert proxy.ends(None).status == (status or 1)
            assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
            client.close()


def test_workers_end_with_their_parent(folder, free_port):
    with backend() as app:
        path = written(folder, top(free_port()), listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            workers = children(proxy.process.pid)
            proxy.process.kill()
            assert until(lambda: not any(_runs(worker) for worker in workers))


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_workers_of_options(folder):
    with backend() as app:
        ours = ("--cert", folder / "server.pem", "--key", folder / "server.key", "--client-ca", folder / "ca.pem")
        with proxying(*ours, "--from", "127.0.0.1:0", "--to", f"http://{app.at}", "--workers", 2) as proxy:
            assert get(folder, proxy.ports[0], "/x") == "app /x"
            proxy.signals(signal.SIGHUP)
            assert get(folder, proxy.ports[0], "/y") == "app /y"
            assert proxy.ends().status == 0


def test_a_capture_is_taken_by_one_worker(folder, free_port):
    admin, captures = free_port(), folder / "captures"
    captures.mkdir()
    with backend() as app:
        path = written(folder, top(admin) + '\ncaptures = "captures"', listener("app"), app=app.at)
        with proxying("--config", path) as proxy:
            assert asked(admin, "/capture?client=127.0.0.1&to=one", "POST")[0] == 202
            assert get(folder, proxy.ports[0]) == "app /"
            assert until(lambda: list(captures.iterdir()))
            assert asked(admin, "/capture?client=127.0.0.1&to=two", "POST")[0] == 202
            assert get(folder, proxy.ports[0]) == "app /"
            assert until(lambda: len(list(captures.iterdir())) == 2)
            assert proxy.ends().status == 0


# The parent alone


def plan() -> Plan:
    there = Listener(("127.0.0.1", 0), Service(Backend(("127.0.0.1", 1)), Mode.TCP))
    return Plan((there,), operation=Operation(workers=2))


@pytest.mark.parametrize("command", [["/bin/false"], ["/bin/sleep", "1000"]])
def test_workers_that_do_not_come_up(monkeypatch, command):
    monkeypatch.setattr(limits, "PROXY_WORKER_START", 0.01 if "sleep" in command[0] else LIMIT)

    async def main() -> None:
        workers = Workers(plan(), command)
        with pytest.raises(Exception, match="a worker failed"):
            await workers.start()
        await workers.close()

    asyncio.run(main())


# A worker that says that it serves, and then does something else.
WORKER = """
import json, os, socket, sys, zlib
channel = socket.socket(fileno=json.loads(os.environ["HANDFAST_PROXY_WORKER"])["channel"])
message = json.loads(zlib.decompress(channel.recv(65536)))
channel.send(zlib.compress(json.dumps({{"did": "serve", "number": message["number"]}}).encode()))
{}
"""


def test_a_worker_that_does_not_answer_keeps_the_old_plan(monkeypatch):
    monkeypatch.setattr(limits, "PROXY_WORKER_ANSWER", 0.01)

    async def main() -> None:
        workers = Workers(plan(), [sys.executable, "-c", WORKER.format("while channel.recv(65536): pass")])
        await workers.start()
        before = workers.plan
        with pytest.raises(Exception, match="did not answer in time"):
            await workers.apply(plan())
        assert workers.plan is before
        await workers.numbers()
        workers.abort()
        await workers.close()

    asyncio.run(main())


def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(monkeypatch):
    monkeypatch.setattr(limits, "PROXY_WORKER_FIRST_PAUSE", 1000.0)
    started: list[float] = []

    async def main() -> None:
        workers = Workers(plan(), [sys.executable, "-c", WORKER.format("sys.exit(3)")])
        original = workers._start_one

        async def counted() -> None:
            started.append(0.0)
            await original()

        workers._start_one = counted  # type: ignore[method-assign]
        await workers.start()
        async with asyncio.timeout(LIMIT):
            while workers._deaths < 2:
                await asyncio.sleep(0)
        # Two began, one followed at once, and the next waits.
        assert len(started) <= 4
        # An end does not wait for that.
        await workers.close()

    asyncio.run(main())
    assert limits.PROXY_WORKER_PAUSE > 1


@pytest.mark.parametrize("value", ["", "x", "{}", "[]", '{"channel": 987654, "names": {}}'])
def test_a_variable_that_is_no_order_is_none(monkeypatch, value):
    monkeypatch.setenv("HANDFAST_PROXY_WORKER", value)
    assert orders() is None
    assert "HANDFAST_PROXY_WORKER" not in os.environ


# The channel


def test_messages_keep_their_bounds_and_sockets_go_along(run: Runner) -> None:
    async def main() -> None:
        ours, theirs = pair()
        heard: list[tuple[dict[str, Any], list[socket.socket]]] = []
        over, got = asyncio.Event(), asyncio.Event()

        def hear(message: dict[str, Any], sockets: list[socket.socket]) -> None:
            heard.append((message, sockets))
            if len(heard) == 300:
                got.set()

        one = Channel(ours, lambda _message, _sockets: None, lambda: None)
        other = Channel(theirs, hear, over.set)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            one.send({"number": 0}, [sock])
            # More than the kernel holds.
            for number in range(1, 300):
                one.send({"number": number, "text": os.urandom(10_000).hex()})
            await asyncio.wait_for(got.wait(), LIMIT)
            assert [message["number"] for message, _ in heard] == list(range(300))
            (handed,) = heard[0][1]
            assert handed.getsockname() == sock.getsockname()
            handed.close()
        one.close()
        await asyncio.wait_for(over.wait(), LIMIT)
        other.close()

    run(main())


def test_the_numbers_of_the_largest_proxy_fit(run: Runner) -> None:
    import json

    names = [f"handfast_connections_total{number}" for number in range(50)]
    numbers = {
        Key(name, (("listener", f"192.0.2.1:{port}"), ("code", "x"))): 1.5
        for name in names
        for port in range(limits.PROXY_LISTENERS)
    }

    async def main() -> None:
        ours, theirs = pair()
        heard: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        one = Channel(ours, lambda _message, _sockets: None, lambda: None)
        other = Channel(theirs, lambda message, _sockets: heard.set_result(message), lambda: None)
        message = {"numbers": [[key.name, key.labels, value] for key, value in numbers.items()]}
        assert len(json.dumps(message)) > limits.PROXY_CHANNEL_MESSAGE / 2
        one.send(message)
        assert len((await asyncio.wait_for(heard, LIMIT))["numbers"]) == len(numbers)
        one.close()
        other.close()

    run(main())
