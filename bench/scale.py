"""What a fleet on one Redis costs, and what that Redis must hold for N clients: the tables of docs/scale.md.

``python -m bench.scale`` prints them from ``bench/scale-results.json``. With ``--measure`` it measures anew, beside a
redis-server that it starts on a Unix socket, and writes that file first; with ``--write`` the tables go into the page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import handfast
from bench.build import cpu, python_build
from bench.sides import NAME, Handfast, Pki, connect, handfast_configs
from handfast import limits

RESULTS = Path(__file__).parent / "scale-results.json"
PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
START, END = "<!-- scale: python -m bench.scale -->\n", "<!-- end of scale -->\n"

# What the table is computed for: clients that come back so often, each with one ticket at a time.
CLIENTS = (1_000, 10_000, 100_000, 1_000_000)
RETURN_SECONDS = 600

# When a whole site has restarted, all are back within this time, with full handshakes.
RUSH_SECONDS = 60
# How long Redis remembers a hello.
HELLO_SECONDS = 2 * limits.EARLY_DATA_TOLERANCE + 5 * limits.FLEET_CLOCK_SKEW

# Of each measured figure: what it is, and its unit.
FIGURES = {
    "full": ("full handshake with client certificate, server's CPU", "us"),
    "sealed": ("resumed with `tickets`, server's CPU", "us"),
    "stored": ("resumed with `stored_tickets`, server's CPU", "us"),
    "question": ("question to Redis, node's CPU, 100 at once", "us"),
    "latency": ("answer of Redis on this machine, one at a time, median", "us"),
    "keep_cpu": ("session kept, Redis's CPU", "us"),
    "redeem_cpu": ("session redeemed, Redis's CPU", "us"),
    "hello_cpu": ("hello judged, Redis's CPU", "us"),
    "state": ("session with a client's certificate, before it is sealed", "bytes"),
    "session_bytes": ("session in Redis, lists included", "bytes"),
    "hello_bytes": ("hello in Redis", "bytes"),
    "keys_bytes": ("all ticket keys in Redis", "bytes"),
}


# Measuring


class Server:
    """A redis-server on a Unix socket, empty at first."""

    def __init__(self, folder: Path) -> None:
        import redis

        program = shutil.which("redis-server") or sys.exit("handfast: error: redis-server is not installed")
        self.socket = folder / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self.process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=str(self.socket))

    def used(self) -> float:
        """Bytes of memory in use."""
        return float(self.client.info("memory")["used_memory"])

    def seconds(self) -> float:
        """CPU time that it has used."""
        used = self.client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextmanager
def redis_fleet() -> Iterator[tuple[Server, handfast.RedisFleet]]:
    """A Redis and a node that has it by itself."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            with handfast.RedisFleet(f"unix://{server.socket}", [bytes(32)], timeout=10.0) as fleet:
                fleet.wait(10.0) or sys.exit(f"handfast: error: {fleet.trouble}")
                yield server, fleet
        finally:
            server.process.terminate()
            server.process.wait()


def measure(rounds: int, sessions: int) -> dict[str, float]:
    """All figures. ``rounds`` handshakes of each kind, ``sessions`` sessions and hellos in Redis."""
    with redis_fleet() as (server, fleet):
        figures = {"keys_bytes": sum(server.client.memory_usage(key) for key in _ticket_keys(server, fleet))}
        figures |= handshakes(fleet, rounds)
        state = state_of_a_client(fleet)
        return figures | {"state": len(state)} | redis_costs(server, fleet, state, sessions)


def _ticket_keys(server: Server, fleet: handfast.RedisFleet) -> list[bytes]:
    """Names of keys as a week of rotation leaves them: those of today, as often as there are periods."""
    periods = round(limits.MAX_TICKET_LIFETIME / limits.TICKET_KEY_ROTATION) + 2
    [key, *_] = server.client.keys("*:ticket-key:*")
    return [key] * periods


def handshakes(fleet: handfast.RedisFleet, rounds: int) -> dict[str, float]:
    """A server's CPU for each kind of handshake with a client certificate, in turns; paths are remembered."""
    pki = Pki.create()
    try:
        client, server = handfast_configs(pki, mutual=True)
        kinds: dict[str, Any] = {"full": None, "sealed": fleet.tickets, "stored": fleet.stored_tickets}
        pairs = {}
        for name, tickets in kinds.items():
            ours = replace(client, sessions=None if tickets is None else handfast.SessionCache())
            theirs = server if tickets is None else replace(server, tickets=tickets, ticket_count=1)
            pairs[name] = (ours, theirs)
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for turn in range(rounds + 3):
            for name, (ours, theirs) in pairs.items():
                _, (_, seconds) = connect(_client(ours), _server(theirs))
                if turn >= 3:
                    times[name].append(seconds)
        return {name: 1e6 * statistics.median(found) for name, found in times.items()}
    finally:
        pki.close()


def _client(config: handfast.ClientConfig) -> Callable[[], Handfast]:
    return lambda: Handfast(handfast.ClientConnection(config, server_name=NAME))


def _server(config: handfast.ServerConfig) -> Callable[[], Handfast]:
    return lambda: Handfast(handfast.ServerConnection(config))


