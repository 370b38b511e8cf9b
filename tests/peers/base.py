"""What all foreign peers share: how they are told what to do, what they tell, and how they end.

A peer is a process or a thread of this one. Processes write to two pipes that threads empty all the time, so a peer
never blocks on its own chatter, and they are ended by the handle that started them. Every wait has a limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING, ClassVar, Self

import pytest

from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

EXPORT_LENGTH = 32
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


class Cannot(Exception):
    """This peer has no means to do what the options ask; the text is the reason that a table of features gives."""


class PeerFailed(Exception):
    """The peer did not start, or did not end in time: a fault of the test or the machine, never an outcome."""


class ClientAuth(StrEnum):
    """What a server peer asks of its client; a certificate that comes is verified against ``Options.trust``."""

    NONE = "none"
    REQUEST = "request"
    REQUIRE = "require"


class KeyUpdate(StrEnum):
    """Whether a peer changes its keys after the handshake."""

    NONE = "none"
    SEND = "send"
    REQUEST = "request"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a peer is told. Names are IANA's: TLS_AES_128_GCM_SHA256, x25519, ecdsa_secp256r1_sha256.

    ``certificate`` is a PEM chain, leaf first. ``trust`` is a PEM file of roots; a client without it verifies nothing.
    ``server_name`` is what a client sends as SNI and, with ``trust``, looks for in the certificate. Empty tuples and
    None leave the peer's defaults. With ``later`` a client offers to authenticate itself after the handshake, and a
    server asks then, not in the handshake. ``version`` is the only one spoken ("1.2", "1.3"). ``extra`` is further
    arguments for a peer that is a program. ``upload`` is the body that a client posts which makes its own requests.
    ``connections`` is how many follow each other, each with the session of the one before if both sides can; the
    outcome is that of the last. ``early_data`` is what a client sends in its last hello's flight; a server with any
    takes early data, whatever it says. ``certificate_compression`` is how certificates may come compressed.
    """

    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None
    client_auth: ClientAuth = ClientAuth.NONE
    server_name: str | None = "localhost"
    version: str | None = None
    suites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    application_protocols: tuple[str, ...] = ()
    keylog: Path | None = None
    request: bytes = REQUEST
    response: bytes = RESPONSE
    export: str | None = None
    key_update: KeyUpdate = KeyUpdate.NONE
    later: bool = False
    extra: tuple[str, ...] = ()
    upload: bytes = b""
    connections: int = 1
    early_data: bytes = b""
    certificate_compression: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a peer saw. None means that this peer does not tell, or that it did not come to that.

    ``ok``: the handshake completed and nothing was complained of. A TLS 1.3 server may be content with a client that
    refuses its certificate: see ``received``. ``error`` is the line that names the trouble, and ``text`` all that was
    said. ``received`` is the application data, for a client the HTTP response. ``peer_subject`` is the subject of the
    other side's certificate, as the peer spells it; "" when it showed none. ``ca_names`` are those of the certificate
    request, () when there were none in it, in the peer's spelling. ``early_data`` says whether it was accepted.
    """

    ok: bool
    error: str
    text: str
    received: bytes = b""
    version: str | None = None
    suite: str | None = None
    group: str | None = None
    application_protocol: str | None = None
    peer_subject: str | None = None
    ca_names: tuple[str, ...] | None = None
    server_name: str | None = None
    exported: str | None = None
    resumed: bool | None = None
    early_data: bool | None = None


def missing(reason: str) -> None:
    """Skips the running test because a peer is missing, or fails it where all peers must be there."""
    if os.environ.get("HANDFAST_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason} (HANDFAST_REQUIRE_PEERS=1)")
    pytest.skip(reason)


def require_peer(tool: str) -> str:
    """The path of a program, or the end of the running test."""
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        missing(f"{tool} is not installed")
        raise PeerFailed(tool)
    return path


def require_module(name: str) -> None:
    """Ends the running test where a Python package is missing."""
    if importlib.util.find_spec(name) is None:
        missing(f"{name} is not installed")


class Peer(ABC):
    """A peer for one connection, used in a ``with`` statement."""

    name: ClassVar[str]
    makes_several_connections: ClassVar[bool] = True
    no_early_data: ClassVar[str] = ""
    """Why it neither sends nor takes early data."""
    inflates_certificates: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        if options.connections > 1 and not self.makes_several_connections:
            raise Cannot(f"{self.name} makes one connection and ends")
        if options.early_data and self.no_early_data:
            raise Cannot(self.no_early_data)
        if options.certificate_compression and not self.inflates_certificates:
            raise Cannot(f"{self.name} inflates no certificates")
        self.options = options

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *exception: object) -> None: ...

    @abstractmethod
    def outcome(self) -> Outcome:
        """Waits until the connection is over and says what came of it. Raises PeerFailed when that takes too long."""

    @abstractmethod
    def drop(self) -> None:
        """Ends the TCP connection in the middle of whatever it does, without close_notify."""


class ServerPeer(Peer):
    """Listens on 127.0.0.1; ``port`` is chosen by the kernel."""

    port: int
    shows_request: ClassVar[bool] = True
    """Whether its outcome tells the application data that it received."""


class ClientPeer(Peer):
    """Connects to 127.0.0.1 and a port."""

    closes_first: ClassVar[bool] = True
    """Whether it closes once it has its response."""

    def __init__(self, port: int, options: Options) -> None:
        super().__init__(options)
        self.port = port


class ProcessPeer(Peer):
    """A peer that is a program."""

    output: bytes
    errors: bytes

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments. Raises Cannot."""

    @abstractmethod
    def read_outcome(self, status: int) -> Outcome:
        """Makes sense of ``output`` and ``errors`` after the program ended."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def inherited(self) -> Sequence[int]:
        """File descriptors that the program inherits besides the standard ones."""
        return ()

    def standard_input(self) -> int:
        """What the program reads from."""
        return subprocess.PIPE

    def prepare(self) -> None:
        """Called before anything else is asked."""

    def temporary_file(self, content: bytes = b"") -> str:
        """The name of a file that lives as long as the program."""
        file = self._files.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
        file.write(content)
        file.flush()
        return file.name

    def started(self) -> None:
        """Called once the program has inherited what it needs."""

    def __enter__(self) -> Self:
        self.output = self.errors = b""
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self._files = contextlib.ExitStack()
        try:
            self.prepare()
            self._process = subprocess.Popen(
                self.command(),
                stdin=self.standard_input(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=self.inherited(),
                env=self.environment(),
            )
        except BaseException:
            self._files.close()
            raise
        self.started()
        pipes = {"output": self._process.stdout, "errors": self._process.stderr}
        self._threads: list[threading.Thread] = []
        for name, pipe in pipes.items():
            self.start_thread(self._read, name, pipe)
        return self

    def start_thread(self, target: Callable[..., None], *arguments: object) -> None:
        """Runs something beside the program; it is waited for before the pipes to the program are closed."""
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        while chunk := os.read(pipe.fileno(), 65536):
            with self._changed:
                setattr(self, name, getattr(self, name) + chunk)
                self._changed.notify_all()
        with self._changed:
            self._ended.add(name)
            self._changed.notify_all()

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Writes to the program's standard input; a program that ended already tells why in its outcome."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
            if end:
                self._process.stdin.close()
        except BrokenPipeError:
            pass

    def wait_until(self, true_of: Callable[[bytes], object], *, of: str = "output") -> bool:
        """Waits for something in the standard output (or ``errors``); False when the program ended without it."""
        with self._changed:
            done = self._changed.wait_for(lambda: true_of(getattr(self, of)) or of in self._ended, timeout=LIMIT)
        if not done:
            raise PeerFailed(f"{self.name} did not print what it should in time:\n{self.text()}")
        return bool(true_of(getattr(self, of)))

    def wait_until_read(self) -> None:
        """Waits until the program has taken all its standard input: what follows comes by a read of its own."""
        nothing = struct.pack("i", 0)

        def taken() -> bool:
            assert self._process.stdin is not None
            return self._process.poll() is not None or (
                fcntl.ioctl(self._process.stdin, termios.FIONREAD, nothing) == nothing
            )

        if not until(taken):
            raise PeerFailed(f"{self.name} did not read what it was sent:\n{self.text()}")

    def drop(self) -> None:
        self._process.kill()

    def text(self) -> str:
        return (self.output + b"\n" + self.errors).decode(errors="backslashreplace")

    def outcome(self) -> Outcome:
        try:
            status = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"{self.name} did not end in time:\n{self.text()}") from None
        self._join()
        return self.read_outcome(status)

    def _join(self) -> None:
        """Waits until all that the program wrote was read."""
        for thread in self._threads:
            thread.join(LIMIT)
            if thread.is_alive():
                raise PeerFailed(f"{self.name} ended, and something still holds its pipes:\n{self.text()}")

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._join()
        self._files.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class ProcessClient(ProcessPeer, ClientPeer):
    """A program that sends its standard input, prints what it receives, and closes when the input ends."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.start_thread(self._converse)
        return self

    def update_keys(self) -> None:
        """Does what ``Options.key_update`` says, before the request is sent."""

    def response(self) -> bytes:
        """The HTTP response, as far as it has come."""
        return http_response(self.output)

    def _converse(self) -> None:
        if self.options.key_update is not KeyUpdate.NONE:
            self.update_keys()
        self.write(self.options.request)
        if self.wait_until(lambda _: is_whole(self.response())):
            self.write(b"", end=True)


