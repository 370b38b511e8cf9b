"""What the tests of the commands share: files, servers to connect to, and the program itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from handfast.cli import main, option_sources
from handfast.cli.lenses import Lenses
from handfast.cli.server import Server
from handfast.engine import ClientAuth
from handfast.io import sockets
from handfast.roles import Role
from tests import certificates
from tests.lens.connections import server_config
from tests.waiting import LIMIT

# MAKELEVEL tells the demo that `make demo` started it, which `make test` did not.
HEEDED = {"SSLKEYLOGFILE", "HANDFAST_LOG", "NO_COLOR", "SSL_CERT_FILE", "SSL_CERT_DIR", "MAKELEVEL"}
HEEDED |= {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", option_sources.CONFIG, *option_sources.ENVIRONMENT.values()}
HEEDED |= {"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
CLEAN_ENVIRONMENT = {name: value for name, value in os.environ.items() if name.upper() not in HEEDED}


@dataclass
class Result:
    """What one run of the program did."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return self.err.splitlines()

    def is_error(self, status: int, *words: str) -> bool:
        """Whether it ended with exactly one error line, which holds the words, and one hint line."""
        lines = [line for line in self.complaints if line.startswith(("handfast: error: ", "handfast: hint: "))]
        return (
            self.status == status
            and len(lines) == 2
            and lines == self.complaints[-2:]
            and lines[0].startswith("handfast: error: ")
            and lines[1].startswith("handfast: hint: ")
            and all(word in " ".join(lines) for word in words)
            and "Traceback" not in self.err
        )


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run with a clean environment."""
    for name in set(os.environ) - set(CLEAN_ENVIRONMENT):
        monkeypatch.delenv(name)


Run = Callable[..., Result]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process."""

    def run_here(*arguments: object) -> Result:
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run_here


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
    command = [sys.executable, "-W", "error", "-m", "handfast", *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=CLEAN_ENVIRONMENT | options.pop("env", {}), **options)


def finish(process: subprocess.Popen[str], typed: str | None = None) -> Result:
    out, err = process.communicate(typed, timeout=LIMIT)
    return Result(process.returncode, out, err)


@dataclass
class Pki:
    """The files that the options name."""

    directory: Path
    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path

    @property
    def trust(self) -> tuple[object, ...]:
        return ("--cacert", self.ca)

    @property
    def alice(self) -> tuple[object, ...]:
        return (*self.trust, "--cert", self.client_cert, "--key", self.client_key)

    @property
    def server(self) -> tuple[object, ...]:
        return ("--cert", self.server_cert, "--key", self.server_key)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    directory = tmp_path / "pki"
    directory.mkdir()
    contents = {
        "ca.pem": certificates.ca().certificate_pem,
        "server.pem": certificates.server().cert_pem,
        "server.key": certificates.server().key_pem,
        "client.pem": certificates.client().cert_pem,
        "client.key": certificates.client().key_pem,
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return Pki(directory, *(directory / name for name in contents))


@contextmanager
def https_server(client_auth: ClientAuth = ClientAuth.REQUEST, **settings: Any) -> Iterator[int]:
    """What ``handfast serve`` runs, in threads of this process; gives its port."""
    server = Server(Lenses(Role.SERVER, None, None, None), say=lambda _line: None, access=lambda _line: None)
    config = server_config(client_auth, **settings)
    with sockets.listen("127.0.0.1", 0, config, timeout=LIMIT, observe=server.watch) as listener:
        thread = threading.Thread(target=server.run, args=(listener,))
        thread.start()
        try:
            yield listener.address[1]
        finally:
            listener.close()
            thread.join()


@contextmanager
def tls_server(
    talk: Callable[[sockets.TLSSocket], object], client_auth: ClientAuth = ClientAuth.NONE, **settings: Any
) -> Iterator[int]:
    """A TLS server that has one connection, with which ``talk`` does what it likes; gives its port."""
    with sockets.listen("127.0.0.1", 0, server_config(client_auth, **settings), timeout=LIMIT) as listener:

        def accept() -> None:
            with listener.accept() as tls:
                tls.handshake()
                talk(tls)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.address[1]
        thread.join()


@contextmanager
def on_a_terminal(*arguments: object, **variables: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The program on a terminal of its own: its process, and what reads from and writes to that terminal."""
    controller, terminal = os.openpty()
    process = start(*arguments, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=variables)
    os.close(terminal)
    try:
        yield process, controller
    finally:
        process.kill()
        process.wait(LIMIT)
        os.close(controller)


def shown_until(controller: int, words: str) -> str:
    """What the terminal shows until it shows the words, or has ended."""
    shown = ""
    while words not in " ".join(shown.split()):
        try:
            shown += os.read(controller, 65536).decode()
        except OSError:
            break
    return shown
