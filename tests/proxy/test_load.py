"""Many connections through a proxy that is reloaded meanwhile: each answer is its own, and nothing is left behind.

A few hundred of them here, and with ``make proxy-load`` as many as HANDFAST_PROXY_LOAD says, 50,000, where memory after
a fifth of them is compared with that at the end. What is measured is waited for, not met by chance: when no client is
there, all lines are in the log, and as many descriptors are open as before the first client.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.ports import own_port
from tests.proxy.program import Proxying, lines_of, metric, proxying, write_files
from tests.proxy.test_operation import listener, written
from tests.waiting import until

CONNECTIONS = int(os.environ.get("HANDFAST_PROXY_LOAD", "300"))
WHOLE = "HANDFAST_PROXY_LOAD" in os.environ
RELOADS = 20 if WHOLE else 5
CLIENTS, THREADS = 2, 8
HANDSHAKES = 'handfast_handshakes_total{version="TLS 1.3",resumed="false"}'
GENERATION = "handfast_reload_generation"
# Of the memory after a fifth of the connections, how much more there may be at the end. One that grows shows it after
# many; after fewer, lines that waited for a slow disk may weigh as much.
GROWTH = 0.02 if CONNECTIONS >= 50_000 else 0.05
# asyncio reads into 256 KiB at a time. Where glibc's malloc puts these, and when it gives them back, changes with what
# it was asked for before, which moves a process's memory by some MiB up and down. So they are pages of their own here.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536"}


class QuickBackend:
    """A backend that costs little, in a thread of its own. ``at`` is its address."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        serving = asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1024)
        self._server = self._loop.run_until_complete(serving)
        self._open: set[asyncio.StreamWriter] = set()
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.at = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = b"app " + head.split(b" ", 2)[1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """End the connections that are kept for the next request."""
        for writer in tuple(self._open):
            self._loop.call_soon_threadsafe(writer.close)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def load(folder: Path, port: int, first: int, number: int) -> list[subprocess.Popen[str]]:
    """Clients that make so many connections, each a part of them."""
    part = -(-number // CLIENTS)
    found = []
    for client in range(CLIENTS):
        mine = min(part, number - client * part)
        arguments = [folder, port, first + client * part, mine, THREADS]
        command = [sys.executable, "-m", "tests.proxy.load_client", *map(str, arguments)]
        found.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]))
    return found


def outcome(clients: list[subprocess.Popen[str]]) -> tuple[int, list[str]]:
    """How many answers there were, and what was wrong with some."""
    told = [json.loads(client.communicate()[0]) for client in clients]
    return sum(one["done"] for one in told), [wrong for one in told for wrong in one["failed"]]


def memory(pid: int) -> int:
    """KiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled(proxy: Proxying, admin: int, app: QuickBackend, log: Path, lines: int, most: int) -> int:
    """KiB that it holds when no client is there, ``lines`` are logged, and ``most`` descriptors are open."""
    assert until(lambda: metric(admin, "handfast_connections_open") == 0)
    assert until(lambda: log.read_bytes().count(b"\n") >= lines)
    # Connections to the backend are kept for the next request.
    app.hang_up()
    assert until(lambda: descriptors(proxy.process.pid) <= most), f"more than {most} descriptors are open"
    return memory(proxy.process.pid)


def part(folder: Path, proxy: Proxying, app: QuickBackend, admin: int, first: int, number: int, reloads: int) -> None:
    """So many connections, from this one on, and so many reloads meanwhile."""
    clients = load(folder, proxy.ports[0], first, number)
    generation = metric(admin, GENERATION)
    for turn in range(reloads):
        assert until(partial(_reached, admin, HANDSHAKES, first + number * turn // (reloads + 1)))
        written(folder, _top(admin), listener("app", more=f"# {first} {turn}"), app=app.at)
        proxy.signals(signal.SIGHUP)
        generation += 1
        assert until(partial(_reached, admin, GENERATION, generation))
    assert outcome(clients) == (number, [])


def _reached(admin: int, name: str, enough: float) -> bool:
    return metric(admin, name) >= enough


def _top(admin: int) -> str:
    return f'access_log = "access.log"\n[admin]\nlisten = "127.0.0.1:{admin}"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_many_connections_and_reloads(folder, capsys):
    with own_port() as admin, closing(QuickBackend()) as app:
        path = written(folder, _top(admin), listener("app"), app=app.at)
        with proxying("--config", path, stderr=subprocess.DEVNULL, env=MALLOC) as proxy:
            fifth, log = CONNECTIONS // 5, folder / "access.log"
            idle = descriptors(proxy.process.pid)
            part(folder, proxy, app, admin, 0, fifth, RELOADS // 5)
            # A line for each request, and one for each connection.
            before = settled(proxy, admin, app, log, 2 * fifth, idle)
            part(folder, proxy, app, admin, fifth, CONNECTIONS - fifth, RELOADS - RELOADS // 5)
            after = settled(proxy, admin, app, log, 2 * CONNECTIONS, idle)
            assert metric(admin, 'handfast_requests_total{listener="127.0.0.1:0",status="2xx"}') == CONNECTIONS
            assert proxy.ends().status == 0
        targets = {entry.get("target") for entry in lines_of(log)}
        assert {f"/{number}" for number in range(CONNECTIONS)} <= targets
    if WHOLE:
        with capsys.disabled():
            what = f"{CONNECTIONS} connections and {RELOADS} reloads"
            print(f"\n{what}; KiB after a fifth and at the end: {before}, {after}; descriptors: {idle}")
        assert after <= before * (1 + GROWTH)
