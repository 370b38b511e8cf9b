"""A client of the load: so many new connections, each with one request of its own, whose answer must be its own.

    python -m tests.proxy.load_client FOLDER PORT FIRST COUNT THREADS

A line of JSON says what became of them.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from itertools import count
from pathlib import Path

from tests.proxy.program import client_context
from tests.waiting import LIMIT


def ask(context: ssl.SSLContext, port: int, target: str) -> str:
    """What is wrong with the answer to a request for this target; "" if nothing is."""
    try:
        tcp = socket.create_connection(("127.0.0.1", port), LIMIT)
        with context.wrap_socket(tcp, server_hostname="localhost") as tls:
            tls.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := tls.recv(65536):
                answer += data
    except OSError as error:
        return f"{target}: {error}"
    expected = b"\r\n\r\n" + f"app {target}".encode()
    return "" if answer.startswith(b"HTTP/1.1 200") and answer.endswith(expected) else f"{target}: {answer[-200:]!r}"


def main(folder: Path, port: int, first: int, number: int, threads: int) -> None:
    """Ask them all, and print what became of it."""
    context, numbers, failed, done = client_context(folder), count(first), [], 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal done
        while True:
            with lock:
                mine = next(numbers)
            if mine >= first + number:
                return
            wrong = ask(context, port, f"/{mine}")
            with lock:
                done += 1
                if wrong:
                    failed.append(wrong)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps({"done": done, "failed": failed[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:6]))
