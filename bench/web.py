"""`make bench-web`: what a request costs uvicorn behind each of its doors, and what an idle connection keeps.

The doors are plaintext, Python's ssl, ``handfast.SSLContext`` as ``ssl=``, and our own transport, also with the
provider aws-lc where that is installed, each on asyncio and on uvloop and with either of uvicorn's parsers; every
server is a process of its own (`bench.web_server`). One client, a blocking socket of ssl, asks all of them over
loopback, by turns, a few requests at a time. What is counted is the time of the server's process on its core; the
ratios are of neighbours in one turn, so that what else the machine does cancels.

Of idle connections, each of which has been answered once, the client keeps little more than a descriptor.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from bench.build import builds, python_build
from bench.idle import PATIENCE, SUITE, installed_loops
from bench.serving import SPACE
from bench.sides import NAME, Pki, Row, ssl_contexts
from bench.web_server import AWS_LC, CONTEXT, DIRECT, DOORS, MUTUAL, PLAIN, ROLLUP, STOCK, more_descriptors

RESULTS = Path("bench-web-results.json")
# Requests of one turn. Short turns, and many of them, so that all servers meet the same machine.
KEEP_ALIVE, BULK, ANEW = "keep-alive", "1 MiB", "new connection"
PARSERS_AND_KINDS = [("httptools", "full"), ("httptools", MUTUAL), ("h11", MUTUAL)]
REQUESTS = {KEEP_ALIVE: 60, BULK: 4, ANEW: 8}
WARMING, LEAST_ROUNDS = 5, 3
FIRST, CONNECTIONS, MANY = 50, 500, 10_000
# Besides connections, a process has these open.
OTHER_DESCRIPTORS = 100
# How many of the many are asked at the end whether they live, and how many handshakes are under way at a time.
SAMPLE, ABREAST = 100, 4

# Least ratios to ssl on the same loop: request and loop, and which doors.
OURS = (CONTEXT, DIRECT, AWS_LC)
GOALS = {
    (KEEP_ALIVE, "asyncio"): (1.15, OURS),
    (KEEP_ALIVE, "uvloop"): (1.0, OURS),
    (BULK, "asyncio"): (1.5, (DIRECT, AWS_LC)),
    (BULK, "uvloop"): (1.5, (DIRECT, AWS_LC)),
    (ANEW, "asyncio"): (1.0, OURS),
}
# KiB above plaintext.
MOST_KIB = 20.0


@dataclass(frozen=True)
class What:
    """Which server of uvicorn's."""

    loop: str
    http: str
    kind: str
    door: str

    def __str__(self) -> str:
        return f"{self.door}, {self.loop}, {self.http}, {self.kind}"


class Server:
    """A child process that serves, and tells its time and its memory."""

    def __init__(self, what: What, pki: Pki) -> None:
        self.what = what
        self._context, _ = ssl_contexts(pki, mutual=what.kind == MUTUAL)
        self._lengths: dict[str, int] = {}
        command = [
            sys.executable,
            "-m",
            "bench.web_server",
            what.door,
            what.loop,
            what.http,
            what.kind,
            str(pki.directory),
        ]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._port = 0

    def start(self) -> None:
        """Wait until it serves."""
        try:
            self._port = self.tell("port")
        except (ValueError, OSError):
            raise RuntimeError(f"the server of {self.what} did not start") from None

    def tell(self, what: str) -> int:
        """What the child says of itself."""
        print(what, file=self._child.stdin, flush=True)
        return int(self._child.stdout.readline()) if self._child.stdout else 0

    def connect(self) -> socket.socket:
        """A client, whose handshake is complete."""
        end = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.what.door == PLAIN:
            return end
        end = self._context.wrap_socket(end, server_hostname=NAME)
        if (found := end.cipher()) is None or found[0] != SUITE.name:
            sys.exit(f"handfast: error: the server of {self.what} chose {found}")
        return end

    def request(self, end: socket.socket, path: str = "/") -> None:
        """One answer, of which all are equally long."""
        end.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" % path.encode())
        if path not in self._lengths:
            self._lengths[path] = _whole_length(end)
            return
        left = self._lengths[path]
        while left > 0:
            count = end.recv_into(SPACE)
            if not count:
                raise ConnectionError("the server under test closed a connection")
            left -= count

    def anew(self) -> None:
        """One connection and one small answer, with an end in good order: an error would be what is measured."""
        with self.connect() as end:
            self.request(end)
            if isinstance(end, ssl.SSLSocket):
                end.unwrap()

    def microseconds(self, ask: Callable[[], None], times: int) -> float:
        """Of the server's process, for each of so many calls."""
        before = self.tell("time")
        for _ in range(times):
            ask()
        return (self.tell("time") - before) / 1e3 / times

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()