class ThreadPeer(Peer):
    """A peer that is a library, run in a thread of this process. Shutting ``opened`` down ends it early."""

    opened: tuple[socket.socket, ...] = ()

    @abstractmethod
    def converse(self) -> Outcome:
        """The whole connection. An exception becomes an outcome; everything opened is closed before it leaves."""

    def __enter__(self) -> Self:
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            self._outcome = self.converse()
        except Exception as error:
            self._outcome = Outcome(ok=False, error=f"{type(error).__name__}: {error}", text=repr(error))

    def outcome(self) -> Outcome:
        self._thread.join(LIMIT)
        if self._outcome is None:
            raise PeerFailed(f"{self.name} did not end in time")
        return self._outcome

    def drop(self) -> None:
        for opened in self.opened:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *exception: object) -> None:
        self.drop()
        self._thread.join(LIMIT)


class ThreadServer(ThreadPeer, ServerPeer):
    """A server in a thread."""

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(LIMIT)
        self._listener = listener
        self._left = self.options.connections
        self.opened = (listener,)
        self.port = listener.getsockname()[1]
        return super().__enter__()

    def accept(self) -> socket.socket:
        """The next connection; after the last, nobody can make another."""
        self._left -= 1
        with contextlib.nullcontext() if self._left else self._listener:
            connection, _ = self._listener.accept()
        connection.settimeout(LIMIT)
        self.opened = (connection, self._listener) if self._left else (connection,)
        return connection


class ThreadClient(ThreadPeer, ClientPeer):
    """A client in a thread."""

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        self.opened = (connection,)
        return connection


@contextlib.contextmanager
def lingering(connection: socket.socket) -> Iterator[None]:
    """A server's handshake. What a client sends that is refused is read, or a reset would overtake the alert."""
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        raise


def http_response(output: bytes) -> bytes:
    """The HTTP response that stands somewhere in a program's output, as far as it has come, or b""."""
    start = re.search(rb"HTTP/1\.[01] \d\d\d[^\r\n]*\r\n", output)
    if start is None:
        return b""
    head, blank_line, body = output[start.start() :].partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return head + blank_line + (body[: int(length[1])] if length else body)


def is_whole(response: bytes) -> bool:
    """Whether an HTTP response has come to the end that its Content-Length names."""
    head, _, body = response.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return length is not None and len(body) >= int(length[1])


def last(pattern: str, text: str) -> str | None:
    """The first group of the last match in a peer's text."""
    matches = list(re.finditer(pattern, text, re.MULTILINE))
    return matches[-1][1] if matches else None


def first(pattern: str, text: str) -> str | None:
    """The first group of the first match in a peer's text."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else None
