"""What a request costs an asyncio server: the time of its process on its core, for one client over loopback.

A server for each loop and layer runs as a child, `python -m bench.serving LAYER LOOP DIRECTORY`; all are asked in
turns, a few requests of each kind at a time. The client is a blocking socket of ssl, whose first suite all servers
take: TLS_AES_256_GCM_SHA384. A request is four bytes that say how long the answer is to be.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.idle import LAYERS, PATIENCE, SUITE, installed_loops, run_on, serve
from bench.providers import providers
from bench.sides import NAME, Pki, Row, ssl_contexts

SMALL, LARGE = 1024, 1 << 20
WORD = 4
# Requests of one turn. Short turns, and many of them, so that all servers meet the same machine.
REQUESTS = {"keep-alive 1 KiB": 100, "keep-alive 1 MiB": 6, "new connection 1 KiB": 10}
TURNS = 3  # in each round
WARMING = 20


class Answering(asyncio.Protocol):
    """Answers each request with as many bytes as it says."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= WORD:
            size = int.from_bytes(self._pending[:WORD])
            del self._pending[:WORD]
            self._transport.write(ANSWERS[size])


SPACE = bytearray(1 << 18)
ANSWERS = {size: bytes(size) for size in (SMALL, LARGE)}


class Server:
    """A child process that serves, and tells its time."""

    def __init__(self, layer: str, loop: str, pki: Pki) -> None:
        self.layer, self.loop = layer, loop
        self._context, _ = ssl_contexts(pki, mutual=False)
        command = [sys.executable, "-m", "bench.serving", layer, loop, str(pki.directory)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._port = self._ask()
        except ValueError:
            self.close()
            raise RuntimeError(f"the server of {layer} on {loop} did not start") from None

    def _ask(self) -> int:
        print(file=self._child.stdin, flush=True)
        return int(self._child.stdout.readline()) if self._child.stdout else 0

    def connect(self) -> socket.socket:
        """A client, whose handshake is complete."""
        end = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        # A request follows the client's Finished; it is not to wait for an acknowledgement.
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.layer == "plain":
            return end
        end = self._context.wrap_socket(end, server_hostname=NAME)
        if (found := end.cipher()) is None or found[0] != SUITE.name:
            sys.exit(f"handfast: error: the server of {self.layer} on {self.loop} chose {found}")
        return end

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()

    def microseconds(self, ask: Callable[[], None], times: int) -> float:
        """Of the server's process, for each of so many calls."""
        before = self._ask()
        for _ in range(times):
            ask()
        return (self._ask() - before) / 1e3 / times


def request(end: socket.socket, size: int) -> None:
    """One answer of ``size`` bytes."""
    end.sendall(size.to_bytes(WORD))
    while size:
        count = end.recv_into(SPACE)
        if not count:
            raise ConnectionError("the server under test closed a connection")
        size -= count


def anew(server: Server) -> None:
    """One connection and one small answer, with an end in good order: an error would be what is measured."""
    with server.connect() as end:
        request(end, SMALL)
        if isinstance(end, ssl.SSLSocket):
            end.unwrap()


def rows(pki: Pki, *, rounds: int) -> Iterator[Row]:
    """Each kind of request, each loop and each layer; the ratio is to the ssl of that loop."""
    layers = [*LAYERS, *(f"handfast, {name}" for name in providers())]
    with ExitStack() as stack:
        servers = []
        for loop in installed_loops():
            for layer in layers:
                servers.append(Server(layer, loop, pki))
                stack.callback(servers[-1].close)
        seen: dict[str, dict[Server, list[float]]] = {kind: {one: [] for one in servers} for kind in REQUESTS}
        held = {one: stack.enter_context(one.connect()) for one in servers}

        def asking(kind: str, one: Server) -> Callable[[], None]:
            if kind.startswith("new"):
                return partial(anew, one)
            return partial(request, held[one], LARGE if kind.endswith("MiB") else SMALL)

        for _ in range(WARMING):
            for kind in REQUESTS:
                for one in servers:
                    asking(kind, one)()
        for _ in range(rounds * TURNS):
            for kind, times in REQUESTS.items():
                for one in servers:
                    seen[kind][one].append(one.microseconds(asking(kind, one), times))
    for kind, found in seen.items():
        yield from table(f"aio, {kind}", found)


def table(scenario: str, found: dict[Server, list[float]]) -> Iterator[Row]:
    """The medians of rounds, with the median of the rounds' ratios."""
    bases = {one.loop: rounds for one, rounds in found.items() if one.layer == "ssl"}
    for one, rounds in found.items():
        ratio = median(base / max(mine, 1e-3) for base, mine in zip(bases[one.loop], rounds, strict=True))
        name = "plain TCP" if one.layer == "plain" else one.layer
        name = name if one.loop == "asyncio" else f"{name}, {one.loop}"
        yield Row(scenario, "server", name, round(median(rounds), 2), "us", round(ratio, 2))


def share_one_core() -> None:
    """All servers run on the last core, where the system lets them choose: whatever else runs there slows all alike."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    share_one_core()
    layer, loop, directory = sys.argv[1:]
    run_on(loop, serve(layer, "full", Path(directory), Answering, time.process_time_ns))


if __name__ == "__main__":
    main()