def _whole_length(end: socket.socket) -> int:
    """Reads an answer by its own words; how long it is with its head."""
    answer = b""
    while (ends := answer.find(b"\r\n\r\n")) < 0:
        answer += _some(end)
    head = answer[:ends].lower().split(b"\r\n")
    if not head[0].startswith(b"http/1.1 200"):
        sys.exit(f"handfast: error: the server under test answered {head[0]!r}")
    body = next(int(line.partition(b":")[2]) for line in head if line.startswith(b"content-length:"))
    whole = ends + 4 + body
    left = whole - len(answer)
    while left > 0:
        left -= len(_some(end))
    return whole


def _some(end: socket.socket) -> bytes:
    if data := end.recv(1 << 16):
        return data
    raise ConnectionError("the server under test closed a connection")


def doors() -> list[str]:
    """Those that can be had here."""
    return [*DOORS, *([AWS_LC] if find_spec("qh3") else [])]


def servers(kinds: list[tuple[str, str]]) -> Iterator[What]:
    """Every door on every loop; plaintext knows no kinds."""
    for loop in installed_loops():
        for http, kind in kinds:
            for door in doors():
                if door != PLAIN or kind == MUTUAL:
                    yield What(loop, http, kind, door)


def requests(pki: Pki, *, rounds: int, until: float) -> Iterator[Row]:
    """Each request at each server: medians of the rounds, and of the rounds' ratios to ssl."""
    with ExitStack() as stack:
        running = []
        for what in servers(PARSERS_AND_KINDS):
            running.append(Server(what, pki))
            stack.callback(running[-1].close)
        for one in running:
            one.start()
        held = {one: stack.enter_context(one.connect()) for one in running}
        asking = {
            KEEP_ALIVE: lambda one: one.request(held[one]),
            BULK: lambda one: one.request(held[one], "/large"),
            ANEW: Server.anew,
        }
        for one in running:
            for _ in range(WARMING):
                for ask in asking.values():
                    ask(one)
        seen: dict[str, dict[What, list[float]]] = {kind: {one.what: [] for one in running} for kind in REQUESTS}
        done = 0
        while done < rounds and (done < LEAST_ROUNDS or time.monotonic() < until):
            for kind, times in REQUESTS.items():
                for one in running:
                    seen[kind][one.what].append(one.microseconds(partial(asking[kind], one), times))
            done += 1
    for kind, found in seen.items():
        yield from table(kind, found)


def table(request: str, found: dict[What, list[float]]) -> Iterator[Row]:
    """The medians of rounds, with the median of the rounds' ratios to ssl."""
    for what, rounds in found.items():
        bases = found[What(what.loop, what.http, what.kind, STOCK)]
        ratio = median(base / max(mine, 1e-3) for base, mine in zip(bases, rounds, strict=True))
        scenario = f"{request}, {what.http}, {what.kind}"
        yield Row(scenario, what.loop, what.door, round(median(rounds), 1), "us", round(ratio, 2))


def idle(pki: Pki) -> Iterator[Row]:
    """KiB of each idle connection above one of plaintext."""
    for loop in installed_loops():
        sizes = {}
        for door in DOORS:
            sizes[door] = _kib_each(What(loop, "httptools", MUTUAL, door), pki)
        above = {door: max(size - sizes[PLAIN], 0.1) for door, size in sizes.items() if door != PLAIN}
        for door, size in above.items():
            yield Row("idle connection", loop, door, round(size, 1), "KiB", round(above[STOCK] / size, 2))


def _kib_each(what: What, pki: Pki) -> float:
    with ExitStack() as stack:
        server = Server(what, pki)
        stack.callback(server.close)
        server.start()
        _hold(server, FIRST, stack)
        before = server.tell("memory")
        _hold(server, CONNECTIONS, stack)
        return (server.tell("memory") - before) / CONNECTIONS


