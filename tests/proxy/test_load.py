"""Many connections through a proxy that is reloaded meanwhile: each answer is its own, and nothing is left behind.

A few hundred of them here, and with ``make proxy-load`` as many as HANDFAST_PROXY_LOAD says, 50,000, where memory and
descriptors after a fifth of them are compared with those at the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
# Of what is there after a fifth of the connections, how much more may be there at the end.
GROWTH = 0.02


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = b"app " + head.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@contextmanager
def quick_backend() -> Iterator[str]:
    """A backend that costs little; its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1024))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        gc.collect()


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


def held(pid: int) -> tuple[int, int]:
    """KiB of memory, and descriptors, of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


def settled(proxy: Proxying, admin: int) -> tuple[int, int]:
    """What it holds when no client is there."""
    assert until(lambda: metric(admin, "handfast_connections_open") == 0)
    return held(proxy.process.pid)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_many_connections_and_reloads(folder, capsys):
    started = time.monotonic()
    with own_port() as admin, quick_backend() as app:
        top = f'access_log = "access.log"\n[admin]\nlisten = "127.0.0.1:{admin}"'
        path = written(folder, top, listener("app"), app=app)
        with proxying("--config", path, stderr=subprocess.DEVNULL) as proxy:
            port, fifth = proxy.ports[0], CONNECTIONS // 5
            done, failed = outcome(load(folder, port, 0, fifth))
            assert (done, failed) == (fifth, [])
            before = settled(proxy, admin)
            clients = load(folder, port, fifth, CONNECTIONS - fifth)
            for turn in range(RELOADS):
                enough = fifth + (CONNECTIONS - fifth) * turn // (RELOADS + 1)
                name = 'handfast_handshakes_total{version="TLS 1.3",resumed="false"}'
                assert until(partial(_reached, admin, name, enough))
                written(folder, top, listener("app", more=f"# {turn}"), app=app)
                proxy.signals(signal.SIGHUP)
                assert until(partial(_reached, admin, "handfast_reload_generation", turn + 2))
            assert outcome(clients) == (CONNECTIONS - fifth, [])
            after = settled(proxy, admin)
            assert metric(admin, 'handfast_requests_total{listener="127.0.0.1:0",status="2xx"}') == CONNECTIONS
            assert proxy.ends().status == 0
        targets = {entry.get("target") for entry in lines_of(folder / "access.log")}
        assert {f"/{number}" for number in range(CONNECTIONS)} <= targets
    if WHOLE:
        with capsys.disabled():
            seconds = time.monotonic() - started
            what = f"{CONNECTIONS} connections and {RELOADS} reloads in {seconds:.0f} s"
            print(f"\n{what}; KiB and descriptors after a fifth and at the end:", before, after)
        assert after[0] <= before[0] * (1 + GROWTH)
    assert after[1] <= before[1] * (1 + GROWTH)


def _reached(admin: int, name: str, enough: int) -> bool:
    return metric(admin, name) >= enough
