"""Servers that require a client certificate in TLS 1.3, each for any number of connections."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.peers.base import RESPONSE, PeerFailed, require_peer
from tests.ports import own_port
from tests.waiting import LIMIT, TEST_LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Place:
    """Where a server's files are. ``both`` is certificate and key in one."""

    directory: Path
    certificate: Path
    key: Path
    both: Path
    ca: Path

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path


@contextlib.contextmanager
def threaded(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Calls ``serve`` with every connection, one after the other, in a thread."""

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(LIMIT)
                    serve(connection)

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT)


def answer_plainly(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(RESPONSE)


@contextlib.contextmanager
def process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        **options,  # type: ignore[call-overload]
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(LIMIT)
            except subprocess.TimeoutExpired:
                running.kill()


def wait_for(running: subprocess.Popen[bytes], port: int) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    if not until(lambda: listens() or running.poll() is not None) or running.poll() is not None:
        raise PeerFailed(f"{running.args!r} does not listen")


def read_port(running: subprocess.Popen[bytes], marker: bytes) -> int:
    """The number at the end of the line that starts with ``marker``."""
    assert running.stdout is not None
    while select.select([running.stdout], [], [], LIMIT)[0] and (line := running.stdout.readline()):
        if line.startswith(marker):
            threading.Thread(target=_empty, args=(running.stdout,), daemon=True).start()
            return int(line.rpartition(b":")[2])
    raise PeerFailed(f"{running.args!r} did not say where it listens")


def _empty(pipe: IO[bytes]) -> None:
    with contextlib.suppress(ValueError):
        while pipe.read(65536):
            pass


@contextlib.contextmanager
def python_ssl(place: Place) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(place.certificate, place.key)
    context.load_verify_locations(place.ca)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(RESPONSE)

    with threaded(serve) as port:
        yield port


@contextlib.contextmanager
def s_server(place: Place) -> Iterator[int]:
    command = [require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-www"]
    command += ["-cert", str(place.certificate), "-key", str(place.key), "-CAfile", str(place.ca)]
    with process([*command, "-Verify", "5", "-verify_return_error"]) as running:
        yield read_port(running, b"ACCEPT")


@contextlib.contextmanager
def stunnel(place: Place) -> Iterator[int]:
    program = require_peer("stunnel4")
    with own_port() as port, threaded(answer_plainly) as backend:
        config = place.write(
            "stunnel.conf",
            f"foreground = yes\npid =\nsyslog = no\n[tls]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{backend}\n"
            f"cert = {place.certificate}\nkey = {place.key}\nCAfile = {place.ca}\n"
            "verifyChain = yes\nrequireCert = yes\nsslVersionMin = TLSv1.3\n",
        )
        with process([program, str(config)]) as running:
            wait_for(running, port)
            yield port


@contextlib.contextmanager
def hitch(place: Place) -> Iterator[int]:
    program = require_peer("hitch")
    # It refuses to work as root.
    not_root = 'user = "nobody"\ngroup = "nogroup"\n' if os.geteuid() == 0 else ""
    with own_port() as port, threaded(answer_plainly) as backend:
        config = place.write(
            "hitch.conf",
            f'frontend = "[127.0.0.1]:{port}"\nbackend = "[127.0.0.1]:{backend}"\npem-file = "{place.both}"\n'
            f'client-verify = required\nclient-verify-ca = "{place.ca}"\ntls-protos = TLSv1.3\n'
            f"workers = 1\ndaemon = off\n{not_root}",
        )
        with process([program, f"--config={config}"]) as running:
            wait_for(running, port)
            yield port


@contextlib.contextmanager
def haproxy(place: Place) -> Iterator[int]:
    program = require_peer("haproxy")
    with own_port() as port, threaded(answer_plainly) as backend:
        config = place.write(
            "haproxy.cfg",
            "global\n    nbthread 1\ndefaults\n    mode tcp\n    timeout connect 2m\n    timeout client 2m\n"
            "    timeout server 2m\nlisten tls\n"
            f"    bind 127.0.0.1:{port} ssl crt {place.both} ca-file {place.ca} verify required ssl-min-ver TLSv1.3\n"
            f"    server plain 127.0.0.1:{backend}\n",
        )
        with process([program, "-db", "-f", str(config)]) as running:
            wait_for(running, port)
            yield port


@contextlib.contextmanager
def go(place: Place) -> Iterator[int]:
    compiler = require_peer("go")
    program = place.directory / "server"
    environment = {"HOME": str(place.directory), **os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0"}
    source = Path(__file__).with_name("server.go")
    subprocess.run([compiler, "build", "-o", program, source], env=environment, check=True, timeout=TEST_LIMIT)
    with process([str(program), str(place.certificate), str(place.key), str(place.ca)]) as running:
        yield read_port(running, b"127.0.0.1:")


SERVERS = {
    "python_ssl": python_ssl,
    "s_server": s_server,
    "stunnel": stunnel,
    "hitch": hitch,
    "haproxy": haproxy,
    "go": go,
}