def _hold(server: Server, count: int, stack: ExitStack, until: float = float("inf")) -> list[socket.socket]:
    """So many connections, or as many as there are until then; each was answered once."""

    def one(number: int) -> socket.socket | None:
        if time.monotonic() > until:
            return None
        end = server.connect()
        server.request(end)
        # Of most the client's TLS goes, without a word to the server, and the connection stays.
        return end if number % (MANY // SAMPLE) == 0 else socket.socket(fileno=end.detach())

    with ThreadPoolExecutor(ABREAST) as pool:
        made = [end for end in pool.map(one, range(count)) if end is not None]
    for end in made:
        stack.enter_context(end)
    return made


def many(pki: Pki, *, wanted: int, until: float) -> Iterator[Row]:
    """Ten thousand idle connections in one process: how many there were, and KiB of each, plaintext included."""
    count = min(wanted, more_descriptors() - OTHER_DESCRIPTORS)
    with ExitStack() as stack:
        server = Server(What("asyncio", "httptools", MUTUAL, DIRECT), pki)
        stack.callback(server.close)
        server.start()
        _hold(server, FIRST, stack)
        before = server.tell("memory")
        held = _hold(server, count - FIRST, stack, until)
        each = (server.tell("memory") - before) / max(1, len(held))
        for end in held:
            if isinstance(end, ssl.SSLSocket):
                server.request(end)
        count = FIRST + len(held)
        if count < wanted:
            print(f"handfast: warning: {count} connections were made, not {wanted}", file=sys.stderr)
        yield Row(f"{count} idle connections", "asyncio", DIRECT, round(each, 1), "KiB", None)


def verdict(row: Row) -> str:
    """Whether a goal is met, for the table."""
    if row.implementation not in OURS:
        return ""
    if row.scenario == "idle connection":
        if row.implementation == DIRECT:
            return f"goal {MOST_KIB:g} KiB: {'met' if row.median <= MOST_KIB else 'MISSED'}"
        return f"goal 1 (ssl's): {'met' if (row.ratio_to_ssl or 0) >= 1 else 'MISSED'}"
    if row.scenario.endswith("idle connections"):
        return f"goal {MANY}: {'met' if row.scenario.startswith(f'{MANY} ') else 'MISSED'}"
    goal, doors = GOALS.get((row.scenario.partition(",")[0], row.side), (0.0, ()))
    if row.implementation not in doors or row.ratio_to_ssl is None:
        return ""
    return f"goal {goal:g}: {'met' if row.ratio_to_ssl >= goal else 'MISSED'}"


def measure(pki: Pki, *, rounds: int, seconds: float) -> Iterator[Row]:
    """All rows, in at most about so many seconds: nearly half of them for requests, and what is left for the many."""
    began = time.monotonic()
    yield from requests(pki, rounds=rounds, until=began + seconds * 0.45)
    if ROLLUP.exists():
        yield from idle(pki)
        yield from many(pki, wanted=MANY, until=began + seconds)


def show(about: dict[str, str], rows: list[Row]) -> None:
    for key, value in about.items():
        print(f"{key + ':':18} {value}")
    print(f"\n{'uvicorn':34} {'loop':8} {'door':18} {'median':>10} {'':4} {'to ssl':>8}")
    for row in rows:
        ratio = "" if row.ratio_to_ssl is None else f"{row.ratio_to_ssl:.2f}x"
        line = f"{row.scenario:34} {row.side:8} {row.implementation:18} {row.median:10.1f} {row.unit:4} {ratio:>8}"
        print(f"{line}  {verdict(row)}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="at most; as many as there is time for")
    parser.add_argument("--seconds", type=float, default=225.0, help="about how long all of it may take")
    options = parser.parse_args()
    if missing := [name for name in ("uvicorn", "h11", "httptools") if find_spec(name) is None]:
        sys.exit(f"handfast: error: {', '.join(missing)} is not installed; hint: make bench-web installs it")
    if said := python_build().warning():
        print(said, file=sys.stderr)
    pki = Pki.create()
    try:
        rows = list(measure(pki, rounds=options.rounds, seconds=options.seconds))
    finally:
        pki.close()
    about = {
        **builds({"httptools": "httptools", "h11": "h11", "uvicorn": "uvicorn"}),
        "suite": f"{SUITE.name}, X25519",
        "certificates": "ECDSA P-256, leaf and CA; no tickets",
        "time": "of the server's process on its core, user and system, for each request",
        "memory": "what only the server's process has, for each connection, above plaintext",
    }
    show(about, rows)
    RESULTS.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
