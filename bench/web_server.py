"""uvicorn behind one of its doors, a child of `make bench-web`.

Run as ``python -m bench.web_server DOOR LOOP HTTP KIND DIRECTORY``, it answers each line on stdin by one: ``port`` with
its port, ``time`` with the nanoseconds that its process has spent on its core, ``memory`` with the KiB that are its own
and nobody else's. It ends with stdin.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import handfast
from bench.idle import SUITE, run_on
from bench.serving import LARGE, share_one_core

PLAIN, STOCK, CONTEXT, DIRECT = DOORS = ("plain", "ssl", "handfast, ssl=", "handfast, direct")
# The direct one, by the other provider.
AWS_LC = "direct, aws-lc"
MUTUAL = "mutual"
SMALL_BODY, LARGE_BODY = b"hello, world\n", bytes(LARGE)
BACKLOG = 4096
KEPT = 3600  # seconds that uvicorn lets a connection be idle
ROLLUP = Path("/proc/self/smaps_rollup")


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """A short answer, or a long one."""
    body = LARGE_BODY if scope["path"] == "/large" else SMALL_BODY
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def door_options(door: str, http: str, kind: str, directory: Path) -> dict[str, Any]:
    """What uvicorn is told. No door sends tickets, and all choose the suite that the stock client offers first."""
    from handfast.contrib.uvicorn import Protocol, factory

    cert, key, ca = (directory / name for name in ("server.pem", "server.key", "ca.pem"))
    if door == PLAIN:
        return {"http": http}
    if door in (DIRECT, AWS_LC):
        auth = handfast.ClientAuth.REQUIRE_AND_VERIFY if kind == MUTUAL else handfast.ClientAuth.NONE
        config = handfast.ServerConfig(
            credentials=[handfast.Credentials.from_files(cert, key)],
            client_auth=auth,
            suites=(SUITE,),
            verifier=handfast.PathVerifier(handfast.Roots.from_file(ca)),
            crypto_provider="aws-lc" if door == AWS_LC else "cryptography",
        )
        return {"http": Protocol(config, http=http)}
    context: Any = (handfast.SSLContext if door == CONTEXT else ssl.SSLContext)(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.load_cert_chain(cert, key)
    if kind == MUTUAL:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if door == STOCK:
        return {"http": http, "ssl_context_factory": lambda _config, _default: context}
    context.set_ciphersuites(SUITE.name)
    return {"http": http, "ssl_context_factory": factory(context)}


def own_memory() -> int:
    """KiB that only this process has (the unique set size)."""
    gc.collect()
    lines = (line.split() for line in ROLLUP.read_text().splitlines())
    return sum(int(words[1]) for words in lines if words[0] in ("Private_Clean:", "Private_Dirty:"))


async def serve(options: dict[str, Any]) -> None:
    """One server of uvicorn's, on a port of its own."""
    import uvicorn

    loop = asyncio.get_running_loop()
    quiet = {"log_config": None, "log_level": "critical", "access_log": False, "lifespan": "off", "ws": "none"}
    # uvicorn binds: the loop leaves Nagle's algorithm on where it is given a socket whose protocol number is 0, and
    # then the second write of every answer waits for the client's delayed acknowledgement.
    config = uvicorn.Config(app, port=0, timeout_keep_alive=KEPT, backlog=BACKLOG, **quiet, **options)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)

    def answer() -> None:
        match sys.stdin.readline().strip():
            case "port":
                print(server.servers[0].sockets[0].getsockname()[1], flush=True)
            case "time":
                print(time.process_time_ns(), flush=True)
            case "memory":
                print(own_memory(), flush=True)
            case _:
                loop.remove_reader(0)
                server.should_exit = server.force_exit = True

    loop.add_reader(0, answer)
    await serving


def more_descriptors() -> int:
    """Raise this process's limit to what the system allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    share_one_core()
    more_descriptors()
    door, loop, http, kind, directory = sys.argv[1:]
    run_on(loop, serve(door_options(door, http, kind, Path(directory))))


if __name__ == "__main__":
    main()