def state_of_a_client(fleet: handfast.RedisFleet) -> bytes:
    """What a server keeps of a session in which the client showed its certificate."""
    kept: list[bytes] = []

    class Noting:
        def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes) -> bytes:
            kept.append(state)
            return b"ticket"

        def redeem(self, ticket: bytes, policy: bytes) -> None:
            return None

    pki = Pki.create()
    try:
        client, server = handfast_configs(pki, mutual=True)
        ours = replace(client, sessions=handfast.SessionCache())
        connect(_client(ours), _server(replace(server, tickets=Noting(), ticket_count=1)))
    finally:
        pki.close()
    return kept[0]


def redis_costs(server: Server, fleet: handfast.RedisFleet, state: bytes, number: int) -> dict[str, float]:
    """What ``number`` sessions and hellos take of Redis and of a node, a hundred under way at once."""
    policy, store, guard = bytes(32), fleet.stored_tickets, fleet.replay_guard
    scope, waits = guard.scope, list[float]()
    figures: dict[str, float] = {}

    async def all_of(ask: Callable[[int], Any]) -> list[Any]:
        found: list[Any] = []
        for first in range(0, number, 100):
            found += await asyncio.gather(*[ask(one) for one in range(first, first + 100)])
        return found

    def run(name: str, ask: Callable[[int], Any]) -> list[Any]:
        before, began = server.seconds(), time.process_time()
        found = asyncio.run(all_of(ask))
        figures["question"] = 1e6 * (time.process_time() - began) / number
        figures[f"{name}_cpu"] = 1e6 * (server.seconds() - before) / number
        return found

    empty = server.used()
    tickets = run("keep", lambda one: store.issue(state, policy, 7200, b"client %d" % one))
    figures["session_bytes"] = (server.used() - empty) / number
    run("redeem", lambda one: store.redeem(tickets[one], policy))
    empty = server.used()
    run("hello", lambda one: guard.first_use(scope + b"%d" % one, 20))
    figures["hello_bytes"] = (server.used() - empty) / number
    for one in range(1000):
        began = time.perf_counter()
        guard.first_use(scope + b"once %d" % one, 20)
        waits.append(time.perf_counter() - began)
    figures["latency"] = 1e6 * statistics.median(waits)
    return figures


def about() -> dict[str, str]:
    """What was measured with."""
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
    return {
        "cpu": cpu(),
        "Python": f"{sys.version.split()[0]}, {python_build()}",
        "Redis": version.partition("v=")[2].split()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


# Telling


def tables(results: dict[str, Any]) -> str:
    """What was measured, and what it comes to for N clients, in Markdown."""
    figures = results["figures"]
    measured_with = "; ".join(f"{name} {value}" for name, value in results["about"].items())
    lines = [measured_with + ".", "", "| what | measured |", "|---|---:|"]
    lines += [f"| {words} | {figures[name]:,.0f} {unit} |" for name, (words, unit) in FIGURES.items()]
    return "\n".join([*lines, "", *_for_clients(figures)]) + "\n"


def _for_clients(figures: dict[str, float]) -> list[str]:
    head = "| " + " | ".join(["", *(f"{clients:,} clients" for clients in CLIENTS)]) + " |"
    rows: dict[str, Callable[[float], str]] = {
        "connections a second": _number,
        "cores of nodes, resumed with `tickets`": lambda rate: _number(rate * figures["sealed"] / 1e6),
        "... with `stored_tickets`": lambda rate: _number(rate * (figures["stored"] + 2 * figures["question"]) / 1e6),
        "... full handshakes": lambda rate: _number(rate * figures["full"] / 1e6),
        f"... all back within {RUSH_SECONDS} s, full handshakes": lambda rate: _number(
            rate * RETURN_SECONDS / RUSH_SECONDS * figures["full"] / 1e6
        ),
        "Redis holds with `tickets`": lambda rate: _bytes(figures["keys_bytes"]),
        "Redis holds with `stored_tickets`": lambda rate: _bytes(rate * RETURN_SECONDS * figures["session_bytes"]),
        "... and with early data in each connection, besides": lambda rate: _bytes(
            rate * HELLO_SECONDS * figures["hello_bytes"]
        ),
        "part of Redis's one core, sessions": lambda rate: _part(
            rate * (figures["keep_cpu"] + figures["redeem_cpu"]) / 1e6
        ),
        "... and hellos, besides": lambda rate: _part(rate * figures["hello_cpu"] / 1e6),
    }
    lines = [head, "|---|" + "---:|" * len(CLIENTS)]
    for words, compute in rows.items():
        lines.append(f"| {words} | " + " | ".join(compute(clients / RETURN_SECONDS) for clients in CLIENTS) + " |")
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _part(value: float) -> str:
    return f"{100 * value:.1f} %" if value >= 0.001 else "< 0.1 %"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}"


def with_tables(page: str, results: dict[str, Any]) -> str:
    """The page with the tables of these results."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + tables(results) + END + after


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure anew, and write bench/scale-results.json")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        results: dict[str, Any] = {"about": about(), "figures": measure(rounds=1000, sessions=100_000)}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    print(tables(results))
    if chosen.write:
        PAGE.write_text(with_tables(PAGE.read_text(), results))


if __name__ == "__main__":
    main()
