"""What an idle connection costs an asyncio server: resident memory (RSS) of a child process, over that of plain TCP.

RSS sees all: Python's objects, OpenSSL's and asyncio's buffers. The connections come over the loopback interface and
stay open; each has done its handshake and got one byte, by which its client knows that the server is done too. The
child is `python -m bench.idle LAYER LOOP KIND DIRECTORY`; it answers its first line of input with its port, and each
other one with its resident memory in KiB.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import handfast
from bench.providers import provided
from bench.sides import NAME, Pki, Row, ssl_contexts
from handfast import aio
from handfast.registry import CipherSuite

STATM = Path("/proc/self/statm")
FIRST, CONNECTIONS = 20, 200
LAYERS = ("plain", "ssl", "handfast")
# What ssl's client and server agree on.
SUITE = CipherSuite.TLS_AES_256_GCM_SHA384
PATIENCE = 30.0  # seconds for each step of a client


def kib_per_connection(layer: str, loop: str, kind: str, pki: Pki, *, connections: int = CONNECTIONS) -> float:
    """The growth of a child's resident memory for each connection after the first few."""
    context, _ = ssl_contexts(pki, mutual=kind == "mutual")
    command = [sys.executable, "-m", "bench.idle", layer, loop, kind, str(pki.directory)]
    # The connections are closed before the child is waited for: some of its servers wait for them in their turn.
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
        ExitStack() as held,
    ):
        held.callback(child.kill)

        def ask() -> int:
            print(file=child.stdin, flush=True)
            return int(child.stdout.readline()) if child.stdout else 0

        port = ask()

        def open_some(count: int) -> None:
            for _ in range(count):
                end = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                if layer != "plain":
                    end = context.wrap_socket(end, server_hostname=NAME)
                held.enter_context(end)
                if end.recv(1) != Greeting.WORD:
                    raise ConnectionError("the server under test closed a connection")

        open_some(FIRST)
        before = ask()
        open_some(connections)
        return (ask() - before) / connections


def rows(pki: Pki) -> Iterator[Row]:
    """Full and mutual, on asyncio's own loop and on uvloop where that is installed."""
    if not STATM.exists():
        return
    loops = installed_loops()
    for kind in ("full", "mutual"):
        for loop in loops:
            sizes = {layer: kib_per_connection(layer, loop, kind, pki) for layer in LAYERS}
            above = {layer: max(sizes[layer] - sizes["plain"], 0.1) for layer in LAYERS}
            for layer in ("handfast", "ssl"):
                ratio = round(above["ssl"] / above[layer], 2)
                name = layer if loop == "asyncio" else f"{layer}, {loop}"
                yield Row(f"idle connection, {kind}", "server", name, round(above[layer], 2), "KiB", ratio)


def installed_loops() -> list[str]:
    return [loop for loop in ("asyncio", "uvloop") if find_spec(loop)]


class Greeting(asyncio.Protocol):
    """Says one byte, and then nothing."""

    WORD = b"!"

    def connection_made(self, transport: Any) -> None:
        transport.write(self.WORD)


async def listen(
    layer: str, kind: str, directory: Path, sock: socket.socket, factory: Callable[[], asyncio.Protocol]
) -> asyncio.AbstractServer:
    """A server of ``factory``'s protocols over plain TCP, asyncio's ssl, or handfast with one of its providers."""
    cert, key, ca = (directory / name for name in ("server.pem", "server.key", "ca.pem"))
    name, _, provider = layer.partition(", ")
    if name == "handfast":
        mutual = handfast.ClientAuth.REQUIRE_AND_VERIFY if kind == "mutual" else handfast.ClientAuth.NONE
        config = handfast.ServerConfig(
            credentials=[handfast.Credentials.from_files(cert, key)],
            client_auth=mutual,
            suites=(SUITE,),
            verifier=handfast.PathVerifier(handfast.Roots.from_file(ca)),
            **provided(provider),
        )
        return await aio.create_server(factory, None, None, config, sock=sock)
    context = None
    if layer == "ssl":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        context.load_cert_chain(cert, key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED if kind == "mutual" else ssl.CERT_NONE
    return await asyncio.get_running_loop().create_server(factory, sock=sock, ssl=context)


def resident() -> int:
    """KiB."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def serve(
    layer: str,
    kind: str,
    directory: Path,
    factory: Callable[[], asyncio.Protocol] = Greeting,
    measured: Callable[[], int] = resident,
) -> None:
    """Answers each line from stdin: the first with the port, the others with what is measured. Ends with stdin."""
    loop = asyncio.get_running_loop()
    sock = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
    done = asyncio.Event()
    answers = iter([sock.getsockname()[1]])

    def answer() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            done.set()
            return
        port = next(answers, None)
        print(measured() if port is None else port, flush=True)

    loop.add_reader(0, answer)
    async with await listen(layer, kind, directory, sock, factory):
        await done.wait()


def run_on(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """Runs ``work`` on asyncio's own loop or on uvloop's."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


def main() -> None:
    layer, loop, kind, directory = sys.argv[1:]
    run_on(loop, serve(layer, kind, Path(directory)))


if __name__ == "__main__":
    main()
