"""``handfast proxy`` in a process of its own, a backend that says what it was asked, and clients of Python's own."""

from __future__ import annotations

import http.client
import json
import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import certificates
from tests.cli.conftest import Result, start
from tests.waiting import LIMIT

FROM = re.compile(r"Proxying \w+ from \w+://(?:127\.0\.0\.1:(\d+)|unix:\S+)")


def write_files(folder: Path) -> Path:
    """The certificates that a configuration there names."""
    for name, issued in (("server", certificates.server()), ("client", certificates.client())):
        (folder / f"{name}.pem").write_bytes(issued.cert_pem)
        (folder / f"{name}.key").write_bytes(issued.key_pem)
    (folder / "ca.pem").write_bytes(certificates.ca().certificate_pem)
    return folder


class _Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        if self.path.startswith("/wait"):
            self.server.waiting.set()
            self.server.go_on.wait(LIMIT)
        body = f"{self.server.name} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Backend(ThreadingHTTPServer):
    """Answers with its name and the path; ``/wait`` once ``go_on`` is set."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Backend)
        self.name = name
        self.waiting, self.go_on = threading.Event(), threading.Event()

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def backend(name: str = "app") -> Iterator[Backend]:
    with Backend(name) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


def client_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


class Connection(http.client.HTTPSConnection):
    """A client's connection to a port, as localhost."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("localhost", port, context=client_context(folder), timeout=LIMIT)

    def get(self, path: str = "/") -> str:
        self.request("GET", path)
        return self.getresponse().read().decode()


def get(folder: Path, port: int, path: str = "/") -> str:
    """The body of one answer, over a connection of its own."""
    connection = Connection(folder, port)
    try:
        return connection.get(path)
    finally:
        connection.close()


@dataclass
class Proxying:
    """The running program: its ports in the order of its listeners, and what it says."""

    process: subprocess.Popen[str]
    ports: list[int]
    said: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)

    def hears(self, words: str) -> str:
        """The next line on standard error that holds these words."""
        assert self.process.stderr is not None
        while True:
            line = self.process.stderr.readline()
            assert line, f"{words!r} was not said, but {self.said}"
            self.said.append(line.rstrip("\n"))
            if words in line:
                return line.rstrip("\n")

    def starts(self, count: int = 1) -> None:
        """Waits until so many further listeners are there."""
        assert self.process.stdout is not None
        for _ in range(count):
            line = self.process.stdout.readline()
            found = FROM.match(line)
            assert found, line or self.process.communicate()[1]
            self.announced.append(line.rstrip("\n"))
            self.ports.append(int(found[1] or 0))

    def signals(self, number: int) -> None:
        self.process.send_signal(number)

    def ends(self, number: int | None = signal.SIGTERM) -> Result:
        """What it did, once it has ended."""
        if number is not None:
            self.signals(number)
        out, err = self.process.communicate(timeout=LIMIT)
        return Result(self.process.returncode, out, "\n".join([*self.said, err or ""]))


@contextmanager
def proxying(*arguments: object, listeners: int = 1, **options: Any) -> Iterator[Proxying]:
    """Runs until the block ends, if it does not end before, and for a bounded time."""
    process = start("proxy", *arguments, **options)
    bound = threading.Timer(LIMIT, process.kill)
    bound.start()
    it = Proxying(process, [])
    try:
        it.starts(listeners)
        yield it
    finally:
        bound.cancel()
        # Its workers end with it.
        process.kill()
        process.communicate()


def asked(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """The status and body of an answer of the admin listener."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def metric(port: int, name: str) -> float:
    """One number of the metrics, with its labels as they are written; 0 where it is not there."""
    lines = asked(port, "/metrics")[1].splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """What stands in an access log."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
